"""The suspend detector: it notices that the process slept, so that every connection of the loop checks its link at once.

A suspended machine runs no timer, and the loop's clock may stand still meanwhile; the wall clock goes on. One timer for each loop
compares both clocks for all its connections, and only while a connection wants a link.
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
"""Seconds by which a clock must have jumped. A loop that was blocked for that time may have lost its links, too."""


class ResumeListener(Protocol):
    """The connection to which the detector reports."""

    def on_resume(self) -> None:
        """Handle the end of a sleep of the process."""


class SuspendDetector:
    """Compares the clock of one loop with the wall clock, in seconds."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: Callable[[], float] = time.time) -> None:
        self._loop = proxy(loop)  # a strong reference would keep the loop in `_DETECTORS`
        self._wall = wall
        self._listeners: WeakSet[ResumeListener] = WeakSet()
        self._timer: asyncio.TimerHandle | None = None
        self._seen: tuple[float, float]  # both clocks at the newest check

    def add(self, listener: ResumeListener) -> None:
        """Report to a listener from now on."""
        self._listeners.add(listener)
        if self._timer is None:
            self._check_later()

    def discard(self, listener: ResumeListener) -> None:
        """Stop the reports to a listener."""
        self._listeners.discard(listener)
        if not self._listeners and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_later(self) -> None:
        self._seen = (self._loop.time(), self._wall())
        # An empty context: that of a connection would be kept after the end of the connection.
        self._timer = self._loop.call_later(POLL_INTERVAL, self._check_clocks, context=Context())

    def _check_clocks(self) -> None:
        self._timer = None
        elapsed = max(self._loop.time() - self._seen[0], self._wall() - self._seen[1])
        if self._listeners:
            self._check_later()
        if elapsed > POLL_INTERVAL + CLOCK_JUMP:
            for listener in tuple(self._listeners):
                listener.on_resume()


_DETECTORS: WeakKeyDictionary[asyncio.AbstractEventLoop, SuspendDetector] = WeakKeyDictionary()


def detector_for(loop: asyncio.AbstractEventLoop) -> SuspendDetector:
    """Return the detector of a loop, which all its connections share."""
    detector = _DETECTORS.get(loop)
    if detector is None:
        detector = _DETECTORS[loop] = SuspendDetector(loop)
    return detector
