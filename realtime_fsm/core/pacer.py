"""The pacer: how often a process may dial one server, all its connections together.

Invariant: at most `limit` dials leave in any 60 seconds, and at most eight of them at once.

Design: a server takes 128 dials a minute per path and IP, and a burst can kill its workers (PROTOCOL: "Connecting"). So a few
dials may leave at once, and the others follow evenly. A dial that must wait takes a place, which is a moment in the future;
waiting is not a failed attempt. A place is a plan: when its moment has come, the dials that have left decide, because those of
a busy loop and of a process that slept come late. A pacer that has dialed within a minute outlives its connections.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from realtime_fsm.vocabulary.policies import THROTTLE_WINDOW

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

BURST = 8
"""Dials that may leave at once."""
_ROUNDING = 1e-6
"""Seconds that sums of steps may be off."""

_UNSHARED = nullcontext()


class _Rate:
    """The pace of a sequence of dials, planned ones or those that have left: a leaky bucket, and a window."""

    __slots__ = ("_burst", "_full_at", "_latest", "_limit", "_step")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._burst = min(BURST, limit) - 1  # beside the one that asks
        self._step = THROTTLE_WINDOW / limit
        self._full_at = 0.0  # when a whole burst may leave again
        self._latest: deque[float] = deque(maxlen=limit)

    @property
    def last(self) -> float:
        """The last of them, in seconds; before all times if there is none."""
        return self._latest[-1] if self._latest else -math.inf

    def bucket_at(self, now: float) -> float:
        """When the bucket lets the next one leave."""
        at = self._full_at - self._burst * self._step
        return at if at > now + _ROUNDING else now

    def window_at(self, now: float) -> float:
        """When the window lets the next one leave."""
        return max(now, self._latest[0] + THROTTLE_WINDOW) if len(self._latest) == self._limit else now

    def note(self, at: float, *, held: bool) -> None:
        """Note one.

        Args:
            at: its moment, in seconds.
            held: whether the window held it back, which leaves no burst.
        """
        self._full_at = (at + self._burst * self._step if held else max(at, self._full_at)) + self._step
        self._latest.append(at)


class Pacer:
    """The dials to one server.

    Args:
        limit: dials in any 60 seconds; None for no limit.
        lock: held while a place is taken or given back, where connections have threads of their own.
    """

    __slots__ = ("__weakref__", "_free", "_left", "_limit", "_lock", "_planned")

    def __init__(self, limit: int | None, lock: AbstractContextManager[Any] = _UNSHARED) -> None:
        self._limit = limit
        self._lock = lock
        self._forget()

    def _forget(self) -> None:
        self._planned, self._left = _Rate(self._limit or 1), _Rate(self._limit or 1)
        self._free: list[float] = []  # places that were given back, in order

    @property
    def idle_since(self) -> float:
        """When the last dial left, in seconds."""
        return self._left.last

    def take(self, now: float) -> float:
        """Take a place.

        Args:
            now: seconds, in the machine's clock.

        Returns:
            When to dial: now, or later.
        """
        if self._limit is None:
            return now
        with self._lock:
            return self._take(now)

    def come(self, place: float, now: float) -> float:
        """Come to dial, with a place that was taken before.

        Returns:
            When to dial: now; or later, for a dial before its time, and where too many others have left meanwhile.
        """
        if place > now or self._limit is None:
            return max(place, now)
        with self._lock:
            if self._left.bucket_at(now) > now:  # many come late at once: those behind have places of their own
                return self._take(now)
            at = self._left.window_at(now)
            return self._leave(now) if at <= now else at

    def give_back(self, place: float) -> None:
        """Give back a place that is not needed."""
        with self._lock:
            self._free = sorted([*self._free, place])

    def _take(self, now: float) -> float:
        if now < self._left.last - THROTTLE_WINDOW:  # the clock of another event loop, which began later
            self._forget()
        self._free = [place for place in self._free if place > now]
        planned = self._planned
        soon = max(planned.bucket_at(now), self._left.bucket_at(now))
        window = max(planned.window_at(now), self._left.window_at(now))
        at = max(soon, window)
        if self._free and self._free[0] <= at:
            return self._free.pop(0)
        planned.note(at, held=window > soon)
        return self._leave(now) if at <= now else at

    def _leave(self, now: float) -> float:
        self._left.note(now, held=False)
        _BUSY.add(self)
        for pacer in [pacer for pacer in _BUSY.copy() if pacer.idle_since < now - THROTTLE_WINDOW]:
            _BUSY.discard(pacer)
        return now


_BUSY: set[Pacer] = set()
"""The pacers that have dialed within a minute."""
_PACERS: WeakValueDictionary[tuple[str, int | None], Pacer] = WeakValueDictionary()


def pacer_for(server: str, limit: int | None, lock: AbstractContextManager[Any]) -> Pacer:
    """The pacer that all connections of this process to one server share.

    Args:
        server: the server's host, port and path.
        limit: dials a minute; None for no limit.
        lock: for the threads of those connections.
    """
    return _PACERS.setdefault((server, limit), Pacer(limit, lock))
