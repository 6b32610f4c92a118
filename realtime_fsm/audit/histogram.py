"""Histograms of bounded size."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from math import exp, log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_RATIO = 1.0195
_LEAST, _MOST = 1e-6, 1e9
_STEP = log(_RATIO)
_ENDS = [_LEAST * _RATIO**number for number in range(1, int(log(_MOST / _LEAST) / _STEP) + 1)]
"""The upper bound of each bucket but the last."""
_BATCH = 100


class Histogram:
    """A histogram of seconds.

    Each bucket ends 1.95 % above its beginning and stands for its middle, so a percentile is within 1 % of the true one. A
    time below a microsecond, the resolution of records, counts as one. New times wait until a hundred can be sorted and
    counted together.
    """

    __slots__ = ("_buckets", "_most", "_new", "_total")

    def __init__(self) -> None:
        self._total = self._most = 0.0
        self._buckets = Counter[int]()
        self._new: list[float] = []

    def add(self, seconds: float) -> None:
        """Count one."""
        self._new.append(seconds)
        if len(self._new) >= _BATCH:
            self._settle()

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        if not other.count:
            return
        self._settle()
        self._total += other._total
        self._most = max(self._most, other._most)
        for bucket, count in other._buckets.items():
            self._buckets[bucket] += count

    @property
    def count(self) -> int:
        """The number of times."""
        self._settle()
        return self._buckets.total()

    @property
    def total(self) -> float:
        """Their sum."""
        self._settle()
        return self._total

    @property
    def most(self) -> float:
        """The longest time."""
        self._settle()
        return self._most

    def percentile(self, percent: float) -> float | None:
        """Find the value that so many per cent do not exceed; None in an empty histogram."""
        return self.percentiles(percent)[0]

    def percentiles(self, *percents: float) -> list[float | None]:
        """Find the percentiles, which must come in rising order."""
        found: list[float | None] = []
        count, seen = self.count, 0
        for middle, here in self.bars():
            seen += here
            while len(found) < len(percents) and seen >= percents[len(found)] / 100 * count:
                found.append(middle)
        return found + [None] * (len(percents) - len(found))

    def bars(self) -> Iterator[tuple[float, int]]:
        """Give the middle and the count of each bucket that is not empty, in order."""
        self._settle()
        for bucket, count in sorted(self._buckets.items()):
            yield min(_LEAST * exp((bucket + 0.5) * _STEP), self._most), count

    def _settle(self) -> None:
        new = self._new
        if not new:
            return
        new.sort()
        self._total += sum(new)
        self._most = max(self._most, new[-1])
        begin = 0
        while begin < len(new):
            bucket = bisect_right(_ENDS, new[begin])
            end = bisect_left(new, _ENDS[bucket], begin) if bucket < len(_ENDS) else len(new)
            self._buckets[bucket] += end - begin
            begin = end
        new.clear()
