"""A server fault of the embedded server: the server answers, and cannot work (PROTOCOL: "Messages", rule 10)."""

from __future__ import annotations

import asyncio
import time

import pytest

from realtime_fsm.testing import InMemoryServer, RealtimeServer, backend
from realtime_fsm.testing.memory import LATENCY
from support.loopback import DEMO, GREETING, PING, PONG, connected
from support.server_core import dial, error, single_frame

SUBSCRIBE = '{"type":"subscribe","data":[{"subscriptionId":"s","channels":["rows"]}]}'
SHORT = 0.05


@pytest.fixture
def short_delay(monkeypatch: pytest.MonkeyPatch) -> float:
    """The delay of a faulty server's answers, which is 2 s by default."""
    assert backend.FAULT_DELAY == 2
    monkeypatch.setattr(backend, "FAULT_DELAY", SHORT)
    return SHORT


def seconds_since(start: float) -> float:
    return time.monotonic() - start


@pytest.mark.loopback
async def test_pings_are_answered_late_requests_at_once_and_the_same_link_works_again(short_delay: float) -> None:
    async with RealtimeServer() as server, connected(server) as client:
        assert await client.text() == GREETING
        server.fault(60)
        start = time.monotonic()
        client.send(PING)
        client.send(SUBSCRIBE)
        assert await client.error_code() == 0  # of the subscribe, which overtakes the ping
        assert server.subscriptions == 0
        assert await client.error_code() == 0
        assert seconds_since(start) >= short_delay
        server.fault(0)
        client.send(PING)
        assert await client.text() == PONG
        client.send(SUBSCRIBE)
        await client.text()
        assert server.subscriptions == 1
        assert len(server.received[0]) == 4


@pytest.mark.loopback
async def test_events_are_lost_until_the_fault_ends() -> None:
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        server.fault(0.05)
        assert server.publish("e", "rows", {"lost": 1}) == 0
        ended = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, ended.set)  # behind the server's own timer
        await ended.wait()
        assert server.publish("e", "rows", {"lost": 0}) == 1
        assert (await client.json())["data"]["payload"] == {"lost": 0}


@pytest.mark.loopback
async def test_a_dial_is_greeted_late_and_a_stop_ends_the_fault(short_delay: float) -> None:
    server = RealtimeServer()
    await server.start()
    server.fault(60)
    start = time.monotonic()
    async with connected(server) as client, connected(server) as gone:
        await server.wait_for_connections(2)
        await gone.hang_up()
        await server.wait_for_connections(1)
        assert await client.text() == GREETING
        assert seconds_since(start) >= short_delay
    await server.stop()
    await server.start()
    async with connected(server) as client:
        client.send(PING)
        assert [await client.text(), await client.text()] == [GREETING, PONG]
    await server.stop()


async def test_a_wait_ends_with_the_late_greeting_of_a_faulty_server() -> None:
    async with InMemoryServer() as server:
        clock = asyncio.get_running_loop().time
        server.fault(60)
        waiting = asyncio.create_task(server.wait_for_subscriptions(1))
        await asyncio.sleep(0)
        began = clock()
        await server._memory.dial(f"{server.endpoint}/realtime?project=demo&channels[]=rows", {})
        await waiting
        assert clock() - began == pytest.approx(backend.FAULT_DELAY + LATENCY)


async def test_a_later_fault_takes_the_place_of_an_earlier_one() -> None:
    async with InMemoryServer() as server:

        def is_faulty() -> bool:
            return server._core.backend.faulty

        server.fault(10)
        await asyncio.sleep(5)
        server.fault(20)
        await asyncio.sleep(19.9)
        assert is_faulty(), "the end of the earlier one, 15 s ago, ends nothing"
        await asyncio.sleep(0.2)
        assert not is_faulty()
        server.fault(10)
        server.fault(0)
        assert not is_faulty()
        server.fault(20)
        await asyncio.sleep(15)
        assert is_faulty()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
@pytest.mark.loopback
async def test_a_length_that_is_not_valid_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        RealtimeServer().fault(seconds)


@pytest.mark.parametrize(("masked", "text"), [(True, "Error: Server Error"), (False, "Redis server went away")])
def test_the_text_is_masked_in_production(masked: bool, text: str) -> None:
    core = backend.Backend(masked=masked)
    client = dial(core)
    core.faulty = True
    assert single_frame(client.receive_message("[]", 0.0)) == error(0, text)
