"""The send budget: how many frames may leave a link (PROTOCOL: "Messages", rule 4).

The server counts per minute of its own clock. Any 60 seconds of ours that hold at most 32 frames keep every such minute,
wherever it begins, so a sliding window needs no knowledge of the server's clock.

Heartbeats and requests have a lane of their own each, so that neither can take the other's room: a busy book never silences the
heartbeat, and a fast heartbeat never silences the book.
"""

from __future__ import annotations

import math

from realtime_fsm.vocabulary.policies import THROTTLE_WINDOW

LIMIT = 32
"""Frames in a minute on one connection."""
_MOST_PINGS = LIMIT // 2


class _Lane:
    """At most so many in any window."""

    __slots__ = ("_limit", "_sent")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._sent: list[float] = []  # an empty deque takes 600 bytes more, of each connection

    def note(self, now: float) -> None:
        self._sent.append(now)

    def free_at(self, now: float) -> float:
        while self._sent and self._sent[0] <= now - THROTTLE_WINDOW:
            del self._sent[0]
        surplus = len(self._sent) - self._limit
        return now if surplus < 0 else self._sent[surplus] + THROTTLE_WINDOW


class Budget:
    """The frames of one link.

    Attributes:
        total: how many have left.
    """

    __slots__ = ("_closed_until", "_pings", "_requests", "total")

    def __init__(self, ping_interval: float) -> None:
        # One more than fits into a window on schedule: a ping that waited for a reply is followed by one on time.
        pings = min(_MOST_PINGS, math.ceil(min(_MOST_PINGS, THROTTLE_WINDOW / ping_interval)) + 1)
        self._pings, self._requests = _Lane(pings), _Lane(LIMIT - pings)
        self._closed_until = -math.inf
        self.total = 0

    def note_send(self, now: float, *, ping: bool) -> None:
        """A frame leaves."""
        (self._pings if ping else self._requests).note(now)
        self.total += 1

    def note_refusal(self, now: float) -> None:
        """The server said 1013: a part of the window was spent before this link began."""
        self._closed_until = now + THROTTLE_WINDOW

    def free_at(self, now: float, *, ping: bool) -> float:
        """When the next frame may leave: now, or later.

        Args:
            now: seconds, in the machine's clock.
            ping: whether it is a heartbeat.
        """
        return max((self._pings if ping else self._requests).free_at(now), self._closed_until)
