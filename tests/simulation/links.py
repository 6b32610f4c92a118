"""The links as the watcher has them: at most one current, at most one that makes room for it; what each was asked for and brings.

The law: the current link alone is asked anything. One that makes room delivers, and is sent pings and nothing else, until the
current one serves all that it served, and `DRAIN_SECONDS` longer; then it is sent one more ping, and waited for until that is
answered, or overdue. Unless it is answered, what it served is told of a gap. What a link brings is worked out here from what its
address, or its messages, asked for, and not from what the package believes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.protocol.eras import UrlPlan
from realtime_fsm.protocol.frames import PING
from realtime_fsm.protocol.spec import SubscriptionSpec
from simulation.history import History, passes
from simulation.sockets import SimulatedSocket
from simulation.world import World

_IDS = re.compile(rb'"subscriptions":\[([^\]]*)\]\}\}$')
_ANSWER = re.compile(rb'\{"type":("pong"\}|"error",.*"code":(1003|1013)[,}])')
_EARLY, _LATE = 1e-3, 0.2  # seconds before and after the end of lingering
_SLOW = 5.0  # seconds for which a busy process may be late
_LOOKS = 0.5  # seconds between two looks whether it has answered


class Link:
    """One link, from the request to dial it.

    Attributes:
        specs: what its address asks for; None where messages ask.
        asked: the frames that the machine sent on it.
        sent_at: when it did, within the last minute.
        answered: how many messages came on it that answer a ping.
        granted: what was acknowledged on it.
        quiet: whether everything desired has been acknowledged on it, and nothing of that is missing.
        heard: how many messages came on it.
        heard_before_ping: how many of them had come when the last ping left.
        at_fault: whether the server was, when it had made room.
        trusted: whether pings were off when it had made room.
        newest: the highest number of the events that came on it.
        upto: how many events had happened when it had made room.
    """

    def __init__(self, generation: int, specs: tuple[SubscriptionSpec, ...] | None) -> None:
        self.generation = generation
        self.specs = specs
        self.socket: SimulatedSocket | None = None
        self.greeted = False
        self.asked: list[bytes] = []
        self.sent_at: deque[float] = deque()
        self.answered = 0
        self.granted: set[str] = set()
        self.quiet = False
        self.heard = self.heard_before_ping = 0
        self.trusted = False
        self.at_fault = False
        self.newest = self.upto = 0
        self.user: object = None
        self.heard_at = 0.0
        self._before_release = 0
        self._resumed = False  # whether it made room, and then was the current one again
        self._ids = {spec.id for spec in specs or ()}

    def hear(self, data: bytes) -> None:
        """A message came on it."""
        self.heard += 1
        self.heard_at = 0.0 if self.socket is None else self.socket.world.loop.time()
        if _ANSWER.match(data) and self.socket is not None:
            self.answered = min(self.answered + 1, self.socket.sent.count(PING))

    @property
    def shows_life(self) -> bool:
        """Whether it was asked when it had made room, every ping that was ever sent on it is answered, and it has not ended."""
        socket = self.socket
        if socket is None or socket.over or self.at_fault:
            return False
        return bool(self.last_words) and self.answered >= socket.sent.count(PING)

    def release(self) -> None:
        """Another link serves all that it served."""
        self._before_release = 0 if self.socket is None else len(self.socket.sent)

    def resume(self) -> None:
        """It is the current one again."""
        self._resumed = True

    @property
    def last_words(self) -> list[bytes]:
        """What was sent on it since another one serves all that it served."""
        if self.socket is None:
            return []
        return self.socket.sent[max(self._before_release, 0 if self._resumed else len(self.asked)) :]

    def excuses(self, number: int) -> bool:
        """Whether it is nobody's fault that an event did not come on it, and that nobody was told."""
        if self.socket is None or self.socket.over or self.at_fault:
            return False
        return self.newest < number <= self.upto if self.trusted else self.shows_life and number in self.socket.overtaken

    def recipients(self, data: bytes, number: int, channels: tuple[str, ...]) -> Iterable[str]:
        """Whom an event that came on it is for, by the ids of the client."""
        if self.specs is None:
            found = _IDS.search(data)
            return () if found is None else found[1].decode().replace('"', "").split(",")
        touched = (spec for spec in self.specs if not set(channels).isdisjoint(spec.channels))
        return [spec.id for spec in touched if passes(spec.queries, number)]

    def serves(self, spec: SubscriptionSpec) -> bool:
        """Whether the server knows of it."""
        if self.socket is None:
            return False
        peer = self.socket.peer
        if self.specs is None:
            return spec.id in peer.subscriptions
        return spec.id in self._ids and peer.channels >= set(spec.channels)

    def audit(self, must: Callable[[object, str], None]) -> None:
        """Look at what was sent, when it is over."""
        if self.socket is not None:
            sent, asked = self.socket.sent, len(self.asked)
            if self._resumed:  # pings of its own are among the machine's
                words = [data for data in sent if data != PING]
                must(words == [data for data in self.asked if data != PING][: len(words)], "the machine did not ask for that")
                return
            must(sent[:asked] == self.asked[: len(sent)], "something else was sent than the machine asked for")
            must(set(sent[asked:]) <= {PING}, "something else than a ping was sent on a link that makes room")


class Links:
    """The links of one connection.

    Attributes:
        current: the one that the machine speaks of.
        draining: the one that delivers in its place.
        lingering: the one that delivered in its place, and still may.
        made_room: all that have delivered in the place of another.
    """

    def __init__(self, world: World, must: Callable[[object, str], None], context: ConnectionContext, history: History) -> None:
        self.current: Link | None = None
        self.draining: Link | None = None
        self.lingering: Link | None = None
        self.made_room: list[Link] = []
        self._world = world
        self._must = must
        self._context = context
        self._history = history
        self._until = 0.0  # when it is let go of, if it has answered

    def open(self, generation: int, plan: UrlPlan | None, desired: Iterable[SubscriptionSpec]) -> Link:
        """Another one is to be dialed."""
        self._must(self.current is None, "at most one current link")
        specs = None
        if plan is not None:
            specs = tuple(desired)
            asked = {identifier for ids in plan.plain.values() for identifier in ids} | set(plan.filtered.values())
            self._must(asked - {CANARY} == {spec.id for spec in specs}, "an address asks for something else than what is desired")
        self.forget()
        self.current = Link(generation, specs)
        return self.current

    def opened(self, sockets: list[SimulatedSocket]) -> None:
        """The dial of the current one has come back."""
        assert self.current is not None
        *others, self.current.socket = sockets
        allowed = None if self.draining is None else self.draining.socket
        self._must(all(other.given_up or other is allowed for other in others), "more than two open sockets, or the wrong ones")

    def retire(self, generation: int) -> None:
        """The current one makes room."""
        self._must(self.current is not None and self.current.generation == generation, "a link makes room that is not current")
        self._must(self.draining is None, "two links make room")
        self.forget()
        self.draining, self.current = self.current, None
        if self.draining is not None:
            self.draining.heard_at = self._world.loop.time()

    def missing(self, desired: Iterable[str]) -> set[str]:
        """What the one that makes room serves, and the current one does not."""
        granted = set() if self.current is None else self.current.granted
        return set() if self.draining is None else (self.draining.granted & set(desired)) - granted

    def look_at_draining(self) -> None:
        """One that makes room is not believed to live for longer than its pings take to show that it does not."""
        link, now, ping = self.draining, self._world.loop.time(), self._context.ping
        if link is None or self._context.draining is None:
            return
        state = self._context.draining.state
        may_ping = self._context.ping_enabled and state.budget.available_at(now, ping=True) <= now
        if state.read_paused or not may_ping or now < self._world.woke_at + _SLOW:
            link.heard_at = now
        allowed = ping.interval + 2 * ping.timeout + _SLOW
        self._must(now <= link.heard_at + allowed, "a link that makes room is dead, and believed to live")

    def release(self, generation: int) -> None:
        """The current one serves all that the one did that makes room."""
        link, self.draining = self.draining, None
        self._must(link is not None and link.generation == generation, "releases what does not make room")
        if link is not None:
            link.release()
            link.audit(self._must)
            self._linger(link)

    def resume(self, generation: int) -> None:
        """The one that makes room is the current one again."""
        self._must(self.current is None, "goes back to a link, and keeps the other one")
        self.current, self.draining = self.draining, None
        self._must(self.current is not None and self.current.generation == generation, "goes back to another link")
        if self.current is not None:
            self.current.resume()

    def drop(self, generation: int) -> bool:
        """One is let go of. The answer tells if it was the one that makes room."""
        if self.current is not None and self.current.generation == generation:
            self.forget()
            self.current.audit(self._must)
            self.current = None
            return False
        self._must(self.draining is not None and self.draining.generation == generation, "drops what it does not have")
        link, self.draining = self.draining, None
        if link is not None:
            link.audit(self._must)
        return True

    def holds(self, links: Any) -> None:
        """The package's own links must be these."""
        for name, model, real in (
            ("current", self.current, links.current),
            ("draining", self.draining or self.lingering, links.draining),
        ):
            generation = None if real is None else real.generation
            mine = {None if model is None else model.generation}
            if name == "draining" and self.lingering is not None and self._world.loop.time() > self._until - _EARLY:
                mine.add(None)
            self._must(generation in mine, f"the {name} link is {generation}, and should be one of {mine}")

    def delivering(self, link: Any, links: Any) -> Link | None:
        """The model of a link, if what comes on it is owed to the streams."""
        for model in (self.current, self.draining, self.lingering):
            if model is not None and model.generation == link.generation and model.greeted:
                over = model is self.lingering and self._world.loop.time() >= self._until
                return None if over and links.draining is not link else model
        return None

    def forget(self) -> None:
        """The one that has made room goes, if it is still there."""
        self.lingering = None

    def _linger(self, link: Link) -> None:
        loop = self._world.loop
        self.made_room.append(link)
        link.trusted, link.upto = not self._context.ping_enabled, len(self._history)
        self.lingering, self._until = link, loop.time() + DRAIN_SECONDS
        loop.call_at(self._until + _LATE, self._see_it_gone, link, self._until)

    def _see_it_gone(self, link: Link, until: float) -> None:
        loop, socket = self._world.loop, link.socket
        if loop.time() > until + 2 * _LATE:  # the process slept; what was due meanwhile comes first
            loop.call_later(_LATE, self._see_it_gone, link, loop.time())
            return
        gone = socket is None or socket.given_up
        overdue = self._until - DRAIN_SECONDS + max(DRAIN_SECONDS, self._context.ping.timeout) + _LOOKS
        if not (gone or link.trusted) and self.lingering is link and until < overdue:
            loop.call_at(overdue + _LATE, self._see_it_gone, link, overdue)  # it is waited for
            return
        if self.lingering is link:
            self.lingering = None
        self._must(gone, "a link that has made room is not let go of")
        words = link.last_words  # pings of before may have waited for the socket
        self._must(set(words) <= {PING} and len(words) <= 3, f"{words} was sent on a link that has made room")
