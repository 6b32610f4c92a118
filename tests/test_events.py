"""Events decode each part at the first access, once, and a bad part does not spoil the others."""

from __future__ import annotations

import copy
import json
import math
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from realtime_fsm.errors import MalformedEvent
from realtime_fsm.events import Event
from realtime_fsm.protocol.frames import EventFrame, decode
from support.recording import load
from support.some import some

ROW = "databases.main.tables.orders.rows.r1"
PARTS = ("events", "channels", "timestamp", "payload")


def event(
    payload: bytes = b"{}",
    *,
    events: bytes = b"[]",
    channels: bytes = b"[]",
    timestamp: bytes = b"null",
    ids: tuple[str, ...] = (),
) -> Event:
    stamp = json.loads(timestamp.replace(b"\xff", b"?"))
    return Event(msgspec.Raw(payload), msgspec.Raw(events), msgspec.Raw(channels), stamp, list(ids))


def received(payload: bytes) -> Event:
    frame = decode(b'{"type":"event","data":{"subscriptions":["s1"],"payload":' + payload + b"}}")
    assert isinstance(frame, EventFrame)
    return frame.data


def test_the_parts_are_those_of_the_frame() -> None:
    frame = decode(
        b'{"type":"event","data":{"events":["rows.r1.create","rows.*"],"channels":["rows"],'
        b'"timestamp":"2026-11-23T16:00:00.125+00:00","payload":{"$id":"r1","n":1},"subscriptions":["s1","s2"]}}'
    )
    assert isinstance(frame, EventFrame)
    input_ = frame.data
    assert input_.events == ("rows.r1.create", "rows.*")
    assert input_.channels == ("rows",)
    assert input_.timestamp == datetime(2026, 11, 23, 16, 0, 0, 125_000, tzinfo=UTC)
    assert input_.payload == {"$id": "r1", "n": 1}
    assert input_.subscriptions == ("s1", "s2")


def test_an_event_of_the_older_eras_names_no_subscription() -> None:
    frame = decode(b'{"type":"event","data":{"events":[],"channels":["rows"],"payload":{}}}')
    assert isinstance(frame, EventFrame)
    assert frame.data.subscriptions == ()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_decoded_once(part: str) -> None:
    input_ = event(b'{"a":1}', events=b'["e"]', channels=b'["c"]', timestamp=b'"2026-01-01T00:00:00Z"')
    assert getattr(input_, part) is getattr(input_, part)


@pytest.mark.parametrize("part", PARTS)
def test_a_bad_part_does_not_spoil_the_others(part: str) -> None:
    good: dict[str, Any] = {
        "events": b'["e"]',
        "channels": b'["c"]',
        "timestamp": b'"2026-01-01T00:00:00Z"',
        "payload": b'{"a":1}',
    }
    input_ = event(**(good | {part: b"7"}))
    for _ in range(2):  # the second access raises the same
        with pytest.raises(MalformedEvent) as malformed:
            getattr(input_, part)
        assert malformed.value.part == part
    for other in some(set(PARTS) - {part}):
        assert getattr(input_, other)


@pytest.mark.parametrize("part", ["events", "channels"])
@pytest.mark.parametrize("wire", [b"null", b"{}", b'"a"', b"[1]", b"[null]", b"[", b'["\xff"]', b'{"0":"a"}'], ids=repr)
def test_names_are_a_list_of_strings(part: str, wire: bytes) -> None:
    names: dict[str, Any] = {part: wire}
    with pytest.raises(MalformedEvent, match=part):
        getattr(event(**names), part)


# --- the time ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wire", "hours"),
    [
        (b'"2026-11-23T16:00:00.000+00:00"', 0),
        (b'"2026-11-23T16:00:00.000Z"', 0),
        (b'"2026-11-23T16:00:00.000"', 0),
        (b'"2026-11-23 16:00:00.000"', 0),
        (b'"2026-11-23T16:00:00.000+02:00"', 2),
    ],
)
def test_a_time_is_aware_and_utc_by_default(wire: bytes, hours: int) -> None:
    moment = event(timestamp=wire).timestamp
    assert moment is not None
    assert moment.utcoffset() == timedelta(hours=hours)
    assert moment == datetime(2026, 11, 23, 16 - hours, tzinfo=UTC)


@pytest.mark.parametrize("wire", [b"1764000000", b'""', b'"soon"', b'"2026-13-01T00:00:00Z"', b"{}", b'"\xff"'], ids=repr)
def test_a_bad_time_is_malformed(wire: bytes) -> None:
    with pytest.raises(MalformedEvent, match="timestamp"):
        _ = event(timestamp=wire).timestamp


@pytest.mark.parametrize("frame", [b'{"payload":{}}', b'{"payload":{},"timestamp":null}'], ids=repr)
def test_an_event_without_a_time_has_none(frame: bytes) -> None:
    decoded = decode(b'{"type":"event","data":%b}' % frame)
    assert isinstance(decoded, EventFrame)
    assert decoded.data.timestamp is None


# --- the payload ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wire", [b"[]", b" [ ] ", b"{}"], ids=repr)
def test_an_empty_object_of_php_is_an_empty_dict(wire: bytes) -> None:
    assert event(wire).payload == {}


def test_an_empty_list_within_a_payload_stays_a_list() -> None:
    assert event(b'{"a":[],"b":{}}').payload == {"a": [], "b": {}}


@pytest.mark.parametrize("wire", [b"null", b"7", b'"a"', b"false", b"{", b"[1", b'{"a":"\xff"}', b""], ids=repr)
def test_a_scalar_payload_is_malformed(wire: bytes) -> None:
    with pytest.raises(MalformedEvent, match="payload"):
        _ = event(wire).payload


@pytest.mark.parametrize(("wire", "payload"), [(b"[1]", [1]), (b"[[]]", [[]]), (b'[{"a":1e999}]', [{"a": math.inf}])], ids=repr)
def test_a_list_payload_stays_a_list_without_an_id(wire: bytes, payload: list[object]) -> None:
    input_: Event[Any] = event(wire)
    assert input_.payload == payload
    assert (input_.id, input_.version) == (None, None)


@pytest.mark.parametrize(
    ("wire", "version"),
    [
        (b'{"$id":"r1","$updatedAt":"2026"}', ("r1", "2026")),
        (b'{"$id":"r2","$updatedAt":"2026"}', ("r2", "2026")),
        (b'{"$id":"r1"}', None),
        (b'{"$updatedAt":"2026"}', None),
    ],
    ids=repr,
)  # fmt: skip
def test_a_version_is_an_id_with_its_update(wire: bytes, version: tuple[str, str] | None) -> None:
    assert event(wire).version == version


def test_a_number_beyond_a_float_is_infinite() -> None:
    payload = received(b'{"a":1e999,"b":-1e999,"c":"\\ud83d\\ude00","d":[1,2.5]}').payload
    assert payload == {"a": math.inf, "b": -math.inf, "c": "\U0001f600", "d": [1, 2.5]}


def test_half_of_a_surrogate_pair_keeps_the_event() -> None:
    assert received(b'{"a\\udc00":"x\\ud800y","b":"\\\\ud800"}').payload == {"a\ufffd": "x\ufffdy", "b": "\\ud800"}


def test_broken_text_beside_a_huge_number_is_malformed() -> None:
    with pytest.raises(MalformedEvent, match="payload"):
        _ = received(b'{"a":1e999,"b":"\xff"}').payload


def test_a_number_with_too_many_digits_is_malformed() -> None:
    assert received(b'{"a":' + b"1" * 4300 + b"}").payload["a"] == 10**4300 // 9
    with pytest.raises(MalformedEvent) as malformed:
        _ = received(b'{"a":' + b"1" * 4301 + b"}").payload
    assert malformed.value.part == "payload"


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=4,
    )
)
def test_a_payload_is_decoded_unchanged(payload: dict[str, Any]) -> None:
    assert received(json.dumps(payload).encode()).payload == payload


# --- what happened, and to what --------------------------------------------------------------------------------------


def named(*names: str) -> Event:
    return event(events=json.dumps(names).encode())


def recorded(end: str) -> Event:
    """Return the first event of the real emitter whose first name has an ending."""
    for step in some(load("05-events-real-emitter")):
        if step.frame.get("type") == "event" and step.frame["data"]["events"][0].endswith(end):
            frame = decode(json.dumps(step.frame).encode())
            assert isinstance(frame, EventFrame)
            return frame.data
    raise AssertionError(end)


@pytest.mark.parametrize(
    ("end", "action", "identifier"),
    [
        ("rows.r1.create", "create", "r1"),
        ("rows.r1.update", "update", "r1"),
        ("rows.r1.delete", "delete", "r1"),
        ("documents.d1.update", "update", "d1"),
        ("files.f1.create", "create", "f1"),
        ("users.alice.update", "update", "alice"),  # one of its names is users.alice.update.name
        ("sessions.s1.create", "create", "s1"),
    ],
)
def test_the_action_and_the_id_of_real_events(end: str, action: str, identifier: str) -> None:
    assert (recorded(end).action, recorded(end).id) == (action, identifier)


def test_the_payload_of_a_deletion_is_complete() -> None:
    assert recorded("rows.r1.delete").payload.keys() == recorded("rows.r1.create").payload.keys()


@pytest.mark.parametrize(
    ("names", "action"),
    [
        ((f"{ROW}.create",), "create"),
        (("presences.p.upsert", "presences.*.upsert"), "upsert"),
        (("teams.t.memberships.m.update.status",), "update"),
        (("users.*.sessions.*.delete",), "delete"),
        ((ROW, "databases.main"), None),
        ((), None),
        (("test.event",), None),
        (("test.create",), None),  # an id
        (("databases.main.tables.orders.rows.update",), None),  # another id
        (("databases.main.tables.orders.rows.update.delete",), "delete"),
        (("databases.main.tables.orders.rows.a.update.delete", "databases.*.tables.*.rows.*.delete"), "delete"),
        (("databases.main.tables.orders.rows.r1.created",), None),
    ],
)
def test_the_action_comes_from_the_names(names: tuple[str, ...], action: str | None) -> None:
    assert named(*names).action == action


@pytest.mark.parametrize(
    ("pattern", "does"),
    [
        ("databases.*.tables.*.rows.*.update", True),
        ("tablesdb.db1.tables.*.rows.r1.update", True),
        ("databases.db1.tables.t1.rows.r1.update", True),
        ("databases.*.collections.*.documents.*.update", True),
        ("databases.*.tables.*.rows.*.*", True),
        ("*.*.*.*.*.*.update", True),
        ("databases.db1.tables.t1.rows.r1", True),  # the server also sends a name without the action
        ("databases.db1", True),  # and a name for each container
        ("databases.*", True),
        ("databases.*.tables.*.rows.*.delete", False),
        ("databases.db2.tables.*.rows.*.update", False),
        ("databases.*.rows.*.update", False),  # an asterisk matches one part
        ("databases.*.update", False),
        ("databases", False),
        ("*", False),
        ("databases.db1.tables.t1.rows.r1.update.", False),
        ("databases.db1.tables.t1.rows.r*.update", False),  # an asterisk matches a whole part
        ("", False),
    ],
)
def test_a_pattern_matches_a_real_event_by_any_of_its_names(pattern: str, does: bool) -> None:
    assert recorded("rows.r1.update").matches(pattern) is does


@pytest.mark.parametrize(
    ("pattern", "does"),
    [
        (f"{ROW}.create", True),
        ("databases.*.tables.*.rows.*.create", True),
        ("databases.*.tables.*.rows.*", False),
        ("databases.*", False),
        ("databases.*.tables.*.rows.*.+", False),  # no regular expression
        ("databases?main?tables?orders?rows?r1?create", False),
    ],
)
def test_a_pattern_matches_a_single_name(pattern: str, does: bool) -> None:
    assert named(f"{ROW}.create").matches(pattern) is does


def test_an_asterisk_in_a_name_matches_no_id() -> None:
    assert not named("databases.*.tables.*.rows.*.create").matches("databases.main.tables.*.rows.*.create")


@pytest.mark.parametrize(
    ("wire", "identifier"),
    [
        (b'{"$id":"r1","a":{"$id":"inner"}}', "r1"),
        (b'{"a":1}', None),
        (b'{"$id":7}', None),
        (b'{"$id":null}', None),
        (b'{"$id":1e999}', None),
        (b'{"$id":1e999,"$updatedAt":"t"}', None),
        (b'{"$id":"r1","a":1e999}', "r1"),
        (b"[]", None),
        (b"{}", None),
    ],
    ids=repr,
)
def test_the_id_is_that_of_the_payload(wire: bytes, identifier: str | None) -> None:
    assert event(wire).id == identifier


@pytest.mark.parametrize(
    ("parts", "version"), [('"$id":"r1",', ("r1", None)), ('"$updatedAt":"t",', (None, "t")), ("", (None, None))]
)
def test_the_id_needs_no_other_part_of_the_payload(parts: str, version: tuple[str | None, str | None]) -> None:
    input_ = event(f'{{{parts}"a":{"1" * 4301}}}'.encode())  # a number that cannot be decoded
    assert (input_.id, input_.version, input_._id_and_version()) == (version[0], None, version)


def test_a_frame_cannot_set_the_private_fields_of_an_event() -> None:
    data = {"payload": {"a": 1}, **dict.fromkeys(Event.__struct_fields__, 7)}
    frame = decode(json.dumps({"type": "event", "data": data}).encode())
    assert isinstance(frame, EventFrame)
    assert (frame.data.payload, frame.data._size, frame.data.timestamp, frame.data.channels) == ({"a": 1}, 0, None, ())


@pytest.mark.parametrize("wire", [b"7", b"[1", b"{", b'{"$id":"\xff"}'], ids=repr)
def test_the_id_of_a_malformed_payload_raises(wire: bytes) -> None:
    with pytest.raises(MalformedEvent, match="payload"):
        _ = event(wire).id


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("duplicate_of", [copy.copy, copy.deepcopy, lambda whole: pickle.loads(pickle.dumps(whole))])  # noqa: S301
def test_copies_and_pickles_are_whole(duplicate_of: Any, touched: bool) -> None:
    input_ = recorded("rows.r1.update")
    if touched:
        assert input_.payload
    duplicate = duplicate_of(input_)
    for part in (*PARTS, "subscriptions"):
        assert getattr(duplicate, part) == getattr(input_, part)


# --- logs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "events", "channels", "said"),
    [
        (
            b'{"$id":"r1","a":"hidden"}',
            b'["databases.d.tables.t.rows.r1.update.hidden","databases.*.tables.*.rows.*.update"]',
            b'["documents","databases.d.collections.t.documents","rows","databases.d.tables.t.rows","databases.d.tables.t.rows.r1"]',
            "update of 'r1' on 'databases.d.tables.t.rows'",
        ),
        (b'{"$id":"alice"}', b'["users.alice.create"]', b'["account.alice"]', "create of 'alice' on 'account.alice'"),
        (b'{"a":"hidden"}', b"[]", b'["rows"]', "without an action on 'rows'"),
        (b'"hidden"', b'{"hidden":1}', b"5", "without an action"),
        (b'{"$id":"a\\nb"}', b'["rows.x.delete"]', b"[]", r"delete of 'a\nb'"),
        (b'{"$id":{"hidden":1}}', b"[]", b"[]", "without an action"),
    ],
)
def test_the_repr_shows_action_id_and_channel_and_nothing_else(payload: bytes, events: bytes, channels: bytes, said: str) -> None:
    assert repr(event(payload, events=events, channels=channels)) == f"<Event {said}>"


def test_rich_shows_nothing_of_the_payload_but_the_id() -> None:
    shown = event(b'{"$id":"r1","a":"hidden"}', events=b'["rows.r1.update"]', channels=b'["rows"]')
    assert shown.payload["a"] == "hidden"
    assert "".join(pretty_repr(shown).split()) == "Event(action='update',id='r1',channels=('rows',))"


def test_the_repr_is_short() -> None:
    long = b"x" * 100_000
    assert len(repr(event(b'{"$id":"' + long + b'"}', events=b'["rows.x.delete"]', channels=b'["' + long + b'"]'))) < 250


def test_the_text_of_malformed_parts_holds_nothing_of_the_wire() -> None:
    with pytest.raises(MalformedEvent) as malformed:
        _ = event(b'"hidden"').payload
    assert "hidden" not in str(malformed.value)
    assert malformed.value.__cause__ is None
    assert malformed.value.__context__ is None
