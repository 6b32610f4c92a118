"""Any walk of the machine audits as conformant, and none of its records can be altered without notice."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import settings

from realtime_fsm.fsm.inputs import LinkClosed
from support.alterations import alterations
from support.bench import Bench
from support.brokenlogs import Scribe, audited, collected, lines_of
from support.some import some
from support.walk import Walk


class AuditedWalk(Walk):
    """A walk that is written down, and audited at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.collecting = collected()
        self.records = self.collecting.__enter__()

    @property
    def bench(self) -> Bench:
        return self._bench

    @bench.setter
    def bench(self, bench: Bench) -> None:
        self._bench = bench
        Scribe(bench)

    def teardown(self) -> None:
        self.collecting.__exit__(None, None, None)
        if not self.records:
            return
        lines = lines_of(self.records)
        report = audited(lines)
        assert report.verdict == "conformant", report.first
        chance = random.Random(len(self.records))
        unnoticed = []
        for index, record in some(chance.sample(list(enumerate(self.records)), min(12, len(self.records)))):
            for name, value in alterations(record, chance):
                (altered,) = lines_of([{**record, name: value}])
                if audited([*lines[:index], altered, *lines[index + 1 :]]).verdict == "conformant":
                    unnoticed.append((name, value, record))
        assert unnoticed == []


TestAuditedWalk = AuditedWalk.TestCase
TestAuditedWalk.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)


def asked_by_address() -> list[dict[str, Any]]:
    """Refuse a dial without channels, hand a link over, and refuse a new subscription, on a server of an unknown era."""
    with collected() as records:
        bench = Bench()
        Scribe(bench)
        bench.subscribe("s1")
        bench.open()
        bench.err(1008)
        bench.open()
        bench.greet()
        bench.ask_anew("s2", up=False)
        bench.err(1008)
        bench.do(LinkClosed(bench.context.draining_generation or 0))
        bench.open()
        bench.greet()
    return records


def test_no_record_of_a_server_that_is_asked_by_the_address_can_be_altered() -> None:
    records = asked_by_address()
    assert {"rec94", "sub96", "rec97"} <= {record.get("row") for record in records}
    lines, chance = lines_of(records), random.Random(0)
    assert audited(lines).verdict == "conformant"
    unnoticed = []
    for index, record in enumerate(records):
        for name, value in alterations(record, chance):
            (altered,) = lines_of([{**record, name: value}])
            if audited([*lines[:index], altered, *lines[index + 1 :]]).verdict == "conformant":
                unnoticed.append((name, value, record))
    assert unnoticed == []
