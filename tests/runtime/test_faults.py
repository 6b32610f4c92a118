"""Real faults on loopback sockets, between the real client and the embedded server: each is noticed in its time, by its name,
and survived with every subscription acknowledged again; what was disposed of holds nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from realtime_fsm import Change, LinkFailure, PingPolicy, Realtime, RetriesExhausted, RetryPolicy, State, Subscription, Timeouts
from realtime_fsm.runtime.transport import AiohttpTransport
from realtime_fsm.testing import RealtimeServer
from support.eras import BY_MESSAGE, ON_EVERY_ERA, only
from support.faultproxy import DOWN, UP, FaultProxy, descriptors, until
from support.network import Network
from support.some import some

pytestmark = [ON_EVERY_ERA, pytest.mark.loops]

PATIENT = RetryPolicy(attempts=None, base=0.02, cap=0.1)
ONCE = RetryPolicy(attempts=1)
QUICK_PING: dict[str, Any] = {"ping": PingPolicy(interval=0.1, timeout=0.1)}
SLACK = 2.0  # seconds that a loaded machine may add to a deadline


@asynccontextmanager
async def network() -> AsyncIterator[tuple[RealtimeServer, FaultProxy]]:
    """A server and a way to it; what the clients in between held is released when they are disposed of."""
    server = RealtimeServer(era=Network.era, rate_limit=None)
    async with server, FaultProxy(server.endpoint) as proxy, asyncio.timeout(20):
        held, tasks = descriptors(), asyncio.all_tasks()
        yield server, proxy
        await proxy.heal()
        await until(lambda: not proxy.links and not server.connections)
        await until(lambda: asyncio.all_tasks() <= tasks)
        await until(lambda: descriptors() == held)


def host_of(proxy: FaultProxy) -> str:
    """Give the host and port that the text of a failed dial names."""
    return urlsplit(proxy.endpoint).netloc


async def lost(states: AsyncIterator[Change]) -> LinkFailure:
    """Why the link was given up."""
    async for change in states:
        if change.dest is State.RECONNECTING:
            break
    else:
        raise AssertionError("disposed of")
    assert change.cause is not None
    return change.cause


async def settled(realtime: Realtime, states: AsyncIterator[Change]) -> None:
    while realtime.state is not State.SUBSCRIBED:
        await anext(states)


async def all_heard(server: RealtimeServer, count: int) -> None:
    """Wait until one link serves so many subscriptions; to a server that takes addresses, all of them are one."""
    await server.wait_for_subscriptions(count if Network.era == "E4" else 1)
    await server.wait_for_connections(1)


async def gets_each_event_once(server: RealtimeServer, *streams: tuple[Subscription, str]) -> None:
    for number in range(10):
        for _, channel in streams:
            server.publish(["e"], [channel], {"n": number})
    for stream, _ in some(streams):
        assert [(await anext(stream)).payload["n"] for _ in range(10)] == list(range(10))


@pytest.mark.parametrize(
    ("act", "options", "cause", "deadline"),
    [
        pytest.param(FaultProxy.cut, {}, "stream_ended", 0, id="cut"),
        pytest.param(FaultProxy.reset, {}, "stream_ended", 0, id="reset"),
        pytest.param(FaultProxy.freeze, QUICK_PING, "pong_overdue", 0.2, id="freeze"),
        pytest.param(lambda proxy: proxy.freeze(UP), QUICK_PING, "pong_overdue", 0.2, id="freeze to the server"),
        pytest.param(lambda proxy: proxy.freeze(DOWN), QUICK_PING, "pong_overdue", 0.2, id="freeze to the client"),
        pytest.param(lambda proxy: setattr(proxy, "delay", 1.0), QUICK_PING, "pong_overdue", 0.2, id="delay"),
    ],
)
@pytest.mark.loopback
async def test_a_fault_on_a_live_link_is_noticed_named_and_survived(
    act: Callable[[FaultProxy], None], options: dict[str, Any], cause: str, deadline: float
) -> None:
    async with network() as (server, proxy), Realtime(proxy.endpoint, "demo", retry=PATIENT, **options) as realtime:
        rows, files = await asyncio.gather(realtime.subscribe("rows"), realtime.subscribe("files"))
        await all_heard(server, 2)
        states = realtime.states()
        begin = time.monotonic()
        act(proxy)
        failure = await lost(states)
        assert (failure.kind, time.monotonic() - begin < deadline + SLACK) == (cause, True), failure
        if cause == "stream_ended":
            assert getattr(failure, "close_code", None) == 1006
        await proxy.heal()
        await settled(realtime, states)
        await all_heard(server, 2)
        await gets_each_event_once(server, (rows, "rows"), (files, "files"))


@BY_MESSAGE
@pytest.mark.loopback
async def test_a_reply_that_does_not_come_is_noticed_and_the_subscription_asked_for_again() -> None:
    timeouts = Timeouts(reply=0.2)
    async with network() as (server, proxy), Realtime(proxy.endpoint, "demo", retry=PATIENT, timeouts=timeouts) as realtime:
        rows = await realtime.subscribe("rows")
        states = realtime.states()
        proxy.freeze(DOWN)
        asking = asyncio.create_task(realtime.subscribe("files"))
        assert (await lost(states)).kind == "reply_overdue"
        await proxy.heal()
        files = await asking
        await settled(realtime, states)
        await all_heard(server, 2)
        await gets_each_event_once(server, (rows, "rows"), (files, "files"))


@pytest.mark.parametrize("size", [1, 100, 100_000])
@pytest.mark.loopback
async def test_a_message_that_is_cut_in_its_middle_is_no_event(size: int) -> None:
    async with network() as (server, proxy), Realtime(proxy.endpoint, "demo", retry=PATIENT) as realtime:
        rows = await realtime.subscribe("rows")
        states = realtime.states()
        proxy.truncate(size)
        server.publish(["e"], ["rows"], {"n": -1, "blob": "z" * 200_000})
        assert (await lost(states)).kind == "stream_ended"
        await proxy.heal()
        await settled(realtime, states)
        await all_heard(server, 1)
        await gets_each_event_once(server, (rows, "rows"))


@pytest.mark.loopback
async def test_a_slow_drip_is_slow_and_no_fault() -> None:
    async with network() as (server, proxy), Realtime(proxy.endpoint, "demo") as realtime:
        proxy.drip = 40  # bytes; the handshake, the greeting and every frame come in pieces
        rows = await realtime.subscribe("rows")
        states = realtime.states()
        await gets_each_event_once(server, (rows, "rows"))
        assert (realtime.state, proxy.accepted) == (State.SUBSCRIBED, 1 if Network.era == "E4" else 2)
        await realtime.dispose()
        assert [change.dest async for change in states] == [State.DISPOSING]


@pytest.mark.loopback
async def test_a_server_that_refuses_is_given_up_by_name_and_found_again_on_demand() -> None:
    known: dict[str, Any] = {"era": Network.era, "retry": RetryPolicy(attempts=2, reconnect_attempts=2, base=0.02)}
    async with network() as (server, proxy), Realtime(proxy.endpoint, "demo", **known) as realtime:
        rows = await realtime.subscribe("rows")
        states = realtime.states()
        proxy.refuse()
        proxy.cut()
        assert (await lost(states)).kind == "stream_ended"
        given_up = await anext(states)
        assert (given_up.dest, str(given_up.cause)) == (State.ERROR, f"{host_of(proxy)}: the dial failed: Connection refused")
        await proxy.heal()
        await realtime.reconnect()
        await settled(realtime, states)
        await all_heard(server, 1)
        await gets_each_event_once(server, (rows, "rows"))


async def mute(server: RealtimeServer, proxy: FaultProxy) -> None:
    proxy.mute = True


async def frozen(server: RealtimeServer, proxy: FaultProxy) -> None:
    proxy.freeze(UP)


async def cut_in_the_upgrade(server: RealtimeServer, proxy: FaultProxy) -> None:
    proxy.truncate(20)


async def not_greeted(server: RealtimeServer, proxy: FaultProxy) -> None:
    server.greet = False


async def cut_before_the_greeting(server: RealtimeServer, proxy: FaultProxy) -> None:
    server.greet = False
    await until(lambda: proxy.forwarded > 0)  # the upgrade
    proxy.cut()


@pytest.mark.parametrize(
    ("fault", "timeouts", "cause"),
    [
        (mute, Timeouts(dial=0.1), "no upgrade within 0.1 seconds"),
        (frozen, Timeouts(dial=0.1), "no upgrade within 0.1 seconds"),
        (cut_in_the_upgrade, Timeouts(), "the dial failed: the server hung up"),
        (not_greeted, Timeouts(greeting=0.1), "no greeting within 0.1 seconds"),
        (cut_before_the_greeting, Timeouts(), "the stream ended (close code 1006)"),
    ],
)
@pytest.mark.loopback
async def test_a_dial_that_comes_to_nothing_says_why_and_holds_nothing(
    fault: Callable[[RealtimeServer, FaultProxy], Coroutine[None, None, None]], timeouts: Timeouts, cause: str
) -> None:
    async with network() as (server, proxy), Realtime(proxy.endpoint, "demo", retry=ONCE, timeouts=timeouts) as realtime:
        held = descriptors()
        happening = asyncio.create_task(fault(server, proxy))
        await asyncio.sleep(0)  # what can happen before the dial has happened
        with pytest.raises(RetriesExhausted) as caught:
            await realtime.connect()
        await happening
        assert (str(caught.value.cause), realtime.state) == (f"{host_of(proxy)}: {cause}", State.ERROR)
        assert proxy.accepted == 1, "one attempt is one connection"
        await proxy.heal()
        await until(lambda: not proxy.links and not server.connections)
        await until(lambda: descriptors() == held)


@pytest.mark.loopback
async def test_faults_one_after_the_other_leave_nothing_behind() -> None:
    async with network() as (server, proxy), Realtime(proxy.endpoint, "demo", retry=PATIENT, **QUICK_PING) as realtime:
        rows = await realtime.subscribe("rows")
        held = descriptors()
        for act in (proxy.cut, proxy.reset, proxy.freeze, proxy.cut, proxy.reset):
            states = realtime.states()
            act()
            await lost(states)
            await proxy.heal()
            await settled(realtime, states)
            await all_heard(server, 1)
            await gets_each_event_once(server, (rows, "rows"))
        await until(lambda: proxy.links == server.connections == 1)
        await until(lambda: descriptors() == held)


@only("E4", because="it is about the transport alone")
@pytest.mark.loopback
async def test_a_lost_link_gives_back_its_place_in_a_callers_connector() -> None:
    async with network() as (_, proxy), aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        transport = AiohttpTransport(session)
        held = []
        for _ in range(3):
            socket = await transport.dial(f"{proxy.endpoint.replace('http', 'ws')}/realtime?project=demo", {})
            proxy.cut()
            assert await socket.pump(lambda _: None) == 1006
            await socket.close(0)
            held.append(socket)


@pytest.mark.parametrize("act", [FaultProxy.freeze, lambda proxy: proxy.freeze(DOWN), FaultProxy.cut])
@pytest.mark.loopback
async def test_dispose_is_bounded_whatever_the_network_does(act: Callable[[FaultProxy], None]) -> None:
    async with network() as (_, proxy):
        realtime = Realtime(proxy.endpoint, "demo", timeouts=Timeouts(close=0.1))
        held = descriptors()
        await realtime.subscribe("rows")
        act(proxy)
        begin = time.monotonic()
        await realtime.dispose()
        assert time.monotonic() - begin < 0.1 + SLACK
        await proxy.heal()
        await until(lambda: not proxy.links)
        await until(lambda: descriptors() == held)


@pytest.mark.loopback
async def test_a_message_above_the_limit_ends_the_link_with_a_clear_cause() -> None:
    quick = RetryPolicy(base=0.02, cap=0.1)
    server = RealtimeServer(era=Network.era)
    async with server, Realtime(server.endpoint, "demo", max_frame=10_000, retry=quick) as realtime:
        rows = await realtime.subscribe("rows")
        states = realtime.states()
        server.publish(["e"], ["rows"], {"blob": "x" * 20_000})
        async with asyncio.timeout(30):
            changes = [await anext(states) for _ in range(3)]
            assert "more than 10000 bytes" in str(changes[0].cause)
            assert [change.dest for change in changes] == [State.RECONNECTING, State.CONNECTED, State.SUBSCRIBED]
            server.publish(["e"], ["rows"], {"n": 1})
            assert (await anext(rows)).payload == {"n": 1}
