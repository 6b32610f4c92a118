"""The read-ahead: messages of a link that arrive during a pause, so that the socket answers the pings between them.

Invariant: messages are delivered in the order in which they came, and none is delivered during a pause.

Design: a proxy may cut a link whose peer answers no ping of WebSocket, and a socket answers a ping when it reads the ping. So a
pause stops the delivery at once, and the reading only when `LIMIT` is reached. From then on TCP holds the server up, and pings
stay unanswered until the pause is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from realtime_fsm.runtime.sockets import MessageHandler

LIMIT = 1024 * 1024
"""Bytes of messages that a link reads ahead, besides one message that goes beyond."""
OVERHEAD = 128
"""Bytes that each message counts for besides its own: tiny ones take memory, too."""
_TURN = 256
"""Messages after which the event loop has a turn."""


class ReadAhead:
    """Hold the messages of one link that arrive during a pause.

    An idle link holds no queue: a pause makes it, because ten thousand idle links would need 14 MB for theirs.

    Args:
        deliver: takes a message outside of a pause.

    Attributes:
        size: bytes that are held.
    """

    __slots__ = ("_backlog", "_deliver", "_writable", "size")

    size: int

    def __init__(self, deliver: MessageHandler) -> None:
        self._deliver = deliver
        self._backlog: deque[bytes] | None = None
        self._writable: asyncio.Event | None = None
        self.size = 0

    @property
    def is_holding(self) -> bool:
        """Whether messages are held: from the begin of a pause until those that were held are delivered."""
        return self._backlog is not None

    def receive(self, data: bytes) -> Awaitable[None] | None:
        """Deliver a message, or hold it."""
        if (backlog := self._backlog) is None:
            return self._deliver(data)
        backlog.append(data)
        self.size += len(data) + OVERHEAD
        if self.size > LIMIT:
            self._writable = asyncio.Event()
            return self._wait_for(self._writable)
        return None if len(backlog) % _TURN else asyncio.sleep(0)

    def hold(self) -> None:
        """Hold the messages from now on."""
        self._backlog = deque()

    async def deliver_after(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Wait until a pause is over, then deliver the messages that are held."""
        try:
            await pause()
            while self._backlog:
                data = self._backlog.popleft()
                self.size -= len(data) + OVERHEAD
                if self.size <= LIMIT // 2:
                    self._set_writable()
                if (turn := self._deliver(data)) is not None:
                    await turn
        finally:
            self.discard()

    def discard(self) -> None:
        """Hold nothing any more."""
        self._backlog, self.size = None, 0
        self._set_writable()

    def _set_writable(self) -> None:
        if self._writable is not None:
            self._writable.set()

    @staticmethod
    async def _wait_for(writable: asyncio.Event) -> None:
        await writable.wait()
