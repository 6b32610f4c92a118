"""The read-ahead: it holds the messages of a link that arrive during a pause.

Invariant: messages are delivered in the order in which they came, and no message is delivered during a pause.

Design: a proxy may cut a link whose peer answers no WebSocket ping, and a socket answers a ping only when it reads on. So a pause
stops the delivery at once, but the reading only at `LIMIT`. From then on TCP makes the server wait, and pings stay unanswered
until the pause is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from realtime_fsm.runtime.sockets import MessageHandler

LIMIT = 1024 * 1024
"""Bytes of messages that a link reads ahead; the last message may exceed them."""
OVERHEAD = 128
"""Bytes that each message counts in addition to its own: tiny messages take memory, too."""
_TURN = 256
"""Messages after which the event loop has a turn."""


class ReadAhead:
    """Hold the messages of one link that arrive during a pause.

    A link without a pause has no queue, because the queues of ten thousand idle links would take 14 MB.

    Args:
        deliver: takes a message outside of a pause.

    Attributes:
        size: how many bytes are held, each message with its overhead.
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
        """Whether messages are held: from the beginning of a pause until the last held message is delivered."""
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
        """Wait until a pause is over, then deliver the held messages."""
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
        """Drop the held messages, and stop to hold any."""
        self._backlog, self.size = None, 0
        self._set_writable()

    def _set_writable(self) -> None:
        if self._writable is not None:
            self._writable.set()

    @staticmethod
    async def _wait_for(writable: asyncio.Event) -> None:
        await writable.wait()
