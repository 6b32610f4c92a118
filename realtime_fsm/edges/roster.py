"""The roster: all subscribers of a connection. It routes events to them and tells them what becomes of their subscriptions."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from realtime_fsm.core.canary import CANARY
from realtime_fsm.edges.overflow import Gate
from realtime_fsm.edges.subscriber import Subscriber
from realtime_fsm.edges.waiting import reject, resolve
from realtime_fsm.vocabulary.errors import (
    Disposed,
    MalformedEvent,
    SubscriptionEnded,
    SubscriptionRejected,
    UnsupportedByServer,
)
from realtime_fsm.vocabulary.frames import subscribe_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from realtime_fsm.edges.audit import Audit
    from realtime_fsm.edges.callbacks import Report
    from realtime_fsm.edges.farewell import Farewell
    from realtime_fsm.edges.outages import Outages
    from realtime_fsm.edges.subscriber import Options
    from realtime_fsm.vocabulary.eras import Era
    from realtime_fsm.vocabulary.errors import RealtimeError
    from realtime_fsm.vocabulary.events import Event
    from realtime_fsm.vocabulary.frames import Code
    from realtime_fsm.vocabulary.inputs import Wish


@dataclass(slots=True)
class _Successor:
    """What is to take the place of what a subscriber listens to, when it is acknowledged."""

    wish: Wish
    subscriber: Subscriber
    granted: asyncio.Future[None]


def _ignore(event: Event) -> None:
    """Do nothing with the event of a canary, where none is wanted."""


class Roster:
    """The subscribers by id.

    Attributes:
        subscribers: them, by id.
        on_canary: gets the events of the hidden subscription.
        gate: shut while one of them, who must lose nothing, is full.
    """

    def __init__(self, report: Report, audit: Audit, outages: Outages, on_stray: Callable[[int], None]) -> None:
        self._report = report
        self._audit = audit
        self._on_stray = on_stray
        self.subscribers: dict[str, Subscriber] = {}
        self._successors: dict[str, _Successor] = {}
        self._leaving: dict[str, None] = {}  # what successors have replaced, until the server has removed it
        self._withdrawn: dict[str, None] = {}
        self._leftover: list[asyncio.Task[None]] = []
        self._outages = outages
        self._deafness: dict[Subscriber, Any] | None = None  # whom a deaf link served, and the last event of each
        self.on_canary: Callable[[Event], None] = _ignore
        self.gate = Gate()

    def enlist(self, wish: Wish, options: Options, loop: asyncio.AbstractEventLoop, dwell: float) -> Subscriber:
        """Make room for a subscription's events, before it is asked for."""
        subscriber = self.subscribers[wish.id] = Subscriber(wish, options, loop, self._report, self._audit, self.gate)
        self._tell_desired(wish, dwell)
        return subscriber

    def succeed(self, subscriber: Subscriber, wish: Wish, loop: asyncio.AbstractEventLoop, dwell: float) -> asyncio.Future[None]:
        """Prepare to let a subscriber listen to something else, as soon as that is acknowledged; the answer tells when."""
        successor = self._successors[wish.id] = _Successor(wish, subscriber, loop.create_future())
        self._tell_desired(wish, dwell)
        return successor.granted

    def route(self, event: Event) -> bool:
        """Give an event to each subscriber that it is for, once.

        Returns:
            Whether a consumer should be let run.
        """
        crowded, strays, subscriber_of = False, 0, self.subscribers.get
        identifiers, stamp = event._subscriptions, event._timestamp  # noqa: SLF001  (as they came: most are never asked for)
        if not identifiers:
            identifiers = event._subscriptions = self._listening_on(event)  # noqa: SLF001
        elif len(set(identifiers)) < len(identifiers):
            identifiers = list(dict.fromkeys(identifiers))
        for identifier in identifiers:
            if (subscriber := subscriber_of(identifier)) is not None:
                if stamp is not None:
                    subscriber.stamp = stamp
                if subscriber.put(event):
                    crowded = True
            elif identifier == CANARY:
                event._subscriptions = [other for other in identifiers if other != CANARY]  # noqa: SLF001  (it is hidden)
                self.on_canary(event)
            elif identifier not in self._leaving:
                strays += 1
        if strays:
            self._on_stray(strays)
        return crowded

    def _listening_on(self, event: Event) -> list[str]:
        """The subscriptions to the channels of an event, of which the server does not say whom it is for.

        So it is with ``stats.connections`` on channel ``project`` (PROTOCOL: "Messages", rule 12).
        """
        channels: frozenset[str] = frozenset()
        with suppress(MalformedEvent):
            channels = frozenset(event.channels)
        return [
            identifier
            for identifier, one in self.subscribers.items()
            if one.established and not channels.isdisjoint((*one.wish.channels, *one.acknowledged))
        ]

    def route_late(self, event: Event, farewell: Farewell | None) -> bool:
        """As `route`, where another link may have brought what happened after it. Each of its ids is known.

        Args:
            event: the event.
            farewell: of the draining link that brings it, which is to know whose order is lost; None for the other link.
        """
        crowded = False
        for identifier, subscriber in [(i, self.subscribers[i]) for i in event._subscriptions]:  # noqa: SLF001
            if subscriber.note_late(event) and farewell is not None:
                farewell.disordered.add(identifier)
            crowded = subscriber.put(event) or crowded
        return crowded

    def known(self, identifiers: Iterable[str]) -> list[str]:
        """Those of them that are still wanted."""
        return [identifier for identifier in identifiers if identifier in self.subscribers]

    def grant(self, identifier: str, channels: tuple[str, ...], now: float) -> None:
        """It is acknowledged on the link that is up."""
        self._audit.subscription(identifier, "acknowledged")
        if identifier in self._successors:
            self._replace(self._successors.pop(identifier), channels, now)
        elif identifier not in self._leaving:
            self._establish(self.subscribers[identifier], channels, now)

    def _establish(self, subscriber: Subscriber, channels: tuple[str, ...], now: float) -> None:
        subscriber.acknowledged = channels
        self._resume(subscriber, now)
        subscriber.established = True
        resolve(subscriber.granted)

    def _replace(self, successor: _Successor, channels: tuple[str, ...], now: float) -> None:
        """From now on what comes for the old id is dropped: both would deliver it, or it is not wanted any more."""
        subscriber, old = successor.subscriber, successor.subscriber.wish.id
        if self.subscribers.pop(old, None) is not None:
            self._leaving[old] = None
        subscriber.wish, subscriber.acknowledged = successor.wish, channels
        subscriber.inbox.mend()
        self.subscribers[subscriber.wish.id] = subscriber
        self._resume(subscriber, now)
        resolve(successor.granted)

    def _resume(self, subscriber: Subscriber, now: float) -> None:
        """After a loss it may have missed something: it gets one gap, under whichever id comes first.

        After a deaf link the next one may be deaf, too: it gets the gap when an echo has come.
        """
        if self._deafness is not None and subscriber in self._deafness:
            subscriber.expect_gap()
            return
        outage = self._outages.current
        if outage is None or subscriber.resumed == (outage.began, outage.losses):
            return
        subscriber.resumed = outage.began, outage.losses
        if not subscriber.established:
            return
        subscriber.resume(datetime.now(UTC), now - outage.missing_since, outage.dials, subscriber.stamp)

    def recover(self, seconds: float) -> None:
        """A server fault is over: those that the link serves may have missed something. Others are told when it serves them.

        Args:
            seconds: how long ago the server had last proved that it worked.
        """
        outage, until = self._outages.current, datetime.now(UTC)
        for identifier, subscriber in list(self.subscribers.items()):
            served = outage is None or subscriber.resumed == (outage.began, outage.losses)
            if served and subscriber.established and identifier not in self._withdrawn:
                subscriber.resume(until, seconds, 0, subscriber.stamp)

    def begin_deafness(self) -> None:
        """The link was deaf: the subscriptions that it served may have missed events."""
        self._deafness = {one: one.stamp for one in self.subscribers.values() if one.established}

    def end_deafness(self, until: datetime, seconds: float, dials: int, proof: Any) -> None:
        """A link is no longer deaf, or nothing can prove it: those whom the deaf one served are told, once.

        Args:
            until: the moment.
            seconds: how long it is since the last proof.
            dials: how many dials were made since then.
            proof: the server's time of it, as it came.
        """
        deafness, self._deafness = self._deafness or {}, None
        for subscriber in dict.fromkeys(self.subscribers.values()):
            if subscriber in deafness:
                subscriber.resume(until, seconds, dials, deafness[subscriber], subscriber.met_gap(), proof)

    @property
    def stamps(self) -> dict[str, Any]:
        """The server's time of the last event of each that was ever acknowledged."""
        return {identifier: one.stamp for identifier, one in self.subscribers.items() if one.established}

    def part(self, farewell: Farewell, *, broken: bool) -> None:
        """Those that a link served which has made room may have missed something.

        Args:
            farewell: what is known of it.
            broken: whether an outage begins, whose gap reaches back as far for all that nothing has come for since.
        """
        for identifier, stamp in farewell.stamps.items():
            subscriber = self.subscribers.get(identifier)
            if subscriber is not None and not (broken and subscriber.stamp is stamp):
                had = [event for event, whom in farewell.news if identifier in whom and identifier not in farewell.disordered]
                subscriber.resume(farewell.until, farewell.seconds, 1, stamp, had)

    def reject(self, identifier: str, code: Code, message: str, *, guest: bool) -> None:
        """The server refused it, perhaps because a guest asked."""
        wish = self._wish(identifier)
        self._end(identifier, SubscriptionRejected(wish.channels, wish.queries, code, message, guest=guest), code)

    def withdraw(self, identifier: str, dwell: float) -> bool:
        """The user does not want it any more; until it is removed, what comes for it is still known.

        Returns:
            Whether that is news.
        """
        if identifier in self._withdrawn or not self._knows(identifier):
            return False
        self._withdrawn[identifier] = None
        self._audit.subscription(identifier, "withdrawn", dwell=dwell)
        return True

    def successor_of(self, subscriber: Subscriber) -> str | None:
        """The id of what is to take the place of what it listens to; not of what was given up, and is not removed yet."""
        mine = (identifier for identifier, one in self._successors.items() if one.subscriber is subscriber)
        return next((identifier for identifier in mine if identifier not in self._withdrawn), None)

    def wants(self, identifier: str) -> bool:
        """Whether somebody listens to it, and the user has not given it up."""
        return identifier in self.subscribers and identifier not in self._withdrawn

    def lack(self, identifier: str, era: Era) -> None:
        """The server is too old for it."""
        self._end(identifier, UnsupportedByServer("queries", era, era.releases))

    def remove(self, identifier: str) -> None:
        """It is gone."""
        self._audit.subscription(identifier, "removed")
        subscriber = self._leave(identifier, SubscriptionEnded())
        if subscriber is not None:
            subscriber.end()
            resolve(subscriber.removed)

    def fail(self, error: RealtimeError, withdrawn: tuple[str, ...], *, streams: bool) -> None:
        """There will be no link for now."""
        for identifier in withdrawn:
            self._audit.subscription(identifier, "removed")
            subscriber = self._leave(identifier, error)
            if subscriber is not None:
                reject(subscriber.granted, error)
        if streams:
            for subscriber in self.subscribers.values():
                subscriber.inbox.fail(error)

    def mend(self) -> None:
        """There may be events again."""
        for subscriber in self.subscribers.values():
            subscriber.inbox.mend()

    def end(self) -> None:
        """Nothing follows."""
        for identifier in (*self.subscribers, *self._successors):
            subscriber = self._leave(identifier, Disposed())
            if subscriber is not None:
                reject(subscriber.granted, Disposed())
                subscriber.end()

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let the callable go on that ends the connection.

        Args:
            task: the task in which it runs.

        Returns:
            Whether it is a callable of a subscription of this connection.
        """
        return any(one.spare(task) for one in self.subscribers.values()) or task in self._leftover

    async def settle(self, spared: asyncio.Task[Any] | None) -> None:
        """Cancel the users' callables that still run, but for one, and wait for them."""
        while tasks := [task for task in self._leftover if task is not spared]:
            for task in tasks:
                if not task.cancelling():
                    task.cancel()
            await asyncio.wait(tasks)

    def _end(self, identifier: str, error: RealtimeError, code: Code | None = None) -> None:
        self._audit.subscription(identifier, "rejected", code)
        subscriber = self._leave(identifier, error)
        if subscriber is not None:
            reject(subscriber.granted, error)
            subscriber.inbox.fail(error)
            resolve(subscriber.removed)

    def _leave(self, identifier: str, error: RealtimeError) -> Subscriber | None:
        """Strike an id. Of what was to become a subscriber's, whoever waits for it is told; then nobody else is to be."""
        self._withdrawn.pop(identifier, None)
        self._leaving.pop(identifier, None)
        successor = self._successors.pop(identifier, None)
        if successor is not None:
            reject(successor.granted, error)
        subscriber = self.subscribers.pop(identifier, None)
        if subscriber is not None:
            for task in subscriber.tasks:
                self._leftover.append(task)
                task.add_done_callback(self._leftover.remove)
        return subscriber

    def _tell_desired(self, wish: Wish, dwell: float) -> None:
        size = len(subscribe_item(wish.id, wish.channels, wish.queries))
        self._audit.subscription(wish.id, "desired", dwell=dwell, size=size)

    def _knows(self, identifier: str) -> bool:
        return any(identifier in place for place in (self.subscribers, self._successors, self._leaving))

    def _wish(self, identifier: str) -> Wish:
        successor = self._successors.get(identifier)
        return self.subscribers[identifier].wish if successor is None else successor.wish
