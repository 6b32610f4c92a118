"""The fast defaults of tests in real time."""

from __future__ import annotations

from realtime_fsm.testing.quick import JITTER, QUICK_RETRY


def test_a_drop_heals_in_milliseconds() -> None:
    milliseconds = [round(1_000 * QUICK_RETRY.delay(attempt, JITTER), 1) for attempt in range(9)]
    assert milliseconds == [5, 7.5, 11.2, 16.9, 25.3, 38, 57, 75, 75]
    assert QUICK_RETRY.delay(9, 1.0) == 0.1


def test_five_dials_in_a_row_may_fail_and_no_minute_limits_them() -> None:
    assert [QUICK_RETRY.allows(attempt) for attempt in (4, 5)] == [True, False]
    assert QUICK_RETRY.dials_per_minute is None
