"""The registry: the deliveries of a connection by id. It routes events to the deliveries, and tells them the news of their ids.

Invariant: an id has a handle from the user's call until the machine tells of its end. The machine alone knows which ids are
desired, and which the server has acknowledged on which link (`fsm.subscriptions`); the registry keeps none of that.

Design: a subscription has one id, and another one after each update. So each id has a handle, and a delivery outlives its ids.
The registry keeps the delivery of each id in `deliveries`, so that a route is one look-up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from realtime_fsm.errors import Disposed, SubscriptionEnded, SubscriptionRejected
from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.runtime.delivery import SubscriptionDelivery
from realtime_fsm.runtime.gaps import GapReporter
from realtime_fsm.runtime.overflow import ReadGate
from realtime_fsm.runtime.waiters import reject, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.events import Event
    from realtime_fsm.protocol.frames import Code
    from realtime_fsm.protocol.spec import SubscriptionSpec
    from realtime_fsm.runtime.callbacks import Report
    from realtime_fsm.runtime.delivery import DeliveryOptions
    from realtime_fsm.runtime.handover import Handover
    from realtime_fsm.runtime.outages import OutageTracker


class _Handle(Struct, eq=False):
    """One id of a delivery."""

    spec: SubscriptionSpec
    delivery: SubscriptionDelivery
    granted: asyncio.Future[None]  # completes when the server acknowledges the id
    is_given_up: bool = False  # by the user; the machine may learn of it later


def _ignore(_: object) -> None:
    """Do nothing, where no code wants to know."""


class DeliveryRegistry:
    """The deliveries of one connection.

    Attributes:
        deliveries: the deliveries, by the ids whose events they get.
        gaps: tells the deliveries of gaps.
        on_canary: called with each event of the hidden subscription.
        on_strays: called with the number of ids of an event that belong to no subscription.
        gate: closed while the buffer of a delivery that must lose nothing is full.
    """

    def __init__(self, report: Report, audit: AuditWriter, outages: OutageTracker) -> None:
        self._report = report
        self._audit = audit
        self.deliveries: dict[str, SubscriptionDelivery] = {}
        self._handles: dict[str, _Handle] = {}  # of the ids above, of updates, and of ids that an update has replaced
        self._updates: dict[str, _Handle] = {}  # the handles whose ids replace others when the server acknowledges them
        self._cancelled_tasks: list[asyncio.Task[None]] = []
        self.gaps: GapReporter = GapReporter(self, outages)
        self._ended_counts = 0, 0  # events of the subscriptions that have ended: received, and dropped
        self.on_canary: Callable[[Event], None] = _ignore
        self.on_strays: Callable[[int], None] = _ignore
        self.gate: ReadGate = ReadGate()

    def register(self, spec: SubscriptionSpec, options: DeliveryOptions, loop: asyncio.AbstractEventLoop) -> SubscriptionDelivery:
        """Prepare the delivery of a subscription's events, before the machine asks for it."""
        delivery = self.deliveries[spec.id] = SubscriptionDelivery(spec, options, loop, self._report, self._audit, self.gate)
        self._handles[spec.id] = _Handle(spec, delivery, delivery.granted)
        return delivery

    def begin_update(
        self, delivery: SubscriptionDelivery, spec: SubscriptionSpec, loop: asyncio.AbstractEventLoop
    ) -> asyncio.Future[None]:
        """Prepare another subscription, which takes the place of the present one when the returned future completes."""
        handle = self._handles[spec.id] = self._updates[spec.id] = _Handle(spec, delivery, loop.create_future())
        return handle.granted

    def route(self, event: Event) -> bool:
        """Give an event to each of its deliveries, once, and tell whether the reader should let consumers run."""
        should_yield, strays, delivery_of = False, 0, self.deliveries.get
        identifiers, timestamp = event._subscriptions, event._timestamp  # noqa: SLF001  (as they came: most are never asked for)
        if not identifiers:
            identifiers = event._subscriptions = self.listening_on(event)  # noqa: SLF001
        elif len(set(identifiers)) != len(identifiers):
            identifiers = list(dict.fromkeys(identifiers))
        for identifier in identifiers:
            if (delivery := delivery_of(identifier)) is not None:
                if timestamp is not None:
                    delivery.last_timestamp = timestamp
                delivery.received += 1
                if delivery.put(event):
                    should_yield = True
            elif identifier == CANARY:
                event._subscriptions = [other for other in identifiers if other != CANARY]  # noqa: SLF001  (it is hidden)
                self.on_canary(event)
            elif self._is_stray(identifier):
                strays += 1
        if strays:
            self.on_strays(strays)
        return should_yield

    def listening_on(self, event: Event) -> list[str]:
        """Find the subscriptions to the channels of an event for which the server names no subscription.

        The server does so with ``stats.connections`` on channel ``project`` (PROTOCOL: "Messages", rule 12).
        """
        return [identifier for identifier, one in self.established.items() if one.listens_to(event)]

    def resolve(self, event: Event, identifiers: Iterable[str], handover: Handover | None) -> list[SubscriptionDelivery]:
        """Find the subscriptions of an event by its ids, each subscription once, while two links deliver.

        `handover` is the one whose old link brings the event; None for the current link. The old link may still serve
        subscriptions that the user has given up.
        """
        identifiers = list(dict.fromkeys(identifiers))
        if handover is not None:
            found = (handover.find(one, event, self.deliveries) for one in identifiers)
            return list(dict.fromkeys(one for one in found if one is not None))
        if CANARY in identifiers:
            self.on_canary(event)
        if strays := sum(self._is_stray(identifier) for identifier in identifiers):
            self.on_strays(strays)
        return [self.deliveries[identifier] for identifier in self.filter_known(identifiers)]

    def _is_stray(self, identifier: str) -> bool:
        return identifier in self._updates if identifier in self._handles else identifier != CANARY

    def route_out_of_order(self, event: Event, handover: Handover | None) -> bool:
        """Do as `route` for an event whose ids are all known, though another link may have brought later events.

        `handover` is the one whose old link brings the event. It notes each subscription that loses its order.
        """
        should_yield = False
        for delivery in [self.deliveries[identifier] for identifier in event._subscriptions]:  # noqa: SLF001
            if delivery.note_out_of_order(event) and handover is not None:
                handover.disordered.add(delivery)
            delivery.received += 1
            should_yield = delivery.put(event) or should_yield
        return should_yield

    def filter_known(self, identifiers: Iterable[str]) -> list[str]:
        """Keep the ids whose events are still delivered."""
        return [identifier for identifier in identifiers if identifier in self.deliveries]

    def acknowledge(self, identifier: str, channels: tuple[str, ...], now: float) -> SubscriptionDelivery | None:
        """Note that the link serves an id, and return its subscription; None if another id has taken the place of this one."""
        self._audit.subscription(identifier, "acknowledged")
        handle = self._handles[identifier]
        if self._updates.pop(identifier, None) is not None:
            self._switch_id(handle)
        elif identifier not in self.deliveries:
            return None
        handle.delivery.acknowledged = channels
        self.gaps.report_after_outage(handle.delivery, now)
        resolve(handle.granted, None)
        return handle.delivery

    def _switch_id(self, handle: _Handle) -> None:
        """Deliver the events of the new id, and drop those of the old one: they would come twice, or are no longer wanted."""
        delivery = handle.delivery
        self.deliveries.pop(delivery.spec.id, None)
        delivery.spec = handle.spec
        delivery.buffer.clear_error()
        self.deliveries[delivery.spec.id] = delivery

    @property
    def established(self) -> dict[str, SubscriptionDelivery]:
        """The subscriptions that the server has ever acknowledged, by id."""
        return {identifier: one for identifier, one in self.deliveries.items() if one.established}

    def give_up(self, identifier: str) -> bool:
        """Note that the user gives an id up, and tell whether it was there, and not given up before.

        Until the machine removes the id, its events are delivered.
        """
        handle = self._handles.get(identifier)
        if handle is None or handle.is_given_up:
            return False
        handle.is_given_up = True
        return True

    def pending_update_of(self, delivery: SubscriptionDelivery) -> str | None:
        """Return the id of an update that is under way, and not given up."""
        mine = (one for one in self._updates.values() if one.delivery is delivery and not one.is_given_up)
        return next((one.spec.id for one in mine), None)

    def is_active(self, identifier: str) -> bool:
        """Whether the id has a delivery, and the user has not given it up."""
        return identifier in self.deliveries and not self._handles[identifier].is_given_up

    def refuse(self, identifier: str, code: Code, message: str, *, guest: bool) -> None:
        """End a subscription that the server refused; `guest` tells whether the connection had no user."""
        spec = self._handles[identifier].spec
        self.reject(identifier, SubscriptionRejected(spec.channels, spec.queries, code, message, guest=guest), code)

    def reject(self, identifier: str, error: RealtimeError, code: Code | None = None) -> None:
        """End a subscription with an error: its calls and its iterator raise it."""
        self._audit.subscription(identifier, "rejected", code)
        delivery = self._remove_id(identifier, error)
        if delivery is not None:
            reject(delivery.granted, error)
            delivery.buffer.fail(error)
            resolve(delivery.removed, None)

    def remove(self, identifier: str) -> None:
        """End a subscription that the user has given up."""
        self._audit.subscription(identifier, "removed")
        delivery = self._remove_id(identifier, SubscriptionEnded())
        if delivery is not None:
            delivery.end()
            resolve(delivery.removed, None)

    def withdraw(self, identifiers: Iterable[str], error: RealtimeError) -> None:
        """End subscriptions that were never acknowledged, and are no longer desired: their calls raise the error."""
        for identifier in identifiers:
            self._audit.subscription(identifier, "removed")
            delivery = self._remove_id(identifier, error)
            if delivery is not None:
                reject(delivery.granted, error)

    def fail_streams(self, error: RealtimeError) -> None:
        """Raise an error from every iterator: there will be no link for now."""
        for delivery in self.deliveries.values():
            delivery.buffer.fail(error)

    def _remove_id(self, identifier: str, error: RealtimeError) -> SubscriptionDelivery | None:
        """Remove an id. If it belongs to an update, fail its waiter; otherwise return its delivery."""
        self._handles.pop(identifier, None)
        if (update := self._updates.pop(identifier, None)) is not None:
            reject(update.granted, error)
        delivery = self.deliveries.pop(identifier, None)
        if delivery is not None:
            received, dropped = self._ended_counts
            self._ended_counts = received + delivery.received, dropped + delivery.dropped
            for task in delivery.tasks:
                self._cancelled_tasks.append(task)
                task.add_done_callback(self._cancelled_tasks.remove)
        return delivery

    @property
    def counts(self) -> tuple[int, int]:
        """How many events the subscriptions got, and how many of them full buffers dropped; any thread may ask."""
        received, dropped = self._ended_counts  # first: a subscription that ends meanwhile must not count twice
        present = list(self.deliveries.values())
        return received + sum(one.received for one in present), dropped + sum(one.dropped for one in present)

    def clear_errors(self) -> None:
        """Let iterators wait again: a link may bring events."""
        for delivery in self.deliveries.values():
            delivery.buffer.clear_error()

    def end(self) -> None:
        """End every subscription, because the connection ends."""
        for identifier in tuple(self._handles):
            delivery = self._remove_id(identifier, Disposed())
            if delivery is not None:
                reject(delivery.granted, Disposed())
                delivery.end()

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let a callable go on that ends the connection, and tell whether the task runs a callable of a subscription."""
        return any(one.spare(task) for one in self.deliveries.values()) or task in self._cancelled_tasks

    async def wait_cancelled(self, spared: asyncio.Task[Any] | None) -> None:
        """Cancel the users' callables that still run, but for one, and wait for them."""
        while tasks := [task for task in self._cancelled_tasks if task is not spared]:
            for task in tasks:
                if not task.cancelling():
                    task.cancel()
            await asyncio.wait(tasks)
