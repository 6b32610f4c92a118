"""The inputs of a replay: failures without their texts, and subscriptions of the size that the log tells."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime_fsm.auditlog.records import AnyRecord, SubscriptionRecord, TransitionRecord
from realtime_fsm.errors import FrameTooLarge, LinkFailure, ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.inputs import GreetingReceived, PingEnabledChanged, Subscribe
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.frames import MAX_CLIENT_PAYLOAD, subscribe_item
from realtime_fsm.replay.inputs import cause_of, input_of, spec
from realtime_fsm.replay.log_facts import LogFacts
from support.bench import Bench
from support.replay_cases import lived
from support.wholelog import LOSS, RECORDS, at, kind


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"cause": "error_frame", "error_code": None}, ServerError(0, "not in the log")),
        ({"cause": "error_frame", "error_code": "SQL"}, ServerError("SQL", "not in the log")),
        ({"cause": "error_frame", "error_code": ""}, ServerError("", "not in the log")),
        ({"cause": "stream_ended", "close_code": None}, StreamEnded(1006)),
        ({"cause": "stream_ended", "close_code": 1001}, StreamEnded(1001)),
        ({"cause": "upgrade_refused", "status": None}, UpgradeRefused(0)),
        ({"cause": "upgrade_refused", "status": 503, "retry_after": 7.0}, UpgradeRefused(503, retry_after=7.0)),
        ({"cause": "frame_too_large"}, FrameTooLarge(0)),
        ({"cause": "pong_overdue"}, None),
        ({"cause": None}, None),
    ],
)
def test_a_failure_has_the_codes_of_its_record(fields: dict[str, Any], cause: LinkFailure | None) -> None:
    made = cause_of(msgspec.convert(RECORDS[LOSS] | fields, TransitionRecord))
    assert (type(made), str(made), getattr(made, "__dict__", None)) == (type(cause), str(cause), getattr(cause, "__dict__", None))


@pytest.mark.parametrize(("room", "channel"), [(1, "c"), (2, "ch"), (7, "channel"), (10, "channel---")])
def test_a_placeholder_makes_the_item_as_long_as_the_log_tells(room: int, channel: str) -> None:
    size = len(subscribe_item("s1", ("",), ())) + room
    made = spec("s1", size)
    assert (made.channels, len(subscribe_item("s1", made.channels, ()))) == ((channel,), size)


def test_an_item_is_never_without_a_channel() -> None:
    assert spec("s1", len(subscribe_item("s1", ("",), ()))).channels == ("c",)
    assert spec("s1").channels == ("channel",)


@pytest.mark.parametrize("beyond", [0, 1])
def test_placeholders_have_the_sizes_of_the_log_if_one_frame_may_not_hold_all(beyond: int) -> None:
    pattern = msgspec.convert(RECORDS[kind("subscription")], SubscriptionRecord)
    sizes = (MAX_CLIENT_PAYLOAD // 2 - 500, 500 + beyond)
    records = [msgspec.structs.replace(pattern, size=size, subscription=f"s{size}") for size in sizes]
    made = [LogFacts(records).user_call(record) for record in records]
    placed = [spec(f"s{size}", size if beyond else 0) for size in sizes]
    assert made == [Subscribe(each) for each in placed]


def test_an_outage_belongs_to_the_step_before_it() -> None:
    records = [msgspec.convert(record, AnyRecord) for record in RECORDS]
    outages = LogFacts(records).outages
    assert {seq: outage.change for seq, outage in outages.items()} == {
        RECORDS[LOSS]["seq"]: "opened",
        RECORDS[kind("outage", 1)]["seq"] - 1: "closed",
    }
    first = next(outage for outage in outages.values() if outage.change == "opened")
    assert LogFacts([first]).outages == {0: first}, "records count from 1"


@pytest.mark.parametrize(("era", "numbered"), [(None, True), ("E1", False), ("E2", False), ("E3", True), ("E4", True)])
def test_a_greeting_of_the_oldest_servers_has_no_subscription_ids(era: str | None, numbered: bool) -> None:
    record = msgspec.convert(RECORDS[at("rec22")] | {"era": era}, TransitionRecord)
    made = input_of(record, ConnectionContext(), None)
    assert isinstance(made, GreetingReceived)
    assert made.has_subscription_ids is numbered


def test_an_error_frame_without_a_record_came_before_the_step_that_sent_the_last_request() -> None:
    def live(bench: Bench) -> None:
        bench.to(State.SUBSCRIBED).err(1013)
        bench.subscribe("s2")
        bench.do(PingEnabledChanged(enabled=True))
        bench.lose()

    records = lived(live)
    (asked,) = (record["seq"] for record in records if record.get("row") == "sub4")
    assert LogFacts([msgspec.convert(record, AnyRecord) for record in records]).errors == {asked: 1013}
