"""A program that blocks the event loop loses no link: what has arrived meanwhile is read before a link counts as silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from realtime_fsm import PingPolicy, Realtime, State, Timeouts
from realtime_fsm.fsm.link import DRAIN_SECONDS, Phase
from realtime_fsm.runtime.grace import GRACE, LATE, GracedTimer, grace_after
from support.canary import OWN, written
from support.network import GREET, LATENCY, MUTE, Network, take_numbers
from support.virtual import Stopwatch, VirtualLoop, eventually

QUICK = PingPolicy(interval=30, timeout=3)


def block(seconds: float) -> None:
    """Let the program block the loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._clock.now += seconds


@pytest.mark.parametrize(("blocked", "called"), [(LATE - 0.01, [1 + LATE - 0.01]), (2.0, [3 + GRACE])])
async def test_a_timer_that_is_late_calls_back_once_after_the_grace(blocked: float, called: list[float]) -> None:
    watch, times = Stopwatch(), list[float]()
    timer = GracedTimer(watch.loop, watch.began + 1, lambda: times.append(watch.now))
    await watch.until(0.999_999)
    block(blocked)
    await watch.until(10)
    assert times == pytest.approx(called, abs=1e-5)
    timer.cancel()


@pytest.mark.parametrize("moment", [0.5, 3 + GRACE / 2])
async def test_a_cancelled_timer_calls_back_no_more(moment: float) -> None:
    watch, times = Stopwatch(), list[float]()
    timer = GracedTimer(watch.loop, watch.began + 1, lambda: times.append(watch.now))
    await watch.until(min(moment, 0.9))
    if moment > 1:
        block(2.1)
        await watch.until(moment)
    timer.cancel()
    await watch.until(10)
    assert times == []


async def test_a_moment_that_has_just_come_needs_no_grace() -> None:
    loop = asyncio.get_running_loop()
    assert grace_after(loop, loop.time(), lambda: None) is None


async def greeted(network: Network, realtime: Realtime, *, silent: bool) -> None:
    network.script.append(MUTE if silent else GREET)
    network.latencies.append(1.0)
    asyncio.ensure_future(realtime.connect()).add_done_callback(lambda done: done.exception())
    context = realtime._driver.context
    await eventually(lambda: context.link is not None and context.link.phase is Phase.GREETING)


async def replied(network: Network, realtime: Realtime, *, silent: bool) -> None:
    await realtime.subscribe("rows")
    network.socket.frozen = silent
    asyncio.ensure_future(realtime.subscribe("files")).add_done_callback(lambda done: done.exception())
    await asyncio.sleep(LATENCY / 2)


async def ponged(network: Network, realtime: Realtime, *, silent: bool) -> None:
    await realtime.subscribe("rows")
    network.socket.frozen = silent
    await eventually(lambda: realtime.state is State.PING)


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("begin", [greeted, replied, ponged])
async def test_an_answer_that_lies_unread_keeps_the_link_and_silence_ends_it(begin: Callable[..., Any], silent: bool) -> None:
    network = Network()
    async with network.realtime(ping=QUICK, timeouts=Timeouts(greeting=3, reply=3)) as realtime:
        await begin(network, realtime, silent=silent)
        block(5)
        await asyncio.sleep(2 * GRACE)
        assert realtime.is_live is not silent
        await eventually(lambda: realtime.is_live)
        assert len(network.dials) == 1 + silent


async def test_an_echo_that_lies_unread_proves_the_link() -> None:
    network = Network()
    realtime, times = written(network)
    async with realtime:
        rows = await realtime.subscribe("rows")
        network.socket.latency = 1.0
        await eventually(lambda: len(times) == 2)
        block(OWN.within + 1)
        await asyncio.sleep(30)
        assert (len(network.dials), rows.gaps) == (1, ())


async def test_the_events_of_an_old_link_are_read_before_it_is_closed() -> None:
    network = Network(era="E3")
    async with network.realtime(ping=QUICK) as realtime:
        rows = await realtime.subscribe("rows")
        network.socket.latency = 0.9 * DRAIN_SECONDS
        network.publish("rows", payload={"n": 1})
        network.socket.latency = LATENCY
        await realtime.subscribe("files")
        handover = realtime._driver.links.handover
        assert handover is not None
        await eventually(lambda: handover.is_confirmed)
        block(2 * DRAIN_SECONDS)
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (take_numbers(rows), rows.gaps) == ([1], ())


async def test_an_old_link_whose_pong_lies_unread_lives() -> None:
    network = Network()
    async with network.realtime(ping=QUICK) as realtime:
        await realtime.subscribe("rows")
        network.otherwise = MUTE
        replacing = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: b"ping" in b"".join(network.sockets[0].sent))
        block(QUICK.timeout + 1)
        await asyncio.sleep(2 * GRACE)
        assert realtime._driver.links.draining_serves
        replacing.cancel()
