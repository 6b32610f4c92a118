"""A buffer is bounded in bytes, too: in each mode, counted and told as other drops."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import msgspec
import pytest

from realtime_fsm import ConsumerTooSlow, Event, Gap
from realtime_fsm.events import typed_event
from realtime_fsm.protocol.payloads import payload_decoder
from realtime_fsm.runtime.event_buffer import EventBuffer
from realtime_fsm.runtime.overflow import OVERFLOWS, Overflow, ReadGate, make_buffer
from support.network import Network
from support.some import some
from support.virtual import eventually

LIMIT = 10_000
SIZE = 1_000


def event(number: int, size: int = SIZE, name: str | None = None) -> Event:
    return Event(msgspec.Raw(b'{"$id":"%b","n":%d}' % ((name or str(number)).encode(), number)), _size=size)


def numbers(events: list[Event]) -> list[int]:
    return [one.payload["n"] for one in events]


async def buffer(overflow: Overflow, capacity: int = 1_000, told: list[int] | None = None) -> EventBuffer:
    on_drops = None if told is None else told.append
    return make_buffer(overflow, "this subscription", asyncio.get_running_loop(), capacity, LIMIT, ReadGate(), on_drops)


def held(of: EventBuffer) -> int:
    """The bytes that it holds."""
    return sum(one._size for one in of._items)


@pytest.mark.parametrize(
    ("overflow", "kept"),
    [
        ("drop_oldest", range(20, 30)),
        ("latest", range(20, 30)),
        ("drop_newest", range(10)),
        ("error", range(10)),
        ("pause", range(20)),
    ],
)
async def test_the_bytes_are_bounded_in_each_mode(overflow: Overflow, kept: range) -> None:
    told: list[int] = []
    inbox = await buffer(overflow, told=told)
    for number in range(30):
        inbox.put(event(number))
    assert held(inbox) == len(kept) * SIZE
    assert inbox.dropped == 30 - len(kept)
    assert numbers(inbox.take_nowait()) == list(kept)
    if overflow == "error":
        with pytest.raises(ConsumerTooSlow, match="buffer_bytes="):
            await anext(inbox)
    assert told == [30 - len(kept)]


@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_a_larger_event_is_kept_alone(overflow: Overflow) -> None:
    inbox = await buffer(overflow)
    inbox.put(event(1, 5 * LIMIT))
    assert numbers(inbox.take_nowait()) == [1]
    inbox.put(event(2))
    assert numbers(inbox.take_nowait()) == [2], "and what it took is free again"
    assert inbox.dropped == 0


@pytest.mark.parametrize(("size", "pauses"), [(LIMIT, False), (LIMIT + 2, True)])
async def test_one_event_that_is_larger_than_all_the_room_pauses(size: int, pauses: bool) -> None:
    inbox = await buffer("pause")
    inbox.put(event(1, size))
    assert inbox.gate.is_blocked is pauses  # type: ignore[attr-defined]


@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_the_producer_is_told_from_half_of_the_bytes_on(overflow: Overflow) -> None:
    inbox = await buffer(overflow)
    assert [inbox.put(event(number)) for number in range(8)] == [False] * 5 + [True] * 3
    assert (len(inbox.take_nowait(100)), len(inbox), inbox.put(event(8))) == (8, 0, False)


@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_the_producer_is_told_from_half_of_the_number_on(overflow: Overflow) -> None:
    inbox = await buffer(overflow, capacity=10)
    assert [inbox.put(event(number, 1)) for number in range(9)] == [False] * 4 + [True] * 5


async def test_the_bytes_are_counted_anew_once_while_nothing_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, count = list[int](), EventBuffer._count

    def counting(inbox: EventBuffer, more: int) -> None:
        counts.append(more)
        count(inbox, more)

    monkeypatch.setattr(EventBuffer, "_count", counting)
    inbox = await buffer("drop_oldest")
    for number in range(100):
        inbox.put(event(number))
    assert (counts, held(inbox)) == ([SIZE], LIMIT)
    inbox = await buffer("drop_oldest", capacity=6)
    for number in range(5):
        inbox.put(event(number))
    assert counts == [SIZE], "half of the bytes are never too many"


async def test_drops_behind_the_last_item_are_told_with_the_error() -> None:
    told: list[int] = []
    inbox = await buffer("error", capacity=1, told=told)
    for number in range(3):
        inbox.put(event(number))
    assert ((await anext(inbox)).payload["n"], told) == (0, [2])
    inbox.put(event(3))
    with pytest.raises(ConsumerTooSlow):
        await anext(inbox)
    assert told == [2, 1]
    inbox.put(event(4))
    assert ((await anext(inbox)).payload["n"], told) == (4, [2, 1])


async def test_a_larger_event_takes_the_place_of_all_older_ones() -> None:
    inbox = await buffer("drop_oldest")
    for number in range(5):
        inbox.put(event(number))
    inbox.put(event(5, 5 * LIMIT))
    assert (numbers(list(inbox._items)), inbox.dropped) == ([5], 5)
    inbox.put(event(6))
    assert (numbers(inbox.take_nowait()), inbox.dropped) == ([6], 6)


@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_a_consumer_that_is_fast_enough_loses_nothing(overflow: Overflow) -> None:
    inbox = await buffer(overflow)
    got: list[Event] = []
    for number in range(0, 500, 4):
        for one in range(4):
            inbox.put(event(number + one))
        got += [await anext(inbox) for _ in range(3)]
        got += inbox.take_nowait(1)
    assert numbers(got) == list(range(500))
    assert inbox.dropped == 0


@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_a_consumer_that_stays_behind_by_more_than_half_loses_nothing(overflow: Overflow) -> None:
    inbox = await buffer(overflow)
    got: list[Event] = []
    for number in range(8):
        inbox.put(event(number))
    for number in range(8, 300):
        got.append(await anext(inbox))
        assert inbox.put(event(number)), "a producer lets it run"
    assert numbers(got) == list(range(292))
    assert (inbox.dropped, held(inbox)) == (0, 8 * SIZE)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "latest"])
async def test_a_consumer_that_has_caught_up_after_drops_loses_nothing_more(overflow: Overflow) -> None:
    inbox = await buffer(overflow)
    for number in range(15):
        inbox.put(event(number))
    assert (len(inbox.take_nowait()), inbox.dropped) == (10, 5)
    inbox.put(event(15))
    for number in range(16, 60):
        inbox.put(event(number))
        assert (await anext(inbox)).payload["n"] == number - 1
    assert (held(inbox), inbox.dropped) == (SIZE, 5)
    assert not inbox._notice_due, "the consumer takes the quick way again"


async def test_of_one_thing_the_newest_takes_the_bytes_of_the_older() -> None:
    inbox = await buffer("latest")
    for number in range(100):
        inbox.put(event(number, name="same"))
    assert (held(inbox), inbox.dropped) == (SIZE, 99)
    for number in range(100, 109):
        inbox.put(event(number))
    inbox.put(event(109, 3 * SIZE, "same"))
    assert held(inbox) <= LIMIT
    assert inbox.dropped == 101, "the oldest place goes, and it is the same one's"
    inbox = await buffer("latest")
    for name in some("ab"):
        inbox.put(event(1, name=name))
    inbox.put(event(2, 5 * LIMIT, "b"))
    assert (numbers(inbox.take_nowait()), inbox.dropped) == ([2], 2), "alone, though it is larger than all the room"


async def test_what_catching_up_brings_is_counted() -> None:
    inbox = await buffer("drop_oldest")
    inbox.put_all(event(number) for number in range(30))
    assert len(inbox) == 30, "it is in memory already"
    inbox.put(event(30))
    assert held(inbox) == LIMIT


@pytest.mark.parametrize("how", ["a mapping", "an event", "a typed event"])
async def test_the_rows_that_catching_up_brings_count_their_encoded_bytes(how: str) -> None:
    """They are encoded once, when they enter; live events then drop them as they drop each other."""

    def item(row: dict[str, Any]) -> Event | dict[str, Any]:
        if how == "a mapping":
            return row
        made = Event.from_payload(row)
        return made if how == "an event" else typed_event(made, payload_decoder(dict[str, Any]))

    rows = [{"$id": f"r{number}", "n": number, "text": "x" * SIZE} for number in range(20)]
    network = Network()
    async with network.realtime() as realtime:

        async def catch_up(_: Gap) -> list[Any]:
            return [item(row) for row in rows]

        subscription = await realtime.subscribe("rows", buffer_bytes=LIMIT, catch_up=catch_up)
        network.socket.cut()
        inbox = subscription._delivery.buffer
        await eventually(lambda: len(inbox) == 20)
        assert held(inbox) == sum(len(msgspec.json.encode(row)) for row in rows)  # type: ignore[arg-type]
        network.publish("rows", payload={"$id": "live", "n": 20})
        await eventually(lambda: subscription.dropped)
        assert held(inbox) <= LIMIT  # type: ignore[arg-type]
        assert subscription.dropped == 21 - len(inbox)


async def test_a_pause_begins_with_the_bytes_and_ends_with_half_of_them() -> None:
    inbox = await buffer("pause")
    gate = inbox.gate  # type: ignore[attr-defined]
    for number in range(11):
        assert not gate.is_blocked
        inbox.put(event(number))
    assert gate.is_blocked
    for _ in range(5):
        await anext(inbox)
        assert gate.is_blocked
    await anext(inbox)
    assert not gate.is_blocked, "5 of 10 KB are left"
    assert not inbox._notice_due, "the consumer takes the quick way again"


async def test_the_only_place_of_a_pausing_buffer_goes_to_a_consumer_that_waits() -> None:
    inbox = await buffer("pause", capacity=1)
    waiting = asyncio.ensure_future(anext(inbox))
    await asyncio.sleep(0)
    inbox.put(event(1))
    assert (await waiting).payload["n"] == 1


async def test_a_subscription_keeps_so_many_bytes_and_the_log_tells(records: list[MutableMapping[str, Any]]) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer_bytes=LIMIT)
        for number in range(100):
            network.publish("rows", payload={"$id": "1", "n": number, "text": "x" * SIZE})
        await eventually(lambda: rows.dropped > 80)
        inbox = rows._delivery.buffer
        assert LIMIT / 2 < held(inbox) <= LIMIT  # type: ignore[arg-type]
        assert rows.dropped == 100 - len(inbox)
        last = [(await anext(rows)).payload["n"] for _ in range(len(inbox))][-1]
        assert last == 99
        dropped = [record for record in records if record["event"] == "realtime.dropped"]
        assert [record["count"] for record in dropped] == [rows.dropped]
