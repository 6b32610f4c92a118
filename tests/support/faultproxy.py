"""A TCP proxy on loopback that fails as networks do (cut, reset, freeze, delay, truncate, refuse), and an HTTP proxy."""

from __future__ import annotations

import asyncio
import base64
import gc
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self
from urllib.parse import urlsplit

UP, DOWN = "client to server", "server to client"
_CHUNK = 65_536  # bytes
_REFUSAL = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time, so that closing sends an RST


def descriptors() -> int:
    """The number of open file descriptors of this process, after a garbage collection."""
    gc.collect()
    return len(os.listdir("/dev/fd"))  # noqa: PTH208  (iterdir would hold one itself)


async def until(condition: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Wait until a condition is true that no event announces."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def header(head: str, name: str) -> list[str]:
    """The values of a header in the head of a request."""
    return [line.split(": ", 1)[1] for line in head.split("\r\n") if line.lower().startswith(f"{name.lower()}:")]


class FaultProxy:
    """A TCP proxy before a server, with faults on demand; `heal` ends every fault. With a context it speaks TLS to its clients.

    Attributes:
        port: the port of the proxy.
        mute: whether the proxy accepts new connections and never answers.
        delay: seconds that the proxy holds each piece of data.
        drip: bytes that the proxy forwards at a time, 1 ms after the ones before; None for no limit.
        forwarded: bytes that the proxy has forwarded to clients.
        accepted: connections that the proxy has accepted.
    """

    def __init__(self, endpoint: str, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(endpoint)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self._path = parts.path
        self._context = context
        self._server: asyncio.Server | None = None
        self._open = {UP: asyncio.Event(), DOWN: asyncio.Event()}
        self._links: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._left: int | None = None  # bytes to clients until the cut
        self.port = 0
        self.mute = False
        self.delay = 0.0
        self.drip: int | None = None
        self.forwarded = 0
        self.accepted = 0
        self.thaw()

    @property
    def endpoint(self) -> str:
        """The endpoint to give to a client."""
        return f"{'https' if self._context else 'http'}://127.0.0.1:{self.port}{self._path}"

    @property
    def links(self) -> int:
        """The number of connections."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        await self.admit()
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.refuse()
        tasks = list(self._links)
        self.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- faults -------------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """End every connection on both sides, with a FIN behind all forwarded data."""
        for writers in self._links.values():
            for writer in writers:
                writer.close()

    def reset(self) -> None:
        """End every connection on both sides, with an RST."""
        for writers in self._links.values():
            for writer in writers:
                if not writer.transport.is_closing():
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    def freeze(self, *directions: str) -> None:
        """Stop forwarding, in one direction or both, and keep the sockets; the end of a stream is not forwarded, either."""
        for direction in directions or (UP, DOWN):
            self._open[direction].clear()

    def thaw(self) -> None:
        """Forward again, from the first piece that was held."""
        for event in self._open.values():
            event.set()

    def truncate(self, size: int) -> None:
        """Forward ``size`` more bytes to clients, then cut."""
        self._left = size

    def refuse(self) -> None:
        """Refuse new connections; those that are up stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def admit(self) -> None:
        """Accept new connections, on the same port as before."""
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._context)
            self.port = self._server.sockets[0].getsockname()[1]

    async def heal(self) -> None:
        """End all faults."""
        self.mute, self.delay, self.drip, self._left = False, 0.0, None, None
        self.thaw()
        await self.admit()

    # --- forwarding ---------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        writers = self._links[task] = [writer]
        try:
            if self.mute:
                await reader.read()  # to the end of the stream
                return
            upstream, server = await asyncio.open_connection(*self._target)
            writers.append(server)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(UP, reader, server))
                group.create_task(self._forward(DOWN, upstream, writer))
        except* OSError:
            pass  # one side has ended; the other one follows below
        finally:
            del self._links[task]
            for each in writers:
                each.close()

    async def _forward(self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(self.drip or _CHUNK):
            await self._open[direction].wait()
            await asyncio.sleep(0.001 if self.drip else self.delay)
            if direction is DOWN and self._left is not None:
                data = data[: self._left]
                self._left -= len(data)
            writer.write(data)
            await writer.drain()
            if direction is DOWN:
                self.forwarded += len(data)
                if self._left == 0:
                    self.cut()
        await self._open[direction].wait()
        raise ConnectionResetError("one side has ended")


class HttpProxy:
    """An HTTP proxy. With an `answer` it gives that to every request, and forwards none.

    Attributes:
        asked: the heads of the requests.
        url: the URL of the proxy.
    """

    def __init__(self, answer: bytes | None = None, *, login: bytes | None = None, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.url = ""
        self._answer = answer
        self._login = login
        self._context = context

    @asynccontextmanager
    async def open(self) -> AsyncIterator[HttpProxy]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context) as server:
            self.url = f"{'https' if self._context else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    def with_login(self, login: str) -> str:
        return self.url.replace("://", f"://{login}@")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.asked.append(head)
        method, target, _ = head.split("\r\n")[0].split(" ")
        if self._answer is not None or (self._login is not None and base64.b64encode(self._login).decode() not in head):
            writer.write(_REFUSAL if self._answer is None else self._answer)
            writer.close()
            return
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        upstream, server = await asyncio.open_connection(parts.hostname, parts.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            server.write(head.replace(target, f"{parts.path}?{parts.query}", 1).encode("latin-1"))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, server))
                group.create_task(self._forward(upstream, writer))
        except* ConnectionError:
            pass
        finally:
            server.close()
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
