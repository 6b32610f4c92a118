"""The guards, as far as records show them: yes, no, or unknown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.audit.guard_inference import INFERRED_GUARDS, is_told_to_wait
from realtime_fsm.audit.tracking import TrackedConnection
from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.protocol.eras import Era


def policies(**settings: Any) -> Any:
    return SimpleNamespace(**{"era": None, "auto_reconnect": True, "retry": RetryPolicy(attempts=3), **settings})


PLAIN = {"error_code": None, "close_code": None, "cause": None, "status": None, "retry_after": None, "era": None}


def line(**fields: Any) -> FlatRecord:
    return cast(FlatRecord, SimpleNamespace(**{**PLAIN, "attempt": 1, "trigger": "lost", "source": "subscribed", **fields}))


FACTS: list[tuple[Guard, dict[str, Any], dict[str, Any], bool | None]] = [
    # the guard, the facts before the record, the fields of the record, and whether it held
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"dialed_in_url": True, "rejected": 1}, {"error_code": 401}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"dialed_in_url": True, "rejected": 1}, {"error_code": 403}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"dialed_in_url": True, "rejected": 1}, {"error_code": 1013}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"dialed_in_url": False, "rejected": 1}, {"error_code": 1008}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"dialed_in_url": None, "rejected": 1}, {"error_code": 1008}, True),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"dialed_in_url": True, "rejected": 1}, {"error_code": 1008}, True),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"dialed_in_url": True, "rejected": 0}, {"error_code": 1008}, False),
    (Guard.NEW_SUBSCRIPTIONS_REJECTED, {"dialed_in_url": True, "complete": False}, {"error_code": 1008}, None),
    (Guard.CREDENTIALS_RENEWABLE, {"been_up": True}, {"error_code": 1008}, False),
    (Guard.CREDENTIALS_RENEWABLE, {"been_up": False}, {"error_code": 401}, False),
    (Guard.CREDENTIALS_RENEWABLE, {"been_up": True}, {"error_code": 401}, None),
    (Guard.CREDENTIALS_RENEWABLE, {"been_up": None}, {"error_code": 403}, None),
    (Guard.HANDOVER_DUE, {"dialed_in_url": False, "desired": {"s1"}}, {}, False),
    (Guard.HANDOVER_DUE, {"dialed_in_url": True, "desired": {"s1"}, "acknowledged": {"s1"}}, {}, False),
    (Guard.HANDOVER_DUE, {"dialed_in_url": True, "desired": {"s1"}}, {}, None),
    (Guard.HANDOVER_DUE, {"dialed_in_url": True, "complete": False}, {}, None),
    (Guard.ALL_CLOSED, {"awaits": 0}, {}, True),
    (Guard.ALL_CLOSED, {"awaits": 1}, {}, True),
    (Guard.ALL_CLOSED, {"awaits": 2}, {}, False),
    (Guard.ALL_CLOSED, {"awaits": None}, {}, None),
    (Guard.ALL_CLOSED, {"awaits": 1, "complete": False}, {}, None),
    (Guard.CAN_RESUME, {"draining": None}, {}, False),
    (Guard.CAN_RESUME, {"draining": 1}, {}, None),
    (Guard.CAN_RESUME, {"draining": None, "complete": False}, {}, None),
    (Guard.RECONNECT_OFF, {"policies": None}, {}, None),
    (Guard.RECONNECT_OFF, {"policies": policies(auto_reconnect=True)}, {}, False),
    (Guard.RECONNECT_OFF, {"policies": policies(auto_reconnect=False)}, {}, True),
    (Guard.ATTEMPT_DUE, {"has_link": None}, {}, None),
    (Guard.ATTEMPT_DUE, {"has_link": True}, {}, False),
    (Guard.ATTEMPT_DUE, {"has_link": False}, {}, True),
    (Guard.CAN_DIAL_EARLY, {"has_link": True, "throttled": False}, {}, False),
    (Guard.CAN_DIAL_EARLY, {"has_link": None, "throttled": True}, {}, False),
    (Guard.CAN_DIAL_EARLY, {"has_link": None, "throttled": False}, {}, None),
    (Guard.CAN_DIAL_EARLY, {"has_link": False, "throttled": None}, {}, None),
    (Guard.CAN_DIAL_EARLY, {"has_link": False, "throttled": False}, {}, True),
    (Guard.ERROR_ANSWERS_REQUEST, {"request_in_flight": True}, {}, True),
    (Guard.ERROR_ANSWERS_REQUEST, {"request_in_flight": None}, {}, None),
    (Guard.REPETITION_DUE, {"erred": False}, {}, False),
    (Guard.REPETITION_DUE, {"erred": True}, {}, None),
    (Guard.REPETITION_DUE, {"erred": None}, {}, None),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies()}, {"error_code": 1003}, False),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies()}, {"error_code": 1008}, True),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(era=Era.E3)}, {"error_code": 1008}, False),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": None}, {"error_code": 1008}, None),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "dialed_in_url": True}, {"error_code": 1008}, False),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "dialed_in_url": None}, {"error_code": 1008}, None),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "refusals": 0}, {"error_code": 1008, "era": "E4"}, False),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "refusals": 1}, {"error_code": 1008, "era": "E4"}, True),
    (Guard.SERVER_NEEDS_URL_CHANNELS, {"policies": policies(), "refusals": None}, {"error_code": 1008, "era": "E4"}, None),
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
    (Guard.MAY_RETRY, {"policies": None, "been_up": True}, {}, None),
    (Guard.MAY_RETRY, {"policies": policies(), "been_up": False}, {"attempt": 2}, True),
    (Guard.MAY_RETRY, {"policies": policies(), "been_up": False}, {"attempt": 3}, False),
    (Guard.MAY_RETRY, {"policies": policies(), "been_up": True}, {"attempt": 3}, True),
    (Guard.MAY_RETRY, {"policies": policies(), "been_up": None}, {"attempt": 2}, True),
    (Guard.MAY_RETRY, {"policies": policies(), "been_up": None}, {"attempt": 3}, None),
    (Guard.MAY_RETRY, {"policies": policies(), "been_up": True, "draining": 1}, {"attempt": 3}, False),
    (Guard.MAY_RETRY, {"policies": policies(), "been_up": True, "draining": 1, "complete": False}, {"attempt": 3}, None),
    (Guard.IS_FATAL, {}, {"cause": "certificate_refused"}, True),
    (Guard.IS_FATAL, {}, {"cause": "greeted_as_guest"}, True),
    (Guard.IS_FATAL, {}, {"cause": "error_frame", "error_code": 401, "source": "reconnecting"}, True),
    (Guard.IS_FATAL, {}, {"cause": "error_frame", "error_code": 403, "source": "reconnecting"}, True),
    (Guard.IS_FATAL, {}, {"cause": "error_frame", "error_code": 401}, False),
    (Guard.IS_FATAL, {"proven": True}, {"cause": "stream_ended", "close_code": 1008}, False),
    (Guard.IS_FATAL, {"proven": None}, {"cause": "stream_ended", "close_code": 1008}, None),
    (Guard.IS_FATAL, {"proven": False, "been_up": False}, {"cause": "stream_ended", "close_code": 1008}, True),
    (Guard.IS_FATAL, {"proven": False, "been_up": None}, {"cause": "stream_ended", "close_code": 1008}, None),
    (Guard.IS_FATAL, {"proven": False, "been_up": True}, {"cause": "stream_ended", "close_code": 1008}, None),
    (
        Guard.IS_FATAL,
        {"proven": False, "been_up": True, "refusals": 1, "policies": policies()},
        {"cause": "stream_ended", "close_code": 1008},
        False,
    ),
    (
        Guard.IS_FATAL,
        {"proven": False, "been_up": True, "refusals": 2, "policies": policies()},
        {"cause": "stream_ended", "close_code": 1008},
        True,
    ),
]


@pytest.mark.parametrize(("guard", "facts", "fields", "held"), FACTS)
def test_a_guard_held_or_not_or_nobody_knows(
    guard: Guard, facts: dict[str, Any], fields: dict[str, Any], held: bool | None
) -> None:
    tracked = TrackedConnection("c1", 1)
    for name, value in facts.items():
        setattr(tracked, name, value)
    assert INFERRED_GUARDS[guard](tracked, line(**fields)) is held


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
