"""The interfaces to a WebSocket library: a transport dials, and a socket reads, writes and closes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from realtime_fsm.errors import LinkFailure

MessageHandler = Callable[[bytes], Awaitable[object] | None]
"""Takes one message. The reader awaits the answer, if there is one, before it reads the next message."""


class Socket(Protocol):
    """One open WebSocket."""

    async def send(self, data: bytes) -> None:
        """Send one text frame.

        Raises:
            LinkFailure: when the socket is closing or closed.
        """

    async def pump(self, deliver: MessageHandler) -> int | LinkFailure:
        """Deliver each message until the stream ends.

        Returns:
            The close code, 1006 without a close frame; or a cause on this side, such as a message above the limit.
        """

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109  (it bounds the closing handshake, not the call)
        """Close with a handshake of at most so many seconds, which ends a `pump` under way; 0 drops the socket.

        With 0, no task may use the socket any more. With a handshake, do not cancel the `pump`: it reads the answer.
        """


class Transport(Protocol):
    """A factory of WebSockets."""

    def check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse an event loop on which the transport cannot dial.

        Raises:
            WrongLoop: when the caller's session belongs to another one.
        """

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        """Open a WebSocket.

        Raises:
            LinkFailure: when the dial fails.
        """

    async def close(self) -> None:
        """Release the resources of the transport."""
