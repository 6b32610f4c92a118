"""Serve events that are encoded WebSocket frames before the first one leaves.

``python -m bench.server`` prints its port and serves until its standard input ends. Without a rate, events leave in big chunks,
so only the client's reading slows them down. With a rate, events leave one by one.
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
RELEASE = "/go/"
"""The path that releases the next events of a load; the channel follows."""


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """Encode one complete frame of a server."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        return head + bytes([size]) + payload
    return head + (struct.pack("!BH", 126, size) if size < 65_536 else struct.pack("!BQ", 127, size)) + payload


@dataclass(frozen=True, slots=True)
class EncodedEvents:
    """All different events of a size, as bytes on the wire. `ends` holds a 0, then the end of each event."""

    wire: memoryview
    ends: list[int]


def encode(load: Load, dialect: Dialect) -> EncodedEvents:
    """Encode the events of a load for the subscriptions of a connection."""
    frames = [frame(dialect.wrap(data, load)) for data in _texts(load.size, tuple(dialect.ids))]
    ends = [0]
    for one in frames:
        ends.append(ends[-1] + len(one))
    return EncodedEvents(memoryview(b"".join(frames)), ends)


@cache
def _texts(size: int, ids: tuple[str, ...]) -> list[bytes]:
    return [event(size, number, ids) for number in range(distinct(size))]


class Server:
    """The connections, and the releases of their loads."""

    def __init__(self) -> None:
        self._releases: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(0))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        streams: list[asyncio.Task[None]] = []
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = request.split(" ", 2)[1]
            if path.startswith(RELEASE):
                self._releases[path.removeprefix(RELEASE)].release()
                writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                return
            _upgrade(writer, request)
            dialect = dialect_of(path)
            for text in dialect.greeting():
                writer.write(frame(text.encode()))
            while (received := await _read_frame(reader)) is not None:
                opcode, payload = received
                if opcode == _CLOSE:
                    writer.write(frame(payload, _CLOSE))
                    return
                if opcode == _PING:
                    writer.write(frame(payload, _PONG))
                elif opcode == _TEXT:
                    for reply in dialect.receive(payload.decode()):
                        if isinstance(reply, str):
                            writer.write(frame(reply.encode()))
                        elif len(dialect.ids) == reply.subscriptions:
                            streams.append(asyncio.create_task(self._stream(writer, reply, encode(reply, dialect))))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client closed the stream
        finally:
            for stream in streams:
                stream.cancel()
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter, load: Load, events: EncodedEvents) -> None:
        released = self._releases[load.channel]  # the client may release before its subscription arrives
        writer.transport.set_write_buffer_limits(high=_CHUNK)
        try:
            await released.acquire()
            at = await _send_fast(writer, events, 0, load.warm_up)
            while await released.acquire():
                if load.rate:
                    at = await asyncio.to_thread(_send_paced, asyncio.get_running_loop(), writer, events, at, load)
                else:
                    at = await _send_fast(writer, events, at, load.count)
        except ConnectionError:
            pass  # the reader sees the same end
        finally:
            self._releases.pop(load.channel, None)


async def _send_fast(writer: asyncio.StreamWriter, events: EncodedEvents, at: int, count: int) -> int:
    """Send as fast as the client reads; return the index of the next event."""
    ends, number = events.ends, len(events.ends) - 1
    while count:
        size = min(count, number - at)
        # Complete frames only: during the wait a reply may enter the same stream.
        stop = max(at + 1, bisect_right(ends, ends[at] + _CHUNK, at, at + size + 1) - 1)
        writer.write(events.wire[ends[at] : ends[stop]])
        await writer.drain()
        at, count = stop % number, count - (stop - at)
    return at


def _send_paced(loop: asyncio.AbstractEventLoop, writer: asyncio.StreamWriter, events: EncodedEvents, at: int, load: Load) -> int:
    """Send one by one at the rate; return the index of the next event. A thread runs this, because a loop's timers are coarse."""
    start, ends, number = time.monotonic(), events.ends, len(events.ends) - 1
    for n in range(load.count):
        time.sleep(max(0.0, start + n / load.rate - time.monotonic()))
        loop.call_soon_threadsafe(writer.write, events.wire[ends[at] : ends[at + 1]])
        at = (at + 1) % number
    return at


def _upgrade(writer: asyncio.StreamWriter, request: str) -> None:
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in request.split("\r\n"))}
    accept = hashlib.sha1(headers["sec-websocket-key"].encode() + _MAGIC).digest()  # noqa: S324  (RFC 6455)
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(accept)
    )


async def _read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes] | None:
    """Read one frame of the client: its opcode and its payload; None at the end."""
    head = await reader.read(1)
    if not head:
        return None
    size = (await reader.readexactly(1))[0] & 0x7F
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8))
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(size)
    repeated_mask = (mask * (size // 4 + 1))[:size]
    return head[0] & 0x0F, (int.from_bytes(masked) ^ int.from_bytes(repeated_mask)).to_bytes(size)


async def main() -> None:
    """Serve until standard input ends."""
    server = await asyncio.start_server(Server().serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
