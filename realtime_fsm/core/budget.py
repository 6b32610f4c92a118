"""The send budget: how many frames may leave a link (PROTOCOL: "Messages", rule 4).

The server counts per minute of its own clock. Any 60 seconds of ours that hold at most 32 frames keep every such minute,
wherever it begins, so a sliding window needs no knowledge of the server's clock.
"""

from __future__ import annotations

import math
from collections import deque

from realtime_fsm.vocabulary.policies import THROTTLE_WINDOW

LIMIT = 32
"""Frames in a minute on one connection."""
_MOST_RESERVED = LIMIT // 2


class Budget:
    """The frames of one link."""

    __slots__ = ("_closed_until", "_reserve", "_sent", "total")

    def __init__(self, ping_interval: float) -> None:
        # Control requests leave this much for the heartbeats of a window, so that a busy book never silences them.
        self._reserve = min(_MOST_RESERVED, math.ceil(THROTTLE_WINDOW / ping_interval))
        self._sent: deque[float] = deque()
        self._closed_until = -math.inf
        self.total = 0

    def note_send(self, now: float) -> None:
        """A frame leaves."""
        self._sent.append(now)
        self.total += 1

    def note_refusal(self, now: float) -> None:
        """The server said 1013: a part of the window was spent before this link began."""
        self._closed_until = now + THROTTLE_WINDOW

    def free_at(self, now: float, *, ping: bool) -> float:
        """When the next frame may leave: now, or later.

        Args:
            now: seconds, in the machine's clock.
            ping: whether it is a heartbeat, which may use the reserve.
        """
        while self._sent and self._sent[0] <= now - THROTTLE_WINDOW:
            self._sent.popleft()
        allowed = LIMIT if ping else LIMIT - self._reserve
        surplus = len(self._sent) - allowed
        at = now if surplus < 0 else self._sent[surplus] + THROTTLE_WINDOW
        return max(at, self._closed_until)
