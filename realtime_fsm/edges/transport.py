"""The transport: the only file that knows aiohttp.

aiohttp is used plainly: `receive()` without its timeout (deadlines belong to the machine, and one that expires leaves a false
close code on a live socket), frames as bytes, no compression (Appwrite ignores the offer), no WebSocket-level heartbeat (the
application's ping is the one to use), and an explicit limit for a frame.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import aiohttp
from aiohttp import ClientSession, WSMsgType

from realtime_fsm.vocabulary.errors import CertificateRefused, DialFailed, NameNotResolved, StreamEnded, UpgradeRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_fsm.vocabulary.errors import LinkFailure

__all__ = ["AiohttpTransport", "ClientSession", "Socket", "Transport"]

FRAME_LIMIT = 64 * 1024 * 1024
"""Bytes of the largest frame that is taken from a server. Events of 20 MB were seen; aiohttp's default is 4 MiB."""
_NO_STATUS = 1005
_LOST = 1006


class Socket(Protocol):
    """One open WebSocket."""

    async def send(self, data: bytes) -> None:
        """Send one text frame.

        Raises:
            LinkFailure: when the socket is closing or closed.
        """

    async def pump(self, deliver: Callable[[bytes], bool]) -> int:
        """Deliver each message until the stream ends, and let others run whenever `deliver` says so.

        Returns:
            The close code; 1006 when no close frame came.
        """

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109  (a bound of the protocol's own, not of the caller's)
        """Close with a handshake of at most so many seconds; 0 drops the socket. Nothing else may use it any more."""


class Transport(Protocol):
    """What opens WebSockets."""

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        """Open one.

        Raises:
            LinkFailure: when it does not come about.
        """

    async def close(self) -> None:
        """Release what the transport itself holds."""


class AiohttpTransport:
    """WebSockets over aiohttp.

    Args:
        session: the caller's own session, which is never closed here; None for one that is made when it is needed.
    """

    def __init__(self, session: ClientSession | None = None) -> None:
        self._session = session
        self._own: ClientSession | None = None

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        """Open a WebSocket.

        Raises:
            LinkFailure: when it does not come about.
        """
        try:
            websocket = await self._the_session().ws_connect(
                url, headers=headers, compress=0, autoping=True, max_msg_size=FRAME_LIMIT, decode_text=False
            )
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            raise _why(failure) from failure
        return _AiohttpSocket(websocket)

    async def close(self) -> None:
        """Close the session, if it is our own."""
        if self._own is not None:
            await self._own.close()

    def _the_session(self) -> ClientSession:
        if self._session is not None:
            return self._session
        if self._own is None:
            # limit=0: with the default of 100 the 101st connection of a process would wait without a word. No cookie jar:
            # identity is what the caller gave, never what an earlier answer left.
            self._own = ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        return self._own


class _AiohttpSocket:
    __slots__ = ("_websocket",)

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._websocket = websocket

    async def send(self, data: bytes) -> None:
        try:
            await self._websocket.send_frame(data, WSMsgType.TEXT)
        except (aiohttp.ClientError, OSError) as failure:
            raise StreamEnded(_LOST) from failure

    async def pump(self, deliver: Callable[[bytes], bool]) -> int:
        receive = self._websocket.receive
        while True:
            message = await receive()
            if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
                if deliver(message.data):
                    await asyncio.sleep(0)
            elif message.type is WSMsgType.CLOSE:
                return message.data or _NO_STATUS  # not close_code: that is lost when the echo cannot be written any more
            elif message.type in (WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return int(self._websocket.close_code or _LOST)

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        # aiohttp's own close() waits 10 s and more on a busy link; cancelled, it releases the socket at once.
        try:
            async with asyncio.timeout(timeout):
                await self._websocket.close()
        except TimeoutError:
            return


def _why(failure: BaseException) -> LinkFailure:
    """Give a failed dial its type. The text holds no address: its query may hold what is nobody's business."""
    match failure:
        case aiohttp.ClientConnectorCertificateError():
            return CertificateRefused("the server's certificate is not trusted")
        case aiohttp.ClientConnectorDNSError():
            return NameNotResolved("the host's name does not resolve")
        case aiohttp.WSServerHandshakeError(status=status):
            return UpgradeRefused(status)
        case aiohttp.ClientConnectorError(os_error=error) if error.strerror:
            return DialFailed(error.strerror)
        case _:
            return DialFailed(type(failure).__name__)
