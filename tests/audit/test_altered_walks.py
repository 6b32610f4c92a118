"""Any walk of the machine audits as conformant, and none of its records can be altered without notice."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

from realtime_fsm.fsm.inputs import Connect, Disconnect, GreetingReceived, LinkClosed
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.protocol.eras import Era
from support.alterations import judged_alterations
from support.bench import Bench
from support.brokenlogs import Record, Scribe, audited, collected, lines_of
from support.recorded_walk import RecordedWalk
from support.simlogs import SEEDS, logs_of
from support.some import some

ENOUGH = 60
"""The records after an alteration in which the audit notices it."""


def unnoticed(records: list[Record], indices: Iterable[int], chance: random.Random) -> list[tuple[str, Any, Record]]:
    """The alterations of some records that the audit of the log does not notice."""
    lines = lines_of(records)
    return [
        (name, value, records[index])
        for index in some(indices)
        for name, value in judged_alterations(records[index], chance)
        if is_told_elsewhere(records, index, name)
        and audited([*lines[:index], *lines_of([{**records[index], name: value}]), *lines[index + 1 :]]).verdict == "conformant"
    ]


def is_told_elsewhere(records: list[Record], index: int, name: str) -> bool:
    """Whether another record can contradict a field: none tells when the connection began, or names a new subscription again."""
    before, record, after = records[:index], records[index], records[index + 1 :]
    if "row" in record:
        return name not in ("dwell", "at") or any("row" in each for each in before)
    if "change" in record and "subscription" in record:
        return any(each.get("subscription") == record["subscription"] for each in after) or record["change"] == "removed"
    return True


class AuditedWalk(RecordedWalk):
    """A walk that is audited at its end."""

    def judge(self) -> None:
        report = audited(lines_of(self.records))
        assert report.verdict == "conformant", report.first
        chance = random.Random(len(self.records))
        assert unnoticed(self.records, chance.sample(range(len(self.records)), min(12, len(self.records))), chance) == []


TestAuditedWalk = AuditedWalk.TestCase
TestAuditedWalk.settings = settings(max_examples=12, stateful_step_count=30, deadline=None)


def asked_by_address() -> list[Record]:
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


@pytest.mark.parametrize(("code", "era", "other"), [(1008, Era.E1, None), (500, Era.E3, Era.E1)])
def test_a_server_counts_as_one_of_another_era_only_after_it_has_refused_the_connection(
    code: int, era: Era, other: Era | None
) -> None:
    with collected() as records:
        bench = Bench(era=Era.E1, retry=RetryPolicy(attempts=1))
        Scribe(bench)
        bench.do(Connect())
        bench.open()
        bench.hear(GreetingReceived(bench.generation, has_subscription_ids=True))
        bench.do(Disconnect())
        bench.do(Connect())
        bench.open()
        bench.err(code)
        bench.do(Connect())
    assert [records[-1][name] for name in ("source", "row", "era")] == ["error", "err1", era]
    assert audited(lines_of(records)).verdict == "conformant"
    records[-1]["era"] = other
    report = audited(lines_of(records))
    assert (report.verdict, report.counts["era"]) == ("violated", 1)


def test_no_record_of_a_server_that_is_asked_by_the_address_can_be_altered() -> None:
    records = asked_by_address()
    assert {"rec94", "sub96", "rec97"} <= {record.get("row") for record in records}
    assert audited(lines_of(records)).verdict == "conformant"
    assert unnoticed(records, range(len(records)), random.Random(0)) == []


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_no_record_of_a_storm_can_be_altered(seed: int) -> None:
    """A storm writes the records that a walk does not: gaps, presences, faults and handovers of a whole connection."""
    chance = random.Random(seed)
    for records in some(filter(None, logs_of(seed))):
        kinds = {(record["event"], record.get("change")): index for index, record in reversed(list(enumerate(records)))}
        for index in some({*kinds.values(), *chance.sample(range(len(records)), 2)}):
            assert unnoticed(list(records[: index + ENOUGH]), [index], chance) == []
