"""Sentences for people."""

from __future__ import annotations

from datetime import UTC, datetime

from realtime_fsm import Failure, StreamEnded
from realtime_fsm.cli.describe import describe_failure


def test_the_last_failed_dial_has_no_next_one() -> None:
    failure = Failure(StreamEnded(), datetime(2026, 11, 27, tzinfo=UTC), None)
    assert describe_failure(failure) == "the stream ended (close code 1006); no dial follows"
