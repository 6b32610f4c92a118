"""Decoded messages are typed values or a reason; encoded messages follow the protocol."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_fsm.protocol import frames
from realtime_fsm.protocol.frames import (
    AcknowledgedSubscription,
    ConnectedFrame,
    ErrorFrame,
    EventFrame,
    Frame,
    Malformed,
    PongFrame,
    ResponseFrame,
    decode,
)

few = settings(deadline=None, max_examples=60)
texts = st.text(max_size=8)
KINDS = {"not_json", "too_deep", "unknown_type", "wrong_shape"}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
GREETING = b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":null}}'
REPLY = (
    b'{"type":"response","data":{"to":"subscribe","success":true,"subscriptions":'
    b'[{"subscriptionId":"s1","channels":["account","account.u1"],"queries":[]},{"subscriptionId":"s2","channels":[]}]}}'
)
EVENT = (
    b'{"type":"event","data":{"events":["a.b"],"channels":["a"],"timestamp":"2026-01-01","payload":{},"subscriptions":["s1"]}}'
)


def deep(count: int = 100_000) -> bytes:
    return b"[" * count + b"]" * count


def understood(data: bytes) -> Frame:
    frame = decode(data)
    assert not isinstance(frame, Malformed)
    return frame


def refused(data: bytes) -> str:
    frame = decode(data)
    assert isinstance(frame, Malformed)
    return frame.kind


# --- decoding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (GREETING, ConnectedFrame),
        (b'{"type":"connected","data":{"channels":["rows"],"subscriptions":{"3":"x"},"user":{"$id":"u"}}}', ConnectedFrame),
        (b'{"type":"connected","data":{"channels":["rows"],"subscriptions":["x"]}}', ConnectedFrame),
        (REPLY, ResponseFrame),
        (b'{"type":"pong"}', PongFrame),
        (b'{"data":[],"type":"pong","more":1}', PongFrame),
        (EVENT, EventFrame),
        (b'{"type":"event","data":{"payload":[]}}', EventFrame),
        (b'{"type":"error","data":{"code":1003,"message":"Message type is not valid."}}', ErrorFrame),
    ],
)
def test_each_frame_of_the_server_has_a_type(data: bytes, kind: type[Frame]) -> None:
    assert type(decode(data)) is kind


def test_a_reply_lists_the_acknowledged_subscriptions() -> None:
    frame = understood(REPLY)
    assert isinstance(frame, ResponseFrame)
    assert frame.data.to == "subscribe"
    assert frame.data.subscriptions == (
        AcknowledgedSubscription("s1", ("account", "account.u1")),
        AcknowledgedSubscription("s2", ()),
    )


def test_a_reply_to_an_unsubscribe_holds_ids_only() -> None:
    frame = understood(
        b'{"type":"response","data":{"to":"unsubscribe","subscriptions":[{"subscriptionId":"s1","removed":true}]}}'
    )
    assert isinstance(frame, ResponseFrame)
    assert frame.data.subscriptions == (AcknowledgedSubscription("s1"),)


def test_another_reply_acknowledges_no_subscription() -> None:
    frame = understood(b'{"type":"response","data":{"to":"presence","presence":{"$id":"p1"}}}')
    assert isinstance(frame, ResponseFrame)
    assert frame.data.subscriptions == ()


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("1008", 1008),
        ("0", 0),
        ("-1", -1),
        ('"42S02"', "42S02"),
        ('"1008"', "1008"),
        ("1008.5", "1008.5"),
        ("true", "true"),
        ("null", "null"),
        ('["a", {}]', '["a",{}]'),
        ('"\\ud800"', "\ufffd"),
    ],
)
def test_the_code_of_an_error_is_a_number_or_a_text(code: str, read: frames.Code) -> None:
    frame = understood(f'{{"type":"error","data":{{"code":{code},"message":"m"}}}}'.encode())
    assert isinstance(frame, ErrorFrame)
    assert (frame.code, type(frame.code)) == (read, type(read))
    assert frame.data.message == "m"


def test_an_error_may_lack_code_and_text() -> None:
    frame = understood(b'{"type":"error","data":{}}')
    assert isinstance(frame, ErrorFrame)
    assert (frame.code, frame.message) == ("null", "")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("not_json", b""),
        ("not_json", b"{"),
        ("not_json", b"hello"),
        ("not_json", b'{"type":"pong"} {}'),
        ("not_json", b'{"type":"pong","a":NaN}'),
        ("not_json", b'{"type":"\xff"}'),
        ("not_json", b"\xef\xbb\xbf{}"),
        ("not_json", b'{"type":"\\ud800\xff"}'),
        ("too_deep", b'{"type":"pong","data":' + deep() + b"}"),
        ("too_deep", b'{"type":"event","data":{"payload":' + deep() + b"}}"),
        ("unknown_type", b'{"type":"presence","data":{}}'),
        ("unknown_type", b'{"type":""}'),
        ("unknown_type", b'{"type":"PONG"}'),
        ("unknown_type", b'{"type":"\\udc00"}'),
        ("wrong_shape", b"[]"),
        ("wrong_shape", b"null"),
        ("wrong_shape", b'"pong"'),
        ("wrong_shape", b"{}"),
        ("wrong_shape", b'{"type":7}'),
        ("wrong_shape", b'{"type":null}'),
        ("wrong_shape", b'{"type":"connected"}'),
        ("wrong_shape", b'{"type":"error","data":[]}'),
        ("wrong_shape", b'{"type":"response","data":{"to":"subscribe","subscriptions":[{}]}}'),
        ("wrong_shape", b'{"type":"event","data":{"payload":{},"subscriptions":[1]}}'),
        ("wrong_shape", b'{"type":"event","data":{"channels":[]}}'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_malformed_message_names_its_problem(kind: str, data: bytes) -> None:
    assert refused(data) == kind


def test_a_deep_message_of_an_unknown_type_is_too_deep() -> None:
    assert refused(b'{"type":"new","data":' + deep() + b"}") == "too_deep"


def test_a_wrong_shape_with_a_broken_text_is_no_json() -> None:
    assert refused(b'{"type":"error","data":{"code":[]},"type":"\xff"}') == "not_json"


def test_an_unknown_type_with_half_of_a_pair_stays_unknown() -> None:
    assert refused(b'{"type":"new","data":"\\ud800"}') == "unknown_type"


@few
@given(st.binary(max_size=64))
def test_no_bytes_raise(data: bytes) -> None:
    frame = decode(data)
    assert not isinstance(frame, Malformed) or frame.kind in KINDS


@few
@given(
    st.sampled_from([GREETING, REPLY, EVENT, b'{"type":"error","data":{"code":1003,"message":"m"}}']),
    st.integers(0, 200),
    st.integers(0, 3),
    st.binary(max_size=3),
)
def test_no_damaged_frame_raises(data: bytes, at: int, length: int, instead: bytes) -> None:
    frame = decode(data[:at] + instead + data[at + length :])
    assert not isinstance(frame, Malformed) or frame.kind in KINDS


@few
@given(st.sampled_from(["connected", "response", "error", "pong", "event", "new"]), json_values)
def test_no_data_of_a_frame_raises(kind: str, value: Any) -> None:
    text, constants = json.dumps({"type": kind, "data": value}), list[str]()
    json.loads(text, parse_constant=constants.append)  # Python accepts NaN and Infinity, JSON does not
    frame = decode(text.encode())
    needs: dict[str, set[str]] = {
        "connected": set(),
        "error": set(),
        "response": {"to"},
        "event": {"events", "channels", "payload"},
    }
    if constants:
        wanted = "not_json"
    elif kind == "pong" or (kind in needs and isinstance(value, dict) and needs[kind] <= value.keys()):
        wanted = None
    else:
        wanted = "unknown_type" if kind == "new" else "wrong_shape"
    assert (frame.kind if isinstance(frame, Malformed) else None) == wanted


# --- half of a surrogate pair -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"a\ud800b", "a\ufffdb"),
        (r"a\uDFFFb", "a\ufffdb"),
        (r"\udc00\ud800", "\ufffd\ufffd"),
        (r"\ud800\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\ud83d\ude00\ude00", "\U0001f600\ufffd"),
        (r"\ud83d\ude00\ud800", "\U0001f600\ufffd"),
        (r"\\ud800\ud800", "\\ud800\ufffd"),
        (r"\\\ud800", "\\\ufffd"),
        (r"\n\t\"\ud800", '\n\t"\ufffd'),
        ("\u00e9\\ud800", "\u00e9\ufffd"),
    ],
)
def test_half_of_a_pair_loses_no_frame(escaped: str, text: str) -> None:
    frame = understood(f'{{"type":"error","data":{{"code":0,"message":"{escaped}"}}}}'.encode())
    assert isinstance(frame, ErrorFrame)
    assert frame.data.message == text


@few
@given(st.text(st.sampled_from('a\\"\n\ud800\udbff\udc00\udfff\U0001f600'), max_size=8))
def test_only_the_halves_are_replaced(text: str) -> None:
    frame = understood(json.dumps({"type": "error", "data": {"code": 0, "message": text}}).encode())
    assert isinstance(frame, ErrorFrame)
    # Python's own decoder joins neighbouring halves to pairs, so each half that remains must be replaced.
    joined = json.loads(json.dumps(text))
    assert frame.data.message == "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in joined)


# --- encoding ---------------------------------------------------------------------------------------------------------


def test_a_ping_follows_the_protocol() -> None:
    assert json.loads(frames.PING) == {"type": "ping"}


@few
@given(st.lists(st.tuples(texts, st.lists(texts, max_size=3), st.lists(texts, max_size=3)), max_size=3))
def test_a_subscribe_message_follows_the_protocol(specs: list[tuple[str, list[str], list[str]]]) -> None:
    data = frames.message("subscribe", [frames.subscribe_item(*spec) for spec in specs])
    expected = [
        {"subscriptionId": i, "channels": channels} | ({"queries": queries} if queries else {}) for i, channels, queries in specs
    ]
    assert json.loads(data) == {"type": "subscribe", "data": expected}


def test_an_unsubscribe_message_follows_the_protocol() -> None:
    data = frames.message("unsubscribe", map(frames.unsubscribe_item, ["s1", "s2"]))
    assert json.loads(data) == {"type": "unsubscribe", "data": [{"subscriptionId": "s1"}, {"subscriptionId": "s2"}]}


@pytest.mark.parametrize("kind", ["subscribe", "unsubscribe"])
def test_the_envelope_covers_both_messages(kind: str) -> None:
    items = [b"x" * 10, b"y" * 20]
    assert len(frames.message(kind, items)) <= frames.ENVELOPE_BYTES + sum(len(item) + 1 for item in items)


def test_the_header_of_the_largest_frame_is_counted() -> None:
    two_bytes_of_length = 2 + 2 + 4
    assert frames.MAX_CLIENT_PAYLOAD < 65_536  # the length fits into two bytes
    assert frames.MAX_CLIENT_PAYLOAD + two_bytes_of_length == frames.MAX_CLIENT_FRAME == 65_536


def test_an_error_frame_with_any_text_is_decoded() -> None:
    frame = understood(b'{"type":"error","data":{"code":1008,"message":null}}')
    assert isinstance(frame, ErrorFrame)
    assert (frame.code, frame.message) == (1008, "")


# --- the greeting of each era -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subscriptions", "slots"),
    [
        (b'["a","b"]', {0: "a", 1: "b"}),
        (b'{"3":"a","5":"b"}', {3: "a", 5: "b"}),
        (b"[]", {}),
        (b"null", None),
        (b'"odd"', None),
        (b'{"x":"a","2":7}', {}),
        (b'[1,"b"]', {1: "b"}),
    ],
)
def test_a_greeting_gives_an_id_to_each_slot(subscriptions: bytes, slots: dict[int, str] | None) -> None:
    frame = decode(b'{"type":"connected","data":{"channels":["rows",7],"subscriptions":%b,"user":null}}' % subscriptions)
    assert isinstance(frame, ConnectedFrame)
    assert (frame.slots, frame.channels) == (slots, ("rows",))


def test_the_oldest_greetings_give_no_ids() -> None:
    frame = decode(b'{"type":"connected","data":{"channels":"odd","user":null}}')
    assert isinstance(frame, ConnectedFrame)
    assert (frame.slots, frame.channels) == (None, ())
