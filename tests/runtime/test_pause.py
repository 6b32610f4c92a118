"""The pause: a consumer that is to lose nothing stops the reading of its link, which stays up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from realtime_fsm import LinkPaused, PingPolicy, Realtime, State, Subscription, Timeouts
from realtime_fsm.testing import RealtimeServer
from support.faultproxy import until
from support.loopback import loopback_links
from support.network import Network
from support.some import some
from support.virtual import eventually

BUFFER = 10
LONG = 1000.0
"""Seconds, far beyond every timeout."""


async def stalled(network: Network, realtime: Realtime, *, beyond: int = 3) -> Subscription:
    """A subscription that is full, and more events behind it."""
    rows = await realtime.subscribe("rows", buffer=BUFFER, overflow="pause")
    for number in range(BUFFER + beyond):
        network.publish("rows", payload={"n": number})
    await eventually(lambda: paused(realtime))
    assert len(rows._delivery.buffer) == BUFFER
    return rows


def paused(realtime: Realtime) -> bool:
    return realtime._driver.registry.gate.is_blocked


async def take(subscription: Subscription, count: int) -> list[int]:
    return [(await anext(subscription)).payload["n"] for _ in range(count)]


async def test_the_consumer_gets_everything_and_reading_goes_on_when_half_of_the_room_is_free() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await stalled(network, realtime)
        await asyncio.sleep(LONG)
        assert await take(rows, BUFFER // 2 - 1) == [0, 1, 2, 3]
        await asyncio.sleep(1)
        assert len(rows._delivery.buffer) == BUFFER // 2 + 1
        assert await take(rows, 1) == [4]
        await asyncio.sleep(1)
        assert not paused(realtime)
        assert len(rows._delivery.buffer) == BUFFER // 2 + 3
        assert await take(rows, 8) == [5, 6, 7, 8, 9, 10, 11, 12]
        assert (rows.dropped, len(network.sockets)) == (0, 1)


async def test_the_other_subscriptions_of_the_link_wait_and_get_everything_too() -> None:
    network = Network()
    async with network.realtime() as realtime:
        files = await realtime.subscribe("files")
        rows = await stalled(network, realtime)
        network.publish("files", payload={"n": 100})
        await asyncio.sleep(LONG)
        assert len(files._delivery.buffer) == 0
        await take(rows, BUFFER)
        assert await take(files, 1) == [100]


async def test_a_link_that_is_not_read_is_pinged_and_not_taken_for_dead_until_it_is_read_again() -> None:
    network = Network()
    async with network.realtime(ping=PingPolicy(interval=30, timeout=10)) as realtime:
        rows = await stalled(network, realtime)
        seen = realtime.states()
        await asyncio.sleep(LONG)
        assert network.socket.sent.count(b'{"type":"ping"}') > LONG / 30 - 3
        network.socket.frozen = True  # now it is dead, and no sign shows it
        await asyncio.sleep(LONG)
        assert len(network.sockets) == 1
        assert [(await anext(seen)).dest for _ in range(20)] == [State.PING, State.SUBSCRIBED] * 10
        await take(rows, BUFFER)
        await eventually(lambda: len(network.sockets) == 2, within=100)


async def test_a_call_waits_for_its_answer_while_nothing_is_read() -> None:
    network = Network()
    async with network.realtime(timeouts=Timeouts(reply=10)) as realtime:
        rows = await stalled(network, realtime)
        await asyncio.sleep(LONG)
        asking = asyncio.create_task(realtime.subscribe("files"))
        await asyncio.sleep(9.9)
        assert not asking.done()
        await take(rows, BUFFER)
        assert (await asking).channels == ("files",)
        assert len(network.sockets) == 1


async def unsubscribe(_: Network, __: Realtime, rows: Subscription) -> None:
    await rows.unsubscribe()
    assert [event.payload["n"] async for event in rows][:BUFFER] == list(range(3, BUFFER + 3))


async def disconnect(_: Network, realtime: Realtime, rows: Subscription) -> None:
    await realtime.disconnect()
    await realtime.connect()


async def reconnect(_: Network, realtime: Realtime, rows: Subscription) -> None:
    await realtime.reconnect()


async def dispose(_: Network, realtime: Realtime, rows: Subscription) -> None:
    await realtime.dispose()
    assert len([event async for event in rows]) == BUFFER


@pytest.mark.parametrize("end", [unsubscribe, disconnect, reconnect, dispose])
async def test_a_pause_ends_with(end: Callable[[Network, Realtime, Subscription], Awaitable[None]]) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await stalled(network, realtime)
        await asyncio.sleep(LONG)
        async with asyncio.timeout(1):
            await end(network, realtime, rows)
        if end is not dispose:
            files = await realtime.subscribe("files")
            network.publish("files", payload={"n": 100})
            assert await take(files, 1) == [100]


async def test_a_link_that_ends_meanwhile_is_read_to_its_end_and_then_replaced() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await stalled(network, realtime)
        network.socket.cut()
        await asyncio.sleep(LONG)
        assert realtime.is_live
        assert await take(rows, BUFFER + 3) == list(range(BUFFER + 3))
        await eventually(lambda: len(network.sockets) == 2 and realtime.state is State.SUBSCRIBED)
        assert rows.dropped == 0


async def test_an_error_of_the_connection_ends_the_pause_and_comes_after_what_is_held() -> None:
    network = Network()
    async with network.realtime(auto_reconnect=False) as realtime:
        rows = await stalled(network, realtime, beyond=0)
        rows._delivery.buffer.fail(RuntimeError())  # type: ignore[arg-type]  # whatever it is
        assert not paused(realtime)
        assert await take(rows, BUFFER) == list(range(BUFFER))


async def test_each_later_link_may_bring_one_event_more_and_twice_the_buffer_is_the_end() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await stalled(network, realtime)
        for count in some(range(1, 2 * BUFFER)):
            await realtime.disconnect()
            await realtime.reconnect()
            network.publish("rows", payload={"n": 100})
            network.publish("rows", payload={"n": 101})
            await asyncio.sleep(1)
            assert len(rows._delivery.buffer) == min(BUFFER + count, 2 * BUFFER)
            assert paused(realtime)
        assert rows.dropped == BUFFER - 1


async def test_a_second_change_of_link_waits_for_what_the_old_one_still_owes() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await stalled(network, realtime)
        await realtime.reconnect()
        with pytest.raises(LinkPaused):
            await realtime.reconnect()
        assert [socket.closed for socket in network.sockets] == [None, None]
        assert await take(rows, BUFFER + 3) == list(range(BUFFER + 3))
        await realtime.reconnect()
        assert (rows.gaps, network.sockets[0].closed is None) == ((), False)


async def test_a_link_that_makes_room_is_kept_until_what_is_on_its_way_can_be_read() -> None:
    network = Network("E2")
    async with network.realtime(era="E2") as realtime:
        rows = await stalled(network, realtime)
        files = await realtime.subscribe("files")
        await asyncio.sleep(30)
        assert network.sockets[0].closed is None
        assert await take(rows, BUFFER + 3) == list(range(BUFFER + 3))
        await eventually(lambda: network.sockets[0].closed is not None, within=3)
        network.publish("rows", "files", payload={"n": 100})
        assert await take(rows, 1) == await take(files, 1) == [100]


@pytest.mark.loops
@pytest.mark.loopback
async def test_on_real_sockets_the_server_is_held_up_and_all_events_come_in_the_end() -> None:
    count, size = 1000, 20_000
    quick = PingPolicy(interval=0.2, timeout=0.1)
    async with RealtimeServer(rate_limit=None) as server, Realtime(server.endpoint, "demo", ping=quick) as realtime:
        rows = await realtime.subscribe("rows", buffer=BUFFER, overflow="pause")
        states = realtime.states()
        for number in range(count):
            server.publish(["e"], ["rows"], {"n": number, "text": "x" * size})
        await until(lambda: paused(realtime))
        seen = [(await anext(states)).dest for _ in range(6)]  # each ping is longer than the timeout
        assert seen == [State.PING, State.SUBSCRIBED] * 3
        assert len(rows._delivery.buffer) == BUFFER
        waiting = sum(link._transport.get_write_buffer_size() for link in loopback_links(server))
        assert waiting > count * size / 2, "the server cannot get rid of it"
        assert await take(rows, count) == list(range(count))
        assert (rows.dropped, server.connections) == (0, 1)


@pytest.mark.parametrize("asks", ["subscribe", "update", "unsubscribe", "presence"])
async def test_a_consumer_that_asks_while_it_is_full_gets_an_error_in_time(asks: str) -> None:
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime(timeouts=Timeouts(reply=2), session=session) as realtime:
        other = await realtime.subscribe("teams")
        rows = await realtime.subscribe("rows", buffer=4, overflow="pause")
        for number in range(40):
            network.publish("rows", payload={"n": number})
        assert (await anext(rows)).payload["n"] == 0
        asked: dict[str, Callable[[], Awaitable[Any]]] = {
            "subscribe": lambda: realtime.subscribe("files"),
            "update": lambda: other.update(channels=["files"]),
            "unsubscribe": other.unsubscribe,
            "presence": lambda: realtime.set_presence("online"),
        }
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(LinkPaused, match="the client has read nothing for 2 s"):
            await asked[asks]()
        assert loop.time() - begun == pytest.approx(2, abs=0.1)
        assert [(await anext(rows)).payload["n"] for _ in range(39)] == list(range(1, 40)), "nothing is lost"
        await realtime.subscribe("memberships")
        await asyncio.sleep(1)
        assert (len(network.dials), rows.dropped) == (1, 0)


async def test_a_call_waits_while_the_consumer_goes_on() -> None:
    network = Network()
    async with network.realtime(timeouts=Timeouts(reply=2)) as realtime:
        rows = await realtime.subscribe("rows", buffer=4, overflow="pause")
        for number in range(40):
            network.publish("rows", payload={"n": number})
        asking = asyncio.ensure_future(realtime.subscribe("files"))
        for number in range(40):
            assert (await anext(rows)).payload["n"] == number
            await asyncio.sleep(0.5)
        assert (await asking).channels == ("files",), "it took longer than the timeout, and the link was read again and again"
