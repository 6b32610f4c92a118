"""The overflow modes: a subscription with a slow consumer bounds its events, counts the dropped ones, and follows its mode."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, get_args

import pytest

from realtime_fsm import BadOption, ConsumerTooSlow, Event, RetryPolicy, State
from realtime_fsm.runtime.overflow import OVERFLOWS, Overflow
from support.network import Network
from support.virtual import eventually

BUFFER = 10
EACH_MODE = pytest.mark.parametrize("overflow", OVERFLOWS)
EACH_MODE_BUT_PAUSE = pytest.mark.parametrize("overflow", [mode for mode in OVERFLOWS if mode != "pause"])


def numbers(events: list[Event]) -> list[int]:
    return [event.payload["n"] for event in events]


def publish(network: Network, *these: int, identifier: Callable[[int], Any] = lambda _: None) -> None:
    for number in these:
        network.publish("rows", payload={"$id": identifier(number), "n": number})


async def arrived(network: Network, *these: int, identifier: Callable[[int], Any] = lambda _: None) -> None:
    publish(network, *these, identifier=identifier)
    await asyncio.sleep(1)


async def held(subscription: Any) -> list[Event]:
    """Take the events of the buffer, without waiting for more."""
    return [await anext(subscription) for _ in range(len(subscription._delivery.buffer))]


def test_the_modes_are_those_that_are_documented() -> None:
    assert get_args(Overflow) == OVERFLOWS


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"overflow": "drop"}, "overflow"),
        ({"overflow": None}, "overflow"),
        ({"overflow": ["pause"]}, "overflow"),
        ({"buffer": 0}, "buffer"),
        ({"buffer": True}, "buffer"),
        ({"buffer": 2.0}, "buffer"),
        ({"buffer_bytes": 0}, "buffer_bytes"),
        ({"buffer_bytes": True}, "buffer_bytes"),
        ({"buffer_bytes": 1e6}, "buffer_bytes"),
        ({"buffer_bytes": None}, "buffer_bytes"),
    ],
)
async def test_values_that_make_no_sense_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    async with Network().realtime() as realtime:
        for ask in (lambda: realtime.subscribe("rows", **options), lambda: realtime.on("rows", print, **options)):
            with pytest.raises(BadOption) as refused:
                ask()
            assert refused.value.option == named


# --- each mode --------------------------------------------------------------------------------------------------------


@EACH_MODE
async def test_memory_is_bounded_and_whatever_is_not_delivered_is_counted(overflow: Overflow) -> None:
    network, total = Network(), 500
    got: list[int] = []
    errors: list[int] = []
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=BUFFER, overflow=overflow)
        buffer = rows._delivery.buffer
        publishing = asyncio.create_task(publish_slowly(network, total))
        while rows.dropped + len(got) < total or (overflow == "error" and sum(errors) < rows.dropped):
            await asyncio.sleep(0.9)  # as fast as six events come
            assert len(buffer) <= BUFFER
            try:
                got.append((await anext(rows)).payload["n"])
            except ConsumerTooSlow as told:
                errors.append(told.dropped)
        await publishing
        assert got == sorted(set(got))
        assert len(got) + rows.dropped == total
        assert (rows.dropped == 0) == (overflow == "pause")
        assert sum(errors) == (rows.dropped if overflow == "error" else 0)
        assert len(network.sockets) == 1, "nothing of it looks like a lost link"


async def publish_slowly(network: Network, count: int) -> None:
    for number in range(count):
        publish(network, number)
        await asyncio.sleep(0.15)


@pytest.mark.parametrize(
    ("overflow", "kept", "dropped"),
    [("drop_oldest", range(5, 15), 5), ("drop_newest", range(10), 5), ("latest", range(5, 15), 5), ("error", range(10), 5)],
)
async def test_which_events_are_kept(overflow: Overflow, kept: range, dropped: int) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=BUFFER, overflow=overflow)
        await arrived(network, *range(15))
        assert numbers(await held(rows)) == list(kept)
        assert rows.dropped == dropped


async def test_an_error_is_raised_once_after_what_is_held_and_what_comes_later_follows() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=BUFFER, overflow="error")
        await arrived(network, *range(12))
        assert numbers([await anext(rows) for _ in range(4)]) == [0, 1, 2, 3]
        await arrived(network, 12)  # there is room, but it would come before the error
        assert numbers(await held(rows)) == [4, 5, 6, 7, 8, 9]
        with pytest.raises(ConsumerTooSlow) as told:
            await anext(rows)
        assert (told.value.dropped, told.value.buffer, rows.dropped) == (3, BUFFER, 3)
        await arrived(network, 13)
        assert numbers([await anext(rows)]) == [13]
        waiting = asyncio.ensure_future(anext(rows))
        await asyncio.sleep(1)
        assert not waiting.done(), "it was told once"
        publish(network, 14)
        assert numbers([await waiting]) == [14]


@pytest.mark.virtual(reports=1)
async def test_a_handler_that_is_too_slow_for_an_error_goes_on_and_the_failure_is_told() -> None:
    network, handled = Network(), list[int]()

    async def handle(event: Event) -> None:
        handled.append(event.payload["n"])
        await asyncio.sleep(1)

    async with network.realtime() as realtime:
        listener = await realtime.on("rows", handle, buffer=2, overflow="error")
        publish(network, *range(6))
        await asyncio.sleep(20)
        assert (handled, listener.failures, listener.dropped) == ([0, 1, 2], 1, 3)
        publish(network, 6)
        await eventually(lambda: handled[-1] == 6)


async def test_the_latest_of_each_id_takes_the_place_of_the_older_one() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=4, overflow="latest")
        for identifier, number in (("a", 1), ("b", 2), (None, 3), ("a", 4), (None, 5), ("a", 6)):
            network.publish("rows", payload={"$id": identifier, "n": number})
        await asyncio.sleep(1)
        assert rows.dropped == 2
        await arrived(network, 7, identifier=lambda _: "b")
        assert rows.dropped == 3, "at the limit it is replaced as well"
        await arrived(network, 8, identifier=lambda _: "c")
        assert rows.dropped == 4, "too many ids: the oldest is dropped"
        assert numbers([event async for event in ended(rows)]) == [7, 3, 5, 8]


async def ended(subscription: Any) -> Any:
    subscription._delivery.buffer.close()
    async for event in subscription:
        yield event


async def test_events_whose_payload_is_malformed_have_no_id_and_are_kept() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", overflow="latest")
        for payload in (b"7", b"7", b'{"$id":7}', b'{"$id":7}'):
            network.socket.push(b'{"type":"event","data":{"payload":%b,"subscriptions":["s1"]}}' % payload)
        await asyncio.sleep(1)
        assert (len(await held(rows)), rows.dropped) == (4, 0)


# --- catching up ------------------------------------------------------------------------------------------------------


@EACH_MODE
async def test_what_comes_while_a_subscription_catches_up_is_bounded_and_counted_too(overflow: Overflow) -> None:
    network = Network()
    caught = asyncio.Event()

    async def catch_up(_: object) -> list[Any]:
        await caught.wait()
        return [{"$id": "missed", "$updatedAt": "now", "n": -1}]

    async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
        rows = await realtime.subscribe("rows", buffer=BUFFER, overflow=overflow, catch_up=catch_up)
        network.socket.cut()
        await eventually(lambda: rows.gaps)
        await arrived(network, *range(15))
        assert (rows.dropped == 5) == (overflow != "pause")
        assert len(rows._delivery.buffer) == 0
        caught.set()
        await asyncio.sleep(1)
        assert len(rows._delivery.buffer) <= 2 * BUFFER
        got = numbers(await held(rows))
        if overflow == "pause":
            got += numbers([await anext(rows) for _ in range(15 + 1 - len(got))])
        kept = {"pause": range(15), "drop_newest": range(10), "error": range(10)}.get(overflow, range(5, 15))
        assert got == [-1, *kept]
        if overflow == "error":
            with pytest.raises(ConsumerTooSlow) as told:
                await anext(rows)
            assert told.value.dropped == 5
        await arrived(network, 15)
        assert numbers(await held(rows)) == [15]
        assert rows.dropped == (0 if overflow == "pause" else 5)
        assert realtime.state is State.SUBSCRIBED


@EACH_MODE_BUT_PAUSE
async def test_a_consumer_that_is_fast_enough_is_not_overrun_by_a_burst(overflow: Overflow) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=4, overflow=overflow)
        got: list[int] = []

        async def consume() -> None:
            async for event in rows:
                got.append(event.payload["n"])
                await asyncio.sleep(0)  # as a busy consumer does

        consumer = asyncio.create_task(consume())
        await asyncio.sleep(1)
        for number in range(100):  # in one read, so to say
            network.socket._inbound.put_nowait(b'{"type":"event","data":{"payload":{"n":%d},"subscriptions":["s1"]}}' % number)
        await asyncio.sleep(1)
        assert (got, rows.dropped) == (list(range(100)), 0)
    await consumer
