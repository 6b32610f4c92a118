"""The send budget: how many frames may leave a link (PROTOCOL: "Messages", rule 4).

Invariant: no 60 seconds hold more than 32 frames.

Design: The server counts the frames of each minute of its own clock. A sliding window of 60 seconds keeps the limit in every such
minute, and needs no knowledge of that clock. Pings and requests have separate shares: many requests cannot delay a ping, and
frequent pings cannot delay a request.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from realtime_fsm.fsm.policies import MOST_PINGS, RATE_LIMIT_WINDOW

MESSAGES_PER_MINUTE = 32
"""Frames in a minute on one connection."""


class SendBudget:
    """The frames of one link."""

    __slots__ = ("_closed_until", "_most_pings", "_pings", "_requests", "frames_sent")

    def __init__(self, ping_interval: float) -> None:
        # One more than a window holds on schedule: a ping on time may follow one that waited for a reply.
        pings = min(MOST_PINGS, math.ceil(min(MOST_PINGS, RATE_LIMIT_WINDOW / ping_interval)) + 1)
        self._most_pings = pings
        # When each was sent. Most of these tuples are empty; an empty list would take 56 bytes a connection, and a deque 600.
        self._pings: tuple[float, ...] = ()
        self._requests: tuple[float, ...] = ()
        self._closed_until = -math.inf
        self.frames_sent: int = 0  # how many frames have left

    def record_send(self, now: float, *, ping: bool) -> None:
        """Record a frame that leaves."""
        sent = self._pings if ping else self._requests
        sent = (*sent[bisect_right(sent, now - RATE_LIMIT_WINDOW) :], now)
        if ping:
            self._pings = sent
        else:
            self._requests = sent
        self.frames_sent += 1

    def block_for_window(self, now: float) -> None:
        """Let no frame leave for 60 seconds: after a 1013, the server counts more frames than this budget does."""
        self._closed_until = now + RATE_LIMIT_WINDOW

    def available_at(self, now: float, *, ping: bool) -> float:
        """Tell when the next frame may leave: now, or later.

        Args:
            now: seconds, in the machine's clock.
            ping: whether the frame is a ping.
        """
        sent, most = (self._pings, self._most_pings) if ping else (self._requests, MESSAGES_PER_MINUTE - self._most_pings)
        first = bisect_right(sent, now - RATE_LIMIT_WINDOW)  # the first frame within the window
        free_at = now if len(sent) - first < most else sent[len(sent) - most] + RATE_LIMIT_WINDOW
        return max(free_at, self._closed_until)
