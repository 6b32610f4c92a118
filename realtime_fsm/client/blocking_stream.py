"""The stream of the blocking client: wait in any thread for the next item of an asynchronous iterator."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from realtime_fsm.client.portal import Portal
from realtime_fsm.errors import Disposed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from realtime_fsm.runtime.stream_buffer import StreamBuffer

T = TypeVar("T")


class BlockingStream(Generic[T]):
    """Takes items from an asynchronous iterator. The next call gets the item that an interrupted call has taken.

    Args:
        owner: the connection, which the stream keeps alive.
        portal: its loop.
        source: the iterator.
        buffer: where the items wait; it outlives the loop.
    """

    def __init__(self, owner: object, portal: Portal, source: AsyncIterator[T], buffer: StreamBuffer[Any]) -> None:
        self._owner = owner
        self._portal = portal
        self._source = source
        self._buffer = buffer
        self._lock = threading.Lock()
        self._taken: deque[T] = deque()

    def next(self, timeout: float | None) -> T:
        """Take the next item. Raises TimeoutError after ``timeout`` seconds (None: never), StopAsyncIteration at the end."""

        async def take() -> None:
            async with asyncio.timeout(timeout):
                self._taken.append(await anext(self._source))

        with self._lock:
            if not self._taken:
                with suppress(Disposed):
                    self._portal.call(take)
            if not self._taken:  # the loop ends, and the buffer outlives it
                if not self._portal.await_end(timeout) and timeout is not None:
                    raise TimeoutError
                if not self._buffer:
                    raise StopAsyncIteration
                self._buffer.release()
                rest = Portal("this stream")
                try:
                    rest.call(take)
                finally:
                    rest.close()
            return self._taken.popleft()
