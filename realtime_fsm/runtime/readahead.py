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
    from collections.abc import Awaitable

    from realtime_fsm.runtime.sockets import MessageHandler

LIMIT = 1024 * 1024
"""Bytes of messages that a link reads ahead; the last message may exceed them."""
OVERHEAD = 128
"""Bytes that each message counts in addition to its own: tiny messages take memory, too."""
_TURN = 256
"""Messages after which the event loop has a turn."""


class ReadAhead:
    """Hold the messages of one link that arrive during one pause.

    A link without a pause has no queue, because the queues of ten thousand idle links would take 14 MB.

    Args:
        deliver: takes each message after the pause.

    Attributes:
        size: how many bytes are held, each message with its overhead.
    """

    __slots__ = ("_deliver", "_messages", "_writable", "size")

    def __init__(self, deliver: MessageHandler) -> None:
        self._deliver = deliver
        self._messages: deque[bytes] = deque()
        self._writable: asyncio.Event | None = None
        self.size: int = 0

    def hold(self, data: bytes) -> Awaitable[object] | None:
        """Hold a message. The reader awaits the answer, if there is one, before it reads the next message."""
        self._messages.append(data)
        self.size += len(data) + OVERHEAD
        if self.size > LIMIT:
            self._writable = asyncio.Event()
            return self._writable.wait()
        return None if len(self._messages) % _TURN else asyncio.sleep(0)

    async def deliver(self) -> None:
        """Deliver the held messages, and those that arrive meanwhile."""
        while self._messages:
            data = self._messages.popleft()
            self.size -= len(data) + OVERHEAD
            if self.size <= LIMIT // 2:
                self._set_writable()
            if (turn := self._deliver(data)) is not None:
                await turn

    def discard(self) -> None:
        """Drop the held messages, and let the reader go on."""
        self._messages.clear()
        self.size = 0
        self._set_writable()

    def _set_writable(self) -> None:
        if self._writable is not None:
            self._writable.set()
