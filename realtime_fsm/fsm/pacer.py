"""The pacer: it limits how often all connections of a process together dial one server.

Invariant: when a connection dials, at most `limit` dials have left within 60 seconds, its own included, and at most eight at
once. The dials of all connections to that server count, also those with another limit.

Design: A server takes 128 dials a minute per path and IP, and a burst can kill its workers (PROTOCOL: "Connecting"). So a few
dials leave at once, and the others follow evenly. A dial that must wait reserves a slot, which is a moment in the future. This
wait is no failed attempt.

Each limit has its own plan of slots. A plan knows no dials of other limits, and does not know how late dials leave after a busy
loop or a sleep. So the pacer checks each dial once more at its moment, against all dials that have left. The record of a server
outlives its connections by a minute.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import nullcontext
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from realtime_fsm.fsm.policies import RATE_LIMIT_WINDOW
from realtime_fsm.protocol.options import host_and_port

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

BURST = 8
"""Dials that may leave at once."""
_ROUNDING = 1e-6
"""Seconds of tolerance for rounding in sums of steps."""

_UNSHARED = nullcontext()


class _Rate:
    """The pace of a sequence of dials: a leaky bucket spreads them, and a window of 60 seconds limits their number."""

    __slots__ = ("_burst", "_full_at", "_latest", "_limit", "_step", "free")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._burst = min(BURST, limit) - 1  # in addition to the next dial
        self._step = RATE_LIMIT_WINDOW / limit
        self._full_at = -math.inf  # when a whole burst may leave again
        self._latest: deque[float] = deque(maxlen=limit)
        self.free: list[float] = []  # the planned slots that connections have given back, in order

    def bucket_at(self, now: float) -> float:
        """Tell when the bucket lets the next dial leave."""
        at = self._full_at - self._burst * self._step
        return at if at > now + _ROUNDING else now

    def window_at(self, now: float) -> float:
        """Tell when the window lets the next dial leave."""
        return max(now, self._latest[0] + RATE_LIMIT_WINDOW) if len(self._latest) == self._limit else now

    def record(self, at: float, *, held: bool = False) -> None:
        """Record a dial.

        Args:
            at: its moment, in seconds.
            held: whether the window delayed it; then no burst may follow.
        """
        empty_at = at + self._burst * self._step  # connections with a greater limit may have dialed faster
        self._full_at = (empty_at if held else min(max(at, self._full_at), empty_at)) + self._step
        self._latest.append(at)


class Dials:
    """The dials of this process to one server: those of the last minute, and the planned ones of each limit.

    Args:
        lock: guards the dials, where connections run in several threads.
    """

    __slots__ = ("__weakref__", "_left", "_plans", "lock")

    def __init__(self, lock: AbstractContextManager[Any] = _UNSHARED) -> None:
        self.lock: AbstractContextManager[Any] = lock
        self._left: deque[float] = deque()
        self._plans: dict[int | None, _Rate] = {}

    @property
    def idle_since(self) -> float:
        """When the last dial left, in seconds; minus infinity if no dial left."""
        return self._left[-1] if self._left else -math.inf

    def left(self, limit: int) -> _Rate:
        """Compute the pace of the dials that have left, for a connection with this limit."""
        rate = _Rate(limit)
        for at in self._left:
            rate.record(at)
        return rate

    def plan(self, limit: int | None) -> _Rate:
        """Return the plan of the connections with this limit."""
        return self._plans.setdefault(limit, _Rate(limit or 1))

    def forget_old(self, now: float) -> None:
        """Forget the dials of more than a minute ago. Forget all dials if the clock of a new event loop began later."""
        if now < self.idle_since - RATE_LIMIT_WINDOW:
            self._left.clear()
            self._plans.clear()
        while self._left and self._left[0] < now - RATE_LIMIT_WINDOW:
            self._left.popleft()

    def record_dial(self, now: float) -> float:
        """Record a dial that leaves now, and return its moment."""
        self._left.append(now)
        _BUSY.pop(self, None)
        _BUSY[self] = None
        for dials in takewhile(lambda busy: busy.idle_since < now - RATE_LIMIT_WINDOW, list(_BUSY)):
            _BUSY.pop(dials, None)
        return now


class Pacer:
    """The pacer of one connection.

    Args:
        limit: dials in any 60 seconds; None for no limit.
        dials: the dials of the process to the server; by default a record for this connection alone.
    """

    __slots__ = ("__weakref__", "_dials", "_limit")

    def __init__(self, limit: int | None, dials: Dials | None = None) -> None:
        self._limit = limit
        self._dials = dials or Dials()

    def reserve(self, now: float) -> float:
        """Reserve a slot.

        Args:
            now: seconds, in the machine's clock.

        Returns:
            The moment of the dial: now, or later.
        """
        with self._dials.lock:
            self._dials.forget_old(now)
            return self._dials.record_dial(now) if self._limit is None else self._reserve(now, self._limit)

    def claim(self, slot: float, now: float) -> float:
        """Claim a slot that `reserve` returned.

        Returns:
            The moment of the dial: now, if the slot has come and the dials that have left allow it; else later.
        """
        if slot > now or self._limit is None:
            return max(slot, now)
        with self._dials.lock:
            self._dials.forget_old(now)
            left = self._dials.left(self._limit)
            if left.bucket_at(now) > now:  # many dials come late at once, so each reserves another slot
                return self._reserve(now, self._limit)
            at = left.window_at(now)
            return self._dials.record_dial(now) if at <= now else at

    def release(self, slot: float) -> None:
        """Give back a slot."""
        with self._dials.lock:
            plan = self._dials.plan(self._limit)
            plan.free = sorted([*plan.free, slot])

    def _reserve(self, now: float, limit: int) -> float:
        left, plan = self._dials.left(limit), self._dials.plan(limit)
        plan.free = [slot for slot in plan.free if slot > now]
        soon = max(plan.bucket_at(now), left.bucket_at(now))
        window = max(plan.window_at(now), left.window_at(now))
        at = max(soon, window)
        if plan.free and plan.free[0] <= at:
            return plan.free.pop(0)
        plan.record(at, held=window > soon)
        return self._dials.record_dial(now) if at <= now else at


_BUSY: dict[Dials, None] = {}
"""The dials to servers that a connection dialed within a minute, with the newest dial last; `_SERVERS` alone would forget them
with the connection."""
_SERVERS: WeakValueDictionary[str, Dials] = WeakValueDictionary()


def pacer_for(url: str, limit: int | None, lock: AbstractContextManager[Any]) -> Pacer:
    """Build the pacer of a connection. It counts the dials of all connections of this process to the same server.

    Args:
        url: the URL of the dials; its host and port identify the server, in any spelling.
        limit: dials in any 60 seconds; None for no limit.
        lock: guards the dials of all these connections, if this one is the first.
    """
    host, _, port = host_and_port(url).rpartition(":")
    return Pacer(limit, _SERVERS.setdefault(f"{host.rstrip('.')}:{port}", Dials(lock)))


def forget_dials() -> None:
    """Forget all dials of this process. Tests need this, because their servers may use the same port one after another."""
    _SERVERS.clear()
    _BUSY.clear()
