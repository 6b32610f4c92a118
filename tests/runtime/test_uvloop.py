"""On uvloop, over loopback: the same from dial to end."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from pathlib import Path

import pytest

from realtime_fsm import Event, PingPolicy, Realtime, RetryPolicy, State, Timeouts
from realtime_fsm.cli.loop import loop_factory
from realtime_fsm.testing import RealtimeServer
from support.faultproxy import FaultProxy, descriptors, until

uvloop = pytest.importorskip("uvloop")
DATA = Path(__file__).parents[1] / "data"
QUICK = RetryPolicy(base=0.02, cap=0.1)


pytestmark = [pytest.mark.loopback, pytest.mark.loops("uvloop")]


async def test_the_loop_of_these_tests_is_uvloop() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)


async def test_events_a_loss_events_again_and_the_end() -> None:
    async with RealtimeServer() as server:
        held = descriptors()
        async with Realtime(server.endpoint, "demo", retry=QUICK) as realtime:
            rows = await realtime.subscribe("rows")
            for number in range(3000):
                server.publish(["e"], ["rows"], {"n": number})
            assert [(await anext(rows)).payload["n"] for _ in range(3000)] == list(range(3000))
            server.drop()
            await server.wait_for_subscriptions(0)
            await server.wait_for_subscriptions(1)
            server.publish(["e"], ["rows"], {"n": -1})
            assert (await anext(rows)).payload == {"n": -1}
            assert rows.dropped == 0
        await until(lambda: descriptors() == held)


async def test_a_frozen_server_is_noticed_and_holds_nothing() -> None:
    async with RealtimeServer() as server:
        held = descriptors()
        ping, timeouts = PingPolicy(interval=0.2, timeout=0.1), Timeouts(dial=0.2, close=0.3)
        async with Realtime(server.endpoint, "demo", retry=QUICK, ping=ping, timeouts=timeouts) as realtime:
            await realtime.subscribe("rows")
            server.freeze()
            await until(lambda: not realtime.is_live)
            server.thaw()
            await until(lambda: realtime.state is State.SUBSCRIBED)
            server.freeze()
            begin = time.monotonic()
        assert time.monotonic() - begin < 2, "a close is bounded"
        server.thaw()
        await until(lambda: descriptors() == held)


async def test_a_pause_holds_the_server_up_and_nothing_is_lost() -> None:
    quick = PingPolicy(interval=0.2, timeout=0.1)
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", ping=quick) as realtime:
        rows = await realtime.subscribe("rows", buffer=4, overflow="pause")
        for number in range(500):
            server.publish(["e"], ["rows"], {"n": number, "text": "x" * 20_000})
        sent = realtime._driver.context.require_link.budget
        await until(lambda: sent.frames_sent > 3)  # a subscription, and pings whose answers stay unread
        assert [(await anext(rows)).payload["n"] for _ in range(500)] == list(range(500))
        assert (rows.dropped, server.connections) == (0, 1)


async def test_tls() -> None:
    showing = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    showing.load_cert_chain(DATA / "localhost.pem")
    trusting = ssl.create_default_context(cafile=DATA / "authority.pem")
    async with RealtimeServer() as server, FaultProxy(server.endpoint, showing) as proxy:
        held = descriptors()
        endpoint = f"https://localhost:{proxy.port}/v1"
        async with Realtime(endpoint, "demo", ssl=trusting, timeouts=Timeouts(close=0.5), retry=QUICK) as realtime:
            rows = await realtime.subscribe("rows")
            server.publish(["e"], ["rows"], {"n": 1})
            assert (await anext(rows)).payload == {"n": 1}
            server.drop()
            await until(lambda: not realtime.is_live)
            await until(lambda: realtime.state is State.SUBSCRIBED)
        await until(lambda: descriptors() == held)


def test_the_command_line_runs_on_it_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop_factory() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None


def test_an_interrupt_in_a_handler_leaves_the_loop_and_not_the_link() -> None:
    handled: list[int] = []

    def handler(event: Event) -> None:
        handled.append(event.payload["n"])
        if len(handled) == 1:
            raise KeyboardInterrupt

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        async with asyncio.timeout(20), RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime:
            listener = await realtime.on("rows", handler)
            for number in range(3):
                server.publish(["e"], ["rows"], {"n": number})
            await until(lambda: len(handled) == 3)
            assert (listener.failures, server.connections, realtime.state) == (1, 1, State.SUBSCRIBED)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        task = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
        loop.run_until_complete(task)
