"""The state streams: each one tells a user of the changes of state from its beginning on."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from realtime_fsm.runtime.stream_buffer import StreamBuffer

if TYPE_CHECKING:
    import asyncio

    from realtime_fsm.fsm.change import Change

_CHANGES_KEPT = 1024


class StateStreams:
    """The state streams of one connection. A stream that no code holds any more is forgotten."""

    __slots__ = ("_streams",)

    def __init__(self) -> None:
        self._streams: WeakSet[StreamBuffer[Change]] | tuple[()] = ()  # most connections have no stream, and need no set

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, loop: asyncio.AbstractEventLoop) -> StreamBuffer[Change]:
        """Make a stream for a consumer on a loop, with the changes from now on."""
        stream: StreamBuffer[Change] = StreamBuffer("this stream of states", loop, _CHANGES_KEPT)
        self._streams = WeakSet((*self._streams, stream))
        return stream

    def publish(self, change: Change) -> None:
        """Give a change to every stream."""
        for stream in self._streams:
            stream.put(change)

    def close(self) -> None:
        """End every stream."""
        for stream in self._streams:
            stream.close()
