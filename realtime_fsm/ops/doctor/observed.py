"""A client whose frames are observed: it sends and receives as every `Realtime` does."""

from __future__ import annotations

import time
import warnings
from collections.abc import Awaitable, Mapping  # noqa: TC003  (for tools that read annotations)
from typing import TYPE_CHECKING, Any

from realtime_fsm.client.realtime import Realtime
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.protocol.faults import is_throttle
from realtime_fsm.protocol.frames import PING, ConnectedFrame, ErrorFrame, PongFrame, decode
from realtime_fsm.protocol.options import Timeouts

if TYPE_CHECKING:
    import asyncio

    from realtime_fsm.errors import LinkFailure
    from realtime_fsm.runtime.sockets import MessageHandler, Socket, Transport
    from realtime_fsm.runtime.transport import ClientSession

PATIENCE = 5.0
"""Seconds for the upgrade, the greeting and a reply."""
MOST_PINGS = 12
"""Pings in a minute, which leave most of the budget of messages."""
MOST_CHANNELS = 12
"""Channels of an examination. Requests have half of the budget of messages, and an echo takes three of them."""


class Observation:
    """The frames of one connection, as they pass, and the times between them.

    Attributes:
        dials: the number of dials.
        upgrade: seconds from the dial to the upgrade, on the newest link; None before it.
        greeting: seconds from the upgrade to the greeting, on the newest link; None before it.
        sent: the number of messages on the newest link.
        pings: seconds from each ping to its answer; an error frame other than a throttle is an answer, too.
        errors: the error frames of the newest link, one that says 1013 before any other.
        throttled: whether the server has ever refused a dial or message as one too many.
    """

    def __init__(self) -> None:
        self.dials: int = 0
        self.throttled: bool = False
        self.pings: list[float] = []
        self._ping_at: float | None = None
        self.begin_dial()

    def begin_dial(self) -> None:
        """Begin with a new link."""
        self.upgrade: float | None = None
        self.greeting: float | None = None
        self.errors: list[ErrorFrame] = []
        self.sent: int = 0
        self._at = time.perf_counter()

    def note_upgrade(self) -> None:
        """Note that the newest link is open."""
        now = time.perf_counter()
        self.upgrade, self._at = now - self._at, now

    def note_sent(self, data: bytes) -> None:
        """Note a message to the server."""
        self.sent += 1
        if data == PING:
            self._ping_at = time.perf_counter()

    def note_received(self, data: bytes) -> None:
        """Note a message of the server."""
        frame = decode(data)
        if isinstance(frame, ConnectedFrame):
            self.greeting = time.perf_counter() - self._at
        elif isinstance(frame, ErrorFrame):
            self.errors.append(frame)
            self.throttled |= is_throttle(frame.code)
        if isinstance(frame, PongFrame | ErrorFrame) and self._ping_at is not None:
            if not (isinstance(frame, ErrorFrame) and is_throttle(frame.code)):
                self.pings.append(time.perf_counter() - self._ping_at)
            self._ping_at = None


class ObservedRealtime(Realtime):
    """A connection for an examination: one dial, no reconnection, and ``ping`` seconds between its pings and for each answer.

    Attributes:
        observation: its frames.
        ping_policy: the pace of its pings.
    """

    def __init__(self, endpoint: str, project: str, ping: float, **options: Any) -> None:
        self.observation: Observation = Observation()
        with warnings.catch_warnings(action="ignore"):  # the examination is short
            self.ping_policy: PingPolicy = PingPolicy(ping, ping)
        patience = Timeouts(dial=PATIENCE, greeting=PATIENCE, reply=PATIENCE, close=1.0)
        once = RetryPolicy(attempts=1, base=0.2)
        super().__init__(endpoint, project, retry=once, ping=self.ping_policy, timeouts=patience, auto_reconnect=False, **options)

    def _transport(self, http: ClientSession | None, **options: Any) -> Transport:
        return _ObservedTransport(super()._transport(http, **options), self.observation)


class _ObservedTransport:
    def __init__(self, transport: Transport, observation: Observation) -> None:
        self._transport, self._observation = transport, observation

    def check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._transport.check(loop)

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        self._observation.dials += 1
        self._observation.begin_dial()
        socket = await self._transport.dial(url, headers)
        self._observation.note_upgrade()
        return _ObservedSocket(socket, self._observation)

    async def close(self) -> None:
        await self._transport.close()


class _ObservedSocket:
    def __init__(self, socket: Socket, observation: Observation) -> None:
        self._socket, self._observation = socket, observation

    async def send(self, data: bytes) -> None:
        self._observation.note_sent(data)
        await self._socket.send(data)

    async def pump(self, deliver: MessageHandler) -> int | LinkFailure:
        def observe(data: bytes) -> Awaitable[object] | None:
            self._observation.note_received(data)
            return deliver(data)

        return await self._socket.pump(observe)

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109  (as `Socket` has it)
        await self._socket.close(timeout)
