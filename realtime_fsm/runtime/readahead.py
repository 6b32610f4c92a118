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

    __slots__ = ("_deliver", "_held", "_room", "size")

    size: int

    def __init__(self, deliver: MessageHandler) -> None:
        self._deliver = deliver
        self._held: deque[bytes] | None = None
        self._room: asyncio.Event | None = None
        self.size = 0

    @property
    def holds(self) -> bool:
        """Whether messages are held: from the begin of a pause until those that were held are delivered."""
        return self._held is not None

    def receive(self, data: bytes) -> Awaitable[None] | None:
        """Deliver a message, or hold it."""
        if (held := self._held) is None:
            return self._deliver(data)
        held.append(data)
        self.size += len(data) + OVERHEAD
        if self.size > LIMIT:
            self._room = asyncio.Event()
            return self._wait_for(self._room)
        return None if len(held) % _TURN else asyncio.sleep(0)

    def hold(self) -> None:
        """Hold the messages from now on."""
        self._held = deque()

    async def deliver_after(self, pause: Callable[[], Awaitable[None]]) -> None:
        """Wait until a pause is over, then deliver the messages that are held."""
        try:
            await pause()
            while self._held:
                data = self._held.popleft()
                self.size -= len(data) + OVERHEAD
                if self.size <= LIMIT // 2:
                    self._make_room()
                if (turn := self._deliver(data)) is not None:
                    await turn
        finally:
            self.discard()

    def discard(self) -> None:
        """Hold nothing any more."""
        self._held, self.size = None, 0
        self._make_room()

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()

    @staticmethod
    async def _wait_for(room: asyncio.Event) -> None:
        await room.wait()
