"""The WebSocket as a link sees it: how it is dialed, read, written and closed, whatever implements it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio

    from realtime_fsm.errors import LinkFailure

__all__ = ["MessageHandler", "Socket", "Transport"]

MessageHandler = Callable[[bytes], Awaitable[object] | None]
"""Takes one message. Its answer, if there is one, is to be awaited before the next is read."""


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
            The close code, 1006 when no close frame came; or a cause of our own, such as a message above the limit.
        """

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109  (a bound of the protocol's own, not of the caller's)
        """Close with a handshake of at most so many seconds, which ends a `pump` under way; 0 drops the socket.

        For 0 nothing else may use it any more. With a handshake the `pump` must go on: a reader that is cancelled takes the
        answer with it.
        """


class Transport(Protocol):
    """A factory of WebSockets."""

    def check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse to dial from a loop that cannot.

        Raises:
            WrongLoop: when the caller's session belongs to another one.
        """

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        """Open one.

        Raises:
            LinkFailure: when it does not come about.
        """

    async def close(self) -> None:
        """Release what the transport itself holds."""
