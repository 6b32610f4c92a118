"""Shorthands for tests that dial the embedded server on a loopback socket."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from realtime_fsm.testing.listener import LoopbackServer
from support.raw_client import RawClient, upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from realtime_fsm.testing import RealtimeServer
    from realtime_fsm.testing.listener import ServerTransport

DEMO = "/v1/realtime?project=demo"
GREETING = '{"type":"connected","data":{"channels":[],"subscriptions":[],"user":null}}'
PING = '{"type":"ping"}'
PONG = '{"type":"pong"}'


def run_on_loopback(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test on an event loop of the real clock. The test may leave no task behind."""

    async def watched() -> None:
        await test()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        _, left = await asyncio.wait(others, timeout=5) if others else (set(), set())  # aiohttp closes TLS in tasks of its own
        assert left == set()

    asyncio.run(watched())


def loopback_links(server: RealtimeServer) -> list[ServerTransport]:
    """The links of a server, on its own side."""
    listener = server._core.listener
    assert isinstance(listener, LoopbackServer)
    return list(listener._links)


def port_of(server: RealtimeServer) -> int:
    return urlsplit(server.endpoint).port or 0


@asynccontextmanager
async def connected(server: RealtimeServer, target: str = DEMO, *headers: str) -> AsyncIterator[RawClient]:
    client = await RawClient.dial(port_of(server), upgrade(target, *headers))
    try:
        yield client
    finally:
        await client.hang_up()


async def subscribe(client: RawClient, *channels: str, name: str = "s") -> None:
    item = {"subscriptionId": name, "channels": channels}
    client.send(json.dumps({"type": "subscribe", "data": [item]}))
    assert (await client.json())["type"] == "response"
