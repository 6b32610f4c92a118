"""The pacer: how often a process may dial one server, all its connections together.

Invariant: with a connection's own dial, at most `limit` dials have left in 60 seconds, and at most eight of them at once. The
dials of all connections to the server count, whatever the limit of each is.

Design: a server takes 128 dials a minute per path and IP, and a burst can kill its workers (PROTOCOL: "Connecting"). So a few
dials may leave at once, and the others follow evenly. A dial that must wait takes a place, which is a moment in the future;
waiting is not a failed attempt. A place is a plan among dials of one limit: when its moment has come, the dials that have left
decide, because those of other limits, of a busy loop and of a process that slept are not in the plan. A server that was dialed
within a minute outlives its connections.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from realtime_fsm.fsm.policies import RATE_LIMIT_WINDOW
from realtime_fsm.protocol.options import host_and_port

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
        self._step = RATE_LIMIT_WINDOW / limit
        self._full_at = 0.0  # when a whole burst may leave again
        self._latest: deque[float] = deque(maxlen=limit)

    def bucket_at(self, now: float) -> float:
        """When the bucket lets the next one leave."""
        at = self._full_at - self._burst * self._step
        return at if at > now + _ROUNDING else now

    def window_at(self, now: float) -> float:
        """When the window lets the next one leave."""
        return max(now, self._latest[0] + RATE_LIMIT_WINDOW) if len(self._latest) == self._limit else now

    def note(self, at: float, *, held: bool = False) -> None:
        """Note one.

        Args:
            at: its moment, in seconds.
            held: whether the window held it back, which leaves no burst.
        """
        empty_at = at + self._burst * self._step  # dials of a greater limit leave no less than that
        self._full_at = (empty_at if held else min(max(at, self._full_at), empty_at)) + self._step
        self._latest.append(at)


class _Plan(_Rate):
    """The places that connections with one limit have taken.

    Attributes:
        free: places that were given back, in order.
    """

    __slots__ = ("free",)

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.free: list[float] = []


class Dials:
    """The dials of this process to one server: those that left within a minute, and for each limit those that are planned.

    Args:
        lock: held while they are looked at or changed, where connections have threads of their own.
    """

    __slots__ = ("__weakref__", "_left", "_plans", "lock")

    def __init__(self, lock: AbstractContextManager[Any] = _UNSHARED) -> None:
        self.lock = lock
        self._left: deque[float] = deque()
        self._plans: dict[int | None, _Plan] = {}

    @property
    def idle_since(self) -> float:
        """When the last dial left, in seconds; before all times if none did."""
        return self._left[-1] if self._left else -math.inf

    def left(self, limit: int) -> _Rate:
        """The pace of those that have left, as a connection with this limit counts them."""
        rate = _Rate(limit)
        for at in self._left:
            rate.note(at)
        return rate

    def plan(self, limit: int | None) -> _Plan:
        """The places of connections with this limit."""
        return self._plans.setdefault(limit, _Plan(limit or 1))

    def look(self, now: float) -> None:
        """Forget what is over; and everything, where the clock is that of another event loop, which began later."""
        if now < self.idle_since - RATE_LIMIT_WINDOW:
            self._left.clear()
            self._plans.clear()
        while self._left and self._left[0] < now - RATE_LIMIT_WINDOW:
            self._left.popleft()

    def leave(self, now: float) -> float:
        """Note that one leaves now."""
        self._left.append(now)
        _BUSY.add(self)
        for dials in [dials for dials in _BUSY.copy() if dials.idle_since < now - RATE_LIMIT_WINDOW]:
            _BUSY.discard(dials)
        return now


class Pacer:
    """The pace of a connection's dials to its server.

    Args:
        limit: dials in any 60 seconds; None for no limit.
        dials: those of the process to that server; its own by default.
    """

    __slots__ = ("__weakref__", "_dials", "_limit")

    def __init__(self, limit: int | None, dials: Dials | None = None) -> None:
        self._limit = limit
        self._dials = dials or Dials()

    def reserve(self, now: float) -> float:
        """Take a place.

        Args:
            now: seconds, in the machine's clock.

        Returns:
            When to dial: now, or later.
        """
        with self._dials.lock:
            self._dials.look(now)
            return self._dials.leave(now) if self._limit is None else self._take(now, self._limit)

    def claim(self, place: float, now: float) -> float:
        """Come to dial, with a place that was taken before.

        Returns:
            When to dial: now; or later, for a dial before its time, and where too many others have left meanwhile.
        """
        if place > now or self._limit is None:
            return max(place, now)
        with self._dials.lock:
            self._dials.look(now)
            left = self._dials.left(self._limit)
            if left.bucket_at(now) > now:  # many come late at once: those behind have places of their own
                return self._take(now, self._limit)
            at = left.window_at(now)
            return self._dials.leave(now) if at <= now else at

    def release(self, place: float) -> None:
        """Give back a place that is not needed."""
        with self._dials.lock:
            plan = self._dials.plan(self._limit)
            plan.free = sorted([*plan.free, place])

    def _take(self, now: float, limit: int) -> float:
        left, plan = self._dials.left(limit), self._dials.plan(limit)
        plan.free = [place for place in plan.free if place > now]
        soon = max(plan.bucket_at(now), left.bucket_at(now))
        window = max(plan.window_at(now), left.window_at(now))
        at = max(soon, window)
        if plan.free and plan.free[0] <= at:
            return plan.free.pop(0)
        plan.note(at, held=window > soon)
        return self._dials.leave(now) if at <= now else at


_BUSY: set[Dials] = set()
"""The dials of servers that were dialed within a minute."""
_SERVERS: WeakValueDictionary[str, Dials] = WeakValueDictionary()


def pacer_for(url: str, limit: int | None, lock: AbstractContextManager[Any]) -> Pacer:
    """The pacer of a connection, which counts the dials of all connections of this process to the server.

    Args:
        url: where the connection dials; its host and port are the server, however the URL spells them.
        limit: dials a minute that the connection allows; None for no limit.
        lock: for the threads of those connections, where this one is the first.
    """
    host, _, port = host_and_port(url).rpartition(":")
    return Pacer(limit, _SERVERS.setdefault(f"{host.rstrip('.')}:{port}", Dials(lock)))


def forget_dials() -> None:
    """Forget all dials of this process, as a new process does; for tests, whose servers may share a port one after another."""
    _SERVERS.clear()
    _BUSY.clear()
