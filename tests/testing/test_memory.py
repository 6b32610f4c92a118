"""The server in memory: the same server and the same faults as on a socket, in virtual time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_fsm import PingPolicy, Realtime, State, Timeouts
from realtime_fsm.errors import DialFailed, RetriesExhausted, StreamEnded, UpgradeRefused, WrongLoop
from realtime_fsm.testing import InMemoryServer, RealtimeServer, VirtualClock, in_memory
from realtime_fsm.testing.eras import EraName
from realtime_fsm.testing.memory import LATENCY, MemorySocket
from support.eras import ON_EVERY_ERA, only
from support.some import some
from support.virtual import Stopwatch

pytestmark = ON_EVERY_ERA


@pytest.fixture
def server(server_era: EraName) -> Iterator[InMemoryServer]:
    server = InMemoryServer(era=server_era)
    with in_memory(server):
        yield server


@asynccontextmanager
async def client(server: InMemoryServer, **options: Any) -> Any:
    async with server, Realtime(server.endpoint, "demo", **options) as realtime:
        yield realtime


async def numbers(subscription: Any, count: int) -> list[int]:
    return [(await anext(subscription)).payload["n"] for _ in range(count)]


async def test_events_arrive_in_order(server: InMemoryServer) -> None:
    async with client(server) as realtime:
        rows = await realtime.subscribe("rows")
        assert [server.publish("e", "rows", {"n": number}) > 0 for number in range(3)] == [True] * 3
        assert await numbers(rows, 3) == [0, 1, 2]


async def test_events_of_one_moment_arrive_in_order_and_take_no_time(server: InMemoryServer) -> None:
    async with client(server) as realtime:
        rows = await realtime.subscribe("rows")
        await server.wait_for_subscriptions(1)
        watch = Stopwatch()
        for number in range(100):
            server.publish("e", "rows", {"n": number})
        assert await numbers(rows, 100) == list(range(100))
        assert watch.now == pytest.approx(LATENCY, abs=0.001)


async def test_it_refuses_dials_for_an_hour(server: InMemoryServer) -> None:
    async with client(server) as realtime:
        await realtime.subscribe("rows")
        await server.wait_for_subscriptions(1)
        await server.script("0s drop; 0s refuse 1m; 1m refuse 59m")
        assert realtime.last_failure is not None
        assert isinstance(realtime.last_failure.error, UpgradeRefused)
        assert realtime.last_failure.error.status == 503
        await server.wait_for_subscriptions(1)
        server.refuse_dials()
        await server.stop()
        await server.start()
        await server.wait_for_subscriptions(1)


async def test_it_is_away_for_an_hour_and_comes_back(server: InMemoryServer) -> None:
    async with client(server) as realtime:
        rows = await realtime.subscribe("rows")
        await server.wait_for_subscriptions(1)
        await server.stop()
        await server.stop()
        assert (server.connections, realtime.state) == (0, State.SUBSCRIBED), "the end is under way"
        await asyncio.sleep(3600)
        assert realtime.state == State.RECONNECTING
        assert realtime.last_failure is not None
        assert isinstance(realtime.last_failure.error, DialFailed)
        assert "the in-memory server is stopped" in str(realtime.last_failure.error)
        await server.start()
        await server.wait_for_connections(1)
        await realtime.wait_subscribed()
        server.publish("e", "rows", {"n": 1})
        assert await numbers(rows, 1) == [1]
        (gap,) = rows.gaps
        assert 3600 <= gap.outage_seconds < 3700
        with pytest.raises(RuntimeError, match="already started"):
            await server.start()


@only("E4", because="no server is dialed")
async def test_a_wait_gives_up_in_its_time(server: InMemoryServer) -> None:
    clock = asyncio.get_running_loop().time
    for waiting, seconds in some([(server, 600.0), (RealtimeServer(), 5.0)]):
        for wait in some([waiting.wait_for_connections, waiting.wait_for_subscriptions]):
            began = clock()
            with pytest.raises(TimeoutError):
                await wait(1)
            assert clock() - began == pytest.approx(seconds)


async def test_a_dial_and_a_close_take_their_time_and_a_stopped_server_refuses(server: InMemoryServer) -> None:
    assert re.fullmatch(r"http://in-memory-\d+:80/v1", server.endpoint)
    clock, url = asyncio.get_running_loop().time, f"{server.endpoint}/realtime?project=demo&channels[]=rows"
    began = clock()

    async def dial() -> MemorySocket:
        return await server._memory.dial(url, {})

    with pytest.raises(DialFailed, match="the in-memory server is stopped"):
        await dial()
    assert clock() - began == pytest.approx(LATENCY)
    await server.start()
    for timeout, seconds in some([(1.0, LATENCY), (LATENCY / 2, LATENCY / 2), (0.0, 0.0)]):
        socket = await dial()
        began = clock()
        await socket.close(timeout)
        assert clock() - began == pytest.approx(seconds)
        assert socket.closed == timeout
        with pytest.raises(StreamEnded):
            await socket.send(b"late")
        assert await socket.pump(lambda _: None) == 1000
    socket = await dial()
    await server.stop()
    assert server.connections == 0
    assert await socket.pump(lambda _: None) == 1006


async def test_a_drop_ends_every_stream(server: InMemoryServer) -> None:
    async with client(server) as realtime:
        await realtime.subscribe("rows")
        states = realtime.states()
        server.drop()
        assert server.connections == 0
        assert (await anext(states)).dest is State.RECONNECTING
        await realtime.wait_subscribed()


async def test_a_freeze_holds_frames_and_messages_until_the_thaw(server: InMemoryServer) -> None:
    async with client(server) as realtime:
        rows = await realtime.subscribe("rows")
        await server.wait_for_connections(1)
        server.freeze()
        server.freeze()
        assert server.publish("e", "rows", {"n": 1}) == 1
        files = asyncio.create_task(realtime.subscribe("files"))
        await asyncio.sleep(5)
        assert (len(rows._delivery.buffer), files.done()) == (0, False)
        server.thaw()
        server.thaw()
        assert await numbers(rows, 1) == [1]
        await files


async def test_a_frozen_server_answers_neither_ping_nor_dial(server: InMemoryServer) -> None:
    ping, timeouts = PingPolicy(interval=10, timeout=5), Timeouts(dial=5)
    async with client(server, ping=ping, timeouts=timeouts) as realtime:
        await realtime.subscribe("rows")
        await server.wait_for_connections(1)
        await server.script("1s freeze 60s")
        assert realtime.last_failure is not None
        assert realtime.last_failure.error.kind == "upgrade_overdue"
        await realtime.wait_subscribed()


async def test_a_stop_ends_a_dial_that_hangs(server: InMemoryServer) -> None:
    async with server:
        server.freeze()
        dial = asyncio.create_task(server._memory.dial(f"{server.endpoint}/realtime?project=demo", {}))
        await asyncio.sleep(1)
        await server.stop()
        with pytest.raises(DialFailed, match="the in-memory server is stopped"):
            await dial


async def test_a_client_that_closes_a_frozen_link_does_not_wait_for_the_thaw(server: InMemoryServer) -> None:
    async with server:
        async with Realtime(server.endpoint, "demo") as realtime:
            await realtime.connect()
            server.freeze()
        assert server.connections == 1, "the server does not notice"
        server.thaw()
        await server.wait_for_connections(0)


async def test_the_server_notices_the_end_of_a_client(server: InMemoryServer) -> None:
    async with server:
        async with Realtime(server.endpoint, "demo") as realtime:
            await realtime.connect()
        await server.wait_for_connections(0)
        assert server.subscriptions == 0


@only("E2", because="its servers reset a link whose message is too large")
async def test_a_reset_loses_what_the_client_has_not_read(server: InMemoryServer) -> None:
    async with server:
        socket = await server._memory.dial(f"{server.endpoint}/realtime?project=demo&channels[]=rows", {})
        await asyncio.sleep(0.1)
        server.publish("e", "rows", {"n": 1})
        await asyncio.sleep(0.1)
        (link,) = server._memory._links
        server.publish("e", "rows", {"n": 2})
        link.reset()
        frames: list[bytes] = []
        assert await socket.pump(frames.append) == 1006
        assert (frames, server._memory._links) == ([], {})
        link.send(b"nobody reads this")
        link.receive(b"nor this")
        link.close()


async def test_a_wrong_path_and_another_host_are_refused(server: InMemoryServer) -> None:
    async with server:
        for endpoint, cause in ((f"{server.endpoint}/v1", UpgradeRefused), ("http://elsewhere/v1", DialFailed)):
            async with Realtime(endpoint, "demo") as realtime:
                with pytest.raises(RetriesExhausted) as failure:
                    await realtime.connect()
                assert isinstance(failure.value.__cause__, cause), endpoint
        assert f"in virtual time there is no network; give the client the endpoint {server.endpoint}" in str(
            failure.value.__cause__
        )


@pytest.mark.loopback
@only("E4", because="no server is dialed")
async def test_a_loop_in_real_time_is_refused(server: InMemoryServer) -> None:
    realtime = Realtime(server.endpoint, "demo")
    with pytest.raises(WrongLoop, match="the server of a test in virtual time belongs to another event loop"):
        await realtime.connect()


@only("E4", because="it shows the example of the docstring")
def test_a_test_in_virtual_time_needs_no_pytest(server_era: EraName) -> None:
    async def test() -> int:
        async with InMemoryServer() as server:
            with in_memory(server):
                async with Realtime(server.endpoint, "demo") as realtime:
                    rows = await realtime.subscribe("rows")
                    server.publish("e", "rows", {"n": 7})
                    return (await numbers(rows, 1))[0]

    assert VirtualClock().run(test) == 7
