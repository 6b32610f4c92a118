"""The network: the embedded server's protocol core in several server processes, behind sockets where a fault may hit each frame.

What TCP keeps is kept: a stream delivers its frames in order, or stops. A frame is lost only together with everything behind
it (silence), with the end of the stream (cut, truncated), or late together with everything behind it (delayed). Replies may
overtake one another, as real servers' do, and no event overtakes the reply to its subscribe (PROTOCOL: "Messages", rule 1).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from realtime_fsm.errors import CertificateRefused, DialFailed, NameNotResolved, UpgradeRefused
from realtime_fsm.testing.backend import FAULT_DELAY, Backend
from realtime_fsm.testing.connection import ServerConnection
from realtime_fsm.testing.eras import EraName
from realtime_fsm.testing.quota import MinuteQuota
from realtime_fsm.testing.request import HttpRequest
from realtime_fsm.testing.upgrade import CONSOLE
from realtime_fsm.testing.wire import Refusal, Reply, error
from simulation.history import History
from simulation.servers import Server
from simulation.sockets import CODES, SimulatedSocket
from simulation.world import BOGUS, SECRET, World

_ANYBODY = frozenset({"any"})
_json = partial(json.dumps, separators=(",", ":"))
CHANNELS = ("rows", "files", "teams", "memberships", "executions", "account")
CANARY = "documents"
"""The channel that only canaries use."""


_ERAS: tuple[tuple[tuple[EraName, ...], float], ...] = (
    (("E4",), 14),
    (("E1",), 2),
    (("E2",), 3),
    (("E3",), 3),
    (("E2", "E4"), 2),
    (("E1", "E2", "E3", "E4"), 1),
)
"""Of which eras the servers of a world may be, and how often a world is so. Most are of the newest; some change."""


class Network:
    """The servers, their common backend, and everything that is dialed."""

    def __init__(self, world: World) -> None:
        self.world = world
        rng = world.rng
        self.eras = rng.choices([eras for eras, _ in _ERAS], [weight for _, weight in _ERAS])[0]
        self.backend = Backend(projects=(CONSOLE,), connection_limit=rng.choice((None, None, None, None, 20)))
        self.sessions = tuple(self.backend.add_user(user, session_secret=SECRET) for user in ("u1", "u2"))
        world.secrets += self.sessions
        alike = rng.choice(self.eras)
        mixed = rng.random() < 0.3  # in the middle of an upgrade, or behind an odd balancer
        self.servers = [
            Server(world, self.backend, rng.choice(self.eras) if mixed else alike) for _ in range(rng.choice((1, 2, 3)))
        ]
        self.sockets: dict[ServerConnection, SimulatedSocket] = {}
        self.parted = False
        self.history = History()
        self.limit = rng.choice((None, 128, 128, 12))  # dials a minute that the clients allow themselves
        self._dials: deque[float] = deque()

    @property
    def protocols(self) -> list[EraName | None]:
        """The eras that a client may assume: every server understands channels in the URL."""
        if self.eras == ("E4",):
            return [None, None, "E4", "E4", "E3"]
        return [None, None, None, *(era for era in self.eras if era != "E4")]

    def transport(self, name: str) -> Wire:
        """Make the transport of one client."""
        return Wire(self, name)

    def publish(self, *channels: str) -> int:
        """Something happens on the server. The answer is the number of the event: they are counted."""
        payload = self.history.add(channels)
        happening = {"events": ["an.event"], "channels": channels, "timestamp": payload["$updatedAt"], "payload": payload}
        start = b'{"type":"event","data":' + _json(happening)[:-1].encode()
        number = len(self.history)
        for peer, socket in list(self.sockets.items()):  # a frame may cut its stream
            matching = peer.matching_subscriptions(channels, _ANYBODY, payload)
            if not matching:
                continue
            if socket.server.deaf:
                socket.unheard.add(number)
                continue
            if socket.server.faulty:
                socket.lose(number)
                continue
            ids = b',"subscriptions":' + _json(matching).encode() if peer.era.ids else b""
            socket.under_way.add(number)
            socket.server.when_awake(partial(socket.emit, start + ids + b"}}", "event"))
        return number

    def count_dial(self, now: float) -> None:
        """A client was told to dial."""
        self._dials.append(now)
        while self._dials[0] <= now - 60 + 1e-6:
            self._dials.popleft()
        allowed = self.limit is None or len(self._dials) <= self.limit
        self.world.must(allowed, "more dials than a minute may have")

    # --- the weather --------------------------------------------------------------------------------------------------

    async def weather(self) -> None:
        """Change the weather now and then, without end."""
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
            case "another era" if len(self.eras) > 1:
                self._move(rng.choice(([server], self.servers)), rng.choice(self.eras), rng.choice((0.0, 0.5, 5.0)))
            case "event bus lost" if not server.deaf:
                server.deaf_since = world.loop.time()
                later(rng.choice((1.0, 5.0, 20.0, 200.0)), setattr, server, "deaf_since", None)
            case "everything refused" if not server.refusing:
                server.refusing = True
                later(rng.choice((1.0, 5.0, 20.0, 60.0)), setattr, server, "refusing", False)
            case "server at fault" if not server.faulty:
                server.faulty = True
                later(rng.choice((1.0, 5.0, 20.0, 60.0)), server.recover)
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

    def _move(self, servers: list[Server], era: EraName, seconds: float) -> None:
        """Upgrade some servers, or downgrade them: they are away for a while, and come back as another."""
        for server in servers:
            server.die()
            server.era = era
            self.world.loop.call_later(seconds, setattr, server, "up", True)

    def spend(self, peer: ServerConnection, messages: int) -> None:
        """A part of a connection's budget is gone, and the client does not know."""
        for _ in range(messages):
            try:
                peer.quota.spend(self.world.wall())
            except Refusal:
                return

    def heal(self) -> None:
        """From now on nothing goes wrong any more. Earlier faults stay: a silent stream stays silent."""
        self.world.stormy, self.world.event_lag = False, 0.0
        self.world.healed_at = self.world.loop.time()
        self.parted = False
        self.backend.dial_quota = MinuteQuota(None)
        for server in self.servers:
            server.up, server.deaf_since, server.refusing = True, None, False
            server.thaw()
            server.recover()


class Wire:
    """The transport of one client.

    Attributes:
        sockets: every socket that was ever opened, in order.
        released: how often the transport was closed.
        guest: whether its user has ever logged out.
        dialed_at: when each dial left.
    """

    def __init__(self, network: Network, name: str) -> None:
        self.network = network
        self.name = name
        self.sockets: list[SimulatedSocket] = []
        self.released = 0
        self.guest = False
        self.dialed_at: list[float] = []

    def check(self, loop: asyncio.AbstractEventLoop) -> None:
        pass

    async def dial(self, url: str, headers: Mapping[str, str]) -> SimulatedSocket:
        """Open a WebSocket, if nothing comes between."""
        world, network = self.network.world, self.network
        self.dialed_at.append(world.loop.time())
        world.must(self.released == 0, "a dial after the transport was released")
        session = headers.get("X-Appwrite-Session")
        world.must(session in (*network.sessions, BOGUS) or self.guest, "a dial without its identity")
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
        socket = SimulatedSocket(world, server, server.peer(), latency, network.sockets)
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
            reply = socket.peer.receive_upgrade(HttpRequest(f"{parts.path}?{parts.query}", identity), world.wall())
            if reply.end and b'"code":1013' in reply.frames[0]:
                world.count("dial throttled")
            if not reply.end:
                network.sockets[socket.peer] = socket
        if fault == "event before the greeting":
            socket.emit(b'{"type":"event","data":{"channels":["rows"],"payload":{},"subscriptions":["0"]}}', "greeting")
        if fault == "budget spent before":
            network.spend(socket.peer, rng.choice((8, 30, 32)))
        late = FAULT_DELAY if socket.server.faulty else 0.0
        socket.answer(reply, "greeting", after=rng.uniform(0.1, 12.0) if fault == "greeting delayed" else late)
