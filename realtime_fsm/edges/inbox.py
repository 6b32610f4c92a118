"""The inbox: where a stream waits for its consumer, bounded.

The hot path is `put`, then the consumer's `__anext__`: no task, no lock and no clock, and no future while items are there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from realtime_fsm.vocabulary.errors import ConcurrentIteration, WrongLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from realtime_fsm.vocabulary.errors import RealtimeError

T = TypeVar("T")


class Inbox(Generic[T]):
    """A bounded stream with one consumer at a time; when it is full the oldest item makes room, and is counted.

    Attributes:
        dropped: how many items were dropped because the consumer was too slow.
    """

    __slots__ = (
        "__weakref__",
        "_capacity",
        "_ended",
        "_episode",
        "_fault",
        "_fresh",
        "_items",
        "_loop",
        "_on_drops",
        "_waiter",
        "_what",
        "dropped",
    )

    def __init__(
        self, what: str, loop: asyncio.AbstractEventLoop, capacity: int, on_drops: Callable[[int], None] | None = None
    ) -> None:
        self._what = what
        self._loop = loop
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._fault: RealtimeError | None = None
        self._ended = False
        self._fresh = 0
        self.dropped = 0
        self._episode = 0  # of those, the ones since the consumer last took something
        self._on_drops = on_drops

    def put(self, item: T) -> bool:
        """Add an item.

        Returns:
            Whether the producer should let the consumer run: half of the room was filled since it last took something. A
            consumer that is fast enough is thus never overrun by a burst that came in one read from the socket.
        """
        items = self._items
        if len(items) >= self._capacity:
            items.popleft()
            self.drop()
        items.append(item)
        self._wake()
        self._fresh += 1
        if self._fresh * 2 < self._capacity:
            return False
        self._fresh = 0
        return True

    def drop(self) -> None:
        """An item has to make room."""
        self.dropped += 1
        self._episode += 1

    def put_all(self, items: Iterable[T]) -> None:
        """Add items that are in memory already, however many."""
        self._items.extend(items)
        self._wake()

    def fail(self, error: RealtimeError) -> None:
        """Raise an error to the consumer after what is held, whenever it asks, until `mend`."""
        self._fault = error
        self._wake()

    def mend(self) -> None:
        """There may be items again."""
        self._fault = None

    def end(self) -> None:
        """Nothing more comes: the consumer gets what is held, then the end, whatever was wrong before."""
        self._ended = True
        self._fault = None
        self._wake()

    def __len__(self) -> int:
        return len(self._items)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if asyncio.get_running_loop() is not self._loop:
            raise WrongLoop(self._what)
        if self._waiter is not None:
            raise ConcurrentIteration(self._what)
        if not self._items:
            await self._wait()
        self._fresh = 0
        if self._episode:
            episode, self._episode = self._episode, 0
            if self._on_drops is not None:
                self._on_drops(episode)
        return self._items.popleft()

    async def _wait(self) -> None:
        while not self._items:
            if self._fault is not None:
                raise self._fault.again()
            if self._ended:
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
