"""A small WebSocket server on a loopback host, which sends a close frame only as the answer to the client's.

Design: aiohttp does the upgrade and parses incoming frames. This module writes outgoing frames straight to the transport. A write
is synchronous, so the order of the frames is the order of the calls, and a link needs no task but aiohttp's own.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

from aiohttp import WSMessage, WSMsgType, web

from realtime_fsm.protocol.options import host_in_url
from realtime_fsm.testing.dispatcher import ServerLink
from realtime_fsm.testing.request import HttpRequest
from realtime_fsm.testing.url import is_routed

if TYPE_CHECKING:
    from realtime_fsm.testing.dispatcher import ConnectionDispatcher

PING_LIMIT = 120
"""The longest payload of a WebSocket ping, in bytes, that the server answers; a longer one ends the stream."""

_FIN = 0x80
_SHORT, _MEDIUM = 126, 65_536  # sizes from which the length of a frame takes 2 and 8 bytes more
_STOP_GRACE = 1.0  # seconds for a client to read all frames, before its stream is reset


class ServerTransport(ServerLink):
    """The server's side of one link over a socket."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._buffered: list[bytes] | None = None

    def send(self, text: bytes) -> None:
        """Send a text frame, in UTF-8; nothing happens when the stream has ended."""
        self.write(WSMsgType.TEXT, text)

    def write(self, opcode: WSMsgType, payload: bytes) -> None:
        """Send a frame, or buffer it after `freeze`."""
        size = len(payload)
        if size < _SHORT:
            head = struct.pack("!BB", _FIN | opcode, size)
        elif size < _MEDIUM:
            head = struct.pack("!BBH", _FIN | opcode, 126, size)
        else:
            head = struct.pack("!BBQ", _FIN | opcode, 127, size)
        if self._buffered is not None:
            self._buffered.append(head + payload)
        elif not self._transport.is_closing():
            self._transport.write(head + payload)

    def close(self) -> None:
        """End the stream without a close frame, behind all frames."""
        self._transport.close()

    def reset(self) -> None:
        """Reset the stream; frames that the client has not read are lost."""
        if not self._transport.is_closing():
            no_linger = struct.pack("ii", True, False)  # linger is on, and lasts 0 seconds: RST instead of FIN
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
        self._transport.abort()

    def freeze(self) -> None:
        """Buffer all later frames; the listener reads no messages meanwhile."""
        if self._buffered is None:
            self._buffered = []

    def thaw(self) -> None:
        """Send the buffered frames, and buffer no more."""
        buffered, self._buffered = self._buffered or [], None
        if buffered and not self._transport.is_closing():
            self._transport.write(b"".join(buffered))


L = TypeVar("L", bound=ServerLink)


class Listener(ABC, Generic[L]):
    """The source of the server's links: a port of the loopback host, or the memory of this process."""

    def __init__(self, handler: ConnectionDispatcher, host: str, port: int) -> None:
        self.host = host  # the host, as in a URL
        self.port: int = port  # the port; 0 as long as it is not known
        self.refusing = False  # whether a dial gets HTTP 503; `stop` ends it
        self._handler = handler
        self._links: dict[L, asyncio.Task[object] | None] = {}  # each with the task that reads it, if there is one
        self._thawed = asyncio.Event()

    @abstractmethod
    async def start(self) -> None:
        """Listen; raise `RuntimeError` when the server listens already."""

    @abstractmethod
    async def stop(self) -> None:
        """End every stream without a close frame, and listen no more; a second call does nothing."""

    def close_all(self) -> None:
        """End every stream without a close frame; new connections are still accepted."""
        for link in list(self._links):
            link.close()

    def freeze(self) -> None:
        """Upgrade no new link, and neither read nor send on a link that is up, until `thaw`."""
        self._thawed.clear()
        for link in self._links:
            link.freeze()

    def thaw(self) -> None:
        """Go on, with the messages that came and the frames that were kept meanwhile."""
        self._thawed.set()
        for link in list(self._links):
            link.thaw()


class _BareSocket(web.WebSocketResponse):
    # aiohttp calls `close` wherever it ends a link, to send a close frame. A real Appwrite server never sends one.

    def __init__(self, link: ServerTransport) -> None:
        super().__init__(compress=False, autoping=False, autoclose=False, max_msg_size=0)
        self._link = link

    async def close(self, **_: object) -> bool:
        self._link.close()
        return True


class LoopbackServer(Listener[ServerTransport]):
    """A WebSocket server on one host and port; with port 0 the system chooses at the first start, and later starts keep it."""

    def __init__(self, handler: ConnectionDispatcher, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Prepare to listen."""
        super().__init__(handler, host_in_url(host), port)
        self._bound_to = host
        self._runner: web.ServerRunner | None = None

    async def start(self) -> None:
        """Listen; at a second start, on the same port."""
        if self._runner is not None:
            raise RuntimeError("already started")
        self._thawed = asyncio.Event()  # bound to the event loop that is running now
        self._thawed.set()
        self._runner = runner = web.ServerRunner(web.Server(self._serve, access_log=None), shutdown_timeout=_STOP_GRACE)
        try:
            await runner.setup()
            await web.TCPSite(runner, self._bound_to, self.port).start()
        except OSError:
            self._runner = None
            raise
        self.port: int = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop; a client that reads nothing is reset after 1 s."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for site in list(runner.sites):
            await site.stop()
        self.close_all()
        self.refusing = False
        self._thawed.set()
        if tasks := list(filter(None, self._links.values())):
            await asyncio.wait(tasks, timeout=_STOP_GRACE)
        for link in list(self._links):
            link.reset()
        await runner.cleanup()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.refusing and request.method == "GET":
            return web.Response(status=503, headers={"Connection": "close"})
        await self._thawed.wait()
        transport = request.transport
        if transport is not None and self._runner is None:
            transport.close()  # the server stopped before it upgraded this client, which gets no answer
        if transport is None or transport.is_closing():
            return web.Response()  # aiohttp drops it, for the client has gone
        link = ServerTransport(transport)
        response = _BareSocket(link)
        headers = tuple(request.headers.items())
        if request.method == "POST" and request.path.startswith("/v1/"):
            status, body = self._handler.answer(HttpRequest(request.path, headers, await request.read()))
            return web.Response(status=status, body=body, content_type="application/json")
        if not response.can_prepare(request):
            return web.Response(status=400, headers={"Connection": "close"})
        if not is_routed(request.path):
            return web.Response(status=404, headers={"Connection": "close"})
        await response.prepare(request)
        self._links[link] = asyncio.current_task()
        try:
            self._handler.opened(link, HttpRequest(request.raw_path, headers))
            while True:
                message = await response.receive()
                await self._thawed.wait()
                if not self._handle(link, message):
                    return response
        finally:
            del self._links[link]
            self._handler.closed(link)

    def _handle(self, link: ServerTransport, message: WSMessage) -> bool:
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self._handler.message(link, message.data)
        elif message.type is WSMsgType.PING and len(message.data) > PING_LIMIT:
            link.close()
        elif message.type is WSMsgType.PING:
            link.write(WSMsgType.PONG, bytes(message.data))
        elif message.type is WSMsgType.CLOSE:
            code = struct.pack("!H", message.data) if message.data else b""
            link.write(WSMsgType.CLOSE, code + (message.extra or "").encode())
            link.close()
        return message.type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG)
