"""The messages: ids that all links agree on, subjects that can be read back, and headers of CloudEvents."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_fsm import BadOption, Event, Gap
from realtime_fsm.relay import Message, parse_subject
from realtime_fsm.relay.message import MessageMaker, subject_of
from support.some import some

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
TABLE = "databases.db1.tables.t1.rows"
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


def message_of(event: Event, *channels: str) -> Message:
    return MessageMaker("appwrite.test:443", "demo", channels or ("rows",)).of_event(event)


def received(**data: Any) -> Event:
    """An event as it comes over the wire."""
    return msgspec.json.decode(msgspec.json.encode({"payload": {}, **data}), type=Event)


def recorded(name: str) -> Iterator[tuple[str, dict[str, Any], Event]]:
    """The whole events of a recording, each with the name of its connection."""
    for line in (RECORDINGS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        text = record.get("data")
        if record.get("dir") == "recv" and isinstance(text, str) and '"type":"event"' in text and "chars]..." not in text:
            data = json.loads(text)["data"]
            wire = msgspec.json.decode(text, type=dict[str, msgspec.Raw])["data"]
            yield record["conn"], data, msgspec.json.decode(wire, type=Event)


ROW = {
    "events": ["tablesdb.db1.tables.t1.rows.r1.update", "databases.*.tables.*.rows.*.update"],
    "channels": [
        "rows",
        TABLE,
        f"{TABLE}.r1",
        "tablesdb.db1.tables.t1.rows",
        "rows.update",
        f"{TABLE}.update",
        f"{TABLE}.r1.update",
    ],
    "timestamp": "2026-11-27T12:00:00.123+00:00",
    "payload": {"$id": "r1", "$updatedAt": "2026-11-27T12:00:00.100+00:00", "n": 1.50},
    "subscriptions": ["s1"],
}


@pytest.mark.parametrize(
    "recording", ["05-events-real-emitter", "14-pipelining-and-ordering", "09-presence", "e2-10-auth-loses-slots"]
)
def test_two_links_agree_on_the_id_of_a_recorded_event(recording: str) -> None:
    copies: dict[str, list[tuple[str, Message]]] = defaultdict(list)
    for link, data, event in some(recorded(recording)):
        data.pop("subscriptions", None)
        copies[json.dumps(data)].append((link, message_of(event)))
    shared = [messages for messages in copies.values() if len({link for link, _ in messages}) > 1]
    for messages in some(shared):
        assert len({repr(message) for _, message in messages}) == 1
    ids = [{message.id for _, message in messages} for messages in copies.values()]
    assert len(set.union(*ids)) == len(ids), "different events have different ids"


def test_the_id_depends_on_no_subscription_and_on_no_order_of_the_frame() -> None:
    other = dict(reversed({**ROW, "subscriptions": ["x", "y"]}.items()))
    assert message_of(received(**other)) == message_of(received(**ROW))


def test_the_id_does_not_depend_on_what_was_read_before() -> None:
    read = received(**ROW)
    assert len([read.events, read.channels, read.timestamp, read.payload]) == 4
    assert message_of(read) == message_of(received(**ROW))


@pytest.mark.parametrize(
    "change",
    [
        {"payload": {**ROW["payload"], "n": 2}},  # type: ignore[dict-item]
        {"payload": {**ROW["payload"], "$updatedAt": "2026-11-27T12:00:00.101+00:00"}},  # type: ignore[dict-item]
        {"events": ["tablesdb.db1.tables.t1.rows.r1.delete"]},
        {"events": ["tablesdb.db1.tables.t2.rows.r1.update"]},
        {"timestamp": "2026-11-27T12:00:00.124+00:00"},
    ],
)
def test_another_event_has_another_id(change: dict[str, Any]) -> None:
    assert message_of(received(**{**ROW, **change})).id != message_of(received(**ROW)).id


def test_a_message_is_a_cloud_event_with_the_bytes_of_the_server() -> None:
    text = b'{"payload":{"$id":"r1", "n":1.50},"events":["tablesdb.db1.tables.t1.rows.r1.update"],"channels":["rows"]}'
    message = message_of(msgspec.json.decode(text, type=Event))
    assert message.data == b'{"$id":"r1", "n":1.50}'
    message = message_of(received(**ROW))
    assert message.headers == {
        "ce-specversion": "1.0",
        "ce-id": message.id,
        "ce-source": "//appwrite.test:443/demo",
        "ce-type": "io.appwrite.realtime.update",
        "ce-time": "2026-11-27T12:00:00.123+00:00",
        "ce-subject": "tablesdb.db1.tables.t1.rows.r1.update",
        "ce-channels": message.headers["ce-channels"],
        "content-type": "application/json",
    }


def test_an_id_is_a_letter_and_24_digits() -> None:
    assert re.fullmatch("e[0-9a-f]{24}", message_of(received(**ROW)).id)


def test_a_header_tells_relays_of_other_channels_apart() -> None:
    def channels_hash(*channels: str) -> str:
        return message_of(received(**ROW), *channels).headers["ce-channels"]

    assert re.fullmatch("[0-9a-f]{12}", channels_hash("rows", "files"))
    assert channels_hash("rows", "files") == channels_hash("files", "rows", "files")
    assert len({channels_hash("rows", "files"), channels_hash("rows"), channels_hash("files")}) == 3


def test_a_header_quotes_what_cloud_events_forbid() -> None:
    assert message_of(received(events=['é "%\r\n.update'])).headers["ce-subject"] == "%C3%A9%20%22%25%0D%0A.update"


def test_the_subject_has_the_most_specific_channel_without_id_and_action() -> None:
    assert message_of(received(**ROW)).subject == "appwrite.demo.tablesdb.db1.tables.t1.rows.update"


@pytest.mark.parametrize("own", [TABLE, f"{TABLE}.r1", f"{TABLE}.update"])
def test_among_equals_a_channel_of_the_relay_comes_first(own: str) -> None:
    assert message_of(received(**ROW), "files", own).subject == f"appwrite.demo.{TABLE}.update"


@pytest.mark.parametrize(
    ("data", "subject"),
    [
        ({"events": ["users.al.update"], "channels": ["account", "account.al"], "payload": {"$id": "al"}}, "account.update"),
        ({"events": ["buckets.b.files.f.create"], "channels": ["files", "buckets.b.files"]}, "buckets.b.files.create"),
        ({"events": ["test.event"], "channels": ["tests"]}, "tests.other"),
        ({"events": ["console.tail"], "channels": ["console.tail.p1"], "payload": [1]}, "console.tail.p1.other"),
        ({"events": ["rows.r.update"], "channels": ["rows.update"]}, "rows.update.update"),
        ({"events": ["rows.r.update"], "channels": 3}, "rows.update"),
        ({"events": 3, "channels": ["rows"], "timestamp": "noon"}, "rows.caught_up"),
    ],
)
def test_each_kind_of_event_has_a_subject(data: dict[str, Any], subject: str) -> None:
    assert message_of(received(**data)).subject == f"appwrite.demo.{subject}"


def test_a_caught_up_row_has_an_id_of_its_own_kind() -> None:
    row = Event.from_payload(ROW["payload"])  # type: ignore[arg-type]
    caught_up = message_of(row, TABLE)
    assert caught_up.subject == f"appwrite.demo.{TABLE}.caught_up"
    assert (caught_up.id[0], message_of(received(**ROW)).id[0]) == ("c", "e")
    assert caught_up.headers["ce-time"] == "2026-11-27T12:00:00.100+00:00"
    assert message_of(Event.from_payload(ROW["payload"]), TABLE).id == caught_up.id  # type: ignore[arg-type]


def test_a_gap_is_told_with_its_begin_as_its_time() -> None:
    maker = MessageMaker("appwrite.test:443", "demo", ("rows", "files"))
    gap = Gap(NOON, NOON.replace(hour=13), 12.3456, 3)
    message = maker.of_gap(gap, "relay1")
    assert message.subject == "appwrite.demo.gap"
    assert message.headers["ce-time"] == "2026-11-27T12:00:00.000+00:00"
    assert json.loads(message.data) == {
        "since": "2026-11-27T12:00:00.000+00:00",
        "until": "2026-11-27T13:00:00.000+00:00",
        "outage_seconds": 12.346,
        "attempts": 3,
        "channels": ["rows", "files"],
    }
    assert maker.of_gap(gap, "relay2").id != message.id


_part = st.text(min_size=0, max_size=6)


@settings(max_examples=50)
@given(project=_part, parts=st.lists(_part, min_size=1, max_size=5), action=st.sampled_from(["create", "gap", "other"]))
def test_a_subject_can_be_read_back(project: str, parts: list[str], action: str) -> None:
    subject = subject_of(project, *".".join(parts).split("."), action)
    assert parse_subject(subject) == (project, ".".join(parts), action)
    tokens = subject.split(".")
    assert all(tokens)
    assert not set(subject) & set(" \t\r\n*>\0")


@pytest.mark.parametrize("subject", ["orders.demo.rows.update", "appwrite", "appwrite.demo"])
def test_another_subject_is_refused(subject: str) -> None:
    with pytest.raises(BadOption, match="is not appwrite"):
        parse_subject(subject)


def test_a_gap_has_no_channel() -> None:
    assert parse_subject("appwrite.my%2Eproject.gap") == ("my.project", "", "gap")
