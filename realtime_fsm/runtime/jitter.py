"""The random source of a connection's delays.

Delays are partly random, so that many clients do not dial or ping at the same moment. A new connection takes the present source:
`random.random`, unless a test has set another one with `drawing`.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_source: Callable[[], float] = random.random


def random_source() -> Callable[[], float]:
    """Return the source of random numbers from 0 to 1 for a new connection."""
    return _source


@contextmanager
def drawing(source: Callable[[], float]) -> Iterator[None]:
    """Set the source for the connections that are made inside the context; for tests."""
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
