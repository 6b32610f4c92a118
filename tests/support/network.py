"""A simulated network: the embedded server's brain, of any era, behind sockets of virtual time, with faults on demand."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from realtime_fsm import Realtime, Subscription
from realtime_fsm.errors import LinkFailure, StreamEnded
from realtime_fsm.runtime.sockets import MessageHandler, Socket, Transport
from realtime_fsm.runtime.transport import ClientSession
from realtime_fsm.testing.eras import EraName, era_named
from realtime_fsm.testing.peer import FAULT_DELAY, Backend, Reply, Request, ServerConnection
from realtime_fsm.testing.wire import MASKED, encode, error

_NUMBERS = itertools.count()  # each network is a server of its own, so the pacing of one test is not that of another
LATENCY = 0.01
GREET, MUTE, HANG = "greet", "mute", "hang"
"""How the next dial goes: well; an upgrade and no greeting; nothing at all."""


class SimulatedSocket:
    """One socket, seen from the client."""

    def __init__(self, network: Network, peer: ServerConnection) -> None:
        self.network = network
        self.peer = peer
        self.sent: list[bytes] = []
        self.heard: list[tuple[int, bytes]] = []  # what came, and how many messages had been sent before
        self.latency = network.latencies.popleft() if network.latencies else LATENCY
        self.frozen = False
        self.closed: float | None = None  # within how many seconds it was closed
        self._inbound: asyncio.Queue[bytes | int] = asyncio.Queue()
        self._latest = 0.0

    # the client's side

    async def send(self, data: bytes) -> None:
        if self.closed is not None or self.network.failing_sends:
            raise StreamEnded
        self.sent.append(data)
        if not self.frozen:
            self._later(lambda: self._arrive(data))

    async def pump(self, deliver: MessageHandler) -> int:
        while True:
            item = await self._inbound.get()
            if isinstance(item, int):
                return item
            self.heard.append((len(self.sent), item))
            if (pause := deliver(item)) is not None:
                await pause

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        self.closed = timeout
        self._leave()
        if timeout:
            await asyncio.sleep(timeout if self.frozen else self.latency)

    # the server's side

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
            asyncio.get_running_loop().call_later(reply.after, self.answer, reply) if reply.after else self.answer(reply)
            self.network.spread()

    def answer(self, reply: Reply) -> None:
        for frame in reply.frames:
            self.push(frame)
        if reply.end or reply.reset:
            self.cut()

    def push(self, frame: bytes) -> None:
        if not self.frozen:
            self._later(lambda: self._inbound.put_nowait(frame))

    def cut(self, code: int = 1006) -> None:
        """The stream ends."""
        self._leave()
        self._later(lambda: self._inbound.put_nowait(code))

    def _leave(self) -> None:
        self.peer.close(self.network.wall())
        self.network.spread()

    def _later(self, what: Callable[[], object]) -> None:
        """After the latency, and in order: timers of one moment have none."""
        loop = asyncio.get_running_loop()
        self._latest = max(self._latest + 1e-6, loop.time() + self.latency)
        loop.call_at(self._latest, what)


class Network:
    """What is dialed: a server of an era. `options` are those of its backend.

    A dial that an old server refuses because there are no channels in its address is how a client asks for the era. It is kept
    in `questions`, and counted nowhere else; so what a test says of dials and sockets holds on every era.

    Attributes:
        era: of which time it is, if nothing else is said; a test that runs on every era sets it.
    """

    era: ClassVar[EraName] = "E4"

    def __init__(self, era: EraName | None = None, **options: Any) -> None:
        self.backend = Backend(era=era or self.era, **options)
        self.sockets: list[SimulatedSocket] = []
        self.dials: list[float] = []
        self.questions: list[float] = []
        self.headers: list[Mapping[str, str]] = []
        self.latencies: deque[float] = deque()  # of the next sockets, in seconds
        self.script: deque[str | LinkFailure | Exception] = deque()
        self.otherwise: str | LinkFailure = GREET
        self.answers: dict[bytes, tuple[bytes, ...]] = {}  # instead of the brain's own
        self.refused: set[bytes] = set()  # words in a message that is answered with error 1003, or in an address: with 1008
        self.banned: set[bytes] = set()  # words in a message that is answered with error 1008 and the end
        self.fault: int | str | None = None  # the code with which every request is answered; pings fare well
        self.refused_with: dict[bytes, int | str] = {}  # codes of errors that answer messages with these words
        self.failing_sends = False
        self.released = False
        self.on_dial: Callable[[], object] = lambda: None  # called with each dial

    @property
    def socket(self) -> SimulatedSocket:
        """The newest."""
        return self.sockets[-1]

    @property
    def by_address(self) -> bool:
        """Whether channels travel in the address that is dialed."""
        return not self.backend.era.by_message

    @property
    def listening(self) -> set[str]:
        """The channels on which the newest link listens, as the server has it."""
        return {channel for channel, holders in self.socket.peer._subscriptions._channels.items() if holders}

    def code_for(self, data: bytes) -> int | str | None:
        """The code of the error that answers a message, if one is arranged for it."""
        named = (code for word, code in self.refused_with.items() if word in data)
        return next(named, None if b'"ping"' in data else self.fault)

    def wall(self) -> float:
        return asyncio.get_running_loop().time()

    def check(self, loop: asyncio.AbstractEventLoop) -> None:
        pass

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        self.on_dial()
        self.dials.append(self.wall())
        self.headers.append(headers)
        how = self.script.popleft() if self.script else self.otherwise
        await asyncio.sleep(LATENCY)
        if isinstance(how, Exception):
            raise how
        if how == HANG:
            await asyncio.Event().wait()
        parts = urlsplit(url)
        socket = SimulatedSocket(self, ServerConnection(self.backend))
        self.sockets.append(socket)
        target = f"{parts.path}?{parts.query}"
        if how == GREET and any(word.strip(b'"').decode() in target for word in self.refused):
            socket.answer(Reply((error(1008),), end=True))
        elif how == GREET and self.backend.faulty:
            asyncio.get_running_loop().call_later(FAULT_DELAY, self._greet_late, socket, Request(target, tuple(headers.items())))
        elif how == GREET:
            reply = socket.peer.greet(Request(target, tuple(headers.items())), self.wall())
            if reply.end and "channels" not in parts.query and self.by_address:
                self.questions.append(self.dials.pop())
                del self.sockets[-1], self.headers[-1]
            socket.answer(reply)
        return socket

    async def close(self) -> None:
        self.released = True

    def _greet_late(self, socket: SimulatedSocket, request: Request) -> None:
        if socket.closed is None:
            socket.answer(socket.peer.greet(request, self.wall()))

    def become(self, era: EraName) -> None:
        """Another server stands in its place, with the same users: every stream ends."""
        self.backend.era = era_named(era)
        self.backend.rate_limit = self.backend.era.rate_limit
        for socket in self.sockets:
            socket.cut()

    def event(self, data: bytes, *others: str) -> bytes:
        """An event on the channel ``rows``, for all subscriptions of the newest link and others, as the era names them."""
        ids = json.dumps([*self.socket.peer.subscriptions, *others]).encode()
        named = b',"subscriptions":' + ids if self.backend.era.ids else b""
        return b'{"type":"event","data":{"channels":["rows"],%b%b}}' % (data, named)

    def publish(self, *channels: str, payload: object = None, **more: Any) -> int:
        """Publish an event; to how many connections it went."""
        deliveries = self.backend.publish(["test.event"], list(channels), payload or {}, now=self.wall(), **more)
        self._deliver(deliveries)
        return len(deliveries)

    def spread(self) -> None:
        """Deliver what a client's message, or its end, causes others to be sent."""
        self._deliver(self.backend.take_caused())

    def _deliver(self, deliveries: list[tuple[ServerConnection, bytes]]) -> None:
        for peer, frame in deliveries:
            next(socket for socket in self.sockets if socket.peer is peer).push(frame)

    def realtime(self, **options: Any) -> Realtime:
        """A client of this network, without chance: the first ping comes after half of an interval."""
        network: Transport = self

        class Simulated(Realtime):
            def _transport(self, http: ClientSession | None, **_: Any) -> Transport:
                return network

        realtime = Simulated(f"http://simulated-{next(_NUMBERS)}/v1", "demo", **options)
        realtime._driver._draw = lambda: 0.5
        return realtime


def transition(subscription: Subscription) -> list[Any]:
    """What is held for its consumer, by the number in the payload."""
    buffer = subscription._subscriber.buffer
    numbers = [event.payload["n"] for event in buffer._items]
    buffer._items.clear()
    return numbers
