"""A simulated network: the protocol core of the embedded server behind sockets of virtual time, with faults on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from realtime_fsm import Realtime, Subscription
from realtime_fsm.errors import LinkFailure, StreamEnded
from realtime_fsm.runtime.jitter import drawing
from realtime_fsm.runtime.sockets import MessageHandler, Socket, Transport
from realtime_fsm.runtime.transport import ClientSession
from realtime_fsm.testing.backend import Backend, Deliveries
from realtime_fsm.testing.connection import ServerConnection
from realtime_fsm.testing.eras import EraName, era_named
from realtime_fsm.testing.memory import LATENCY as LATENCY
from realtime_fsm.testing.memory import MemorySocket
from realtime_fsm.testing.request import HttpRequest
from realtime_fsm.testing.wire import MASKED, Reply, encode, error

_HOSTS = map("simulated-{}".format, itertools.count())  # by default a connection has a host, and so a dial rate, of its own
GREET, MUTE, HANG = "greet", "mute", "hang"
"""The outcome of a dial: a greeting; an upgrade without a greeting; no answer."""


class SimulatedSocket(MemorySocket):
    """A socket on the side of the client.

    Attributes:
        peer: the connection on the side of the server.
        sent: the messages of the client.
        heard: the frames of the server, each behind the number of messages that the client had sent before.
        frozen: whether messages and frames are lost.
    """

    def __init__(self, network: Network, peer: ServerConnection) -> None:
        super().__init__(network.latencies.popleft() if network.latencies else LATENCY)
        self.network = network
        self.peer = peer
        self.sent: list[bytes] = []
        self.heard: list[tuple[int, bytes]] = []
        self.frozen = False

    # --- the client's side ----------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        if self.network.failing_sends:
            raise StreamEnded
        if not self.frozen:
            await super().send(data)
        elif self.closed is not None:
            raise StreamEnded
        self.sent.append(data)

    async def pump(self, deliver: MessageHandler) -> int:
        def hear(frame: bytes) -> Awaitable[object] | None:
            self.heard.append((len(self.sent), frame))
            return deliver(frame)

        return await super().pump(hear)

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        await super().close(timeout)
        if self.frozen:
            await asyncio.sleep(max(0.0, timeout - self.latency))

    # --- the server's side ----------------------------------------------------------------------------------------------

    def _arrive(self, data: bytes) -> None:
        if (code := self.network.code_for(data)) is not None:
            self.push(encode({"type": "error", "data": {"code": code, "message": MASKED}}))
        elif data in self.network.answers:
            self.answer(Reply(self.network.answers[data]))
        elif any(word in data for word in self.network.refused):
            self.answer(Reply((error(1003),)))
        elif any(word in data for word in self.network.banned):
            self.answer(Reply((error(1008),), end=True))
        else:
            reply = self.peer.receive_message(data, self.network.wall())
            if reply.after:
                asyncio.get_running_loop().call_later(reply.after, self.answer, reply)
            else:
                self.answer(reply)
            self.network.deliver_caused()

    def answer(self, reply: Reply) -> None:
        for frame in reply.frames:
            self.push(frame)
        if reply.end or reply.reset:
            self.cut()

    def push(self, frame: bytes) -> None:
        if not self.frozen:
            super().push(frame)

    def cut(self, code: int = 1006) -> None:
        """End the stream."""
        self._disconnect()
        self.end(code)

    def _disconnect(self) -> None:
        self.peer.close(self.network.wall())
        self.network.deliver_caused()


class Network:
    """The server that clients dial, and the network before it; `options` are those of its backend.

    A client asks an old server for its era by a dial without channels, which that server refuses. Such dials are in `questions`
    only; so a statement of a test about dials and sockets holds in every era.

    Attributes:
        era: the era of the server if the test names no other; the fixture `server_era` sets it.
        backend: the state of the server.
        sockets: the sockets of all dials.
        dials: the moments of all dials.
        questions: the moments of the dials that asked for the era.
        headers: the headers of all dials.
        latencies: the latencies of the next sockets, in seconds.
        script: the outcomes of the next dials.
        otherwise: the outcome of a dial when the script is empty.
        answers: frames that answer a message, instead of the server's answer.
        refused: texts; the server answers a message with one of them with error 1003, and a URL with one of them with 1008.
        banned: texts; the server answers a message with one of them with error 1008 and the end.
        refused_with: texts and codes; the server answers a message with one of the texts with that error.
        fault: the code of the error that answers every message but a ping; None for no fault.
        failing_sends: whether the client's sends fail.
        released: whether the client has released its transport.
        on_dial: called with each dial.
    """

    era: ClassVar[EraName] = "E4"

    def __init__(self, era: EraName | None = None, **options: Any) -> None:
        self.backend = Backend(era=era or self.era, **options)
        self.sockets: list[SimulatedSocket] = []
        self.dials: list[float] = []
        self.questions: list[float] = []
        self.headers: list[Mapping[str, str]] = []
        self.latencies: deque[float] = deque()
        self.script: deque[str | LinkFailure | Exception] = deque()
        self.otherwise: str | LinkFailure = GREET
        self.answers: dict[bytes, tuple[bytes, ...]] = {}
        self.refused: set[bytes] = set()
        self.banned: set[bytes] = set()
        self.refused_with: dict[bytes, int | str] = {}
        self.fault: int | str | None = None
        self.failing_sends = False
        self.released = False
        self.on_dial: Callable[[], object] = lambda: None

    @property
    def socket(self) -> SimulatedSocket:
        """The newest socket."""
        return self.sockets[-1]

    @property
    def subscribes_in_url(self) -> bool:
        """Whether a client names its channels in the URL, and not by message."""
        return not self.backend.era.by_message

    @property
    def listening(self) -> set[str]:
        """The channels of the newest link's subscriptions, on the server."""
        return self.socket.peer.channels

    def code_for(self, data: bytes) -> int | str | None:
        """The code of the error that answers a message, if a test has set one."""
        codes = (code for word, code in self.refused_with.items() if word in data)
        return next(codes, None if b'"ping"' in data else self.fault)

    def wall(self) -> float:
        return asyncio.get_running_loop().time()

    def check(self, loop: asyncio.AbstractEventLoop) -> None:
        pass

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        self.on_dial()
        self.dials.append(self.wall())
        self.headers.append(headers)
        outcome = self.script.popleft() if self.script else self.otherwise
        await asyncio.sleep(LATENCY)
        if isinstance(outcome, Exception):
            raise outcome
        if outcome == HANG:
            await asyncio.Event().wait()
        parts = urlsplit(url)
        socket = SimulatedSocket(self, ServerConnection(self.backend))
        self.sockets.append(socket)
        target = f"{parts.path}?{parts.query}"
        request = HttpRequest(target, tuple(headers.items()))
        if outcome == GREET and any(text.strip(b'"').decode() in target for text in self.refused):
            socket.answer(Reply((error(1008),), end=True))
        elif outcome == GREET and self.backend.faulty:
            asyncio.get_running_loop().call_later(self.backend.fault_delay, self._greet_late, socket, request)
        elif outcome == GREET:
            reply = socket.peer.receive_upgrade(request, self.wall())
            if reply.end and "channels" not in parts.query and self.subscribes_in_url:
                self.questions.append(self.dials.pop())
                del self.sockets[-1], self.headers[-1]
            socket.answer(reply)
        return socket

    async def close(self) -> None:
        self.released = True

    def _greet_late(self, socket: SimulatedSocket, request: HttpRequest) -> None:
        if socket.closed is None:
            socket.answer(socket.peer.receive_upgrade(request, self.wall()))

    def become(self, era: EraName) -> None:
        """Replace the server by one of another era, with the same users; every stream ends."""
        self.backend.era = era_named(era)
        self.backend.rate_limit = self.backend.era.rate_limit
        for socket in self.sockets:
            socket.cut()

    def event(self, data: bytes, *others: str) -> bytes:
        """An event on the channel ``rows``, for all subscriptions of the newest link and others, where the era has their ids."""
        ids = json.dumps([*self.socket.peer.subscriptions, *others]).encode()
        subscriptions = b',"subscriptions":' + ids if self.backend.era.ids else b""
        return b'{"type":"event","data":{"channels":["rows"],%b%b}}' % (data, subscriptions)

    def publish(self, *channels: str, payload: object = None, **options: Any) -> int:
        """Publish an event, and return the number of connections that get it."""
        deliveries = self.backend.publish(["test.event"], list(channels), payload or {}, now=self.wall(), **options)
        self._deliver(deliveries)
        return len(deliveries)

    def deliver_caused(self) -> None:
        """Deliver the events that the message of a client, or the end of its link, has caused."""
        self._deliver(self.backend.take_caused())

    def _deliver(self, deliveries: Deliveries) -> None:
        for peer, frame in deliveries:
            next(socket for socket in self.sockets if socket.peer is peer).push(frame)

    def realtime(self, draw: Callable[[], float] = lambda: 0.5, /, *, host: str | None = None, **options: Any) -> Realtime:
        """A client of this network. Its delays are not random: by default the first ping comes after half an interval."""
        network: Transport = self

        class Simulated(Realtime):
            def _transport(self, http: ClientSession | None, **_: Any) -> Transport:
                return network

        with drawing(draw):
            return Simulated(f"http://{host or next(_HOSTS)}/v1", "demo", **options)


def take_numbers(subscription: Subscription) -> list[Any]:
    """Take the undelivered events of a subscription, and return the numbers in their payloads."""
    buffer = subscription._delivery.buffer
    numbers = [event.payload["n"] for event in buffer._items]
    buffer._items.clear()
    return numbers
