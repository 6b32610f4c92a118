"""The embedded server in a thread of its own, for tests of the synchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from realtime_fsm import RetryPolicy
from realtime_fsm.sync import Realtime
from realtime_fsm.testing import BlockingServer, RealtimeServer

LONG = 20.0
QUICK = RetryPolicy(attempts=3, base=0.05, factor=1.5, cap=0.2)


class Served:
    """The embedded server, in a thread of its own."""

    def __init__(self, blocking: BlockingServer) -> None:
        self.server = blocking.server
        self.endpoint = blocking.endpoint
        self._portal = blocking._portal

    def do(self, call: Callable[[RealtimeServer], Any]) -> Any:
        """Call a function with the server, in the thread of the server."""

        async def run() -> Any:
            result = call(self.server)
            return await result if asyncio.iscoroutine(result) else result

        return self._portal.call(run)

    def publish(self, channel: str, **payload: Any) -> None:
        self.server.publish([f"{channel}.1.create"], [channel], {"$id": "1", **payload})


@pytest.fixture
def served() -> Iterator[Served]:
    with RealtimeServer() as server:
        yield Served(server)


@contextmanager
def connected(served: Served, **options: Any) -> Iterator[Realtime]:
    with Realtime(served.endpoint, "demo", **{"retry": QUICK, **options}) as realtime:
        yield realtime
