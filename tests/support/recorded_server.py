"""A WebSocket server by hand, on a real socket: it sends any frame, a bare FIN or a reset, and shows what the client sends."""

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
AFTERWARDS = (
    '{"type":"event","data":{"events":["e"],"channels":["c"],"timestamp":"2026-11-23T16:00:00.000+00:00","payload":[],'
    '"subscriptions":[]}}'
)
PATIENCE = 5.0  # seconds until a test that waits in vain fails
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Clock(asyncio.SelectorEventLoop):
    """An event loop in real time that can be put forward, so that nobody sleeps until a ping is due."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.reported: list[dict[str, Any]] = []
        super().__init__()
        self.set_exception_handler(lambda _, context: self.reported.append(context))

    def time(self) -> float:
        return super().time() + self._ahead

    def forward(self, seconds: float) -> None:
        self._ahead += seconds


def run(main: Callable[[Clock], Coroutine[Any, Any, T]]) -> T:
    """Run a test on such a loop, and see that it leaves no task behind and that the loop was told of no exception."""
    with asyncio.Runner(loop_factory=Clock) as runner:
        clock = runner.get_loop()
        assert isinstance(clock, Clock)

        async def supervised() -> T:
            result = await main(clock)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks are left: {left}"
            return result

        result = runner.run(supervised())
        assert clock.reported == [], clock.reported
        return result


async def soon(awaitable: Awaitable[T], within: float = PATIENCE) -> T:
    async with asyncio.timeout(within):
        return await awaitable


async def until(condition: Callable[[], object]) -> None:
    """For what nobody can be woken by."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


class Peer:
    """One link from the server's side, from the client's request on."""

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
        """Send one frame, as a server does: whole and unmasked."""
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
        """Read the client's next message, which must be of a kind."""
        opcode, payload = await soon(self._frame())
        assert opcode == TEXT, (opcode, payload)
        message: dict[str, Any] = json.loads(payload)
        assert message["type"] == kind, message
        return message

    async def close_frame(self) -> tuple[int | None, str]:
        """Read the client's next frame, which must be the one that closes: its code and reason."""
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
        """Send a bare FIN, and wait until the client has ended its direction, too."""
        if not self._writer.transport.is_closing():
            with contextlib.suppress(OSError):  # the client was first
                self._writer.write_eof()
        await self.ended()

    async def ended(self) -> None:
        """Wait until the client has ended the stream, and close it."""
        with contextlib.suppress(OSError):
            await soon(self._reader.read())
        await self.release()

    async def reset(self) -> None:
        """End the stream with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self._writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await self.release()

    async def release(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class RecordedServer:
    """Hands over each link that a client dials, and does nothing by itself."""

    def __init__(self) -> None:
        self._port = 0
        self._server: asyncio.Server | None = None
        self._peers: list[Peer] = []
        self._dialed: asyncio.Queue[Peer] = asyncio.Queue()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def unexpected(self) -> int:
        """How many links were dialed that nobody has accepted."""
        return self._dialed.qsize()

    async def accept(self) -> Peer:
        """The next link, with its request; the answer to that is the caller's."""
        peer = await soon(self._dialed.get())
        await peer.receive_request()
        return peer

    async def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        self._server = await asyncio.start_server(self._on_dial, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listen no more: dials are refused. Links that are up stay up."""
        assert self._server is not None
        self._server.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        for peer in self._peers:
            await peer.release()

    def _on_dial(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._peers.append(peer)
        self._dialed.put_nowait(peer)


async def acknowledge(peer: Peer, asked: list[dict[str, Any]], reply: dict[str, Any]) -> None:
    """Answer what the client asks for, however it divides that into messages, with the items of one recorded reply."""

    def key(item: dict[str, Any]) -> tuple[list[str], list[str]]:
        return item["channels"], item.get("queries", [])

    left = [(key(item), answer) for item, answer in zip(asked, reply["subscriptions"], strict=True)]
    while left:
        answers = []
        for item in (await peer.message("subscribe"))["data"]:
            position = [wanted for wanted, _ in left].index(key(item))
            answers.append(left.pop(position)[1] | {"subscriptionId": item["subscriptionId"]})
        peer.send_json({"type": "response", "data": reply | {"subscriptions": answers}})


async def confirm(peer: Peer, leaving: list[Subscription], reply: dict[str, Any]) -> None:
    """Answer that these are removed, as the recorded reply says it of the first one."""
    left = {subscription.id for subscription in leaving}
    while left:
        items = (await peer.message("unsubscribe"))["data"]
        left -= {item["subscriptionId"] for item in items}
        peer.send_json(
            {"type": "response", "data": reply | {"subscriptions": [reply["subscriptions"][0] | item for item in items]}}
        )


async def publish(peer: Peer, text: str, data: dict[str, Any], audience: list[Subscription]) -> list[Event]:
    """Send a recorded event with the client's own ids in it, and see that each of these subscriptions gets it intact."""
    head, _, recorded = text.rpartition(',"subscriptions":')
    assert recorded == json.dumps(data["subscriptions"], separators=(",", ":")) + "}}"
    ids = [subscription.id for subscription in audience]
    peer.send(f'{head},"subscriptions":{json.dumps(ids)}}}}}')
    return await delivered(data, audience)


async def delivered(data: dict[str, Any], audience: list[Subscription]) -> list[Event]:
    """Each of these subscriptions gets an event that was sent, intact."""
    events = [await soon(anext(subscription)) for subscription in audience]
    for event in events:
        assert (event.events, event.channels) == (tuple(data["events"]), tuple(data["channels"]))
        assert event.payload == (data["payload"] or {})
        assert sorted(event.subscriptions) == sorted(subscription.id for subscription in audience)
        assert event.timestamp == datetime.fromisoformat(data["timestamp"])
        assert event.timestamp.utcoffset() is not None
    return events


async def welcome_back(peer: Peer, subscriptions: list[Subscription], user: dict[str, Any] | None) -> None:
    """Greet a client that comes again, acknowledge what it must ask for again, exactly that, and send it an event."""
    peer.upgrade()
    peer.send_json({"type": "connected", "data": {"channels": [], "subscriptions": [], "user": user}})
    if subscriptions:
        asked = [{"channels": list(part.channels), "queries": list(part.queries)} for part in subscriptions]
        items = [{"subscriptionId": part.id} | item for part, item in zip(subscriptions, asked, strict=True)]
        await acknowledge(peer, asked, {"to": "subscribe", "success": True, "subscriptions": items})
        await publish(peer, AFTERWARDS, json.loads(AFTERWARDS)["data"], subscriptions)


class Guest:
    """A client with its user: what is called, and what comes of it."""

    def __init__(self, realtime: Realtime) -> None:
        self.realtime = realtime
        self.states = realtime.states()
        self.calls: list[asyncio.Future[Any]] = []
        self.asked: list[dict[str, Any]] = []  # the items of the last subscribe
        self.told: list[object] = []  # by the client; no secret may be in it

    async def change(self, source: State | None = None, dest: State | None = None) -> Any:
        """Wait for the next change that leaves and enters these states."""
        while True:
            change = await soon(anext(self.states))
            self.told.append(change)
            if source in (None, change.source) and dest in (None, change.dest):
                return change

    def call(self, *coroutines: Coroutine[Any, Any, Any]) -> None:
        """Beside the calls that are still waited for."""
        pending = [call for call in self.calls if not call.done()]
        self.calls = pending + [asyncio.ensure_future(coroutine) for coroutine in coroutines]

    def subscribe(self, items: list[dict[str, Any]]) -> None:
        """Ask for items beside those that are not answered yet; a channel that is named twice counts once, as with our client."""
        folded = [item | {"channels": list(dict.fromkeys(item["channels"]))} for item in items]
        self.asked = [*self.asked, *folded] if any(not call.done() for call in self.calls) else folded
        self.call(*(self.realtime.subscribe(*item["channels"], queries=item.get("queries", ())) for item in folded))
