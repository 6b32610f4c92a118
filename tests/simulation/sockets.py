"""The sockets of the simulated network: both ends of one stream, and what may befall its frames."""

from __future__ import annotations

import asyncio
import itertools
import re
from bisect import insort
from collections import deque
from typing import TYPE_CHECKING

from realtime_fsm.errors import StreamEnded
from realtime_fsm.testing.connection import ServerConnection
from realtime_fsm.testing.wire import Reply, encode, error
from simulation.world import World

if TYPE_CHECKING:
    from realtime_fsm.runtime.sockets import MessageHandler
    from simulation.servers import Server

EVENT = re.compile(rb'\{"type":"event","data":.*"n":(\d+)')
_STEP = 1e-6
_GRAIN = 0.004  # what arrives within it arrives in one read
_MOST, _WINDOW = 32, 60.0
"""Messages that a server takes from one link, and in how many seconds."""
_LAG = 20.0
"""Seconds by which a stream may fall behind."""
_NONSENSE = (
    b"{",
    b"[]",
    b"\xff\xfe",
    b'{"type":"news","data":{}}',
    b'{"type":"event","data":5}',
    b'{"type":"event","data":{"payload":5,"subscriptions":["nobody"]}}',
    b'{"type":"response","data":{"to":"subscribe"}}',
    b'{"type":"response","data":{"to":"unsubscribe","subscriptions":[]}}',
    b'{"type":"response","data":{"to":"authentication","user":null}}',
    b'{"type":"response","data":{"to":"connected","subscriptions":[]}}',
    b'{"type":"event","data":{"payload":' + b"[" * 3000,
    b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":null}}',
    b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":{}}}',
    b'{"type":"pong"}',
)
_LAST_WORDS = (
    b'{"type":"pong"}',
    b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":{}}}',
    error(1008),
    error(1013),
    error(500),
)
CODES = (1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013)
"""With which a proxy may close a link."""
_STRAY = (500, 0, 401, 1003, 1013, "42S02")


_CONFUSING = ("reply repeated", "reply shuffled", "events fall behind", "frame delayed")
"""Faults after which an answer may be older than it seems."""


class SimulatedSocket:
    """One stream.

    Attributes:
        sent: what the client sent, in order.
        given_up: whether the client has closed it.
        over: whether the client has met its end.
        under_way: the events that the server has sent on it and that have not come to the client.
        overtaken: those that came to the client, or were on their way, after it had decided to close it; answers that were sent
            later may have come before.
        unheard: the events that the server would have sent on it, if it had not been deaf.
    """

    def __init__(
        self, world: World, server: Server, peer: ServerConnection, latency: float, peers: dict[ServerConnection, SimulatedSocket]
    ) -> None:
        self.world = world
        self.server = server
        self.peer = peer
        self.sent: list[bytes] = []
        self.given_up = self.over = False
        self.overtaken: set[int] = set()
        self.under_way: set[int] = set()
        self.unheard: set[int] = set()
        self._peers = peers
        self._latency = latency
        self._silent_in = self._silent_out = self._ended = self._stalled = False
        # towards the client: what is under way, by the time at which it arrives
        self._line: list[tuple[float, int, bytes | int]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._latest = self._latest_event = self._latest_out = 0.0
        self._arrived: deque[bytes | int] = deque()
        self._arrival: asyncio.Future[None] | None = None
        self._replies: list[bytes] = []
        self._lost: set[int] = set()
        self._noticed = self._odd = False
        self._showing: list[bytes] = []  # the answers that show a fault of the server
        self._saw: deque[float] = deque()  # when messages came to the server, within the last minute
        self._bunched = False  # whether the way there has held some back

    @property
    def sound(self) -> bool:
        """Whether frames go through, both ways, and nothing is late."""
        late = max(self._latest, self._latest_event, self._latest_out) > self.world.loop.time() + 2 * self._latency
        return not (late or self._stalled or self._ended or self._silent_in or self._silent_out)

    @property
    def sends_in_vain(self) -> bool:
        """Whether what the client sends is lost, and what the server sends arrives."""
        return self._silent_out and not (self._silent_in or self._ended)

    # --- the client's end ---------------------------------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """Send one text frame."""
        world = self.world
        world.must(not self.given_up, "a frame for a socket that was closed")
        fault = world.strikes("outbound")
        if fault:
            world.count(fault)
        if fault == "send fails":
            self.cut()
        self._bunched |= fault in ("send stalls", "request delayed")
        if fault == "send stalls":
            self._stalled = True
            await asyncio.sleep(world.rng.uniform(0.1, 15.0))
            self._stalled = False
        if self._ended or fault == "send fails":
            raise StreamEnded
        self.sent.append(data)
        if fault == "request truncated":
            self.cut()
        if fault in ("request lost", "request truncated"):
            self._silent_out = True
        if not self._silent_out:
            delay = world.rng.uniform(0.1, _LAG) if fault == "request delayed" else 0.0
            self._latest_out = max(self._latest_out + _STEP, world.loop.time() + self._latency + delay)
            world.loop.call_at(self._latest_out, self._reach_server, data)

    async def pump(self, deliver: MessageHandler) -> int:
        """Deliver what arrives; as with a real socket, what came in one read is not waited for again."""
        while True:
            while self._arrived:
                item = self._arrived.popleft()
                if isinstance(item, int):
                    self.over |= not self.given_up  # the end that answers our own close comes after the verdict on the link
                    return item
                self._noticed |= any(item is answer for answer in self._showing)
                if (pause := deliver(item)) is not None:
                    await pause
            self._arrival = self.world.loop.create_future()
            try:
                await self._arrival
            except asyncio.CancelledError:
                if fault := self.world.strikes("late"):
                    self.world.count(fault)
                    if (pause := deliver(self.world.rng.choice(_LAST_WORDS))) is not None:
                        await pause
                    return self.world.rng.choice(CODES)
                raise

    async def close(self, timeout: float) -> None:  # noqa: ASYNC109
        """Close it, with a handshake if there is time for one."""
        self.world.must(not self.given_up, "a socket is closed twice")
        self.given_up = True
        coming = [*self._arrived, *(item for _, _, item in self._line)]
        self.overtaken |= {int(found[1]) for item in coming if isinstance(item, bytes) and (found := EVENT.match(item))}
        if timeout and not self._ended:
            mute = self._silent_in or self._silent_out or self.server.frozen
            await asyncio.sleep(timeout if mute else min(timeout, 2 * self._latency))
        self.leave()

    # --- the server's end ---------------------------------------------------------------------------------------------

    def _reach_server(self, data: bytes) -> None:
        if not self._silent_out and not self._ended:
            now, saw = self.world.loop.time(), self._saw
            saw.append(now)
            while saw[0] <= now - _WINDOW + _GRAIN:
                saw.popleft()
            self.world.must(len(saw) <= _MOST or self._bunched, "the server saw more messages than a minute may have")
            self.server.when_awake(lambda: self._handle(data))

    def _handle(self, data: bytes) -> None:
        if self._ended:
            return
        reply = self.server.handle(self.peer, data)
        if self.server.faulty and not self.under_way:
            self._showing += reply.frames
        if reply.frames and b'"code":1013' in reply.frames[0]:
            self.world.count("throttled")
        after = reply.after + self.world.rng.random() * self.world.thinking
        self.answer(reply, "error" if reply.frames and b'"error"' in reply.frames[0][:20] else "reply", after=after)

    def lose(self, number: int) -> None:
        """An event is lost, because the server cannot work."""
        self.unheard.add(number)
        self._lost.add(number)

    def end_fault(self) -> None:
        """The server can work again. A gap must report the losses, if an answer of that time has shown the fault.

        An answer shows nothing in front of events that are under way, or where answers come twice, late or out of order.
        """
        if self._noticed and not self._odd:
            self.unheard -= self._lost
        self._lost.clear()
        self._showing.clear()
        self._noticed = False

    def answer(self, reply: Reply, what: str, *, after: float = 0.0) -> None:
        """Send the reply of the protocol core."""
        self._latest = max(self._latest, self.world.loop.time() + after)
        for frame in reply.frames:
            self.emit(frame, what)
        if reply.end or reply.reset:
            self.cut()

    def emit(self, frame: bytes, what: str) -> None:
        """Send one frame, unless something befalls it."""
        if self._silent_in or self._ended:
            return
        fault = self.world.strikes("inbound") if what != "greeting" else ""
        if fault and self._befall(fault, what):
            return
        if what == "reply" and b'"to":"presence"' not in frame:  # which does not say what it answers
            self._replies.append(frame)
        if what == "event":
            late = self.world.loop.time() + self._latency + self.world.rng.random() * self.world.event_lag
            self._latest_event = max(self._at(self._latest_event), late)
            self._schedule(self._latest_event, frame)
        elif fault == "reply shuffled":
            late = self._at() + self.world.rng.uniform(0.01, 6.0)  # later than some that follow it; events wait for it
            self._latest_event = max(self._latest_event, late)
            self._schedule(late, frame)
        else:
            self._schedule(self._at(), frame)

    def _befall(self, fault: str, what: str) -> bool:
        """Let a fault strike; the answer tells if the frame itself is gone."""
        world, rng = self.world, self.world.rng
        if fault == "reply repeated":
            if not self._replies:
                return False
            self._schedule(self._at(), rng.choice(self._replies))
        elif (fault == "reply shuffled" and what != "reply") or (fault == "events fall behind" and what != "event"):
            return False
        elif fault == "events fall behind":  # which replies that are sent later may overtake
            self._latest_event = max(self._latest_event, world.loop.time() + rng.uniform(0.05, 8.0))
        elif fault == "malformed frame":
            self._schedule(self._at(), rng.choice(_NONSENSE))
        elif fault == "stray error frame":
            code = rng.choice(_STRAY)
            self._schedule(
                self._at(), error(code) if isinstance(code, int) else encode({"type": "error", "data": {"code": code}})
            )
        elif fault == "frame delayed":
            self._latest = max(self._latest, world.loop.time() + rng.uniform(0.1, _LAG))
        world.count(fault)
        self._odd |= fault in _CONFUSING
        match fault:
            case "stream goes silent":
                self._silent_in = True
                return True
            case "frame truncated":
                self.cut()
                return True
            case "stream cut":
                world.loop.call_soon(self.cut)
            case "ended for good":
                self._schedule(self._at(), error(1008))
                self.cut()
                return True
            case "closed with a code":
                world.loop.call_soon(self.cut, rng.choice(CODES))
        return False

    def silence(self) -> None:
        """Cut the path both ways, without a sign."""
        self._silent_in = self._silent_out = True

    def cut(self, code: int = 1006) -> None:
        """The stream ends, behind what is under way."""
        if not self._ended:
            at = self._at()
            self.leave()
            if not self._silent_in:
                self._schedule(at, code)

    def leave(self) -> None:
        """Nothing is sent any more."""
        self._ended = True
        self.peer.close()
        self._peers.pop(self.peer, None)
        self.server.sockets.pop(self, None)
        if self.given_up:
            self._line.clear()
            if self._timer is not None:
                self._timer.cancel()

    # --- on the way to the client -------------------------------------------------------------------------------------

    def _at(self, after: float = 0.0) -> float:
        """When the next frame arrives: after those before it."""
        self._latest = max(self._latest + _STEP, self.world.loop.time() + self._latency)
        return max(self._latest, after + _STEP)

    def _schedule(self, at: float, item: bytes | int) -> None:
        insort(self._line, (at, next(self._order), item))
        self._arm()

    def _arm(self) -> None:
        head = self._line[0][0]
        if self._timer is not None and not self._timer.cancelled():
            if self._timer._when <= head:  # type: ignore[attr-defined]
                return
            self._timer.cancel()
        self._timer = self.world.loop.call_at(head, self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        until = self.world.loop.time() + _GRAIN
        line = self._line
        while line and line[0][0] <= until:
            item = line.pop(0)[2]
            self._arrived.append(item)
            if isinstance(item, int):
                line.clear()  # what was on its way behind the end is lost
        if line:
            self._arm()
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)
