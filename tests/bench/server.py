"""The server: a process of its own, in which every event is a whole WebSocket frame before the first one is sent.

``python -m bench.server`` prints its port and serves until its standard input ends. Events leave in big chunks, each when the
one before it is on its way, so the client's own reading is all that can slow them down; or one by one, where a load has a rate.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import sys
import time
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from bench.dialects import Dialect, dialect_of
from bench.events import distinct, event
from bench.load import Load

_CHUNK = 256 * 1024
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
GO = "/go/"
"""The path that lets a load's next events come, with its channel behind it."""


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """One whole frame as a server sends it."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        return head + bytes([size]) + payload
    return head + (struct.pack("!BH", 126, size) if size < 65_536 else struct.pack("!BQ", 127, size)) + payload


@dataclass(frozen=True, slots=True)
class Block:
    """All different events of a size, as the bytes on the wire; `ends` says where each one ends, behind a 0."""

    wire: memoryview
    ends: list[int]


def block(load: Load, dialect: Dialect) -> Block:
    """Encode the events of a load for the subscriptions of a connection."""
    frames = [frame(dialect.wrap(data, load)) for data in _texts(load.size, tuple(dialect.ids))]
    ends = [0]
    for one in frames:
        ends.append(ends[-1] + len(one))
    return Block(memoryview(b"".join(frames)), ends)


@cache
def _texts(size: int, ids: tuple[str, ...]) -> list[bytes]:
    return [event(size, number, ids) for number in range(distinct(size))]


class Server:
    """All connections."""

    def __init__(self) -> None:
        self._goes: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        streams: list[asyncio.Task[None]] = []
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = request.split(" ", 2)[1]
            if path.startswith(GO):
                self._goes[path.removeprefix(GO)].release()
                writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                return
            _upgrade(writer, request)
            dialect = dialect_of(path)
            for text in dialect.greet():
                writer.write(frame(text.encode()))
            while (heard := await _read(reader)) is not None:
                opcode, payload = heard
                if opcode == _CLOSE:
                    writer.write(frame(payload, _CLOSE))
                    return
                if opcode == _PING:
                    writer.write(frame(payload, _PONG))
                elif opcode == _TEXT:
                    for said in dialect.hear(payload.decode()):
                        if isinstance(said, str):
                            writer.write(frame(said.encode()))
                        elif len(dialect.ids) == said.subscriptions:
                            streams.append(asyncio.create_task(self._stream(writer, said, block(said, dialect))))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            for stream in streams:
                stream.cancel()
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter, load: Load, events: Block) -> None:
        go = self._goes[load.channel]  # a client may have said it before its subscription came here
        writer.transport.set_write_buffer_limits(high=_CHUNK)
        try:
            await go.acquire()
            at = await _pour(writer, events, 0, load.warm)
            while await go.acquire():
                if load.rate:
                    at = await asyncio.to_thread(_drip, asyncio.get_running_loop(), writer, events, at, load)
                else:
                    at = await _pour(writer, events, at, load.count)
        except ConnectionError:
            pass  # the reader sees the same end
        finally:
            self._goes.pop(load.channel, None)


async def _pour(writer: asyncio.StreamWriter, events: Block, at: int, count: int) -> int:
    """Send as fast as it is taken; returns which event is next."""
    ends, number = events.ends, len(events.ends) - 1
    while count:
        many = min(count, number - at)
        # Whole frames: while it waits, a reply may be written to the same stream.
        stop = max(at + 1, bisect_right(ends, ends[at] + _CHUNK, at, at + many + 1) - 1)
        writer.write(events.wire[ends[at] : ends[stop]])
        await writer.drain()
        at, count = stop % number, count - (stop - at)
    return at


def _drip(loop: asyncio.AbstractEventLoop, writer: asyncio.StreamWriter, events: Block, at: int, load: Load) -> int:
    """Send one by one, each at its moment: in a thread, for a loop's timers are not fine enough. Returns which event is next."""
    begin, ends, number = time.monotonic(), events.ends, len(events.ends) - 1
    for n in range(load.count):
        time.sleep(max(0.0, begin + n / load.rate - time.monotonic()))
        loop.call_soon_threadsafe(writer.write, events.wire[ends[at] : ends[at + 1]])
        at = (at + 1) % number
    return at


def _upgrade(writer: asyncio.StreamWriter, request: str) -> None:
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in request.split("\r\n"))}
    accept = hashlib.sha1(headers["sec-websocket-key"].encode() + _MAGIC).digest()  # noqa: S324  (the protocol's own)
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(accept)
    )


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """One frame of the client: its opcode and what it holds; None at the end."""
    head = await reader.read(1)
    if not head:
        return None
    size = (await reader.readexactly(1))[0] & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(size)
    whole = (mask * (size // 4 + 1))[:size]
    return head[0] & 0x0F, (int.from_bytes(masked) ^ int.from_bytes(whole)).to_bytes(size)


async def main() -> None:
    """Serve until standard input ends."""
    server = await asyncio.start_server(Server().serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
