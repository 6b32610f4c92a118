"""The send budget: how many frames may leave a link (PROTOCOL: "Messages", rule 4).

The server counts per minute of its own clock. Any 60 seconds of ours that hold at most 32 frames keep every such minute,
wherever it begins, so a sliding window needs no knowledge of the server's clock.

Heartbeats and requests have a lane of their own each, so that neither can take the other's room: a busy book never silences the
heartbeat, and a fast heartbeat never silences the book.
"""

from __future__ import annotations

import math
from bisect import bisect_right

from realtime_fsm.fsm.policies import MOST_PINGS, RATE_LIMIT_WINDOW

MESSAGES_PER_MINUTE = 32
"""Frames in a minute on one connection."""


class SendBudget:
    """The frames of one link.

    Attributes:
        total: how many have left.
    """

    __slots__ = ("_closed_until", "_most_pings", "_pings", "_requests", "frames_sent")

    def __init__(self, ping_interval: float) -> None:
        # One more than fits into a window on schedule: a ping that waited for a reply is followed by one on time.
        pings = min(MOST_PINGS, math.ceil(min(MOST_PINGS, RATE_LIMIT_WINDOW / ping_interval)) + 1)
        self._most_pings = pings
        # When they were sent. Tuples, because most are empty: of each connection, a list takes 56 bytes, a deque 600.
        self._pings: tuple[float, ...] = ()
        self._requests: tuple[float, ...] = ()
        self._closed_until = -math.inf
        self.frames_sent = 0

    def record_send(self, now: float, *, ping: bool) -> None:
        """A frame leaves."""
        sent = self._pings if ping else self._requests
        sent = (*sent[bisect_right(sent, now - RATE_LIMIT_WINDOW) :], now)
        if ping:
            self._pings = sent
        else:
            self._requests = sent
        self.frames_sent += 1

    def block_for_window(self, now: float) -> None:
        """The server said 1013: a part of the window was spent before this link began."""
        self._closed_until = now + RATE_LIMIT_WINDOW

    def available_at(self, now: float, *, ping: bool) -> float:
        """When the next frame may leave: now, or later.

        Args:
            now: seconds, in the machine's clock.
            ping: whether it is a heartbeat.
        """
        sent, most = (self._pings, self._most_pings) if ping else (self._requests, MESSAGES_PER_MINUTE - self._most_pings)
        first = bisect_right(sent, now - RATE_LIMIT_WINDOW)  # of those that count still
        free_at = now if len(sent) - first < most else sent[len(sent) - most] + RATE_LIMIT_WINDOW
        return max(free_at, self._closed_until)
