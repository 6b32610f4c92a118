"""The guards, as far as records show them: yes, no, or unknown."""

from __future__ import annotations

from functools import reduce
from types import SimpleNamespace
from typing import Any, cast

import pytest

from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.audit.facts import Facts, Link, OldLink
from realtime_fsm.audit.guard_inference import INFERRED_GUARDS, is_told_to_wait
from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.protocol.eras import Era


def policies(**settings: Any) -> Any:
    return SimpleNamespace(**{"era": None, "auto_reconnect": True, "retry": RetryPolicy(attempts=3), **settings})


PLAIN = {"error_code": None, "close_code": None, "cause": None, "status": None, "retry_after": None, "era": None}


def line(**fields: Any) -> FlatRecord:
    return cast(FlatRecord, SimpleNamespace(**{**PLAIN, "attempt": 1, "trigger": "lost", "source": "subscribed", **fields}))


OLD_LINK = OldLink(Link(), frozenset(), None)
REFUSED = {"error_code": 1008, "era": "E4"}
FACTS: list[tuple[Guard, dict[str, Any], dict[str, Any], bool | None]] = [
    # the guard, the facts before the record, the fields of the record, and whether it held
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"link.in_url": True, "last_step.rejected": 1}, {"error_code": 401}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"link.in_url": True, "last_step.rejected": 1}, {"error_code": 403}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"link.in_url": True, "last_step.rejected": 1}, {"error_code": 1013}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"link.in_url": False, "last_step.rejected": 1}, {"error_code": 1008}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"link.in_url": None, "last_step.rejected": 1}, {"error_code": 1008}, True),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"link.in_url": True, "last_step.rejected": 1}, {"error_code": 1008}, True),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"link.in_url": True, "last_step.rejected": 0}, {"error_code": 1008}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"link.in_url": True, "complete": False}, {"error_code": 1008}, None),
    (Guard.CREDENTIALS_RENEWABLE, {"history.been_up": True}, {"error_code": 1008}, False),
    (Guard.CREDENTIALS_RENEWABLE, {"history.been_up": False}, {"error_code": 401}, False),
    (Guard.CREDENTIALS_RENEWABLE, {"history.been_up": True}, {"error_code": 401}, None),
    (Guard.CREDENTIALS_RENEWABLE, {"history.been_up": None}, {"error_code": 403}, None),
    (Guard.HANDOVER_DUE, {"link.in_url": False, "subscriptions.desired": {"s1"}}, {}, False),
    (Guard.HANDOVER_DUE, {"link.in_url": True, "subscriptions.desired": {"s1"}, "subscriptions.acknowledged": {"s1"}}, {}, False),
    (Guard.HANDOVER_DUE, {"link.in_url": True, "subscriptions.desired": {"s1"}}, {}, None),
    (Guard.HANDOVER_DUE, {"link.in_url": True, "complete": False}, {}, None),
    (Guard.ALL_CLOSED, {"next_dial.awaits": 0}, {}, True),
    (Guard.ALL_CLOSED, {"next_dial.awaits": 1}, {}, True),
    (Guard.ALL_CLOSED, {"next_dial.awaits": 2}, {}, False),
    (Guard.ALL_CLOSED, {"next_dial.awaits": None}, {}, None),
    (Guard.ALL_CLOSED, {"next_dial.awaits": 1, "complete": False}, {}, None),
    (Guard.CAN_RESUME, {"draining": None}, {}, False),
    (Guard.CAN_RESUME, {"draining": OLD_LINK}, {}, None),
    (Guard.CAN_RESUME, {"draining": None, "complete": False}, {}, None),
    (Guard.RECONNECT_OFF, {"policies": None}, {}, None),
    (Guard.RECONNECT_OFF, {"policies": policies(auto_reconnect=True)}, {}, False),
    (Guard.RECONNECT_OFF, {"policies": policies(auto_reconnect=False)}, {}, True),
    (Guard.ATTEMPT_DUE, {"link.is_open": None}, {}, None),
    (Guard.ATTEMPT_DUE, {"link.is_open": True}, {}, False),
    (Guard.ATTEMPT_DUE, {"link.is_open": False}, {}, True),
    (Guard.CAN_DIAL_EARLY, {"link.is_open": True, "next_dial.throttled": False}, {}, False),
    (Guard.CAN_DIAL_EARLY, {"link.is_open": None, "next_dial.throttled": True}, {}, False),
    (Guard.CAN_DIAL_EARLY, {"link.is_open": None, "next_dial.throttled": False}, {}, None),
    (Guard.CAN_DIAL_EARLY, {"link.is_open": False, "next_dial.throttled": None}, {}, None),
    (Guard.CAN_DIAL_EARLY, {"link.is_open": False, "next_dial.throttled": False}, {}, True),
    (Guard.ERROR_ANSWERS_REQUEST, {"frames.in_flight": True}, {}, True),
    (Guard.ERROR_ANSWERS_REQUEST, {"frames.in_flight": None}, {}, None),
    (Guard.REPETITION_DUE, {"frames.erred": False}, {}, False),
    (Guard.REPETITION_DUE, {"frames.erred": True}, {}, None),
    (Guard.REPETITION_DUE, {"frames.erred": None}, {}, None),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies()}, {"error_code": 1003}, False),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies()}, {"error_code": 1008}, True),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(era=Era.E3)}, {"error_code": 1008}, False),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": None}, {"error_code": 1008}, None),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "link.in_url": True}, {"error_code": 1008}, False),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "link.in_url": None}, {"error_code": 1008}, None),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "history.refusals": 0}, REFUSED, False),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "history.refusals": 1}, REFUSED, True),
    (
        Guard.SERVER_NEEDS_URL_CHANNELS,
        {"policies": policies(), "history.refusals": None},
        {"error_code": 1008, "era": "E4"},
        None,
    ),
    (Guard.SERVER_AT_FAULT, {}, {"error_code": 0}, True),
    (Guard.SERVER_AT_FAULT, {}, {"error_code": 1008}, False),
    (Guard.SERVER_AT_FAULT, {}, {}, False),
    (Guard.ERROR_ANSWERS_PING, {}, {"error_code": 1003}, True),
    (Guard.ERROR_ANSWERS_PING, {}, {"error_code": 1013}, True),
    (Guard.ERROR_ANSWERS_PING, {}, {"error_code": 1008}, False),
    (Guard.ERROR_PRECEDES_CLOSE, {}, {"error_code": 1008}, True),
    (Guard.ERROR_PRECEDES_CLOSE, {}, {"error_code": 1003}, False),
    (Guard.RATE_LIMITED, {}, {"error_code": 429}, True),
    (Guard.RATE_LIMITED, {}, {"error_code": 1008}, False),
    (Guard.RATE_LIMITED, {}, {}, False),
    (Guard.REPLY_OVERDUE, {}, {"cause": "reply_overdue"}, True),
    (Guard.REPLY_OVERDUE, {}, {"cause": "pong_overdue"}, False),
    (Guard.HEARD_SINCE_PING, {}, {}, True),
    (Guard.HEARD_SINCE_PING, {}, {"cause": "pong_overdue"}, False),
    (Guard.MAY_RETRY, {"policies": None, "history.been_up": True}, {}, None),
    (Guard.MAY_RETRY, {"policies": policies(), "history.been_up": False}, {"attempt": 2}, True),
    (Guard.MAY_RETRY, {"policies": policies(), "history.been_up": False}, {"attempt": 3}, False),
    (Guard.MAY_RETRY, {"policies": policies(), "history.been_up": True}, {"attempt": 3}, True),
    (Guard.MAY_RETRY, {"policies": policies(), "history.been_up": None}, {"attempt": 2}, True),
    (Guard.MAY_RETRY, {"policies": policies(), "history.been_up": None}, {"attempt": 3}, None),
    (
        Guard.MAY_RETRY,
        {"policies": policies(), "history.been_up": True, "draining": OLD_LINK},
        {"attempt": 3},
        False,
    ),
    (
        Guard.MAY_RETRY,
        {"policies": policies(), "history.been_up": True, "draining": OLD_LINK, "complete": False},
        {"attempt": 3},
        None,
    ),
    (Guard.IS_FATAL, {}, {"cause": "certificate_refused"}, True),
    (Guard.IS_FATAL, {}, {"cause": "greeted_as_guest"}, True),
    (Guard.IS_FATAL, {}, {"cause": "error_frame", "error_code": 401, "source": "reconnecting"}, True),
    (Guard.IS_FATAL, {}, {"cause": "error_frame", "error_code": 403, "source": "reconnecting"}, True),
    (Guard.IS_FATAL, {}, {"cause": "error_frame", "error_code": 401}, False),
    (Guard.IS_FATAL, {"link.proven": True}, {"cause": "stream_ended", "close_code": 1008}, False),
    (Guard.IS_FATAL, {"link.proven": None}, {"cause": "stream_ended", "close_code": 1008}, None),
    (Guard.IS_FATAL, {"link.proven": False, "history.been_up": False}, {"cause": "stream_ended", "close_code": 1008}, True),
    (Guard.IS_FATAL, {"link.proven": False, "history.been_up": None}, {"cause": "stream_ended", "close_code": 1008}, None),
    (Guard.IS_FATAL, {"link.proven": False, "history.been_up": True}, {"cause": "stream_ended", "close_code": 1008}, None),
    (
        Guard.IS_FATAL,
        {"link.proven": False, "history.been_up": True, "history.refusals": 1, "policies": policies()},
        {"cause": "stream_ended", "close_code": 1008},
        False,
    ),
    (
        Guard.IS_FATAL,
        {"link.proven": False, "history.been_up": True, "history.refusals": 2, "policies": policies()},
        {"cause": "stream_ended", "close_code": 1008},
        True,
    ),
]


@pytest.mark.parametrize(("guard", "facts", "fields", "held"), FACTS)
def test_a_guard_held_or_not_or_nobody_knows(
    guard: Guard, facts: dict[str, Any], fields: dict[str, Any], held: bool | None
) -> None:
    known = Facts()
    for path, value in facts.items():
        *owners, name = path.split(".")
        setattr(reduce(getattr, owners, known), name, value)
    assert INFERRED_GUARDS[guard](known, line(**fields)) is held


@pytest.mark.parametrize(
    ("fields", "waits"),
    [
        ({"retry_after": 3.0}, True),
        ({"cause": "upgrade_refused", "status": 429}, True),
        ({"cause": "upgrade_refused", "status": 503}, False),
        ({"cause": "upgrade_refused", "status": None}, None),
        ({"cause": "error_frame", "error_code": 1013}, True),
        ({"cause": "error_frame", "error_code": 1008}, False),
        ({"cause": "stream_ended", "close_code": 1013}, True),
        ({"cause": "dial_failed"}, False),
    ],
)
def test_a_dial_waits_where_the_server_or_a_proxy_asked_for_it(fields: dict[str, Any], waits: bool | None) -> None:
    assert is_told_to_wait(line(**fields)) is waits
