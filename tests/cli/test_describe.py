"""Sentences for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from realtime_fsm import Change, Failure, ServerError, State, StreamEnded, Trigger
from realtime_fsm.cli.describe import describe_change, describe_failure


def test_the_last_failed_dial_has_no_next_one() -> None:
    failure = Failure(StreamEnded(), datetime(2026, 11, 27, tzinfo=UTC), None)
    assert describe_failure(failure) == "the stream ended (close code 1006); no dial follows"


def test_a_failed_dial_tells_when_the_next_one_is_due() -> None:
    moment = datetime(2026, 11, 27, tzinfo=UTC)
    failure = Failure(StreamEnded(), moment, moment + timedelta(seconds=1.25))
    assert describe_failure(failure) == "the stream ended (close code 1006); the next dial is in 1.2 s"


def test_a_change_without_a_cause_tells_the_state_alone() -> None:
    change = Change(State.PING, State.SUBSCRIBED, Trigger.PONG, "pin42", 1, None, datetime(2026, 11, 27, tzinfo=UTC))
    assert describe_change(change) == "ping -> subscribed: the link is up and everything is subscribed"


def test_a_text_of_the_server_cannot_reach_the_terminal_as_it_is() -> None:
    evil = ServerError(1008, "\x1b[2J\u202e\x9b31m")
    moment = datetime(2026, 11, 27, tzinfo=UTC)
    change = Change(State.SUBSCRIBED, State.RECONNECTING, Trigger.LOST, "sub58", 1, evil, moment)
    for told in (describe_failure(Failure(evil, moment, moment)), describe_change(change)):
        assert r"error 1008: \x1b[2J\u202e\x9b31m" in told
        assert told.isprintable()
