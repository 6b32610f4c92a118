"""The deaf links as the watcher has them: their pings are answered, their events are lost, and only a canary shows it.

Invariant: a link with a canary that goes deaf for long is replaced. Its subscriptions get one gap each, and only when an
event of the canary has come on a later link; nothing is told of them before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.table import LIVE
from simulation.ledger import Stream
from simulation.links import Link
from simulation.world import World

_SLOW = 20.0  # seconds that a user's callable may take, and the requests before it


class Deafness:
    """The deaf links of one connection.

    Attributes:
        served: the streams that a deaf link served, and that are not told yet.
        echo: whether an event of the canary is coming on the current link this very moment.
        refused: whether the server has refused a canary, which proves nothing and ends the wait.
        telling: the subscriptions that are told of a gap this very moment; None while none is.
    """

    def __init__(self, world: World, context: ConnectionContext, must: Callable[[object, str], None]) -> None:
        self.served: list[Stream] = []
        self.echo = self.refused = False
        self.telling: list[str] | None = None
        self._world = world
        self._context = context
        self._must = must
        self._began: tuple[int, float, float] | None = None

    def begin(self, link: Link | None, streams: Iterable[Stream]) -> None:
        """A canary was missed."""
        world = self._world
        self.served += [stream for stream in streams if stream.granted and stream not in self.served]
        socket = None if link is None else link.socket
        if link is None or socket is None:
            self._must(False, "a link is deaf that is not there")
            return
        awake = world.loop.time() > world.woke_at + _SLOW
        assert self._context.canary is not None
        stormy = world.stormy or world.loop.time() <= world.healed_at + self._context.canary.within  # the canary went out in it
        self._must(stormy or socket.unheard or not awake or not socket.sound, "a link is called deaf that hears")
        socket.unheard = {number for number in socket.unheard if number <= link.newest}  # the rest is told

    def end(self, told: list[str], ids: Iterable[str]) -> None:
        """Those that it served were told."""
        # A canary that cannot be written proves nothing, and ends the wait.
        raised = self._world.faults["callable raises"] or self._world.a_write_hung
        self._must(self.echo or self.refused or raised, "a deaf link is told of, and no canary has come back")
        right = [stream.spec.id for stream in self.served]
        expected = sorted(set(right).intersection(ids))
        self._must(sorted(told) == expected, f"after a deaf link gaps are told of {told}, and should be of {expected}")
        self.served, self.refused = [], False

    def look(self, link: Link | None, now: float) -> None:
        """A link that is deaf for long must be found, once the server is not at fault."""
        if self._context.canary is not None and self._context.link is not None and self._context.link.at_fault:
            self._began = None
            return
        canary, hidden = self._context.canary, self._context.subscriptions.presence.canary
        server = None if link is None or link.socket is None else link.socket.server
        listening = canary is not None and hidden is not None and hidden.listening and self._context.state in LIVE
        if not listening or link is None or server is None or server.deaf_since is None or not link.quiet:
            self._began = None
            return
        if self._began is None or self._began[:2] != (link.generation, server.deaf_since):
            self._began = link.generation, server.deaf_since, now
        assert canary is not None
        bound = 2 * (canary.every + canary.within) + _SLOW
        excused = self._world.faults["callable raises"] or now < self._world.woke_at + bound
        self._must(
            excused or now <= self._began[2] + bound, f"a link has been deaf for {now - self._began[2]:.0f} s, and is kept"
        )
