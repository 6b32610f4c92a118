"""The records of other kinds than steps: the audit knows each kind, and accepts the counts of a relay."""

from __future__ import annotations

import pytest

from realtime_fsm.audit.apply_records import _RECORDS
from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.auditlog.writer import AuditWriter
from support.brokenlogs import audited, collected, lines_of


def test_each_kind_of_record_but_the_step_has_a_handler() -> None:
    assert {*_RECORDS, "realtime.transition"} == {str(kind.__struct_config__.tag) for kind in RECORDS}


@pytest.mark.parametrize(("lag", "verdict"), [(0.25, "conformant"), (None, "violated")])
def test_a_record_of_a_relay_is_conformant_unless_it_lacks_its_lag(lag: float | None, verdict: str) -> None:
    with collected() as records:
        log = AuditWriter("c1", lambda failure: None)
        log.relayed(5, 2, lag=0.25)
    record = {name: value for name, value in records[0].items() if name != "lag"}
    report = audited(lines_of([record if lag is None else record | {"lag": lag}]))
    assert report.verdict == verdict
