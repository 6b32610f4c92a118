"""A socket whose server sends raw frames."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from realtime_fsm.runtime.sockets import Socket
from realtime_fsm.runtime.transport import AiohttpTransport
from support.faultproxy import descriptors, header, until


@asynccontextmanager
async def upgraded(*frames: bytes, hang_up: bool = True, **options: Any) -> AsyncIterator[Socket]:
    """A socket whose server upgrades, sends raw frames, reads nothing, and ends the stream with ``hang_up``."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = header((await reader.readuntil(b"\r\n\r\n")).decode(), "Sec-WebSocket-Key")[0]
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())  # noqa: S324
        head = b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
        writer.write(head % accept + b"".join(frames))
        if hang_up:
            writer.close()
        else:
            writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    async with asyncio.timeout(10), await asyncio.start_server(handle, "127.0.0.1", 0, limit=1024) as server:
        before = descriptors()
        transport = AiohttpTransport(**options)
        socket = await transport.dial(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
        yield socket
        await socket.close(0.1)
        await transport.close()
        for writer in writers:
            writer.transport.abort()
        await until(lambda: descriptors() == before)
