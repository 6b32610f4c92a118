"""The pacer: how often a process may dial one server, all its connections together.

The server takes 128 dials a minute per path and IP (PROTOCOL: "Connecting"); the 129th is refused. Who wants to dial takes a
place in the queue and is told its moment; waiting for it is not a failed attempt.
"""

from __future__ import annotations

from collections import deque
from weakref import WeakValueDictionary

from realtime_fsm.vocabulary.policies import THROTTLE_WINDOW


class Pacer:
    """The dials to one server."""

    __slots__ = ("__weakref__", "_limit", "_places")

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._places: deque[float] = deque()

    def take(self, now: float) -> float:
        """Take a place.

        Args:
            now: seconds, in the machine's clock.

        Returns:
            When to dial: now, or later.
        """
        if self._limit is None:
            return now
        while self._places and self._places[0] <= now - THROTTLE_WINDOW:
            self._places.popleft()
        surplus = len(self._places) - self._limit
        at = now if surplus < 0 else max(now, self._places[surplus] + THROTTLE_WINDOW)
        self._places.append(at)
        return at

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
