"""The embedded server in a thread of its own, for tests of the synchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from realtime_fsm import RetryPolicy
from realtime_fsm.client.portal import Portal
from realtime_fsm.sync import Realtime
from realtime_fsm.testing import RealtimeServer

LONG = 20.0
QUICK = RetryPolicy(attempts=3, base=0.05, factor=1.5, cap=0.2)


class Served:
    """The embedded server, in a thread of its own."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self.server = portal.call(self._start)
        self.endpoint = self.server.endpoint

    @staticmethod
    async def _start() -> RealtimeServer:
        server = RealtimeServer(projects=["demo"])
        await server.start()
        return server

    def do(self, call: Callable[[RealtimeServer], Any]) -> Any:
        """Call a function with the server, in the thread of the server."""

        async def run() -> Any:
            result = call(self.server)
            return await result if asyncio.iscoroutine(result) else result

        return self._portal.call(run)

    def publish(self, channel: str, **payload: Any) -> None:
        self.do(lambda server: server.publish([f"{channel}.1.create"], [channel], {"$id": "1", **payload}))


@pytest.fixture
def served() -> Iterator[Served]:
    portal = Portal("the server")
    served = Served(portal)
    yield served
    portal.last = served.server.stop
    portal.close()


@contextmanager
def connected(served: Served, **options: Any) -> Iterator[Realtime]:
    with Realtime(served.endpoint, "demo", **{"retry": QUICK, **options}) as realtime:
        yield realtime
