"""The gap reporter: it tells the deliveries of a connection of the events that they may have missed.

Invariant: each loss gives a delivery one gap. Three things lose events: an outage, a link that delivered nothing (a server fault,
or a deaf link), and the end of a handover's old link.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from realtime_fsm.runtime.delivery import SubscriptionDelivery
    from realtime_fsm.runtime.handover import Handover
    from realtime_fsm.runtime.outages import OutageTracker


_NO_LOSSES: dict[SubscriptionDelivery, datetime | None] = {}


class Deliveries(Protocol):
    """The deliveries of one connection."""

    deliveries: dict[str, SubscriptionDelivery]

    @property
    def established(self) -> dict[str, SubscriptionDelivery]:
        """The subscriptions that the server has ever acknowledged, by id."""

    def is_active(self, identifier: str) -> bool:
        """Whether the id has a delivery, and the user has not given it up."""


class GapReporter:
    """The gaps of one connection."""

    __slots__ = ("_deafness", "_losses", "_outages", "_registry")

    def __init__(self, registry: Deliveries, outages: OutageTracker) -> None:
        self._registry = registry
        self._outages = outages
        self._losses = _NO_LOSSES  # the deliveries that a loss has cut off, with `seen_until`
        self._deafness: dict[SubscriptionDelivery, datetime | None] | None = None  # served by a deaf link, with `seen_until`

    def note_loss(self) -> None:
        """Note where the gaps begin: on the next link, an event may come before the acknowledgement of its subscription."""
        before = self._losses
        self._losses = {one: before.get(one, one.seen_until) for one in self._registry.established.values()}
        for delivery in self._losses:
            delivery.expect_gap()

    def report_after_outage(self, delivery: SubscriptionDelivery, now: float) -> None:
        """Tell a subscription of one gap for each loss, whichever of its ids the server acknowledges first.

        After a deaf link, the next link may be deaf, too. So the gap comes later, with the first echo.
        """
        outage = self._outages.current
        if outage is None or delivery not in self._losses:
            return
        since = self._losses.pop(delivery)
        if self._deafness is None or delivery not in self._deafness:
            seconds, planned = now - outage.missing_since, outage.planned and outage.losses == 1
            had = delivery.end_expectation()
            delivery.record_gap(datetime.now(UTC), seconds, outage.dials, since, had, planned=planned)

    def recover(self, seconds: float, handover: Handover | None = None) -> None:
        """Tell the subscriptions that a link serves of a gap: a server fault is over. The others get theirs with their link.

        Args:
            seconds: how long ago the server had last proved that it worked.
            handover: the handover whose old link is meant; None for the current link.
        """
        until = datetime.now(UTC)
        for identifier, delivery in self._registry.established.items():
            served = delivery not in self._losses and (handover is None or handover.serves(delivery))
            if served and self._registry.is_active(identifier):
                overlap = None if handover is None else handover.overlaps.get(delivery)
                since, had = (delivery.seen_until, ()) if overlap is None else (overlap.since, overlap.versions_ahead)
                delivery.record_gap(until, seconds, 0, since, had)

    def recover_draining(self, handover: Handover, now: float) -> None:
        """Tell of a gap: an event on the old link of a handover proves that a server fault is over."""
        seconds = self._outages.end_fault(now)
        if seconds is not None:
            self.recover(seconds, handover)

    def note_deaf_link(self) -> None:
        """Note the subscriptions that a deaf link served: they may have missed events since the first deaf link."""
        self._deafness = {one: one.seen_until for one in self._registry.established.values()} | (self._deafness or {})

    def end_deafness(self, until: datetime, seconds: float, dials: int, proof: Any) -> None:
        """Tell the subscriptions that a deaf link served of one gap: an echo has come, or none can be expected.

        Args:
            until: the end of the gap.
            seconds: how long ago the last proof was.
            dials: how many dials were made since the last proof.
            proof: the server's time of the last proof, as it came.
        """
        deafness, self._deafness = self._deafness or {}, None
        for delivery in dict.fromkeys(self._registry.deliveries.values()):
            if delivery in deafness:
                delivery.record_gap(until, seconds, dials, deafness[delivery], delivery.end_expectation(), proof)

    def report_possible_loss(self, handover: Handover) -> None:
        """Tell subscriptions of a gap: on the old link of a handover they may have missed events, or the order of events.

        Where no new link serves a subscription, an outage begins. Its gap covers the loss, if no event has come since.
        """
        for delivery, overlap in handover.overlaps.items():
            known = self._registry.deliveries.get(delivery.spec.id) is delivery
            served = overlap.link is not None and overlap.link == handover.newer
            if known and (served or handover.is_resumed or delivery.seen_until != overlap.since):
                had = () if delivery in handover.disordered else overlap.versions_ahead
                delivery.record_gap(overlap.until, overlap.seconds, 1, overlap.since, had)
