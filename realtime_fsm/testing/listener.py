"""A small WebSocket listener: it upgrades whatever asks for it, and never sends a close frame that it was not asked for.

aiohttp does the upgrade and takes incoming frames apart. Outgoing frames are written here, straight to the transport:
that is synchronous, so their order is the order of the calls, and no task stands behind a connection but aiohttp's own.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Protocol

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Callable

PING_LIMIT = 120
"""The longest payload of a WebSocket ping, in bytes, that is answered; a longer one ends the stream."""

_FIN = 0x80
_SHORT, _MEDIUM = 126, 65_536  # sizes from which the length of a frame takes 2 and 8 bytes more
_STOP_GRACE = 1.0  # seconds for a client to take what was sent, before its stream is reset


class ServerTransport:
    """One upgraded connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None

    def send(self, text: bytes) -> None:
        """Send a text frame; nothing happens when the stream has ended.

        Args:
            text: UTF-8.
        """
        self.write(WSMsgType.TEXT, text)

    def write(self, opcode: WSMsgType, payload: bytes) -> None:
        """Send a frame, or keep it while the listener is frozen.

        Args:
            opcode: its kind.
            payload: its payload.
        """
        size = len(payload)
        if size < _SHORT:
            head = struct.pack("!BB", _FIN | opcode, size)
        elif size < _MEDIUM:
            head = struct.pack("!BBH", _FIN | opcode, 126, size)
        else:
            head = struct.pack("!BBQ", _FIN | opcode, 127, size)
        if self._held is not None:
            self._held.append(head + payload)
        elif not self._transport.is_closing():
            self._transport.write(head + payload)

    def end(self) -> None:
        """End the stream without a close frame, behind what was sent."""
        self._transport.close()

    def reset(self) -> None:
        """Reset the stream; what was sent and not yet taken is lost."""
        connection = self._transport.get_extra_info("socket")
        if not self._transport.is_closing() and connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # RST instead of FIN
        self._transport.abort()

    def buffer_writes(self) -> None:
        """Keep what is sent from now on."""
        self._held = []

    def release(self) -> None:
        """Send what was kept, and keep no more."""
        held, self._held = self._held or [], None
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))


class Handler(Protocol):
    """What a listener tells of its links."""

    def opened(self, link: ServerTransport, target: str, headers: tuple[tuple[str, str], ...]) -> None:
        """A client was upgraded; ``target`` and ``headers`` are its request's."""

    def message(self, link: ServerTransport, data: str | bytes) -> None:
        """A text or binary message came."""

    def closed(self, link: ServerTransport) -> None:
        """The link's stream has ended, whoever ended it."""


class _BareSocket(web.WebSocketResponse):
    # aiohttp calls `close` wherever it ends a link, to send a close frame; the server that is played here never does that.

    def __init__(self, link: ServerTransport) -> None:
        super().__init__(compress=False, autoping=False, autoclose=False, max_msg_size=0)
        self._link = link

    async def close(self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True) -> bool:
        self._link.end()
        return True


class LoopbackServer:
    """Accepts connections on a loopback address.

    Attributes:
        port: where it listens; with 0, the system chooses at the first start, and later starts take the same port again.
    """

    def __init__(
        self, handler: Handler, *, host: str = "127.0.0.1", port: int = 0, routed: Callable[[str], bool] = lambda _: True
    ) -> None:
        """Prepare to listen; `start` does.

        Args:
            handler: what gets the news of the links.
            host: the address to listen on.
            port: the port; with 0 the system chooses one.
            routed: whether a path leads here; a dial with another one gets HTTP 404.
        """
        self.port = port
        self._routed = routed
        self._handler = handler
        self._host = host
        self._runner: web.ServerRunner | None = None
        self._links: dict[ServerTransport, asyncio.Task[object] | None] = {}
        self._thawed = asyncio.Event()

    async def start(self) -> None:
        """Listen.

        Raises:
            RuntimeError: when it listens already.
            OSError: when the port is taken.
        """
        if self._runner is not None:
            raise RuntimeError("already started")
        self._thawed = asyncio.Event()  # bound to the event loop that is running now
        self._thawed.set()
        self._runner = runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=_STOP_GRACE)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._host, self.port).start()
        except OSError:
            self._runner = None
            await runner.cleanup()
            raise
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """End every stream without a close frame, and listen no more; a client that takes nothing is reset after 1 s."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for site in list(runner.sites):
            await site.stop()
        self.end_all()
        self._thawed.set()
        tasks = [task for task in self._links.values() if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=_STOP_GRACE)
        for link in list(self._links):
            link.reset()
        await runner.cleanup()

    def end_all(self) -> None:
        """End every stream without a close frame; new connections are still accepted."""
        for link in self._links:
            link.end()

    def freeze(self) -> None:
        """Accept connections but upgrade none, and neither answer nor send on a live link, until `thaw`."""
        self._thawed.clear()
        for link in self._links:
            link.buffer_writes()

    def thaw(self) -> None:
        """Go on, with what came and what was to be sent meanwhile."""
        self._thawed.set()
        for link in self._links:
            link.release()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._thawed.wait()
        transport = request.transport
        if transport is not None and self._runner is None:
            transport.close()  # stopped before this client was upgraded: it gets no answer
        if transport is None or transport.is_closing():
            return web.Response()  # which aiohttp finds nobody to send to
        link = ServerTransport(transport)
        response = _BareSocket(link)
        if not response.can_prepare(request):
            return web.Response(status=400, headers={"Connection": "close"})
        if not self._routed(request.path):
            return web.Response(status=404, headers={"Connection": "close"})
        await response.prepare(request)
        self._links[link] = asyncio.current_task()
        try:
            self._handler.opened(link, request.raw_path, tuple(request.headers.items()))
            while True:
                message = await response.receive()
                await self._thawed.wait()
                if not self._take(link, message):
                    return response
        finally:
            del self._links[link]
            self._handler.closed(link)

    def _take(self, link: ServerTransport, message: WSMessage) -> bool:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self._handler.message(link, message.data)
        elif message.type is WSMsgType.PING and len(message.data) > PING_LIMIT:
            link.end()
        elif message.type is WSMsgType.PING:
            link.write(WSMsgType.PONG, bytes(message.data))
        elif message.type is WSMsgType.CLOSE:
            code = struct.pack("!H", message.data) if message.data else b""
            link.write(WSMsgType.CLOSE, code + (message.extra or "").encode())
            link.end()
        return message.type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG)
