"""The event buffer: a stream buffer of events that is bounded in bytes, too.

Invariant: a buffer holds events of at most `limit` bytes of frames, or one event that is larger.

Design: `_spare` begins at half of the bytes. The producer subtracts the size of each event, and the consumer adds nothing on its
hot path, so `_spare` is a lower bound. Below zero, the buffer counts the held events anew. While they fill more than half, the
buffer adds the size of each event that the consumer takes, and `_spare` is exact.
"""

# ruff: noqa: SLF001  (the size of an event is not public)
from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.events import Event
from realtime_fsm.runtime.stream_buffer import StreamBuffer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence


class EventBuffer(StreamBuffer[Event]):
    """A buffer of events, bounded in number and bytes; it drops the oldest events, and counts them.

    The arguments are those of `StreamBuffer`, and `limit`: how many bytes of frames the buffer holds.
    """

    __slots__ = ("_exact", "_half_bytes", "_spare")

    def __init__(
        self, label: str, loop: asyncio.AbstractEventLoop, capacity: int, limit: int, on_drops: Callable[[int], None] | None
    ) -> None:
        super().__init__(label, loop, capacity, on_drops)
        self._half_bytes = self._spare = limit // 2
        self._exact = False

    def put(self, item: Event) -> bool:
        """Add an event, like `StreamBuffer.put`."""
        items = self._items
        spare = self._spare = self._spare - item._size
        if spare < 0 or len(items) >= self._low_water:
            return self._put_above_low_water(item)
        items.append(item)
        if self._waiter is not None:
            self._wake()
        return False

    def put_all(self, items: Iterable[Event]) -> None:
        """Add any number of events, which are in memory already."""
        super().put_all(items)
        self._count()

    def _lacks_room(self, item: Event) -> bool:
        if self._spare < 0 and not self._exact:
            self._count(item._size)
        return super()._lacks_room(item) or self._exceeds(2)

    def _exceeds(self, halves: int) -> bool:
        """Tell whether the held events and the new one exceed so many halves of the bytes. An empty buffer exceeds nothing."""
        return len(self._items) > 0 and self._spare < (1 - halves) * self._half_bytes

    def _overflow(self, item: Event) -> None:
        while self._lacks_room(item):
            self._discard(self._items.popleft())
        self._items.append(item)

    def _discard(self, item: Event) -> None:
        """Count an event as dropped, and its bytes as free."""
        self._spare += item._size
        self._drop()

    def _count(self, more: int = 0) -> None:
        """Count the bytes of the held events, and so many more, anew."""
        self._spare = self._half_bytes - more - sum(item._size for item in self._items)
        self._exact = self._spare < 0
        if self._exact:
            self._defer_notice()

    def _took(self, items: Sequence[Event]) -> None:
        self._spare += sum(item._size for item in items)
        super()._took(items)

    def _flush_notices(self) -> None:
        super()._flush_notices()
        self._exact = self._spare < 0
        if self._exact:
            self._defer_notice()
