"""The links of a connection: the current one, and one that makes room for it.

The law: the machine speaks of the current link only. One that makes room delivers events and nothing else, until the current
one is up and a moment longer: what is on its way must not be lost, and what both deliver is delivered once. So what the one has
brought is remembered for another moment after it is closed: on the other, the same may still be on its way. Before it goes it is
asked once whether it lives; if that stays open, those that it served are told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.runtime.deduplication import HandoverDeduplicator
from realtime_fsm.runtime.link import LinkIO

if TYPE_CHECKING:
    from realtime_fsm.events import Event
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.link import LinkState as Facts
    from realtime_fsm.protocol.eras import UrlPlan
    from realtime_fsm.runtime.drain_check import DrainCheck
    from realtime_fsm.runtime.link import LinkHandler

_DRAIN_POLL = 0.5
"""Seconds between two looks whether a link that is to go has come after, or has answered."""


class LinkSet:
    """The links of a connection.

    Args:
        owner: who is told what happens on them.
        context: what the connection remembers.

    Attributes:
        current: the link that the machine speaks of.
        draining: one that makes room for it.
    """

    __slots__ = (
        "_closing",
        "_context",
        "_dedup",
        "_drain_check",
        "_drain_timer",
        "_owner",
        "_previous_dedup",
        "current",
        "draining",
    )

    def __init__(self, owner: LinkHandler, context: ConnectionContext) -> None:
        self._owner = owner
        self._context = context
        self._closing: list[asyncio.Task[None]] = []
        self._drain_timer: asyncio.TimerHandle | None = None
        self._dedup: HandoverDeduplicator | None = None
        self._previous_dedup: HandoverDeduplicator | None = None  # of the link before that one, which is closed
        self._drain_check: DrainCheck | None = None
        self.current: LinkIO | None = None
        self.draining: LinkIO | None = None

    @property
    def draining_serves(self) -> bool:
        """Whether a link delivers in the place of the current one, which is not up."""
        return self.draining is not None and self._drain_timer is None

    @property
    def may_deliver_out_of_order(self) -> bool:
        """Whether an event may come behind one that happened after it: two links deliver, or one of them is still behind."""
        return self.draining is not None or (self._previous_dedup is not None and self._previous_dedup.newer_is_behind)

    @property
    def is_cut_off(self) -> bool:
        """Whether the event loop ends: it cancels what reads, and what begins now is not finished."""
        return any(link is not None and link.is_cut_off for link in (self.current, self.draining))

    def farewell_of(self, link: LinkIO) -> DrainCheck | None:
        """The farewell of a draining link, if it has begun."""
        return self._drain_check if link is self.draining else None

    def create(self, generation: int, facts: Facts, plan: UrlPlan | None, loop: asyncio.AbstractEventLoop) -> LinkIO:
        """Have another link, which is to be opened."""
        self._dedup = None if self.draining is None else HandoverDeduplicator(generation)
        self.current = LinkIO(generation, facts, self._owner, loop, plan)
        return self.current

    def current_of(self, generation: int) -> LinkIO:
        """The current link, which must be of that generation."""
        link = self.current
        assert link is not None
        assert link.generation == generation, "the machine speaks of the current link only"
        return link

    def retire(self, generation: int) -> None:
        """Let the current link deliver, and do nothing else."""
        self.close_draining()
        self.draining, self.current = self.current_of(generation), None

    def drop(self, generation: int, *, tidy: bool) -> None:
        """Let go of the current link; with a closing handshake if `tidy`, at once if not."""
        if self._drain_timer is not None:
            self.close_draining(with_current=True)
        link, self.current = self.current_of(generation), None
        if self.draining is None:
            self._previous_dedup = None
        self._close(link, self._context.timeouts.close if tidy else 0)

    def drain_draining(self, loop: asyncio.AbstractEventLoop, drain_check: DrainCheck | None) -> None:
        """The current link is up: the one that made room for it goes, when what is on its way has come.

        Args:
            loop: whose clock counts.
            drain_check: what is to be known of it before; None where a gap is told anyway.
        """
        self._drain_check = drain_check
        if drain_check is not None:
            drain_check.send_probe(loop.time(), pings=self._context.ping_enabled)
        self._drain_timer = loop.call_later(DRAIN_SECONDS, self._on_drain_timer, loop)

    def _on_drain_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        waits = self.draining is not None and self.draining.paused  # nothing has come, because nothing is read
        if self._drain_check is not None and self._drain_check.is_pending(loop.time(), self._context.ping.timeout):
            waits = True
        if waits:
            self._drain_timer = loop.call_later(_DRAIN_POLL, self._on_drain_timer, loop)
        else:
            self.close_draining()

    def close_draining(self, *, with_current: bool = False) -> None:
        """Let go of the link that makes room, if there is one; `broken` if the one in its place goes, too."""
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._drain_timer = None
        link, self.draining = self.draining, None
        drain_check, self._drain_check = self._drain_check, None
        if drain_check is not None:
            drain_check.last_event_times = drain_check.doubts  # before its reader is stopped
        if link is not None:
            self._close(link, self._context.timeouts.close)
            self._previous_dedup, self._dedup = self._dedup, None
            if self._previous_dedup is not None:
                self._previous_dedup.older_closed()
        if drain_check is not None and drain_check.last_event_times:
            self._owner.on_draining_closed(drain_check, broken=with_current)

    def filter_new(self, link: LinkIO, event: Event, subscriptions: list[str]) -> list[str]:
        """The subscriptions that another link has not given the event to."""
        wanted = subscriptions
        for overlap in (self._previous_dedup, self._dedup):
            if overlap is not None:
                fresh = overlap.filter_new(event, subscriptions, link.generation)
                wanted = [identifier for identifier in wanted if identifier in fresh]
        if self._drain_check is not None:
            self._drain_check.delivered_since.append((event, wanted))
        return wanted

    async def wait_closed(self) -> None:
        """Wait until every socket that was let go of is closed; each is, within the close timeout."""
        while self._closing:
            await asyncio.wait(tuple(self._closing))

    def _close(self, link: LinkIO, seconds: float) -> None:
        task = link.close(seconds)
        self._closing.append(task)
        task.add_done_callback(self._closing.remove)
