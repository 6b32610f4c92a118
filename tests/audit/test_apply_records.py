"""The records of other kinds than steps: the audit knows each kind, and accepts the counts of a relay."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_fsm.audit.apply_records import _RECORDS
from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.auditlog.schema import KINDS
from realtime_fsm.auditlog.writer import AuditWriter
from support.brokenlogs import BEGIN, audited, collected, lines_of
from support.some import some

LEAST: dict[str, dict[str, Any]] = {
    # the fields without which a record of a kind is not whole, with their least values
    "realtime.open": {},
    "realtime.subscription": {"subscription": "s", "change": ""},
    "realtime.presence": {"change": ""},
    "realtime.ping": {"round_trip": 0.0},
    "realtime.outage": {"change": "", "seconds": 0.0, "dials": 0},
    "realtime.fault": {"change": "", "seconds": 0.0},
    "realtime.dropped": {"count": 1},
    "realtime.pause": {"change": "", "seconds": 0.0, "dwell": 0.0},
    "realtime.retired": {"retired": 1, "dwell": 0.0},
    "realtime.gap": {"seconds": 0.0},
    "realtime.canary": {"change": "", "seconds": 0.0},
    "realtime.malformed": {"kind": "x"},
    "realtime.relayed": {"lag": 0.0},
    "realtime.close": {},
}
CHANGES = {kind.event: field.allowed_values for kind in KINDS for field in kind.fields if field.name == "change"}


def test_each_kind_of_record_but_the_step_has_a_handler() -> None:
    assert {*_RECORDS, "realtime.transition"} == {str(kind.__struct_config__.tag) for kind in RECORDS}


def is_whole(event: str, fields: dict[str, Any]) -> bool:
    common: dict[str, Any] = {"machine": "m", "connection_id": "c", "seq": 1, "timestamp": BEGIN, "link": 0}
    return _RECORDS[event][1](FlatRecord(**common, event=event, **fields))


@pytest.mark.parametrize("event", LEAST)
def test_a_record_is_whole_with_the_fields_of_its_kind_and_not_without_one(event: str) -> None:
    assert ("change" in LEAST[event]) == (event in CHANGES)
    for change in some(CHANGES.get(event, ("",))):
        least = LEAST[event] | ({"change": change} if event in CHANGES else {})
        assert is_whole(event, least), change
        for name, value in least.items():
            assert not is_whole(event, {key: told for key, told in least.items() if key != name}), name
            wrong = "moon" if name == "change" else value - 1 if isinstance(value, int | float) else ""
            assert not is_whole(event, least | {name: wrong}), name


@pytest.mark.parametrize(("lag", "verdict"), [(0.25, "conformant"), (None, "violated")])
def test_a_record_of_a_relay_is_conformant_unless_it_lacks_its_lag(lag: float | None, verdict: str) -> None:
    with collected() as records:
        log = AuditWriter("c1", lambda failure: None)
        log.relayed(5, 2, lag=0.25)
    record = {name: value for name, value in records[0].items() if name != "lag"}
    report = audited(lines_of([record if lag is None else record | {"lag": lag}]))
    assert report.verdict == verdict
