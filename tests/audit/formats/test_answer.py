"""The first line of an answer, which sums it up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime_fsm.audit.answer import Answer
from realtime_fsm.audit.formats.answer import answer_lines

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "none of 3 connections were not available"),
        ({"connections": 1, "down_total": 1}, "1 of 1 connection was not available"),
        ({"connections": 0}, "no connection lived"),
        ({"begins": AT, "ends": AT}, "none of 3 connections were not available"),
        ({"begins": AT + HOUR}, "the log tells nothing of that time; name one within the log"),
        ({"ends": AT - HOUR}, "the log tells nothing of that time; name one within the log"),
        ({"begins": None}, "the log has no connection"),
        ({"ends": None}, "the log has no connection"),
    ],
)
def test_the_first_line_counts_the_connections_or_tells_why_it_cannot(changes: dict[str, Any], told: str) -> None:
    facts: dict[str, Any] = {
        "at": AT, "zone": "UTC", "verdict": "conformant", "exit_code": 0, "connections": 3, "down": [], "down_total": 0,
        "healthy": 3, "unwanted": 0, "unknown": 0, "silent": 0, "begins": AT - HOUR, "ends": AT + HOUR, "findings": [],
        "first": None,
    }  # fmt: skip
    assert next(answer_lines(Answer(**facts | changes), UTC)) == f"at 2026-11-24 12:00:00 UTC: {told}"
