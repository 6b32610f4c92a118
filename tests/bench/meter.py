"""Meter a candidate: feed the events of a load, and read the CPU clock around the measured ones."""

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
from bench.server import RELEASE

Consume = Callable[[int], Awaitable[Any]]
"""Consumes so many events and returns the last one."""


class Meter:
    """The results of one run.

    Args:
        port: the server's port.
        load: the events that the server sends.
        verify: keep every payload instead of measuring.
        profile: profile instead of measuring.

    Attributes:
        cpu: seconds of CPU of this process for the measured events.
        payloads: the payload of the last event, or of all events.
        hotspots: the lines of the profile.
    """

    def __init__(self, port: int, load: Load, *, verify: bool = False, profile: bool = False) -> None:
        self.port = port
        self.load = load
        self.verify = verify
        self.cpu = 0.0
        self.payloads: list[Any] = []
        self.hotspots = ""
        self._profile = profile

    async def run(self, consume: Consume, payload_of: Callable[[Any], Any]) -> None:
        """Consume all events of the load."""
        if self.verify:
            self.release()
            self.payloads = [payload_of(await consume(1)) for _ in range(self.load.warm_up)]
            return
        await self.warm_up(consume)
        self.payloads = [payload_of(await self.measure(consume))]

    async def warm_up(self, consume: Consume) -> None:
        """Release and consume the first events."""
        self.release()
        await consume(self.load.warm_up)

    async def measure(self, consume: Consume) -> Any:
        """Release and consume the measured events; return the last one."""
        gc.collect()
        self.release()
        profiler = Profile() if self._profile else nullcontext()
        with profiler:
            began = time.process_time()
            last = await consume(self.load.count)
            self.cpu = time.process_time() - began
        self.hotspots = profiler.text if isinstance(profiler, Profile) else ""
        return last

    def release(self) -> None:
        """Release the next events, and block until the server answers."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(f"GET {RELEASE}{self.load.channel} HTTP/1.1\r\n\r\n".encode())
            connection.recv(64)


class Push:
    """A bridge for clients that call back: they call `on_event`, and `consume` waits for so many calls."""

    def __init__(self, meter: Meter) -> None:
        self.on_event: Callable[[Any], None] = self._store if meter.verify else self._count
        self._last: Any = None
        self._left = 0
        self._stored: deque[Any] = deque()
        self._done = asyncio.Event()

    async def consume(self, count: int) -> Any:
        """Wait for so many events, and return the last one."""
        self._left += count
        while self._left > 0:
            self._done.clear()
            await self._done.wait()
        return self._stored.popleft() if self._stored else self._last

    def _count(self, event: Any) -> None:
        self._last = event
        self._left -= 1
        if not self._left:
            self._done.set()

    def _store(self, event: Any) -> None:
        self._stored.append(event)
        self._left -= 1
        self._done.set()
