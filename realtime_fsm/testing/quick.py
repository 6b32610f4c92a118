"""Fast defaults for tests in real time: a drop heals in milliseconds, and no delay is random."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from realtime_fsm.fsm.pacer import forget_dials
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.runtime.jitter import drawing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from realtime_fsm.client.realtime import Realtime

QUICK_RETRY = RetryPolicy(attempts=5, base=0.01, factor=1.5, cap=0.1, dials_per_minute=None)
"""Dials again after 5 ms at first and after 100 ms at most, without a limit of dials a minute."""

JITTER = 0.5
"""The random number that every delay of a test uses."""


@contextmanager
def predictable() -> Iterator[None]:
    """Begin a test like a new process, whose earlier dials do not count, and give its connections `JITTER` as random numbers."""
    forget_dials()
    with drawing(lambda: JITTER):
        yield


@asynccontextmanager
async def connected(client: Realtime) -> AsyncIterator[Realtime]:
    """Connect a client, and dispose of it at the end."""
    async with client:
        await client.connect()
        yield client
