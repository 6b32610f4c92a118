"""A server fault of the embedded server: the server answers, and cannot work (PROTOCOL: "Messages", rule 10)."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from realtime_fsm.testing import RealtimeServer, peer
from realtime_fsm.testing import dispatcher as desk
from realtime_fsm.testing.peer import FAULT_DELAY, Backend, Request, ServerConnection
from support.loopback import DEMO, GREETING, PING, PONG, connected
from support.raw_client import RawClient

SUBSCRIBE = '{"type":"subscribe","data":[{"subscriptionId":"s","channels":["rows"]}]}'
SHORT = 0.05


@pytest.fixture(autouse=True)
def _short_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FAULT_DELAY == 2
    for module in (desk, peer):
        monkeypatch.setattr(module, "FAULT_DELAY", SHORT)


async def code(client: RawClient) -> object:
    return json.loads(await client.text())["data"]["code"]


def seconds_since(start: float) -> float:
    return time.monotonic() - start


@pytest.mark.loopback
async def test_pings_are_answered_late_requests_at_once_and_the_same_link_works_again() -> None:
    async with RealtimeServer() as server, connected(server) as client:
        assert await client.text() == GREETING
        server.fault(60)
        start = time.monotonic()
        client.send(PING)
        client.send(SUBSCRIBE)
        assert await code(client) == 0  # the subscribe's, which overtakes
        assert server.subscriptions == 0
        assert await code(client) == 0
        assert seconds_since(start) >= SHORT
        server.fault(0)
        client.send(PING)
        assert await client.text() == PONG
        client.send(SUBSCRIBE)
        await client.text()
        assert server.subscriptions == 1
        assert len(server.received[0]) == 4


@pytest.mark.loopback
async def test_events_are_lost_and_the_fault_ends_by_itself() -> None:
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        server.fault(0.05)
        assert server.publish("e", "rows", {"lost": 1}) == 0
        over = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, over.set)  # behind the server's own timer
        await over.wait()
        assert server.publish("e", "rows", {"lost": 0}) == 1
        assert json.loads(await client.text())["data"]["payload"] == {"lost": 0}


@pytest.mark.loopback
async def test_a_dial_is_greeted_late_and_a_stop_ends_the_fault() -> None:
    server = RealtimeServer()
    await server.start()
    server.fault(60)
    start = time.monotonic()
    async with connected(server) as client, connected(server) as gone:
        await server.wait_for_connections(2)
        await gone.hang_up()
        await server.wait_for_connections(1)
        assert await client.text() == GREETING
        assert seconds_since(start) >= SHORT
    await server.stop()
    await server.start()
    async with connected(server) as client:
        client.send(PING)
        assert [await client.text(), await client.text()] == [GREETING, PONG]
    await server.stop()


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
@pytest.mark.loopback
async def test_a_length_that_is_none_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        RealtimeServer().fault(seconds)


@pytest.mark.parametrize(("masked", "text"), [(True, "Error: Server Error"), (False, "Redis server went away")])
def test_the_text_is_masked_in_production(masked: bool, text: str) -> None:
    backend = Backend(masked=masked)
    client = ServerConnection(backend)
    client.greet(Request("/v1/realtime?project=demo", ()), 0.0)
    backend.faulty = True
    assert json.loads(client.receive_message("[]", 0.0).frames[0])["data"] == {"code": 0, "message": text}
