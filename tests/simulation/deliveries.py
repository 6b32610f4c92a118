"""The deliveries: a watcher of what one connection's driver does: its links, its timer, and what it tells the streams.

It stands around the driver's own functions, and compares what they do with models of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from functools import partial
from typing import Any, cast

from realtime_fsm import Realtime
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.inputs import Input
from realtime_fsm.protocol.frames import EventFrame, decode
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.runtime.grace import GRACE, LATE
from realtime_fsm.runtime.link import LinkIO as RealLink
from realtime_fsm.runtime.sockets import MessageHandler
from simulation.deafness import Deafness
from simulation.ledger import Ledger
from simulation.links import Link, Links, SendQueue
from simulation.network import CANARY, Wire
from simulation.outages import Outages
from simulation.sockets import EVENT, SimulatedSocket
from simulation.wants import Wants
from simulation.world import World


class _WrappedGaps:
    """A gap reporter with some other methods."""

    def __init__(self, gaps: Any, **methods: Any) -> None:
        self._gaps = gaps
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gaps, name)


class Deliveries:
    """Watches the driver of one connection.

    Attributes:
        links: its links.
        wants: what its users want.
        outages: when nothing delivers.
        deafness: when a link hears nothing.
        ledger: the undelivered events of its streams.
    """

    def __init__(self, world: World, realtime: Realtime, wire: Wire) -> None:
        self.world = world
        self.name = wire.name
        self.wire = wire
        self._history = wire.network.history
        self._driver: Any = realtime._driver
        self._context: ConnectionContext = self._driver.context
        registry = self._driver.registry
        self._feed, self._receiver = self._driver.feed, self._driver.message_handler
        self._parted: Any = registry.gaps.report_possible_loss
        self._parting: list[str] | None = None  # the subscriptions that get a gap at this moment
        self._succeed, self._end_deafness = registry.begin_update, registry.gaps.end_deafness
        vars(self._driver).update(feed=self.feed, message_handler=self.receiver)
        vars(registry).update(begin_update=self.succeed)
        methods = {"end_deafness": self.end_deafness, "report_possible_loss": self.parted}
        registry.gaps = cast("Any", _WrappedGaps(registry.gaps, **methods))
        self.ledger = Ledger(world, self._history)
        self.links = Links(world, self.must, self._context, self._history)
        self.deafness = Deafness(world, self._context, self.must)
        self.outages = Outages(self.must, self.deafness)
        self.wants = Wants(self.ledger, self.outages, pings=self._context.ping_enabled)

    def must(self, holds: object, what: str, *, known: str = "") -> None:
        if not holds:
            self.world.must(False, f"{self.name}: {what}", known=known)

    def feed(self, input_: Input) -> None:
        """Around the driver's own: it must hold the links, have told the outages, and have armed its timer."""
        self._feed(input_)
        driver, deadline = self._driver, self._context.deadline
        timer = driver._timer
        if deadline is None:
            self.must(timer is None, "a timer without a deadline")
        else:
            now = self.world.loop.time()
            late = now > driver._due + LATE and deadline <= now
            graced = late and timer is not None and timer._when <= now + GRACE
            self.must(graced or (timer is not None and timer._when == deadline), "the timer is not set to the deadline")
        self.links.holds(driver.links)
        self.outages.settle(real=driver.outages.current is not None)

    def receiver(self, link: RealLink, *, held: bool = False) -> MessageHandler:
        """Wrap the driver's handler: the streams must deliver the events of the current link and of the draining link."""
        receive: MessageHandler = self._receiver(link, held=held)
        if not held:
            link._send_queue = SendQueue(partial(self.links.ask, link.generation))

        def received(data: bytes) -> Awaitable[object] | None:
            if link.read_ahead is not None and not held:
                return receive(data)  # a pause holds the message
            found = EVENT.match(data)
            model = self.links.delivering(link, self._driver.links)
            if model is not None:
                model.hear(data)
            if found and link not in (self._driver.links.current, self._driver.links.draining):
                cast("SimulatedSocket", link._socket).overtaken.add(int(found[1]))
            if found and model is not None and model.socket is not None:
                number = int(found[1])
                model.newest = max(number, model.newest)
                model.socket.under_way.discard(number)
                whom = model.recipients(data, number, self._history.channels(number))
                self.ledger.arrived(number, link.generation, self._wanted(model, whom, self._history.channels(number)))
            proven = model if model is not None and model.socket is not None and isinstance(decode(data), EventFrame) else None
            second = self._context.link is not None and self._context.link.at_fault  # a fault of the new link ends first
            if not second:
                self._recover(proven)
            echo = found and self._history.channels(int(found[1])) == (CANARY,)
            self.deafness.echo = bool(echo) and link is self._driver.links.current
            pause = receive(data)
            if second:
                self._recover(proven)
            self.deafness.echo = False
            over = not link.state.at_fault or link is not self._driver.links.current
            self.must(over or not found, "an event came, and the server fault is not over")
            return pause

        return received

    def _recover(self, link: Link | None) -> None:
        """An event came on a link: a fault of its server is over, and a draining link's losses must be told of."""
        if link is not None and link is self.links.draining and link.unproven:
            link.unproven = False
            wanted = self.wants.streams.intersection(self.wants.desired)
            self.outages.recover([one for one in dict.fromkeys(link.knew.values()) if one.spec.id in wanted])

    def _wanted(self, link: Link, identifiers: Iterable[str], channels: tuple[str, ...]) -> Iterable[str]:
        """Return those ids that a consumer listens to; on an old link only acknowledged ones, with those replaced meanwhile."""
        for one in identifiers:
            if link is not self.links.current and one not in link.granted:
                continue
            if one in self.wants.streams:
                yield one
            elif link is not self.links.current and (stream := link.knew.get(one)) is not None:
                spec = stream.spec
                if spec.id in self.wants.streams and not spec.queries and not set(channels).isdisjoint(spec.channels):
                    yield one

    def succeed(self, delivery: Any, spec: SubscriptionSpec, *more: Any) -> Any:
        """Wrap the registry's method: a user updates a subscription."""
        self.wants.successors[spec.id] = self.ledger.of[delivery.spec.id]
        return self._succeed(delivery, spec, *more)

    def parted(self, handover: Any) -> None:
        """Wrap the reporter's method: an old link closes, or is the current link again, and its possible losses become gaps."""
        link, current = self.links.left, self.links.current
        self.must(link is not None and handover.old.generation == link.generation, "a gap names a loss of another link")
        if link is None:
            return
        overlaps = [self.ledger.of[one.spec.id] for one in handover.overlaps]
        served = self.wants.streams.intersection(stream.spec.id for stream in overlaps)
        owed = {
            stream.spec.id
            for stream in link.knew.values()
            if current is not None and stream.acknowledged_on == current.generation
        }
        if link is current:
            doubtful = handover.disordered | handover.incomplete
            self.must(doubtful.issuperset(handover.overlaps), "the client reports a gap, though the order is kept")
            owed = served
        elif link in self.links.made_room:
            doubtful = handover.disordered or handover.incomplete
            self.must(not link.shows_life or doubtful, "the client reports a gap, though the link has answered its last ping")
            owed = served
        told = self._parting = list[str]()
        for stream in overlaps:
            stream.is_ahead = link is current
        self._parted(handover)
        for stream in overlaps:
            stream.is_ahead = False
        self._parting = None
        over = current is None or handover.newer is None
        enough = over or owed & self.wants.streams <= set(told) <= served
        self.must(enough, f"a link may hold undelivered events of {owed}, and {told} got gaps")

    def end_deafness(self, *news: Any) -> None:
        """Wrap the reporter's method: a link hears again, and the subscriptions of the deaf link get gaps."""
        told = self.deafness.telling = list[str]()
        self._end_deafness(*news)
        self.deafness.telling = None
        self.deafness.end(told, self.wants.streams)

    def record(self, record: Any) -> None:
        """The audit log was told something."""
        if record["event"] == "realtime.gap":
            telling = self.deafness.telling
            if telling is not None:
                telling.append(record["subscription"])
            elif self._parting is not None:
                self._parting.append(record["subscription"])
            else:
                self.outages.told(record["subscription"])
            late = self._parting is not None or telling is not None
            self.ledger.told(record["subscription"], record["since"], late=late)
