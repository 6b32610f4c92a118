"""A WebSocket client by hand: it sends any frame, legal or not, and returns every frame, and the end of the stream."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

OPCODES = {"cont": 0, "text": 1, "binary": 2, "close": 8, "ping": 9, "pong": 10}
TIMEOUT = 5.0  # seconds until a wait fails its test


@dataclass(frozen=True, slots=True)
class Frame:
    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    masked: bool

    @property
    def text(self) -> str:
        assert self.opcode == OPCODES["text"], self
        return self.payload.decode()


def upgrade(target: str, *headers: str) -> list[str]:
    """The lines of an upgrade request."""
    key = base64.b64encode(os.urandom(16)).decode()
    return [
        f"GET {target} HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]


class RawClient(asyncio.Protocol):
    """One TCP connection; `dial` makes it.

    Attributes:
        head: the head of the server's answer to the request.
        ended: "eof" or "reset" once the stream has ended, else empty.
    """

    def __init__(self) -> None:
        self.head = ""
        self.ended = ""
        self._buffer = bytearray()
        self._unsent = b""
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, port: int, request: list[str]) -> Self:
        """Connect and send a request, without waiting for its answer."""
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_connection(cls, "127.0.0.1", port)
        client._transport = transport
        transport.write("\r\n".join([*request, "", ""]).encode())
        return client

    @classmethod
    async def dial(cls, port: int, request: list[str]) -> Self:
        """Connect, send a request, and read the head of its answer."""
        client = await cls.connect(port, request)
        await client.answered()
        return client

    async def answered(self) -> None:
        await self._until(lambda: b"\r\n\r\n" in self._buffer)
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self.head, self._buffer = head.decode(), bytearray(rest)

    def send(
        self,
        payload: bytes | str,
        op: str | int = "text",
        *,
        fin: bool = True,
        rsv: int = 0,
        masked: bool = True,
        more: bool = False,
    ) -> None:
        """Send one frame, or keep it to send it together with `more`.

        `rsv` holds the three reserved bits, the first one being worth 4.
        """
        data = payload.encode() if isinstance(payload, str) else payload
        first = (0x80 if fin else 0) | rsv << 4 | (OPCODES[op] if isinstance(op, str) else op)
        mask_bit = 0x80 if masked else 0
        if len(data) < 126:
            head = struct.pack("!BB", first, mask_bit | len(data))
        elif len(data) < 65_536:
            head = struct.pack("!BBH", first, mask_bit | 126, len(data))
        else:
            head = struct.pack("!BBQ", first, mask_bit | 127, len(data))
        if masked:
            mask = os.urandom(4)
            repeated = (mask * (len(data) // 4 + 1))[: len(data)]
            masked_data = int.from_bytes(data) ^ int.from_bytes(repeated)
            data = mask + masked_data.to_bytes(len(data))
        self._unsent += head + data
        if not more:
            unsent, self._unsent = self._unsent, b""
            self.write(unsent)

    def close_frame(self, code: int | None, reason: str = "") -> None:
        self.send(b"" if code is None else struct.pack("!H", code) + reason.encode(), "close")

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write(data)

    def finish(self) -> None:
        """Send a FIN."""
        assert self._transport is not None
        self._transport.write_eof()

    def stop_reading(self) -> None:
        """Read nothing more from the stream."""
        assert self._transport is not None
        self._transport.pause_reading()

    async def read_on(self) -> int:
        """Read again, to the end of the stream; return the number of bytes."""
        assert self._transport is not None
        self._transport.resume_reading()
        await self._until(lambda: bool(self.ended), ended_is_fine=True)
        return len(self._buffer)

    async def frame(self) -> Frame:
        """Read the next frame."""
        await self._until(lambda: len(self._buffer) >= 2)
        first, second = self._buffer[:2]
        size, start = second & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            await self._until(lambda: len(self._buffer) >= 2 + width)
            size, start = int.from_bytes(self._buffer[2 : 2 + width]), 2 + width
        await self._until(lambda: len(self._buffer) >= start + size)
        payload = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        return Frame(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7, bool(second & 0x80))

    async def text(self) -> str:
        return (await self.frame()).text

    async def json(self) -> dict[str, Any]:
        """Read the next message."""
        message: dict[str, Any] = json.loads(await self.text())
        return message

    async def error_code(self) -> object:
        """Read the next message, which must be an error, and return its code."""
        message = await self.json()
        assert message["type"] == "error", message
        return message["data"]["code"]

    async def quiet(self) -> None:
        """Check that the server has sent nothing: its next frame is the answer to a WebSocket ping."""
        self.send("quiet?", "ping")
        frame = await self.frame()
        assert (frame.opcode, frame.payload) == (OPCODES["pong"], b"quiet?"), frame

    async def silent(self) -> None:
        """Check that a frozen server sends nothing, in ten turns of the event loop."""
        for _ in range(10):
            await asyncio.sleep(0)
        assert not self._buffer, bytes(self._buffer)

    async def ending(self) -> str:
        """Wait for the end of the stream, with no more data before it; return how it ended."""
        await self._until(lambda: bool(self.ended), ended_is_fine=True)
        assert not self._buffer, bytes(self._buffer)
        return self.ended

    async def hang_up(self) -> None:
        assert self._transport is not None
        self._transport.abort()
        await self._lost.wait()

    async def _until(self, condition: Callable[[], bool], *, ended_is_fine: bool = False) -> None:
        async with asyncio.timeout(TIMEOUT):
            while not condition():
                assert ended_is_fine or not self.ended, f"the stream has ended: {self.ended}"
                self._changed.clear()
                await self._changed.wait()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._changed.set()

    def eof_received(self) -> bool:
        self.ended = self.ended or "eof"
        self._changed.set()
        return True  # stay half open: a client may go on sending

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = self.ended or ("reset" if exc else "eof")
        self._lost.set()
        self._changed.set()
