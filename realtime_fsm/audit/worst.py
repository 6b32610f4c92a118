"""The worst of many things, in a bounded number."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Badness = TypeVar("Badness", bound=tuple[object, ...])
Thing = TypeVar("Thing")


class Worst(Generic[Badness, Thing]):
    """Keep `most` things: those with the greatest badness. No two things may be equally bad."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[Badness, Thing]] = []  # the least bad one is the first

    def add(self, badness: Badness, make: Callable[[], Thing]) -> None:
        """Keep a thing, which is made only where it is among the worst."""
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (badness, make()))
        elif badness > self._heap[0][0]:
            heapq.heapreplace(self._heap, (badness, make()))

    def all(self) -> list[Thing]:
        """Return the things, the worst first."""
        return [thing for _, thing in sorted(self._heap, key=lambda pair: pair[0], reverse=True)]
