"""The server processes: each of an era, able to die, come back as another, freeze, go deaf, refuse all and be unable to work."""

from __future__ import annotations

from collections.abc import Callable

from realtime_fsm.testing.backend import Backend
from realtime_fsm.testing.connection import ServerConnection
from realtime_fsm.testing.eras import EraName, era_named
from realtime_fsm.testing.wire import Reply, error
from simulation.sockets import SimulatedSocket
from simulation.world import World


class Server:
    """One server process."""

    def __init__(self, world: World, backend: Backend, era: EraName) -> None:
        self.world = world
        self.backend = backend
        self.era = era
        self.up = True
        self.deaf_since: float | None = None
        self.mute = False
        self.refusing = False
        self.faulty = False
        self.sockets: dict[SimulatedSocket, None] = {}
        self._frozen = False
        self._held: list[Callable[[], None]] = []

    def peer(self) -> ServerConnection:
        """Accept a client. The connection keeps the era of this process, whatever the other processes speak."""
        self.backend.era = era_named(self.era)
        self.backend.rate_limit = self.backend.era.rate_limit
        return ServerConnection(self.backend)

    @property
    def deaf(self) -> bool:
        """Whether it hears of no event, so it sends none: for a while, or until it is healed."""
        return self.mute or self.deaf_since is not None

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

    def recover(self) -> None:
        """It can work again."""
        self.faulty = False
        for socket in self.sockets:
            socket.end_fault()

    def handle(self, peer: ServerConnection, data: bytes) -> Reply:
        """Answer a message, as well as it can."""
        if self.refusing and b'"type":"subscribe"' in data:
            peer.close()
            return Reply((error(1008),), end=True)
        self.backend.faulty = self.faulty
        try:
            return peer.receive_message(data, self.world.wall())
        finally:
            self.backend.faulty = False

    def die(self) -> None:
        """Every stream ends without a word."""
        self.up = False
        self._held.clear()
        for socket in list(self.sockets):
            socket.cut()
