"""Refuse an empty loop, because a loop over nothing asserts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def some(items: Iterable[T]) -> Iterator[T]:
    """Yield each item; fail without items."""
    count = 0
    for item in items:
        count += 1
        yield item
    assert count, "the loop asserts nothing: there is nothing to loop over"
