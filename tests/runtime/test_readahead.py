"""The read-ahead: a link answers pings of WebSocket during a pause, within bounds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import WSMsgType

from realtime_fsm import Realtime, State
from realtime_fsm.runtime.readahead import LIMIT, OVERHEAD, ReadAhead
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.listener import _BareSocket
from support.faultproxy import until
from support.loopback import loopback_links
from support.network import Network
from support.some import some
from support.virtual import eventually


def bytes_held(realtime: Realtime) -> int | None:
    """The bytes that its link holds; None outside of a pause."""
    link = realtime._driver.links.current
    return None if link is None or link.read_ahead is None else link.read_ahead.size


def paused(realtime: Realtime) -> bool:
    link = realtime._driver.links.current
    return link is not None and link.paused


@pytest.fixture
def pongs(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pongs that embedded servers get."""
    heard: list[bytes] = []
    receive = _BareSocket.receive

    async def listening(self: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        message = await receive(self, timeout)
        if message.type is WSMsgType.PONG:
            heard.append(message.data)
        return message

    monkeypatch.setattr(_BareSocket, "receive", listening)
    return heard


def ping(server: RealtimeServer, payload: bytes) -> None:
    for link in loopback_links(server):
        link.write(WSMsgType.PING, payload)


@pytest.mark.loops
@pytest.mark.loopback
async def test_pings_get_their_pongs_during_a_pause(pongs: list[bytes]) -> None:
    async with RealtimeServer(rate_limit=None) as server, Realtime(server.endpoint, "demo") as realtime:
        rows = await realtime.subscribe("rows", buffer=1, overflow="pause")
        for number in range(5):
            server.publish(["e"], ["rows"], {"n": number})
        await until(lambda: paused(realtime))
        for number in range(5, 8):
            server.publish(["e"], ["rows"], {"n": number})
            ping(server, b"%d" % number)
            await until(lambda: b"%d" % number in pongs)  # noqa: B023  (it ends before the next)
        assert pongs == [b"5", b"6", b"7"]
        assert paused(realtime)
        assert len(rows._delivery.buffer) == 1
        assert [(await anext(rows)).payload["n"] for _ in range(8)] == list(range(8))
        assert (rows.dropped, server.connections) == (0, 1)


@pytest.mark.loops
@pytest.mark.loopback
async def test_beyond_the_bound_nothing_is_read_and_pings_wait_for_the_end_of_the_pause(pongs: list[bytes]) -> None:
    count, size = 1000, 20_000
    async with RealtimeServer(rate_limit=None) as server, Realtime(server.endpoint, "demo") as realtime:
        rows = await realtime.subscribe("rows", buffer=1, overflow="pause")
        for number in range(count):
            server.publish(["e"], ["rows"], {"n": number, "text": "x" * size})
        ping(server, b"behind")
        await until(lambda: (bytes_held(realtime) or 0) > LIMIT)
        highest, seen = 0, []
        for _ in some(range(count)):
            seen.append((await anext(rows)).payload["n"])
            highest = max(highest, bytes_held(realtime) or 0)
            assert pongs == [] or len(seen) > count / 2
        assert seen == list(range(count))
        assert LIMIT < highest < LIMIT + size + 1000
        await until(lambda: pongs == [b"behind"])
        assert (rows.dropped, server.connections) == (0, 1)


async def test_tiny_messages_count_for_what_they_take() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=1, overflow="pause")
        network.publish("rows", payload={"n": 0})
        await eventually(lambda: paused(realtime))
        for _ in range(20_000):
            network.socket._inbound.put_nowait(b"{}")
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert 20_001 - network.socket._inbound.qsize() == LIMIT // (OVERHEAD + 2) + 1
        assert [(await anext(rows)).payload["n"] for _ in range(2)] == [0, 1]
        await eventually(lambda: bytes_held(realtime) is None)
        assert network.socket._inbound.qsize() == 0


async def test_the_event_loop_has_its_turns_while_messages_are_held() -> None:
    ahead = ReadAhead(lambda _: None)
    turns = [ahead.hold(b"{}") for _ in range(1024)]
    given = [number for number, turn in enumerate(turns, 1) if turn is not None]
    assert given == [256, 512, 768, 1024]
    for turn in turns:
        if turn is not None:
            await turn


@pytest.mark.parametrize("held", [1, 20_000], ids=["within the bound", "beyond"])
async def test_a_link_that_ends_during_a_pause_gives_what_it_held_first(held: int) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=1, overflow="pause")
        network.publish("rows", payload={"n": 0})
        await eventually(lambda: paused(realtime))
        for _ in range(held):
            network.socket._inbound.put_nowait(b"{}")
        network.publish("rows", payload={"n": 1})
        network.socket.cut()
        await asyncio.sleep(100)
        assert realtime.is_live
        assert [(await anext(rows)).payload["n"] for _ in range(2)] == [0, 1]
        await eventually(lambda: len(network.sockets) == 2 and realtime.state is State.SUBSCRIBED)


@pytest.mark.parametrize("held", [1, 20_000], ids=["within the bound", "beyond"])
@pytest.mark.parametrize("turns", range(5))
async def test_the_end_comes_at_any_turn_of_a_pause(held: int, turns: int) -> None:
    network = Network()
    realtime = network.realtime()
    rows = await realtime.subscribe("rows", buffer=1, overflow="pause")
    network.socket._inbound.put_nowait(network.event(b'"payload":{}', "s1"))
    for _ in range(held):
        network.socket._inbound.put_nowait(b"{}")
    for _ in range(turns):
        await asyncio.sleep(0)
    link = realtime._driver.links.current
    assert link is not None
    async with asyncio.timeout(10):
        await realtime.dispose()
    assert [event.payload async for event in rows] == [{}]
    assert link.read_ahead is None
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_is_discarded_never_comes_and_the_reader_goes_on() -> None:
    delivered: list[bytes] = []
    ahead = ReadAhead(delivered.append)
    turn = ahead.hold(b"x" * LIMIT)
    assert turn is not None, "there is no room"
    waiting = asyncio.ensure_future(turn)
    await asyncio.sleep(0)
    assert not waiting.done()
    ahead.discard()
    await waiting
    assert ahead.size == 0
    assert ahead.hold(b"{}") is None, "there is room again"
    await ahead.deliver()
    assert delivered == [b"{}"]


async def test_the_bound_itself_may_be_held_and_there_is_room_again_at_half_of_it() -> None:
    async def deliver(data: bytes) -> None:
        await asyncio.sleep(0)
        steps.append((data[:1], ahead.size, waiting.done()))

    steps: list[tuple[bytes, int, bool]] = []
    ahead, half = ReadAhead(deliver), LIMIT // 2
    assert [ahead.hold(name * (half - OVERHEAD)) for name in (b"a", b"b")] == [None, None]
    beyond = ahead.hold(b"c" * (half - OVERHEAD))
    assert beyond is not None
    waiting = asyncio.ensure_future(beyond)
    await ahead.deliver()
    assert steps == [(b"a", 2 * half, False), (b"b", half, True), (b"c", 0, True)]


async def test_one_byte_beyond_the_bound_waits_for_room() -> None:
    ahead = ReadAhead(lambda _: None)
    assert ahead.hold(b"x" * (LIMIT - 2 * OVERHEAD)) is None
    turn = ahead.hold(b"y")
    assert turn is not None
    waiting = asyncio.ensure_future(turn)
    await asyncio.sleep(0)
    assert not waiting.done()
    ahead.discard()
    await waiting
