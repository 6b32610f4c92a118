"""Quotas a minute, of messages and of dials, as the server counts them."""

from __future__ import annotations

from collections import Counter

from realtime_fsm.testing.wire import TOO_MANY, Refusal

_MINUTE = 60.0  # seconds


class MinuteQuota:
    """A quota of uses for each key and clock minute."""

    def __init__(self, limit: int | None) -> None:
        """Start with nothing used; without a limit, every use is allowed."""
        self._limit = limit
        self._window: float | None = None
        self._used: Counter[object] = Counter()

    def spend(self, now: float, text: str = "Too many messages.", key: object = None) -> None:
        """Count one use of a key's quota, at `now`, in seconds since the epoch; refuse with 1013 and `text` beyond the quota."""
        window = now // _MINUTE
        if window != self._window:
            self._window = window
            self._used.clear()
        self._used[key] += 1
        if self._limit is not None and self._used[key] > self._limit:
            raise Refusal(TOO_MANY, text)
