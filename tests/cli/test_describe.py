"""Sentences for people."""

from __future__ import annotations

from datetime import UTC, datetime

from realtime_fsm import Change, Failure, ServerError, State, StreamEnded, Trigger
from realtime_fsm.cli.describe import describe_change, describe_failure


def test_the_last_failed_dial_has_no_next_one() -> None:
    failure = Failure(StreamEnded(), datetime(2026, 11, 27, tzinfo=UTC), None)
    assert describe_failure(failure) == "the stream ended (close code 1006); no dial follows"


def test_a_text_of_the_server_cannot_reach_the_terminal_as_it_is() -> None:
    evil = ServerError(1008, "\x1b[2J\u202e\x9b31m")
    moment = datetime(2026, 11, 27, tzinfo=UTC)
    change = Change(State.SUBSCRIBED, State.RECONNECTING, Trigger.LOST, "sub58", 1, evil, moment)
    for told in (describe_failure(Failure(evil, moment, moment)), describe_change(change)):
        assert r"error 1008: \x1b[2J\u202e\x9b31m" in told
        assert told.isprintable()
