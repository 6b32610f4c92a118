"""A handover: one link takes the place of another one, which delivers until the new link serves all that the old one did.

Invariant: while a handover lasts, each event reaches each subscription once, and a gap tells of events that the old link may not
have delivered.

Design: a handover has three stages. First the old link delivers alone, and its pings go on. At `greeted` the new link serves
everything: both links deliver, and one last ping goes out on the old one. A stream keeps its order, so with the answer to
that ping the old link has no undelivered events, and at `drained` it is closed. Without an answer, each subscription receives
a gap. `failed` leads back to the old link.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from realtime_fsm.errors import Overdue
from realtime_fsm.fsm.inputs import LinkClosed
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.protocol.frames import PING
from realtime_fsm.runtime.deduplication import HandoverDeduplicator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from realtime_fsm.events import Event
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.runtime.delivery import SubscriptionDelivery
    from realtime_fsm.runtime.link import LinkIO

_POLL = 0.5
"""Seconds between two looks at whether a link that drains has answered, or is read again."""


class Handover:
    """One handover, from the moment at which the old link begins to drain until it is closed.

    Args:
        old: the link that drains.
        context: the settings of the connection.
        loop: the event loop whose clock counts.
        served: the subscriptions that the old link serves.
        feed: steps the machine.
        on_drained: called when the old link is drained, or has not answered for too long.

    Attributes:
        old: as given.
        served: as given.
        dedup: what knows the events that both links bring.
        is_complete: whether the new link serves all that the old one did.
        seconds: how long the old link delivered alone.
        until: the moment at which the new link served everything, by the clock of this machine.
        last_event_times: for each subscription, the server's time of the last event at that moment, as it came.
        delivered_since: what either link delivered since then, and to whom.
        disordered: the subscriptions that got an event from the old link behind one that happened after it.
    """

    __slots__ = (
        "_asked_at",
        "_context",
        "_ended",
        "_feed",
        "_frames_before",
        "_loop",
        "_on_drained",
        "_ping_at",
        "_timer",
        "_trusted",
        "began",
        "dedup",
        "delivered_since",
        "disordered",
        "is_complete",
        "last_event_times",
        "old",
        "seconds",
        "served",
        "until",
    )

    is_complete: bool
    seconds: float
    until: datetime

    def __init__(
        self,
        old: LinkIO,
        context: ConnectionContext,
        loop: asyncio.AbstractEventLoop,
        served: frozenset[SubscriptionDelivery],
        feed: Callable[[Input], None],
        on_drained: Callable[[], None],
    ) -> None:
        self.old: LinkIO = old
        self.served: frozenset[SubscriptionDelivery] = served
        self.began: float = loop.time()
        self.is_complete = False
        self.seconds = 0.0
        self.until = datetime.now(UTC)
        self.last_event_times: dict[SubscriptionDelivery, Any] = {}
        self.delivered_since: list[tuple[Event, Sequence[SubscriptionDelivery]]] = []
        self.disordered: set[SubscriptionDelivery] = set()
        self._context = context
        self._loop = loop
        self._feed = feed
        self._on_drained = on_drained
        self.dedup: HandoverDeduplicator | None = None
        self._trusted = False
        self._ended = asyncio.Event()
        self._frames_before = old.state.frames_received
        self._asked_at = self.began if old.pings_in_flight else None  # when the ping that is out was sent
        due = old.state.ping_at
        self._ping_at = self.began + context.ping.interval if due is None else max(self.began, due)
        self._timer: asyncio.Handle = loop.call_soon(self._look_alive)

    # --- the stages -----------------------------------------------------------------------------------------------------

    def dial(self, generation: int) -> None:
        """Note that another link is dialed, to take the place of the old one."""
        self.dedup = HandoverDeduplicator(generation)

    def greeted(self, last_event_times: dict[SubscriptionDelivery, Any]) -> None:
        """Note that the new link serves everything, and ask the old one for its last answer.

        Args:
            last_event_times: for each subscription that is served, the server's time of the last event, as it came.
        """
        now = self._loop.time()
        self.is_complete, self.last_event_times = True, last_event_times
        self.seconds, self.until = now - self.began, datetime.now(UTC)
        self._trusted, self._asked_at = not self._context.ping_enabled, None
        if not self._trusted:
            self._ping(now)
        self._timer.cancel()
        self._timer = self._loop.call_later(DRAIN_SECONDS, self._look_drained)

    async def wait_ended(self) -> None:
        """Wait until the old link is closed, or is the current one again."""
        await self._ended.wait()

    def drained(self) -> HandoverDeduplicator | None:
        """End the handover, because the old link is closed.

        Returns:
            What knows the events that the new link, which may be behind, will bring once more.
        """
        self.failed()
        if self.is_confirmed:
            self.last_event_times = {one: when for one, when in self.last_event_times.items() if one in self.disordered}
        if self.dedup is not None:
            self.dedup.older_closed()
        return self.dedup

    def failed(self) -> None:
        """End the handover without the new link: the old one is the current link again."""
        self._timer.cancel()
        self._ended.set()

    @property
    def is_confirmed(self) -> bool:
        """Whether the old link has shown that it has no undelivered events."""
        answered = self._asked_at is not None and not self.old.pings_in_flight
        return self.is_complete and (answered or self._trusted) and not (self.old.ended or self.old.state.at_fault)

    # --- the old link ---------------------------------------------------------------------------------------------------

    def _ping(self, now: float) -> None:
        budget = self.old.state.budget
        if not self.old.ended and budget.available_at(now, ping=True) <= now:
            budget.record_send(now, ping=True)
            budget.frames_sent -= 1  # a record counts the frames that the machine sends
            self._asked_at, self._frames_before = now, self.old.state.frames_received
            self.old.send(PING)

    def _look_alive(self) -> None:
        """Ping the old link at the usual pace; one from which nothing comes after a ping has ended."""
        now, state, ping = self._loop.time(), self.old.state, self._context.ping
        if self._asked_at is not None and state.frames_received == self._frames_before:
            if self.old.paused:
                self._asked_at = now  # nothing is read, so silence means nothing
            elif now >= self._asked_at + ping.timeout:
                self._feed(LinkClosed(self.old.generation, cause=Overdue("pong", ping.timeout)))
                return
        else:
            self._asked_at = None
            if now >= self._ping_at:
                self._ping_at = now + ping.interval_after(state.pings)
                if self._context.ping_enabled:
                    self._ping(now)
        due = self._ping_at if self._asked_at is None else self._asked_at + ping.timeout
        self._timer = self._loop.call_at(due, self._look_alive)

    def _look_drained(self) -> None:
        now, waits = self._loop.time(), self.old.paused  # nothing has come, because nothing is read
        if self._asked_at is not None and not self.old.ended and self.old.pings_in_flight:
            self._asked_at = now if self.old.paused else self._asked_at
            waits = waits or now < self._asked_at + self._context.ping.timeout
        if waits:
            self._timer = self._loop.call_later(_POLL, self._look_drained)
        else:
            self._on_drained()
