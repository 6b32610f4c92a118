"""The model of the links: at most one current and one draining link, with the requests and events of each.

Invariant: the current link alone is sent requests. A draining link delivers, and is sent pings and nothing else, until the
current one serves all that it served. Then it is sent one more ping, and waited for `DRAIN_SECONDS`, and until that is
answered, or overdue. Unless it is answered, what it served is told of a gap. The model derives the events
of a link from the subscriptions in its URL or messages, and not from the state of the package.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.protocol.eras import UrlPlan
from realtime_fsm.protocol.frames import PING
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.runtime.grace import GRACE
from simulation.history import History, passes
from simulation.ledger import Stream
from simulation.sockets import SimulatedSocket
from simulation.world import World

_IDS = re.compile(rb'"subscriptions":\[([^\]]*)\]\}\}$')
_ANSWER = re.compile(rb'\{"type":("pong"\}|"error",.*"code":(1003|1013)[,}])')
_EARLY, _LATE = 1e-3, 0.2  # seconds before and after the end of lingering
_SLOW = 5.0  # seconds for which a busy process may be late
_LOOKS = 0.5  # seconds between two looks whether it has answered


class SendQueue(list[bytes]):
    """The frames of a link that wait for its socket; it shows each to the model."""

    def __init__(self, ask: Callable[[bytes], None]) -> None:
        super().__init__()
        self._ask = ask

    def append(self, data: bytes) -> None:
        """Take a frame."""
        self._ask(data)
        super().append(data)


class Link:
    """One link, from the request to dial it.

    Attributes:
        specs: what its address asks for; None where messages ask.
        ordered: the frames that the machine wants to send on it, in the step under way.
        asked: the frames that were put before its socket.
        sent_at: when it did, within the last minute.
        answered: how many messages came on it that answer a ping.
        granted: what was acknowledged on it.
        quiet: whether everything desired has been acknowledged on it, and nothing of that is missing.
        heard: how many messages came on it.
        heard_before_ping: how many of them had come when the last ping left.
        at_fault: whether the server was, when the link had drained.
        unproven: whether a fault of the server was seen, and no event of the link has shown since that the server works.
        trusted: whether pings were off when the link had drained.
        newest: the highest number of the events that came on it.
        upto: how many events had happened when the link had drained.
        knew: the streams, by their ids at the moment at which the link began to drain.
        drains: whether another link is to take its place, or has.
    """

    def __init__(self, generation: int, specs: tuple[SubscriptionSpec, ...] | None) -> None:
        self.generation = generation
        self.specs = specs
        self.socket: SimulatedSocket | None = None
        self.greeted = False
        self.ordered: deque[bytes] = deque()
        self.asked: list[bytes] = []
        self.sent_at: deque[float] = deque()
        self.answered = 0
        self.granted: set[str] = set()
        self.quiet = False
        self.heard = self.heard_before_ping = 0
        self.trusted = False
        self.at_fault = self.unproven = False
        self.newest = self.upto = 0
        self.knew: Mapping[str, Stream] = {}
        self.drains = False
        self.user: object = None
        self.heard_at = 0.0
        self._before_release: int | None = None  # how many frames were put before its socket
        self._may_ping = False  # whether it can be asked for a last answer
        self._ids = {spec.id for spec in specs or ()}

    def hear(self, data: bytes) -> None:
        """A message came on it."""
        self.heard += 1
        self.heard_at = 0.0 if self.socket is None else self.socket.world.loop.time()
        answer = _ANSWER.match(data)
        other = {
            b"1003": self.specs is None,
            b"1013": self.specs is None and self.drains,
        }  # codes that may answer another message than a ping
        if answer and not other.get(answer[2]) and self.socket is not None:
            self.answered = min(self.answered + 1, self.socket.sent.count(PING))

    @property
    def shows_life(self) -> bool:
        """Whether the server answered every ping of the link, the one after draining included, and the link has not ended."""
        socket = self.socket
        if socket is None or socket.over or self.at_fault:
            return False
        return self._may_ping and len(socket.sent) == len(self.asked) and self.answered >= socket.sent.count(PING)

    def release(self, *, may_ping: bool) -> None:
        """Another link serves all that it served."""
        self._before_release, self._may_ping = len(self.asked), may_ping

    @property
    def last_words(self) -> list[bytes]:
        """The frames that were put before its socket since another link serves all its subscriptions."""
        return self.asked[self._before_release :]

    @property
    def due_words(self) -> list[bytes]:
        """The frames that must be."""
        return [PING] if self._may_ping else []

    def excuses(self, number: int) -> bool:
        """Whether the link may miss an event without a gap."""
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
            sent = self.socket.sent
            must(sent == self.asked[: len(sent)], "something else was sent than the package asked for")
        must(not self.ordered, "the machine asked for a frame, and the driver did not send it")


class Links:
    """The links of one connection.

    Attributes:
        current: the one that the machine speaks of.
        draining: the one that delivers in its place.
        lingering: the one that delivered in its place, and still may.
        made_room: all that have delivered in the place of another.
        left: the newest one that has begun to drain.
    """

    def __init__(self, world: World, must: Callable[[object, str], None], context: ConnectionContext, history: History) -> None:
        self.current: Link | None = None
        self.draining: Link | None = None
        self.lingering: Link | None = None
        self.made_room: list[Link] = []
        self.left: Link | None = None
        self._world = world
        self._must = must
        self._context = context
        self._history = history
        self._until = 0.0  # when the machine releases it, if it has answered
        self._closing: tuple[SimulatedSocket | None, float] = None, 0.0  # the socket of the newest dropped link, and the moment
        self._could_ping = False  # whether a ping might be sent at the last look at the draining link

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
        allowed = {None if self.draining is None else self.draining.socket}
        closing, since = self._closing
        if since == self._world.loop.time():  # its close begins with the next turn of the loop
            allowed.add(closing)
        self._must(all(other.given_up or other in allowed for other in others), "more than two open sockets, or the wrong ones")

    def ask(self, generation: int, data: bytes) -> None:
        """A frame is put before the socket of a link: on the current one what the machine asks for, on another one a ping."""
        link = next((one for one in (self.current, self.draining, self.lingering) if one and one.generation == generation), None)
        if link is None:
            self._must(False, "something is sent on a link that is gone")
            return
        if link is self.current:
            self._must(link.ordered and link.ordered.popleft() == data, "the machine did not ask for that")
        else:
            self._must(data == PING, "something else than a ping is sent on an old link")
        link.asked.append(data)

    def retire(self, generation: int, knew: Mapping[str, Stream]) -> None:
        """Turn the current link into the draining link, which serves these streams."""
        self._must(self.current is not None and self.current.generation == generation, "a link drains that is not current")
        self._must(self.draining is None, "two links drain")
        self.forget()
        self.left = self.draining = self.current
        self.current = None
        if self.draining is not None:
            self.draining.knew, self.draining.drains = knew, True
            self.draining.heard_at = self._world.loop.time()

    def missing(self, desired: Iterable[str]) -> set[str]:
        """Return the desired subscriptions that the draining link serves, and the current link does not."""
        granted = set() if self.current is None else self.current.granted
        return set() if self.draining is None else (self.draining.granted & set(desired)) - granted

    def look_at_draining(self) -> None:
        """Check that the machine drops a dead draining link as soon as its pings show the loss."""
        link, now, ping = self.draining, self._world.loop.time(), self._context.ping
        if link is None or self._context.draining is None:
            return
        state = self._context.draining.state
        may_ping = self._context.ping_enabled and state.budget.available_at(now, ping=True) <= now
        could_ping, self._could_ping = self._could_ping, may_ping  # a step may have just switched the pings on
        if state.read_paused or not (may_ping and could_ping) or now < self._world.woke_at + _SLOW:
            link.heard_at = now
        allowed = ping.interval + 2 * ping.timeout + _SLOW
        self._must(now <= link.heard_at + allowed, "a draining link is dead, and believed to live")

    def release(self, generation: int) -> None:
        """Release the draining link: the current link serves all its subscriptions."""
        link, self.draining = self.draining, None
        self._must(link is not None and link.generation == generation, "releases a link that does not drain")
        if link is not None and self._context.lingering is not None:
            now, budget = self._world.loop.time(), self._context.lingering.state.budget
            link.release(may_ping=self._context.ping_enabled and budget.available_at(now, ping=True) <= now)
            link.at_fault = link.unproven
            link.audit(self._must)
            self._linger(link)

    def resume(self, generation: int) -> None:
        """Make the draining link the current link again."""
        self._must(self.current is None, "goes back to a link, and keeps the other one")
        self.current, self.draining = self.draining, None
        self._must(self.current is not None and self.current.generation == generation, "goes back to another link")
        if self.current is not None:
            self.current.drains = self.current.unproven = False  # its fault goes on

    def fail(self) -> None:
        """The current link goes while its server is at fault. A draining link may have lost events as well."""
        for link in (self.current, self.draining):
            if link is not None:
                link.unproven = True

    def drop(self, generation: int) -> bool:
        """Drop a link, and return whether it was draining."""
        if self.current is not None and self.current.generation == generation:
            self.forget()
            self.current.audit(self._must)
            self._closing, self.current = (self.current.socket, self._world.loop.time()), None
            return False
        self._must(self.draining is not None and self.draining.generation == generation, "drops what it does not have")
        link, self.draining = self.draining, None
        if link is not None:
            link.audit(self._must)
            self._closing = link.socket, self._world.loop.time()
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
        """Return the model of a link, if the streams must deliver its events."""
        for model in (self.current, self.draining, self.lingering):
            if model is not None and model.generation == link.generation and model.greeted:
                over = model is self.lingering and self._world.loop.time() >= self._until
                return None if over and links.draining is not link else model
        return None

    def forget(self) -> None:
        """Forget the drained link, if it is still there."""
        self.lingering = None

    def _linger(self, link: Link) -> None:
        loop = self._world.loop
        self.made_room.append(link)
        link.trusted, link.upto = not self._context.ping_enabled, len(self._history)
        self.lingering, self._until = link, loop.time() + DRAIN_SECONDS
        loop.call_at(self._until + _LATE, self._see_it_gone, link, self._until)

    def _see_it_gone(self, link: Link, until: float) -> None:
        loop, socket = self._world.loop, link.socket
        now = loop.time()
        if now > until + 2 * _LATE or now <= self._world.woke_at + GRACE:  # the process slept; what was due meanwhile comes first
            loop.call_later(GRACE + _LATE, self._see_it_gone, link, now + GRACE)
            return
        gone = socket is None or socket.given_up
        overdue = self._until - DRAIN_SECONDS + max(DRAIN_SECONDS, self._context.ping.timeout) + _LOOKS
        if not (gone or link.trusted) and self.lingering is link and until < overdue:
            loop.call_at(overdue + _LATE, self._see_it_gone, link, overdue)  # it is waited for
            return
        if self.lingering is link:
            self.lingering = None
        self._must(gone, "a drained link is not released")
        self._must(link.last_words == link.due_words, f"{link.last_words} was sent on a drained link")
        link.audit(self._must)
