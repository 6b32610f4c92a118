"""The stream buffer: it holds a bounded number of items until the consumer takes them.

Design: the hot path is `put`, then the consumer's `__anext__`. It needs no task, lock or clock, and no future while items are
there. `_ready` is the queue of items, or an empty queue when the consumer has more to do than to take an item: when it waits, or
must tell of drops, or ends a pause. So one look at `_ready` finds the hot path.
"""

from __future__ import annotations

import asyncio
from collections import deque
from copy import copy
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from realtime_fsm.errors import ConcurrentIteration, ConsumerTooSlow, WrongLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from realtime_fsm.errors import RealtimeError

T = TypeVar("T")
_NOTHING: deque[Any] = deque()


class StreamBuffer(Generic[T]):
    """A bounded stream with one consumer at a time. When the buffer is full, it drops the oldest item.

    Args:
        label: the name of the buffer in errors.
        loop: the event loop of the consumer.
        capacity: how many items the buffer holds.
        on_drops: called after each episode of drops with the number of dropped items.

    Attributes:
        dropped: how many items were dropped because the consumer was too slow.
    """

    __slots__ = (
        "__weakref__", "_capacity", "_drops_since_take", "_ended", "_error", "_items", "_label", "_loop",
        "_low_water", "_notice_due", "_on_drops", "_ready", "_released", "_unreported_drops", "_waiter", "_waiting",
        "dropped",
    )  # fmt: skip

    def __init__(
        self, label: str, loop: asyncio.AbstractEventLoop, capacity: int, on_drops: Callable[[int], None] | None = None
    ) -> None:
        self._label = label
        self._loop = loop
        self._capacity = capacity
        self._low_water = (capacity - 1) // 2  # with so many items, the next one fills half of the buffer
        self._items: deque[T] = deque()
        self._ready = self._items  # the items, while the consumer has nothing else to do than to take one
        self._notice_due = False  # whether `_flush_notices` must run when the consumer takes an item
        self._waiting = False  # whether a consumer waits
        self._waiter: asyncio.Future[None] | None = None  # wakes the consumer
        self._error: RealtimeError | None = None
        self._ended = False
        self._released = False
        self.dropped: int = 0
        self._drops_since_take = 0  # those since the consumer last took an item
        self._unreported_drops = 0  # those of which an error is to tell the consumer
        self._on_drops = on_drops

    # --- the producer -------------------------------------------------------------------------------------------------

    def put(self, item: T) -> bool:
        """Add an item.

        Returns:
            Whether the producer should let the consumer run: the buffer is half full. So a burst from one read of the socket does
            not overrun a fast consumer. In a full buffer, only some of the calls return True.
        """
        items = self._items
        if len(items) >= self._low_water:
            return self._put_above_low_water(item)
        items.append(item)
        if self._waiter is not None:
            self._wake()
        return False

    def _put_above_low_water(self, item: T) -> bool:
        if not self._lacks_room(item):
            self._items.append(item)
            self._wake()
            return True
        self._overflow(item)
        return self._drops_since_take % (self._low_water + 1) == 0

    def _lacks_room(self, _: T) -> bool:
        return len(self._items) >= self._capacity

    def _overflow(self, item: T) -> None:
        """Drop the oldest item for a new one, because the buffer is full."""
        self._items.popleft()
        self._items.append(item)
        self._drop()

    def _drop(self, count: int = 1) -> None:
        self.dropped += count
        self._drops_since_take += count
        self._defer_notice()

    def _defer_notice(self) -> None:
        """Let `_flush_notices` run when the consumer takes an item."""
        self._notice_due, self._ready = True, _NOTHING

    def merge_from(self, other: StreamBuffer[T], wanted: Callable[[T], bool]) -> None:
        """Move the wanted items of another buffer here, with its count of dropped items. The caller drops that buffer."""
        self.put_all(item for item in other.take_nowait() if wanted(item))
        if other.dropped:
            self._drop(other.dropped)
        self._unreported_drops += other._unreported_drops

    def put_all(self, items: Iterable[T]) -> None:
        """Add any number of items, which are in memory already."""
        self._items.extend(items)
        self._wake()

    def fail(self, error: RealtimeError) -> None:
        """Raise an error to the consumer after the held items, at each step of the iteration until `clear_error`."""
        self._error = error
        self._wake()

    def clear_error(self) -> None:
        """Let the consumer wait for items again."""
        self._error = None

    def close(self) -> None:
        """End the stream after the held items, and forget an error."""
        self._ended = True
        self._error = None
        self._wake()

    def release(self) -> None:
        """Let any event loop take the held items: the loop of this buffer has ended."""
        self._released = True

    def __len__(self) -> int:
        return len(self._items)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- the consumer -------------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        self._check_loop()
        return self

    async def __anext__(self) -> T:
        ready = self._ready
        if ready:  # the beginning of the iteration has checked the loop
            return ready.popleft()
        self._check_loop()
        if self._waiting:
            raise ConcurrentIteration(self._label)
        items = self._items
        while not items:  # in place: a coroutine for the wait would double the cost
            if self._unreported_drops or self._error is not None or self._ended:
                raise self._stop_exception()
            waiter = self._waiter = self._loop.create_future()
            self._waiting, self._ready = True, _NOTHING
            try:
                await waiter
            finally:
                self._waiter, self._waiting = None, False
                self._ready = _NOTHING if self._notice_due else items
        return self.pop()

    def _stop_exception(self) -> BaseException:
        """Return the exception that ends the iteration, for now or for good."""
        if self._unreported_drops:
            overrun, self._unreported_drops = self._unreported_drops, 0
            self._flush_notices()
            return ConsumerTooSlow(self._capacity, overrun)
        return StopAsyncIteration() if self._error is None else copy(self._error)

    @property
    def peek(self) -> T:
        """The oldest item; the buffer must hold one."""
        return next(iter(self._items))

    def pop(self) -> T:
        """Take the oldest item; the buffer must hold one."""
        item = self._items.popleft()
        if self._notice_due:
            self._took((item,))
        return item

    def take_nowait(self, most: int | None = None) -> list[T]:
        """Take the held items, at most so many, without a wait."""
        items = self._items
        if most is None:
            taken = list(items)
            items.clear()
        else:
            taken = [items.popleft() for _ in range(min(most, len(items)))]
        if self._notice_due:
            self._took(taken)
        return taken

    def _took(self, _: Sequence[T]) -> None:
        """Handle pending notices, after the consumer has taken items."""
        self._flush_notices()

    def _flush_notices(self) -> None:
        """Report the drops since the consumer last took an item."""
        self._notice_due, self._ready = False, self._items
        if self._drops_since_take:
            episode, self._drops_since_take = self._drops_since_take, 0
            if self._on_drops is not None:
                self._on_drops(episode)

    def _check_loop(self) -> None:
        if not self._released and asyncio.get_running_loop() is not self._loop:
            raise WrongLoop(self._label)
