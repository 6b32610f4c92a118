"""The grace of a late timer: what arrived while the event loop was blocked is read before a timer calls a link silent.

A loop that was blocked runs its due timers before the tasks that read the sockets. So an answer that came in time may lie unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

LATE = 0.1
"""Seconds of lateness from which a timer gets a grace: the program blocked the loop, or the process slept."""
GRACE = 0.2
"""Seconds in which the tasks read what lies in their sockets: some ten thousand events."""


def grace_after(loop: asyncio.AbstractEventLoop, due: float, callback: Callable[[], None]) -> asyncio.TimerHandle | None:
    """Call back after the grace, if it is late for a moment that was due; else return None."""
    return loop.call_later(GRACE, callback) if loop.time() > due + LATE else None


class GracedTimer:
    """A timer that calls back at a moment; with the grace, if it is late."""

    __slots__ = ("_callback", "_due", "_handle", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, due: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._due = max(due, loop.time())
        self._callback = callback
        self._handle: asyncio.TimerHandle = loop.call_at(due, self._fire)

    def cancel(self) -> None:
        """Call back no more."""
        self._handle.cancel()

    def _fire(self) -> None:
        grace = grace_after(self._loop, self._due, self._callback)
        if grace is None:
            self._callback()
        else:
            self._handle = grace
