"""The suspend detector notices that the process slept, and has every connection of the loop check its link at once.

A laptop that was shut or a machine that was suspended does not run, and its timers may not count the time: the clock of the
wall does. One timer a loop compares the two, for all connections, and only while one wants a link.
"""

from __future__ import annotations

import time
from contextvars import Context
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary, WeakSet, proxy

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

POLL_INTERVAL = 2.0
"""Seconds from check to check."""
CLOCK_JUMP = 10.0
"""Seconds by which a clock must have jumped. A loop that was blocked for so long may have lost its links, too."""


class ResumeListener(Protocol):
    """A listener for the end of a suspension."""

    def on_resume(self) -> None:
        """Handle the end of a suspension of the process."""


class SuspendDetector:
    """Compares the clock of one loop with the clock of the wall, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: Callable[[], float] = time.time) -> None:
        self._loop = proxy(loop)  # a watch must not keep alive the loop by which it is found
        self._wall = wall
        self._listeners: WeakSet[ResumeListener] = WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._seen = (0.0, 0.0)

    def add(self, listener: ResumeListener) -> None:
        """Tell a listener from now on."""
        self._listeners.add(listener)
        if self._timer is None:
            self._check_later()

    def discard(self, listener: ResumeListener) -> None:
        """Tell a listener no more."""
        self._listeners.discard(listener)
        if not self._listeners and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_later(self) -> None:
        self._seen = (self._loop.time(), self._wall())
        # Not in the context of a connection, which may end.
        self._timer = self._loop.call_later(POLL_INTERVAL, self._check_clocks, context=Context())

    def _check_clocks(self) -> None:
        self._timer = None
        elapsed = max(self._loop.time() - self._seen[0], self._wall() - self._seen[1])
        if self._listeners:
            self._check_later()
        if elapsed > POLL_INTERVAL + CLOCK_JUMP:
            for listener in tuple(self._listeners):
                listener.on_resume()


_WATCHES: WeakKeyDictionary[asyncio.AbstractEventLoop, SuspendDetector] = WeakKeyDictionary()


def detector_for(loop: asyncio.AbstractEventLoop) -> SuspendDetector:
    """Return the detector of a loop, which all its connections share."""
    watch = _WATCHES.get(loop)
    if watch is None:
        watch = _WATCHES[loop] = SuspendDetector(loop)
    return watch
