"""The embedded server in the memory of one process: the same server, without a socket, in virtual time.

Design: `InMemoryServer` is a `RealtimeServer` with another listener, so there is one server and one way to fail. A link has a
`MemorySocket` on the client's side and a `_MemoryLink` on the server's side. Each message and frame takes `LATENCY`.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch
from urllib.parse import urlsplit

from realtime_fsm.client.realtime import Realtime
from realtime_fsm.errors import DialFailed, StreamEnded, UpgradeRefused, WrongLoop
from realtime_fsm.testing.listener import Listener
from realtime_fsm.testing.request import HttpRequest
from realtime_fsm.testing.server import RealtimeServer
from realtime_fsm.testing.url import is_routed
from realtime_fsm.testing.virtual import VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from realtime_fsm.runtime.sockets import MessageHandler
    from realtime_fsm.testing.dispatcher import ConnectionDispatcher

LATENCY = 0.01
"""Seconds that a dial, a message and a frame take."""

_NORMAL, _LOST = 1000, 1006
_PATIENCE = 600.0
_hosts = map("in-memory-{}".format, itertools.count())  # by the name, the rate limit tells servers apart


class MemorySocket(ABC):
    """The client's side of a link in memory; the client's runtime sees a socket."""

    def __init__(self, latency: float = LATENCY) -> None:
        self.latency = latency  # seconds that a message or a frame takes
        self.closed: float | None = None  # the timeout with which the client closed the socket, in seconds; None before that
        self._inbound: asyncio.Queue[bytes | int] = asyncio.Queue()
        self._latest = -math.inf
        self._was_reset = False

    @abstractmethod
    def _arrive(self, data: bytes) -> None:
        """Take a message of the client, on the side of the server."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Notice on the side of the server that the link has ended."""

    async def send(self, data: bytes) -> None:
        """Send one text frame; raise `StreamEnded` when the client has closed the socket."""
        if self.closed is not None:
            raise StreamEnded
        self._later(lambda: self._arrive(data))

    async def pump(self, deliver: MessageHandler) -> int:
        """Deliver each frame of the server until the stream ends, and return the close code."""
        while True:
            item = await self._inbound.get()
            if isinstance(item, int):
                return item
            if (pause := deliver(item)) is not None:
                await pause

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        """Close with a handshake; with a timeout of 0, drop the socket."""
        self.closed = timeout
        self._disconnect()
        if timeout:
            await asyncio.sleep(min(timeout, self.latency))

    def push(self, frame: bytes) -> None:
        """Send a frame of the server."""
        self._later(lambda: None if self._was_reset else self._inbound.put_nowait(frame))

    def reset(self) -> None:
        """Lose every frame that the client has not read, and end the stream."""
        self._was_reset = True
        while not self._inbound.empty():
            self._inbound.get_nowait()
        self.end()

    def end(self, code: int = _LOST) -> None:
        """End the stream behind all frames, as the client sees it."""
        self._later(lambda: self._inbound.put_nowait(code))

    def _later(self, call: Callable[[], object]) -> None:
        """Call after the latency, in order: the loop does not order timers of one moment."""
        loop = asyncio.get_running_loop()
        self._latest = max(self._latest + 1e-6, loop.time() + self.latency)
        loop.call_at(self._latest, call)


class _ClientSocket(MemorySocket):
    def __init__(self, link: _MemoryLink) -> None:
        super().__init__()
        self._link = link

    def _arrive(self, data: bytes) -> None:
        self._link.when_thawed(lambda: self._link.receive(data))

    def _disconnect(self) -> None:
        self._later(lambda: self._link.when_thawed(self._link.hang_up))

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        await super().close(timeout)
        self.end(_NORMAL)  # a pending read ends, too


class _MemoryLink:
    """The server's side of a link, a `ServerLink`. At its end it leaves `links`, the links that are up."""

    def __init__(self, handler: ConnectionDispatcher, links: dict[_MemoryLink, asyncio.Task[object] | None]) -> None:
        self.socket = _ClientSocket(self)
        self._handler = handler
        self._links = links
        self._held: list[Callable[[], object]] | None = None  # the calls that wait for the thaw, behind the frames
        self._frames: list[bytes] = []

    def send(self, text: bytes) -> None:
        if self._held is not None:
            self._frames.append(text)
        elif self in self._links:
            self.socket.push(text)

    def close(self) -> None:
        if self in self._links:
            self.socket.end()
            self.hang_up()

    def reset(self) -> None:
        self.socket.reset()
        self.hang_up()

    def freeze(self) -> None:
        if self._held is None:
            self._held = []

    def thaw(self) -> None:
        held, self._held = self._held or [], None
        frames, self._frames = self._frames, []
        for frame in frames:
            self.send(frame)
        for call in held:
            call()

    def when_thawed(self, call: Callable[[], object]) -> None:
        if self._held is None:
            call()
        else:
            self._held.append(call)

    def receive(self, data: bytes) -> None:
        if self in self._links:
            self._handler.message(self, data.decode())

    def hang_up(self) -> None:
        """End the link. The handler hears of the end in the next iteration of the loop, as from a socket."""
        if self in self._links:
            del self._links[self]
            asyncio.get_running_loop().call_soon(self._handler.closed, self)


class _MemoryListener(Listener[_MemoryLink]):
    """A listener without a port of the system."""

    def __init__(self, handler: ConnectionDispatcher) -> None:
        super().__init__(handler, next(_hosts), 80)
        self._up = False

    async def start(self) -> None:
        if self._up:
            raise RuntimeError("already started")
        self._up = True
        self._thawed.set()

    async def stop(self) -> None:
        self._up = self.refusing = False
        self.close_all()
        self._thawed.set()
        await asyncio.sleep(0)  # the handler hears of every end

    async def dial(self, url: str, headers: Mapping[str, str]) -> MemorySocket:
        await asyncio.sleep(LATENCY)
        if self.refusing:
            raise UpgradeRefused(503)
        if self._up:
            await self._thawed.wait()
        if not self._up:
            raise DialFailed("the in-memory server is stopped")
        parts = urlsplit(url)
        if not is_routed(parts.path):
            raise UpgradeRefused(404)
        link = _MemoryLink(self._handler, self._links)
        self._links[link] = None
        self._handler.opened(link, HttpRequest(f"{parts.path}?{parts.query}", tuple(headers.items())))
        return link.socket


class InMemoryServer(RealtimeServer):
    """A `RealtimeServer` in memory, for tests in virtual time: the same calls, and neither a socket nor a thread.

    The context `in_memory` leads clients to it. The arguments are those of `RealtimeServer`; ``host`` and ``port`` have no
    effect. The waits take 600 virtual seconds at most, unless ``timeout`` says otherwise.
    """

    def _make_listener(self, handler: ConnectionDispatcher, host: str, port: int) -> _MemoryListener:
        self._memory = _MemoryListener(handler)
        return self._memory

    async def wait_for_connections(self, count: int, *, timeout: float = _PATIENCE) -> None:  # noqa: ASYNC109
        """Wait until exactly ``count`` connections are up, as `RealtimeServer.wait_for_connections`."""
        await super().wait_for_connections(count, timeout=timeout)

    async def wait_for_subscriptions(self, count: int, *, timeout: float = _PATIENCE) -> None:  # noqa: ASYNC109
        """Wait until all connections together have ``count`` subscriptions, as `RealtimeServer.wait_for_subscriptions`."""
        await super().wait_for_subscriptions(count, timeout=timeout)


class _MemoryTransport:
    """The transport of the clients of a server in memory."""

    def __init__(self, server: InMemoryServer) -> None:
        self._server = server

    def check(self, loop: asyncio.AbstractEventLoop) -> None:
        """Refuse an event loop in real time, such as that of an asynchronous fixture of pytest-asyncio or anyio."""
        if not isinstance(loop, VirtualLoop):
            raise WrongLoop("the server of a test in virtual time")

    async def dial(self, url: str, headers: Mapping[str, str]) -> MemorySocket:
        """Open a link in memory; refuse the URL of another server, because virtual time has no network."""
        if not url.startswith(self._server.endpoint.replace("http://", "ws://")):
            raise DialFailed(f"in virtual time there is no network; give the client the endpoint {self._server.endpoint}")
        return await self._server._memory.dial(url, headers)  # noqa: SLF001  (of the server)

    async def close(self) -> None:
        """Release nothing: a client that ends closes its own links."""


@contextmanager
def in_memory(server: InMemoryServer) -> Iterator[None]:
    """Let every `Realtime` that is made inside the context dial this server in memory, and no real network.

    Without pytest, a test in virtual time is `VirtualClock.run` of a coroutine function with this context inside::

        async def test() -> None:
            async with InMemoryServer() as server:
                with in_memory(server):
                    ...

        VirtualClock().run(test)
    """
    transport = _MemoryTransport(server)
    with patch.object(Realtime, "_transport", lambda *_, **__: transport):
        yield
