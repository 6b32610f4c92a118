"""A WebSocket server by hand, on a real socket: it sends any frame, a bare FIN or a reset, and shows the client's messages."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, Self, TypeVar

from realtime_fsm import Event, Realtime, State, Subscription

T = TypeVar("T")
TEXT, CLOSE, PONG = 1, 8, 10
EVENT_AFTER_RECONNECT = (
    '{"type":"event","data":{"events":["e"],"channels":["c"],"timestamp":"2026-11-23T16:00:00.000+00:00","payload":[],'
    '"subscriptions":[]}}'
)
TIMEOUT = 5.0  # seconds until a wait fails its test
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop in real time that can skip time, so that no test sleeps until a ping is due."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.reported: list[dict[str, Any]] = []
        super().__init__()
        self.set_exception_handler(lambda _, context: self.reported.append(context))

    def time(self) -> float:
        return super().time() + self._ahead

    def skip(self, seconds: float) -> None:
        self._ahead += seconds


def run(main: Callable[[SkippingLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a test on such a loop; check that it leaves no task behind, and that the loop reports no exception."""
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        clock = runner.get_loop()
        assert isinstance(clock, SkippingLoop)

        async def supervised() -> T:
            result = await main(clock)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks are left: {left}"
            return result

        result = runner.run(supervised())
        assert clock.reported == [], clock.reported
        return result


async def soon(awaitable: Awaitable[T], within: float = TIMEOUT) -> T:
    async with asyncio.timeout(within):
        return await awaitable


class ServerLink:
    """One link on the side of the server, from the client's upgrade request on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.target = ""
        self.headers: dict[str, str] = {}
        self._reader, self._writer = reader, writer

    async def receive_request(self) -> None:
        head = await soon(self._reader.readuntil(b"\r\n\r\n"))
        request, *lines = head.decode().split("\r\n")[:-2]
        self.target = request.split()[1]
        self.headers = dict(line.split(": ", 1) for line in lines)

    def upgrade(self) -> None:
        digest = hashlib.sha1(f"{self.headers['Sec-WebSocket-Key']}{_GUID}".encode()).digest()  # noqa: S324  (RFC 6455)
        accept = base64.b64encode(digest).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.write(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())

    def write(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():
            self._writer.write(data)

    def send(self, payload: bytes | str, opcode: int = TEXT) -> None:
        """Send one whole, unmasked frame, as a server does."""
        data = payload.encode() if isinstance(payload, str) else payload
        if len(data) < 126:
            head = struct.pack("!BB", 0x80 | opcode, len(data))
        elif len(data) < 65_536:
            head = struct.pack("!BBH", 0x80 | opcode, 126, len(data))
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127, len(data))
        self.write(head + data)

    def send_json(self, frame: object) -> None:
        self.send(json.dumps(frame, separators=(",", ":")))

    async def message(self, kind: str) -> dict[str, Any]:
        """Read the client's next message, whose type must be ``kind``."""
        opcode, payload = await soon(self._frame())
        assert opcode == TEXT, (opcode, payload)
        message: dict[str, Any] = json.loads(payload)
        assert message["type"] == kind, message
        return message

    async def close_frame(self) -> tuple[int | None, str]:
        """Read the client's next frame, which must be a close frame, and return its code and reason."""
        opcode, payload = await soon(self._frame())
        assert opcode == CLOSE, (opcode, payload)
        return int.from_bytes(payload[:2]) or None, payload[2:].decode()

    async def _frame(self) -> tuple[int, bytes]:
        first, second = await self._reader.readexactly(2)
        assert first & 0xF0 == 0x80, "a client sends whole frames without reserved bits"
        assert second & 0x80, "a client masks what it sends"
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
        mask, data = await self._reader.readexactly(4), await self._reader.readexactly(size)
        return first & 0x0F, bytes(byte ^ mask[position % 4] for position, byte in enumerate(data))

    async def finish(self) -> None:
        """Send a bare FIN, and wait until the client ends the stream too."""
        if not self._writer.transport.is_closing():
            with contextlib.suppress(OSError):  # the client was first
                self._writer.write_eof()
        await self.ended()

    async def ended(self) -> None:
        """Wait until the client ends the stream, and close it."""
        with contextlib.suppress(OSError):
            await soon(self._reader.read())
        await self.abort()

    async def reset(self) -> None:
        """End the stream with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self._writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await self.abort()

    async def abort(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class RecordedServer:
    """A server that passes each link to the test, which answers on it."""

    def __init__(self) -> None:
        self._port = 0
        self._server: asyncio.Server | None = None
        self._links: list[ServerLink] = []
        self._dialed: asyncio.Queue[ServerLink] = asyncio.Queue()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def unexpected(self) -> int:
        """The number of links that the test has not accepted."""
        return self._dialed.qsize()

    async def accept(self) -> ServerLink:
        """Return the next link, whose upgrade request has been read; the caller answers it."""
        link = await soon(self._dialed.get())
        await link.receive_request()
        return link

    async def start(self) -> None:
        """Listen; after `stop`, on the same port."""
        self._server = await asyncio.start_server(self._on_dial, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Refuse dials; links that are up stay up."""
        assert self._server is not None
        self._server.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        for link in self._links:
            await link.abort()

    def _on_dial(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = ServerLink(reader, writer)
        self._links.append(link)
        self._dialed.put_nowait(link)


async def acknowledge(link: ServerLink, requested: list[dict[str, Any]], reply: dict[str, Any]) -> None:
    """Acknowledge the items that the client requests, in any number of messages, with those of one recorded reply."""

    def key(item: dict[str, Any]) -> tuple[list[str], list[str]]:
        return item["channels"], item.get("queries", [])

    left = [(key(item), answer) for item, answer in zip(requested, reply["subscriptions"], strict=True)]
    while left:
        answers = []
        for item in (await link.message("subscribe"))["data"]:
            position = [other for other, _ in left].index(key(item))
            answers.append(left.pop(position)[1] | {"subscriptionId": item["subscriptionId"]})
        link.send_json({"type": "response", "data": reply | {"subscriptions": answers}})


async def confirm(link: ServerLink, removed: list[Subscription], reply: dict[str, Any]) -> None:
    """Answer that these subscriptions are removed, each with the recorded answer for the first one."""
    left = {subscription.id for subscription in removed}
    while left:
        items = (await link.message("unsubscribe"))["data"]
        left -= {item["subscriptionId"] for item in items}
        link.send_json(
            {"type": "response", "data": reply | {"subscriptions": [reply["subscriptions"][0] | item for item in items]}}
        )


async def publish(link: ServerLink, text: str, data: dict[str, Any], audience: list[Subscription]) -> list[Event]:
    """Send a recorded event with the client's ids, and check that each of these subscriptions gets it intact."""
    head, _, recorded = text.rpartition(',"subscriptions":')
    assert recorded == json.dumps(data["subscriptions"], separators=(",", ":")) + "}}"
    ids = [subscription.id for subscription in audience]
    link.send(f'{head},"subscriptions":{json.dumps(ids)}}}}}')
    return await check_delivery(data, audience)


async def check_delivery(data: dict[str, Any], audience: list[Subscription]) -> list[Event]:
    """Check that each of these subscriptions gets an event intact, and return the events."""
    events = [await soon(anext(subscription)) for subscription in audience]
    for event in events:
        assert (event.events, event.channels) == (tuple(data["events"]), tuple(data["channels"]))
        assert event.payload == (data["payload"] or {})
        assert sorted(event.subscriptions) == sorted(subscription.id for subscription in audience)
        assert event.timestamp == datetime.fromisoformat(data["timestamp"])
        assert event.timestamp.utcoffset() is not None
    return events


async def greet_again(link: ServerLink, subscriptions: list[Subscription], user: dict[str, Any] | None) -> None:
    """Greet a client that reconnects, acknowledge exactly these subscriptions again, and send an event."""
    link.upgrade()
    link.send_json({"type": "connected", "data": {"channels": [], "subscriptions": [], "user": user}})
    if subscriptions:
        items = [{"channels": list(each.channels), "queries": list(each.queries)} for each in subscriptions]
        answers = [{"subscriptionId": each.id} | item for each, item in zip(subscriptions, items, strict=True)]
        await acknowledge(link, items, {"to": "subscribe", "success": True, "subscriptions": answers})
        await publish(link, EVENT_AFTER_RECONNECT, json.loads(EVENT_AFTER_RECONNECT)["data"], subscriptions)


class ClientUnderTest:
    """A client, with the calls of the test and their results.

    Attributes:
        states: the changes of state.
        calls: the calls that the test has made last.
        requested: the items of the last subscriptions.
        outputs: everything that the client has shown; no secret may be in it.
    """

    def __init__(self, realtime: Realtime) -> None:
        self.realtime = realtime
        self.states = realtime.states()
        self.calls: list[asyncio.Future[Any]] = []
        self.requested: list[dict[str, Any]] = []
        self.outputs: list[object] = []

    async def next_change(self, source: State | None = None, dest: State | None = None) -> Any:
        """Wait for the next change from and to these states."""
        while True:
            change = await soon(anext(self.states))
            self.outputs.append(change)
            if source in (None, change.source) and dest in (None, change.dest):
                return change

    def call(self, *coroutines: Coroutine[Any, Any, Any]) -> None:
        """Make calls, beside those that are not done."""
        pending = [call for call in self.calls if not call.done()]
        self.calls = pending + [asyncio.ensure_future(coroutine) for coroutine in coroutines]

    def subscribe(self, items: list[dict[str, Any]]) -> None:
        """Subscribe to items, beside those without an answer; a channel that is named twice counts once."""
        unique = [item | {"channels": list(dict.fromkeys(item["channels"]))} for item in items]
        self.requested = [*self.requested, *unique] if any(not call.done() for call in self.calls) else unique
        self.call(*(self.realtime.subscribe(*item["channels"], queries=item.get("queries", ())) for item in unique))
