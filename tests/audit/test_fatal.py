"""A connection that dials again after a refusal for good violates the table, however sure it was of itself."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from realtime_fsm.fsm import machine
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.inputs import Connect
from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from support.bench import Bench
from support.brokenlogs import Scribe, audited, collected, lines_of


def log_of_a_refusal(code: int) -> tuple[State, list[bytes]]:
    bench = Bench(era=Era.E4)
    with collected() as records:
        Scribe(bench)
        bench.do(Connect())
        bench.open()
        bench.err(code)
        state = bench.state
    return state, lines_of(records)


@pytest.mark.parametrize("code", [401, 403, 1008])
def test_a_retry_after_a_fatal_refusal_is_a_violation(code: int) -> None:
    state, lines = log_of_a_refusal(code)
    assert (state, audited(lines).verdict) == (State.ERROR, "conformant")
    with patch.dict(GUARDS, {Guard.IS_FATAL: lambda context: False}):
        machine._shared_machine.cache_clear()
        broken, lines = log_of_a_refusal(code)
    machine._shared_machine.cache_clear()
    assert broken is State.RECONNECTING
    report = audited(lines)
    assert report.verdict == "violated"
    assert report.first is not None
    assert "26" in str(report.first)
