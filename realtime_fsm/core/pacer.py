"""The pacer: how often a process may dial one server, all its connections together.

The server takes 128 dials a minute per path and IP (PROTOCOL: "Connecting"); the 129th is refused. Who wants to dial takes a
place in the queue and is told its moment; waiting for it is not a failed attempt.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from weakref import WeakValueDictionary

from realtime_fsm.vocabulary.policies import THROTTLE_WINDOW

_PUNCTUAL = 1.0
"""Seconds by which who comes to dial may be late: a busy loop, not a process that slept."""


class Pacer:
    """The dials to one server."""

    __slots__ = ("__weakref__", "_limit", "_places")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._places: list[float] = []  # in order

    def take(self, now: float) -> float:
        """Take a place.

        Args:
            now: seconds, in the machine's clock.

        Returns:
            When to dial: now, or later.
        """
        if self._limit is None:
            return now
        del self._places[: bisect_right(self._places, now - THROTTLE_WINDOW)]
        surplus = len(self._places) - self._limit
        at = now if surplus < 0 else max(now, self._places[surplus] + THROTTLE_WINDOW)
        insort(self._places, at)
        return at

    def come(self, place: float, now: float) -> float:
        """Come to dial, with a place that was taken before.

        Returns:
            When to dial: now; or later, for who came before the time, or has slept through it.
        """
        if place > now or self._limit is None:
            return place
        self.give_back(place)
        if now - place > _PUNCTUAL:
            return self.take(now)
        insort(self._places, now)
        return now

    def give_back(self, place: float) -> None:
        """A place that was taken is not needed."""
        if place in self._places:
            self._places.remove(place)


_PACERS: WeakValueDictionary[tuple[str, int | None], Pacer] = WeakValueDictionary()


def pacer_for(server: str, limit: int | None) -> Pacer:
    """The pacer that all connections of this process to one server share.

    Args:
        server: the server's host, port and path.
        limit: dials a minute; None for no limit.
    """
    return _PACERS.setdefault((server, limit), Pacer(limit))
