"""Gauges: distributions in fixed buckets, whose size does not grow with what is counted."""

from __future__ import annotations

from math import exp, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_RATIO = 1.0195
_LOG = log(_RATIO)
_LEAST, _MOST = 1e-6, 1e9
_LAST = int(log(_MOST / _LEAST) / _LOG)


class Histogram:
    """How often each length of time occurred.

    Each bucket ends 1.95 % above its beginning and stands for the middle, so a percentile is within 1 % of the true one. Times
    below a microsecond count as one, which is the resolution of the records.

    Attributes:
        count: how many there are.
        total: their sum.
        most: the longest.
        buckets: how many in each bucket that is not empty.
    """

    __slots__ = ("buckets", "count", "most", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = self.most = 0.0
        self.buckets: dict[int, int] = {}

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.total += seconds
        if seconds > self.most:
            self.most = seconds
        bucket = int(log(seconds / _LEAST) / _LOG) if _LEAST < seconds < _MOST else 0 if seconds < 1 else _LAST
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Count all that another one has counted."""
        self.count += other.count
        self.total += other.total
        self.most = max(self.most, other.most)
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    def percentile(self, percent: float) -> float | None:
        """The value that so many per cent do not exceed; None when nothing was counted."""
        rank = percent / 100 * self.count
        seen = 0
        for middle, count in self.bars():
            seen += count
            if seen >= rank:
                return middle
        return None

    def bars(self) -> Iterator[tuple[float, int]]:
        """The middle and the count of each bucket that is not empty, in order."""
        for bucket in sorted(self.buckets):
            yield min(_LEAST * exp((bucket + 0.5) * _LOG), self.most), self.buckets[bucket]
