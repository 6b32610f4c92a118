"""A collection that must not be empty: a loop over nothing asserts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def some(items: Iterable[T]) -> Iterator[T]:
    """Each item; fails where there is not one."""
    count = 0
    for item in items:
        count += 1
        yield item
    assert count, "the loop asserted nothing: there was nothing to loop over"
