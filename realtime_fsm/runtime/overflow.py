"""The overflow modes: a subscription applies one of them when its consumer is too slow for its buffer.

Invariant: every mode bounds the memory, and a subscription counts the events that it drops. A buffer holds at most `buffer`
events and `buffer_bytes` bytes, or one larger event. It may hold twice as much after `catch_up`, during which a second buffer
takes the live events. With ``"pause"`` it may hold twice as much when another link delivers to a full buffer.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal, get_args

from realtime_fsm.errors import MalformedEvent
from realtime_fsm.runtime.event_buffer import EventBuffer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.events import Event

Overflow = Literal["drop_oldest", "drop_newest", "latest", "error", "pause"]
"""The modes of a full buffer.

- ``"drop_oldest"``: the buffer drops the oldest event.
- ``"drop_newest"``: the buffer drops the new event.
- ``"latest"``: the buffer keeps only the newest event of each `Event.id`, in the place of the older one, full or not. When there
  are too many ids, it drops the oldest.
- ``"error"``: the buffer drops new events until the consumer has taken everything and has received `ConsumerTooSlow`.
- ``"pause"``: the buffer drops nothing. The client stops reading the link until the consumer has emptied half of the buffer.
"""
OVERFLOWS: tuple[str, ...] = get_args(Overflow)

_NO_OWNERS: frozenset[object] = frozenset()


class ReadGate:
    """A gate that stops the reading of links while a buffer that must lose nothing is full."""

    __slots__ = ("_full", "_opened")

    def __init__(self) -> None:
        self._full = _NO_OWNERS
        self._opened: asyncio.Event | None = None  # while a reader waits for it

    @property
    def is_blocked(self) -> bool:
        """Whether a buffer is full."""
        return bool(self._full)

    def block(self, buffer: object) -> None:
        """Close the gate: a buffer is full."""
        self._full |= {buffer}

    def open(self, buffer: object) -> None:
        """Open the gate, unless another buffer is full: this one has room again, or has ended."""
        self._full -= {buffer}
        if not self._full and self._opened is not None:
            self._opened.set()
            self._opened = None

    async def wait_open(self) -> None:
        """Wait until no buffer is full."""
        while self._full:
            self._opened = self._opened or asyncio.Event()
            await self._opened.wait()


class _DropNewestBuffer(EventBuffer):
    __slots__ = ()

    def _overflow(self, item: Event) -> None:
        self._discard(item)


class _RaisingBuffer(EventBuffer):
    __slots__ = ()

    def put(self, item: Event) -> bool:
        if not self._unreported_drops:
            return super().put(item)
        self._unreported_drops += 1
        self._drop()
        return False

    def _overflow(self, item: Event) -> None:
        self._unreported_drops += 1
        self._discard(item)


class _LatestById:
    """Hold events like a deque, but replace an older event that has the same id."""

    __slots__ = ("_by_id", "_on_replaced")

    def __init__(self, on_replaced: Callable[[Event], None]) -> None:
        self._by_id: OrderedDict[object, Event] = OrderedDict()
        self._on_replaced = on_replaced

    def __contains__(self, event: Event) -> bool:
        return _conflation_key(event) in self._by_id

    def append(self, event: Event) -> None:
        identity = _conflation_key(event)
        before = self._by_id.get(identity)
        self._by_id[identity] = event
        if before is not None:
            self._on_replaced(before)

    def extend(self, events: Iterable[Event]) -> None:
        for event in events:
            self.append(event)

    def popleft(self) -> Event:
        return self._by_id.popitem(last=False)[1]

    def clear(self) -> None:
        self._by_id.clear()

    def __iter__(self) -> Iterator[Event]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)


def _conflation_key(event: Event) -> object:
    try:
        return event.id or event
    except MalformedEvent:  # reading the payload raises the error to the consumer
        return event


class _LatestBuffer(EventBuffer):
    __slots__ = ()

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self._items = self._ready = _LatestById(self._discard)  # type: ignore[assignment]  # it has the methods of a deque that are used

    def _overflow(self, item: Event) -> None:
        if item not in self._items:
            super()._overflow(item)
            return
        self._items.append(item)
        while self._exceeds(2) and len(self._items) > 1:
            self._discard(self._items.popleft())


class _PausingBuffer(EventBuffer):
    __slots__ = ("_paused", "gate")

    def __init__(self, *options: Any) -> None:
        super().__init__(*options)
        self.gate = ReadGate()
        self._paused = False

    def _put_above_low_water(self, item: Event) -> bool:
        if self._ended:  # no consumer may take the item, so the reader must not wait for one
            return super()._put_above_low_water(item)
        full = self._lacks_room(item)
        if len(self._items) < 2 * self._capacity and not self._exceeds(4):
            self._items.append(item)
            self._wake()
        else:
            self._discard(item)
        if full or len(self._items) >= self._capacity or self._exceeds(2):
            self._paused = True
            self._defer_notice()
            self.gate.block(self)
        return True

    def fail(self, error: RealtimeError) -> None:
        super().fail(error)
        self._open()  # no link is left to pause, or the link no longer serves this buffer

    def close(self) -> None:
        super().close()
        self._open()

    def _flush_notices(self) -> None:
        super()._flush_notices()
        if self._paused and len(self._items) <= self._capacity // 2 and not self._exceeds(1):
            self._open()
        if self._paused:
            self._defer_notice()

    def _open(self) -> None:
        self._paused = False
        self.gate.open(self)


_MODES: dict[str, type[EventBuffer]] = {
    "drop_oldest": EventBuffer,
    "drop_newest": _DropNewestBuffer,
    "latest": _LatestBuffer,
    "error": _RaisingBuffer,
    "pause": _PausingBuffer,
}


def make_buffer(
    overflow: Overflow,
    label: str,
    loop: asyncio.AbstractEventLoop,
    capacity: int,
    limit: int,
    gate: ReadGate,
    on_drops: Callable[[int], None] | None = None,
) -> EventBuffer:
    """Make the buffer of a mode. The arguments are those of `EventBuffer`, and the gate that a full ``"pause"`` buffer closes."""
    buffer = _MODES[overflow](label, loop, capacity, limit, on_drops)
    if isinstance(buffer, _PausingBuffer):
        buffer.gate = gate
    return buffer
