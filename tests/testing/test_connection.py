"""The answers of the embedded server to messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.connection import HISTORY, MAX_CLIENT_FRAME
from realtime_fsm.testing.eras import ERAS, EraName
from realtime_fsm.testing.wire import Reply
from support.server_core import (
    EQUAL,
    NOON,
    TARGET,
    check_error,
    dial,
    error,
    publish,
    send,
    send_text,
    single_frame,
    subscribe,
    try_dial,
)


def test_pings() -> None:
    connection = dial(Backend())
    for message in ('{"type":"ping"}', b'{"type":"ping"}', '{"type": "ping", "data": {"a": 1}}'):
        assert send_text(connection, message) == Reply((b'{"type":"pong"}',))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{not json", 1003),
        ("", 1003),
        ("[]", 1003),
        ("[1]", 1003),
        ('[{"type":"ping"}]', 1003),
        ("{}", 1003),
        ('{"data":{}}', 1003),
        ('{"type":null}', 1003),
        ('{"type":1}', 1003),
        ('{"type":1.5}', 1003),
        ('{"type":true}', 1003),
        ('{"type":"PING"}', 1003),
        ('{"type":"foo","data":{}}', 1003),
        ("null", 1003),
        ("5", 0),
        ('"ping"', 0),
        ("true", 0),
        (b'\xff\xfe{"type":"ping"}', 1003),
        ("\ud800", 1003),
        ("[" * 60_000, 1003),
    ],
)
def test_a_malformed_message(message: str | bytes, code: int) -> None:
    connection = dial(Backend())
    check_error(send_text(connection, message), code, end=False)
    assert send(connection, "ping") == {"type": "pong"}


@pytest.mark.parametrize("kind", ['{"a":1}', "[]", "{}"])
def test_a_type_that_is_not_a_scalar_ends_the_stream(kind: str) -> None:
    check_error(send_text(dial(Backend()), f'{{"type":{kind}}}'), 1003, end=True)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, 1003),
        ({"channels": ["files"]}, 1003),
        (["files"], 1003),
        ([{"subscriptionId": "a"}], 1003),
        ([{"channels": "files"}], 1003),
        ([{"channels": [1]}], 1003),
        ([{"channels": {"0": "files", "2": "x"}}], 1003),
        ([{"subscriptionId": "a b/c", "channels": ["files"]}], 1003),
        ([{"subscriptionId": "_a", "channels": ["files"]}], 1003),
        ([{"subscriptionId": "a" * 37, "channels": ["files"]}], 1003),
        ([{"subscriptionId": "", "channels": ["files"]}], 1003),
        ([{"subscriptionId": "a\n", "channels": ["files"]}], 1003),
        ([{"subscriptionId": None, "channels": ["files"]}], 1003),
        ([{"subscriptionId": 5, "channels": ["files"]}], 1003),
        ([{"channels": ["files"], "queries": "x"}], 1003),
        ([{"channels": ["files"], "queries": None}], 1003),
        ([{"channels": ["files"], "queries": ["{bad"]}], 1003),
        ([{"channels": ["files"], "queries": ['{"method":"limit","values":[5]}']}], 1003),
        ([{"channels": ["files"], "queries": ['{"method":"select","values":["title"]}']}], 0),
        ([{"channels": ["files"], "queries": [{"method": "equal", "attribute": "a", "values": ["b"]}]}], 0),
    ],
)
def test_one_item_that_is_not_valid_refuses_the_whole_batch(data: Any, code: int) -> None:
    connection = dial(Backend())
    good = {"subscriptionId": "good", "channels": ["files"]}
    assert send(connection, "subscribe", data) == error(code)
    assert send(connection, "subscribe", [good, *data] if isinstance(data, list) else data) == error(code)
    assert connection.subscriptions == ()


@pytest.mark.parametrize(
    ("item", "channels"),
    [
        ({"channels": []}, []),
        ({"channels": {}}, []),
        ({"channels": [""]}, [""]),
        ({"channels": ["files", "files"]}, ["files"]),
        ({"subscriptionId": "a" * 36, "channels": ["files"]}, ["files"]),
        ({"subscriptionId": "unique()", "channels": ["files"]}, ["files"]),
        ({"subscriptionId": "123", "channels": ["files"]}, ["files"]),
        ({"subscriptionId": "A.b_c-d", "channels": ["files"], "queries": []}, ["files"]),
    ],
)
def test_an_odd_item_that_is_accepted(item: dict[str, object], channels: list[str]) -> None:
    connection = dial(Backend(ids=iter(["6b0467dbd69214b07983"])))
    identifier = item.get("subscriptionId", "6b0467dbd69214b07983")
    assert subscribe(connection, item) == [{"subscriptionId": identifier, "channels": channels, "queries": []}]
    assert connection.subscriptions == (identifier,)


def test_each_request_has_its_response() -> None:
    backend = Backend()
    session = backend.add_user("alice")
    connection = dial(backend)
    accepted = {"subscriptionId": "s", "channels": ["rows"], "queries": []}
    assert send(connection, "subscribe", [accepted]) == {
        "type": "response",
        "data": {"to": "subscribe", "success": True, "subscriptions": [accepted]},
    }
    answer = send(connection, "authentication", {"session": session})["data"]
    assert (answer.pop("user")["$id"], answer) == ("alice", {"to": "authentication", "success": True})
    assert send(connection, "unsubscribe", [{"subscriptionId": "s"}])["data"] == {
        "to": "unsubscribe",
        "success": True,
        "subscriptions": [{"subscriptionId": "s", "removed": True}],
    }
    assert list(send(connection, "presence", {"status": "x"})["data"]) == ["to", "presence"]


def test_empty_batches() -> None:
    connection = dial(Backend())
    assert subscribe(connection) == []
    assert send(connection, "unsubscribe", [])["data"] == {"to": "unsubscribe", "success": True, "subscriptions": []}


def test_a_subscription_to_the_console_s_live_tail_ends_the_stream() -> None:
    message = '{"type":"subscribe","data":[{"channels":["files","console.tail.p1"]}]}'
    check_error(send_text(dial(Backend()), message), 1008, end=True)


@pytest.mark.parametrize("data", [None, {"subscriptionId": "a"}, ["a"], [{"subscriptionId": ""}], [{}], [{"subscriptionId": 5}]])
def test_an_unsubscribe_that_is_not_valid_removes_nothing(data: Any) -> None:
    connection = dial(Backend())
    subscribe(connection, {"subscriptionId": "s", "channels": ["files"]})
    batch = [{"subscriptionId": "s"}, *data] if isinstance(data, list) else data
    assert send(connection, "unsubscribe", batch) == error(1003)
    assert connection.subscriptions == ("s",)


def test_an_oversized_frame_resets_the_stream() -> None:
    connection = dial(Backend())
    start, end = '{"type":"ping","data":"', '"}'
    longest = start + "x" * (MAX_CLIENT_FRAME - 8 - len(start) - len(end)) + end
    assert single_frame(send_text(connection, longest)) == {"type": "pong"}
    assert send_text(connection, longest + " ") == Reply(reset=True)
    assert send_text(connection, '{"type":"ping"}') == Reply(), "nothing follows the reset"


# The rate limit


def test_the_33rd_message_of_a_minute_is_dropped() -> None:
    connection = dial(Backend())
    messages = ['{"type":"ping"}', "{bad"] * 16
    answers = [single_frame(send_text(connection, message, NOON + second)) for second, message in enumerate(messages)]
    assert answers == [{"type": "pong"}, error(1003)] * 16
    assert send(connection, "subscribe", [{"channels": ["files"]}], NOON + 59.9) == error(1013)
    assert connection.subscriptions == ()
    assert send(connection, "ping", now=NOON + 60) == {"type": "pong"}


def test_the_window_is_aligned_to_the_minute() -> None:
    connection = dial(Backend(rate_limit=1))
    assert [send(connection, "ping", now=NOON + second)["type"] for second in (59, 59.9, 60, 61, 119, 120)] == [
        "pong",
        "error",
        "pong",
        "error",
        "error",
        "pong",
    ]


def test_no_rate_limit() -> None:
    connection = dial(Backend(rate_limit=None))
    assert all(send(connection, "ping") == {"type": "pong"} for _ in range(1_000))


def test_each_connection_has_a_quota_of_its_own_and_events_do_not_count() -> None:
    backend = Backend(rate_limit=1)
    first, second = dial(backend), dial(backend)
    subscribe(first, {"subscriptionId": "s", "channels": ["rows"]})
    assert send(first, "ping") == error(1013)
    assert send(second, "ping") == {"type": "pong"}
    assert publish(backend, ["rows"]) == [(first, ["s"])]


def test_the_latest_messages_are_kept() -> None:
    connection = dial(Backend(rate_limit=1))
    for message in ('{"type":"ping"}', "{bad", b"\xff"):
        send_text(connection, message)
    assert list(connection.received) == [{"type": "ping"}, "{bad", "�"]
    for _ in range(HISTORY):
        send_text(connection, "5")
    assert list(connection.received) == [5] * HISTORY


# Any message

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_WORDS = st.sampled_from(["account", "account.update", "files", "console.tail.x", "s", EQUAL, "unique()", ""])
_KEYS = st.sampled_from(["type", "data", "subscriptionId", "channels", "queries", "session", "0", "status", "permissions"])
_JSON = st.recursive(
    _SCALARS | _WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_TYPES = st.sampled_from(["ping", "subscribe", "unsubscribe", "authentication", "presence"])
_MESSAGES = st.one_of(
    st.binary(max_size=64),
    _JSON.map(json.dumps),
    st.builds(lambda kind, data: json.dumps({"type": kind, "data": data}), _TYPES, _JSON),
)


@settings(deadline=None)
@given(st.sampled_from(sorted(ERAS)), st.lists(_MESSAGES, max_size=12))
def test_no_message_raises_and_each_has_one_answer(era: EraName, messages: list[bytes | str]) -> None:
    backend = Backend(era=era, rate_limit=None)
    connection = dial(backend, f"{TARGET}&channels[]=rows", X_Appwrite_Session=backend.add_user("alice"))
    ended = False
    for message in messages:
        reply = send_text(connection, message)
        assert len(reply.frames) == (0 if ended else 1)
        ended = ended or reply.end
        for frame in reply.frames:
            assert json.loads(frame)["type"] in ("pong", "response", "error")
    assert (connection in backend.connections) is not ended


@settings(deadline=None)
@given(st.text(alphabet='rows.[]=&01%5B{}" #', max_size=40), st.sampled_from(sorted(ERAS)))
def test_no_dial_raises_and_each_has_one_answer(query: str, era: EraName) -> None:
    _, reply = try_dial(Backend(era=era), f"{TARGET}&channels[]=rows&{query}")
    assert single_frame(reply)["type"] in ("connected", "error")
