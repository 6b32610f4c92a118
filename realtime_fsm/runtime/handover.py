"""A handover: a new link takes the place of the old one, which delivers until the new link serves everything.

Invariant: during a handover each event reaches each subscription once, and a gap tells of events that the old link may not have
delivered.

Design: a handover has two stages. In the first one the old link delivers, and its pings go on; to a subscription that the new
link serves already, both links deliver. The second one begins with `greeted`: the new link serves everything, and one last ping
goes out on the old link. A WebSocket keeps the order of its frames, so after the answer to that ping no event is under way on
the old link. Then the old link is closed (`drained`). Without an answer, or if the old link ends earlier, each subscription that
the new link serves gets a gap. A handover that fails leads back to the old link (`failed`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from realtime_fsm.errors import Overdue
from realtime_fsm.fsm.inputs import LinkClosed
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.protocol.frames import PING
from realtime_fsm.runtime.grace import GracedTimer
from realtime_fsm.runtime.timestamps import latest, timestamp_or_none, version_or_none

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from realtime_fsm.events import Event
    from realtime_fsm.runtime.connection import Connection
    from realtime_fsm.runtime.delivery import SubscriptionDelivery
    from realtime_fsm.runtime.link import LinkIO

_POLL = 0.5
"""Seconds between two checks whether a draining link has answered, or is read again."""
_MOST_AHEAD = 10_000
"""Events that a handover remembers for one subscription. If a handover lasts longer, `catch_up` may repeat older events."""


@dataclass(slots=True)
class Overlap:
    """The time in which both links deliver to one subscription.

    Attributes:
        since: the server's time of the last event that the old link has brought in order.
        link: the generation of the newest link that serves the subscription.
        until: the moment at which that link began to serve it, by the clock of this machine.
        seconds: how long the old link had delivered alone.
        ahead: the times and versions of the events that came after `since`; at most of the newest 10,000.
    """

    since: datetime | None
    link: int | None
    until: datetime
    seconds: float
    ahead: deque[tuple[datetime | None, tuple[str, str] | None]] = field(default_factory=lambda: deque(maxlen=_MOST_AHEAD))

    def advance(self, event: Event) -> None:
        """Note that the old link has brought an event in order. An event without a time is kept, as it may be repeated."""
        when = timestamp_or_none(event)
        if when is None:
            self.keep(event)
        elif self.since is None or when >= self.since:
            self.since = when
            while self.ahead and latest(when, self.ahead[0][0]) == when:
                self.ahead.popleft()

    @property
    def versions_ahead(self) -> Iterable[tuple[str, str] | None]:
        """The versions of the events that came after `since`."""
        return (version for _, version in self.ahead)

    def keep(self, event: Event) -> None:
        """Note an event that comes before the gap of its subscription, so that `catch_up` does not repeat the event."""
        self.ahead.append((timestamp_or_none(event), version_or_none(event)))


class Handover:
    """One handover, from the moment at which the old link begins to drain until it is closed.

    Args:
        old: the link that drains.
        owner: the connection.
        served: the subscriptions that the old link serves, by the ids that the link knows.
        on_drained: called when the old link is drained, or has not answered in time.

    Attributes:
        old, served: as given.
        began: when the old link began to drain, in seconds of the loop's clock.
        newer: the generation of the new link; None before its dial, and after its end.
        is_complete: whether the new link serves everything that the old one served.
        is_resumed: whether the old link is the current one again.
        overlaps: the subscriptions of the old link that a new link serves as well, or has served.
        ended: set when the old link is to be closed, or is the current one again.
        disordered: the subscriptions that get a gap in any case, because the old link brought them an event behind a later one.
        incomplete: the subscriptions that get a gap in any case, because the client dropped an event of the old link.
    """

    __slots__ = (
        "_asked_at", "_assume_complete", "_at_fault", "_deliveries", "_frames_before", "_on_drained", "_owner",
        "_ping_at", "_timer", "began", "disordered", "ended", "incomplete", "is_complete", "is_resumed", "newer", "old",
        "overlaps", "served",
    )  # fmt: skip

    is_complete: bool
    is_resumed: bool

    def __init__(
        self,
        old: LinkIO,
        owner: Connection,
        served: Mapping[str, SubscriptionDelivery],
        on_drained: Callable[[], None],
    ) -> None:
        self.old: LinkIO = old
        self.served: Mapping[str, SubscriptionDelivery] = served
        self._deliveries = frozenset(served.values())
        self.began: float = owner.loop.time()
        self.is_complete = self.is_resumed = False
        self.newer: int | None = None
        self.overlaps: dict[SubscriptionDelivery, Overlap] = {}
        self.disordered: set[SubscriptionDelivery] = set()
        self.incomplete: set[SubscriptionDelivery] = set()
        self._owner = owner
        self._on_drained = on_drained
        # in the second stage: whether a server fault may have lost events, and whether no ping asks for an answer
        self._at_fault: bool
        self._assume_complete: bool
        self.ended: asyncio.Event = asyncio.Event()
        self._frames_before = old.state.frames_received
        self._asked_at = self.began if old.pings_in_flight else None  # when the ping in flight was sent, at the latest
        due = old.state.ping_at
        self._ping_at = self.began + owner.context.ping.interval if due is None else max(self.began, due)
        self._timer: asyncio.Handle | GracedTimer = owner.loop.call_soon(self._check_alive)

    # --- the stages -----------------------------------------------------------------------------------------------------

    def acknowledged(self, subscription: SubscriptionDelivery) -> None:
        """Note that the new link serves a subscription: the new link brings later events, and the old one the earlier ones."""
        if self.is_complete or not self.serves(subscription):
            return
        since, until, seconds = subscription.seen_until, datetime.now(UTC), self._owner.loop.time() - self.began
        overlap = self.overlaps.setdefault(subscription, Overlap(since, self.newer, until, seconds))
        overlap.link, overlap.until, overlap.seconds = self.newer, until, seconds

    def serves(self, subscription: SubscriptionDelivery) -> bool:
        """Tell whether the old link serves a subscription."""
        return subscription in self._deliveries

    def find(self, identifier: str, event: Event, deliveries: Mapping[str, SubscriptionDelivery]) -> SubscriptionDelivery | None:
        """Find the subscription that had an id when the old link began to drain, if it still listens to the event.

        The old link may bring events of a subscription that it has not acknowledged. The new link brings them, too.

        After an update to queries, only the server can tell whether the event matches. So the client drops the event, and a gap
        tells of it.
        """
        one = self.served.get(identifier)
        if one is None or deliveries.get(identifier) is one:
            return one
        if deliveries.get(one.spec.id) is not one or not one.listens_to(event):
            return None
        if one.spec.queries:
            self.incomplete.add(one)
            return None
        return one

    def record(
        self, event: Event, recipients: Iterable[SubscriptionDelivery], new: Container[SubscriptionDelivery], *, from_old: bool
    ) -> None:
        """Note an event that one of the links has brought, after its delivery to the recipients that had not got it."""
        for one in recipients:
            overlap = self.overlaps.get(one)
            if overlap is None or one in self.disordered:
                continue
            # In the second stage a gap begins early, to be safe; and before an event that the client has dropped.
            if from_old and not self.is_complete and one not in self.incomplete:
                overlap.advance(event)
            elif one in new:
                overlap.keep(event)

    def greeted(self, *, at_fault: bool) -> None:
        """Note that the new link serves everything, and send the last ping on the old one.

        Args:
            at_fault: whether a server fault may have cost the old link events that no gap tells of yet.
        """
        now = self._owner.loop.time()
        self.is_complete, self._at_fault = True, at_fault
        self._assume_complete, self._asked_at = not self._owner.context.ping_enabled, None
        if not self._assume_complete:
            self._ping(now)
        self._timer.cancel()
        self._timer = GracedTimer(self._owner.loop, now + DRAIN_SECONDS, self._check_drained)

    def drained(self) -> None:
        """End the handover, because the old link is to be closed. Keep the overlaps in which events may be lost."""
        self._end()
        if self.is_confirmed:
            self._keep_doubtful()

    def failed(self) -> None:
        """End the handover without the new link: the old one is the current link again, and may be behind the new one."""
        self._end()
        self.is_resumed, self.old.unsure_answers = True, 0
        self.disordered.update(one for one, overlap in self.overlaps.items() if overlap.ahead)
        self._keep_doubtful()

    def _end(self) -> None:
        self._timer.cancel()
        self.ended.set()

    def _keep_doubtful(self) -> None:
        doubtful = self.disordered | self.incomplete
        self.overlaps = {one: overlap for one, overlap in self.overlaps.items() if one in doubtful}

    @property
    def is_confirmed(self) -> bool:
        """Whether the old link has delivered all its events, as its answer to the last ping shows."""
        if not self.is_complete or self.old.ended or self.old.unsure_answers or self._at_fault:
            return False
        return self._assume_complete or (self._asked_at is not None and not self.old.pings_in_flight)

    # --- the old link ---------------------------------------------------------------------------------------------------

    def _ping(self, now: float) -> None:
        budget = self.old.state.budget
        if not self.old.ended and budget.available_at(now, ping=True) <= now:
            budget.record_send(now, ping=True)
            budget.frames_sent -= 1  # the records count only the frames that the machine sends
            self._asked_at, self._frames_before = now, self.old.state.frames_received
            self.old.send(PING)

    def _check_alive(self) -> None:
        """Ping the old link at the usual pace. A link from which nothing comes after a ping counts as ended."""
        now, state, ping = self._owner.loop.time(), self.old.state, self._owner.context.ping
        if self._asked_at is not None and state.frames_received == self._frames_before:
            if self.old.paused:
                self._asked_at = now  # the client does not read the link, so silence proves nothing
            elif now >= self._asked_at + ping.timeout:
                self._owner.feed(LinkClosed(self.old.generation, cause=Overdue("pong", ping.timeout)))
                return
        else:
            self._asked_at = None
            if now >= self._ping_at:
                self._ping_at = now + ping.interval_after(state.pings)
                if self._owner.context.ping_enabled:
                    self._ping(now)
        due = self._ping_at if self._asked_at is None else self._asked_at + ping.timeout
        self._timer = GracedTimer(self._owner.loop, due, self._check_alive)

    def _check_drained(self) -> None:
        now, waits = self._owner.loop.time(), self.old.paused  # while the client does not read the link, silence proves nothing
        if self._asked_at is not None and not self.old.ended and self.old.pings_in_flight:
            self._asked_at = now if self.old.paused else self._asked_at
            waits = waits or now < self._asked_at + self._owner.context.ping.timeout
        if waits:
            self._timer = GracedTimer(self._owner.loop, now + _POLL, self._check_drained)
        else:
            self._on_drained()
