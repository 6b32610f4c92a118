"""The network: the embedded server's brain in several server processes, behind sockets whose every frame may meet a fault.

What TCP keeps is kept: a stream delivers its frames in order, or stops. A frame is lost only together with everything behind
it (silence), with the end of the stream (cut, truncated), or late together with everything behind it (delayed). Replies may
overtake one another, as real servers' do, and no event overtakes the reply to its subscribe (PROTOCOL: "Messages", rule 1).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import urlsplit

from realtime_fsm.testing.backend import Budget
from realtime_fsm.testing.peer import Backend, Peer, Reply, Request
from realtime_fsm.testing.wire import Refusal, error
from realtime_fsm.vocabulary.errors import CertificateRefused, DialFailed, NameNotResolved, UpgradeRefused
from simulation.history import History
from simulation.sockets import CODES, SimulatedSocket
from simulation.world import BOGUS, SECRET, World

_ANYBODY = frozenset({"any"})
_json = partial(json.dumps, separators=(",", ":"))
CHANNELS = ("rows", "files", "teams", "memberships", "executions", "account")


class Server:
    """One server process: it can die, come back, freeze and go deaf."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.up = True
        self.deaf = False
        self.sockets: dict[SimulatedSocket, None] = {}
        self._frozen = False
        self._held: list[Callable[[], None]] = []

    @property
    def frozen(self) -> bool:
        """Whether it stands still: nothing is answered, and a new dial is never upgraded."""
        return self._frozen

    def when_awake(self, work: Callable[[], None]) -> None:
        """Do something now, or when the process is thawed."""
        if self._frozen:
            self._held.append(work)
        elif self.up:
            work()

    def freeze(self) -> None:
        self._frozen = True

    def thaw(self) -> None:
        self._frozen = False
        held, self._held = self._held, []
        for work in held:
            self.when_awake(work)

    def die(self) -> None:
        """Every stream ends without a word."""
        self.up = False
        self._held.clear()
        for socket in list(self.sockets):
            socket.cut()


class Network:
    """The servers, their common backend, and everything that is dialed."""

    def __init__(self, world: World) -> None:
        self.world = world
        rng = world.rng
        self.backend = Backend(connection_limit=rng.choice((None, None, None, None, 20)))
        self.sessions = tuple(self.backend.add_user(user, session_secret=SECRET) for user in ("u1", "u2"))
        world.secrets += self.sessions
        self.servers = [Server(world, f"server {n}") for n in range(rng.choice((1, 2, 3)))]
        self.sockets: dict[Peer, SimulatedSocket] = {}
        self.parted = False
        self.history = History()
        self.limit = rng.choice((None, 128, 128, 12))  # dials a minute that the clients allow themselves
        self._dials: deque[float] = deque()

    def transport(self, name: str) -> Wire:
        """What one client dials with."""
        return Wire(self, name)

    def publish(self, *channels: str) -> int:
        """Something happens on the server. The answer is the number of the event: they are counted."""
        payload = self.history.add(channels)
        happening = {"events": ["an.event"], "channels": channels, "timestamp": payload["$updatedAt"], "payload": payload}
        start = b'{"type":"event","data":' + _json(happening)[:-1].encode()
        for peer, socket in self.sockets.items():
            matching = () if socket.server.deaf else peer.matching(channels, _ANYBODY, payload)
            if matching:
                frame = start + b',"subscriptions":' + _json(matching).encode() + b"}}"
                socket.server.when_awake(partial(socket.emit, frame, "event"))
        return len(self.history)

    def count_dial(self, now: float) -> None:
        """A client was told to dial."""
        self._dials.append(now)
        while self._dials[0] <= now - 60 + 1e-6:
            self._dials.popleft()
        allowed = self.limit is None or len(self._dials) <= self.limit
        self.world.must(allowed, "more dials than a minute may have")

    # --- the weather --------------------------------------------------------------------------------------------------

    async def weather(self) -> None:
        """Change it now and then, for ever."""
        rng = self.world.rng
        while True:
            await asyncio.sleep(rng.expovariate(1 / self.world.gap))
            self._change(self.world.strikes("weather"), self.world.rng.choice(self.servers))

    def _change(self, kind: str, server: Server) -> None:
        world, rng = self.world, self.world.rng
        later = world.loop.call_later
        match kind:
            case "server restarted" if server.up:
                server.die()
                later(rng.choice((0.0, 0.5, 5.0, 20.0)), setattr, server, "up", True)
            case "server frozen" if server.up and not server.frozen:
                server.freeze()
                later(rng.choice((1.0, 5.0, 20.0)), server.thaw)
            case "event bus lost" if not server.deaf:
                server.deaf = True
                later(rng.choice((1.0, 5.0, 20.0)), setattr, server, "deaf", False)
            case "network parted" if not self.parted:
                self.parted = True
                for socket in list(self.sockets.values()):
                    socket.silence()
                later(rng.choice((1.0, 5.0, 15.0)), setattr, self, "parted", False)
            case "budgets spent" if self.sockets:
                for peer in list(self.sockets):
                    self.spend(peer, rng.choice((8, 30, 32)))
            case "process suspended":
                world.suspend(rng.choice((0.2, 5.0, 5.0, 15.0, 15.0, 70.0, 1_000.0)))
            case "wall clock set":
                world.set_wall_clock(rng.choice((-86_400.0, -61.0, -1.0, 1.0, 61.0, 86_400.0)))
            case _:
                return
        world.count(kind)

    def spend(self, peer: Peer, messages: int) -> None:
        """A part of a connection's budget is gone, and the client does not know."""
        for _ in range(messages):
            try:
                peer._budget.spend(self.world.wall())
            except Refusal:
                return

    def heal(self) -> None:
        """From now on nothing goes wrong any more. What went wrong before stays: a silent stream stays silent."""
        self.world.stormy, self.world.event_lag = False, 0.0
        self.parted = False
        self.backend._dials = Budget(None)
        for server in self.servers:
            server.up, server.deaf = True, False
            server.thaw()


class Wire:
    """The transport of one client.

    Attributes:
        sockets: every socket that was ever opened, in order.
        released: how often the transport was closed.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.sockets: list[SimulatedSocket] = []
        self.released = 0

    async def dial(self, url: str, headers: Mapping[str, str]) -> SimulatedSocket:
        """Open a WebSocket, if nothing comes between."""
        world, network = self.network.world, self.network
        world.must(self.released == 0, "a dial after the transport was released")
        world.must(headers.get("X-Appwrite-Session") in (*network.sessions, BOGUS), "a dial without its identity")
        try:
            return await self._dial(url, headers)
        except asyncio.CancelledError:
            if fault := world.strikes("late"):
                world.count(fault)
                raise DialFailed("Connect call failed") from None
            raise

    async def close(self) -> None:
        self.released += 1

    async def _dial(self, url: str, headers: Mapping[str, str]) -> SimulatedSocket:
        world, network, rng = self.network.world, self.network, self.network.world.rng
        latency = rng.uniform(0.002, 0.08)
        fault = world.strikes("dial")
        if fault:
            world.count(fault)
        await asyncio.sleep(rng.uniform(0.1, 12.0) if fault == "dial delayed" else latency)
        server = rng.choice(network.servers)
        if fault == "dial hangs" or network.parted or (server.up and server.frozen):
            await asyncio.Event().wait()
        self._refuse(fault, server)
        socket = SimulatedSocket(world, server, Peer(network.backend), latency, network.sockets)
        self.sockets.append(socket)
        server.sockets[socket] = None
        if fault != "greeting withheld":
            self._greet(socket, fault, url, headers)
        return socket

    def _refuse(self, fault: str, server: Server) -> None:
        match fault:
            case "dial: name not resolved":
                raise NameNotResolved("the host's name does not resolve")
            case "dial: certificate refused":
                raise CertificateRefused("the server's certificate is not trusted")
            case "dial: HTTP status":
                raise UpgradeRefused(self.network.world.rng.choice((404, 429, 502, 503)))
        if fault == "dial refused" or not server.up:
            raise DialFailed("Connect call failed")

    def _greet(self, socket: SimulatedSocket, fault: str, url: str, headers: Mapping[str, str]) -> None:
        world, network, rng = self.network.world, self.network, self.network.world.rng
        if fault == "ended before the greeting":
            socket.cut(rng.choice(CODES))
            return
        parts = urlsplit(url)
        if fault == "turned away":
            reply = Reply((error(rng.choice((1008, 401, 403, 1003, 1013, 0, 500))),), end=True)
        else:
            identity = () if fault == "greeted as a guest" else tuple(headers.items())
            reply = socket.peer.greet(Request(f"{parts.path}?{parts.query}", identity), world.wall())
            if reply.end:
                world.count("dial throttled")
            else:
                network.sockets[socket.peer] = socket
        if fault == "budget spent before":
            network.spend(socket.peer, rng.choice((8, 30, 32)))
        socket.answer(reply, "greeting", after=rng.uniform(0.1, 12.0) if fault == "greeting delayed" else 0.0)
