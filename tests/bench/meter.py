"""The meter: it takes the events of a load from a candidate, and reads the process's CPU clock around those that count."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from typing import Any

from bench.hotspots import Profile
from bench.load import Load
from bench.server import GO

Consume = Callable[[int], Awaitable[Any]]
"""Takes so many events and returns the last of them."""


class Meter:
    """What is found out in one run.

    Args:
        port: where the server listens.
        load: what it sends.
        verify: whether every event is looked at, one by one, instead of measured.
        profile: whether the time is broken down instead.

    Attributes:
        cpu: seconds of CPU of this process for the events that count.
        payloads: of the last event, or of all of them.
        hot: the lines of the profile.
    """

    def __init__(self, port: int, load: Load, *, verify: bool = False, profile: bool = False) -> None:
        self.port = port
        self.load = load
        self.verify = verify
        self.cpu = 0.0
        self.payloads: list[Any] = []
        self.hot = ""
        self._profile = profile

    async def run(self, consume: Consume, payload_of: Callable[[Any], Any]) -> None:
        """Take all events of the load."""
        if self.verify:
            self.go()
            self.payloads = [payload_of(await consume(1)) for _ in range(self.load.warm)]
            return
        await self.warm(consume)
        self.payloads = [payload_of(await self.lap(consume))]

    async def warm(self, consume: Consume) -> None:
        """Let the first events come, and take them."""
        self.go()
        await consume(self.load.warm)

    async def lap(self, consume: Consume) -> Any:
        """Let the events come that count, and take them; returns the last."""
        gc.collect()
        self.go()
        watch = Profile() if self._profile else nullcontext()
        with watch:
            began = time.process_time()
            last = await consume(self.load.count)
            self.cpu = time.process_time() - began
        self.hot = watch.text if isinstance(watch, Profile) else ""
        return last

    def go(self) -> None:
        """Let the next events come. It waits for the server's answer, while nothing else runs."""
        with socket.create_connection(("127.0.0.1", self.port)) as asking:
            asking.sendall(f"GET {GO}{self.load.channel} HTTP/1.1\r\n\r\n".encode())
            asking.recv(64)


class Push:
    """For clients that call back: `hear` is what they call, `consume` waits until it was called so many times."""

    def __init__(self, meter: Meter) -> None:
        self.hear: Callable[[Any], None] = self._keep if meter.verify else self._count
        self._last: Any = None
        self._left = 0
        self._kept: deque[Any] = deque()
        self._done = asyncio.Event()

    async def consume(self, count: int) -> Any:
        """Take so many events."""
        self._left += count
        while self._left > 0:
            self._done.clear()
            await self._done.wait()
        return self._kept.popleft() if self._kept else self._last

    def _count(self, event: Any) -> None:
        self._last = event
        self._left -= 1
        if not self._left:
            self._done.set()

    def _keep(self, event: Any) -> None:
        self._kept.append(event)
        self._left -= 1
        self._done.set()
