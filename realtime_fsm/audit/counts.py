"""A number and the words that go with it."""

from __future__ import annotations


def count_of(count: int, one: str, several: str) -> str:
    """Format a number of things.

    Args:
        count: the number.
        one: the words for a single thing, such as ``record is``.
        several: the words for any other number, such as ``records are``.
    """
    return f"{count:,} {one if count == 1 else several}"
