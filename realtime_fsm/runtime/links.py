"""The links of a connection: the current one, and the old one of a handover.

Invariant: the machine sends on the current link only. The old link of a handover delivers events, and answers its pings.

Design: one of two links may lag behind the other. So the deduplicator goes on after one of them is closed, until the other one
has caught up.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from realtime_fsm.errors import LinkPaused
from realtime_fsm.runtime.deduplication import HandoverDeduplicator
from realtime_fsm.runtime.handover import Handover
from realtime_fsm.runtime.link import LinkIO

if TYPE_CHECKING:
    from realtime_fsm.events import Event
    from realtime_fsm.fsm.link import LinkState
    from realtime_fsm.protocol.eras import UrlPlan
    from realtime_fsm.runtime.delivery import SubscriptionDelivery
    from realtime_fsm.runtime.link import LinkedConnection
    from realtime_fsm.runtime.registry import DeliveryRegistry


class LinkSet:
    """The links of a connection.

    Attributes:
        current: the link on which the machine sends; None without one.
        handover: the handover that is under way; None without one.
        is_overlapping: whether an event may come twice, or behind a later one.
    """

    __slots__ = ("_closing", "_dedup", "_owner", "_registry", "current", "handover", "is_overlapping")

    def __init__(self, owner: LinkedConnection, registry: DeliveryRegistry) -> None:
        self._owner = owner
        self._registry = registry
        self._closing: list[asyncio.Task[None]] = []
        self._dedup: HandoverDeduplicator | None = None  # made by a handover, dropped with the first link after a loss
        self.current: LinkIO | None = None
        self.handover: Handover | None = None
        self.is_overlapping: bool = False

    @property
    def draining(self) -> LinkIO | None:
        """The old link of the handover that is under way; None without one."""
        return None if self.handover is None else self.handover.old

    @property
    def draining_serves(self) -> bool:
        """Whether the old link still delivers, because the current one does not serve everything yet."""
        return self.handover is not None and not self.handover.is_complete

    @property
    def is_cut_off(self) -> bool:
        """Whether the event loop ends: it cancels the readers, and would not finish a new task."""
        return any(link is not None and link.is_cut_off for link in (self.current, self.draining))

    def create(self, state: LinkState, plan: UrlPlan | None) -> LinkIO:
        """Make another link the current one. The caller opens the link."""
        if self.handover is None:
            self._dedup = None
            self._update_overlap()
        else:
            self._require_dedup.dial(state.generation)
            self.handover.newer = state.generation
        self.current = LinkIO(state, self._owner, plan)
        return self.current

    def current_of(self, generation: int) -> LinkIO:
        """Return the current link, which must be of that generation."""
        link = self.current
        assert link is not None
        assert link.generation == generation, "the machine sends on the current link only"
        return link

    # --- the handover ---------------------------------------------------------------------------------------------------

    def begin_handover(self, generation: int) -> None:
        """Let the current link deliver to the subscriptions that it serves, and do nothing else."""
        self.close_draining()
        old, self.current = self.current_of(generation), None
        self._dedup = self._dedup or HandoverDeduplicator()
        draining = self._owner.context.draining
        assert draining is not None
        served = {identifier: one for identifier, one in self._registry.established.items() if identifier in draining.served}
        self.handover = Handover(old, self._owner, served, self.close_draining)
        self.is_overlapping = True

    def complete_handover(self, *, at_fault: bool) -> None:
        """Close the old link as soon as it is drained: the current one serves everything.

        `at_fault` is that of `Handover.greeted`.
        """
        self._require_handover.greeted(at_fault=at_fault)

    def resume(self, generation: int) -> None:
        """Make the old link the current one again."""
        handover, self.handover = self._require_handover, None
        handover.failed()
        self._require_dedup.newer_closed()
        self.current = handover.old
        assert self.current.generation == generation
        self._update_overlap()
        self._report(handover)

    def drop(self, generation: int, *, graceful: bool) -> None:
        """Close the current link, with a closing handshake if `graceful`; abort it if not."""
        if self.handover is not None and self.handover.is_complete:
            self.close_draining(with_current=True)
        link, self.current = self.current_of(generation), None
        if self.handover is not None:
            self.handover.newer = None
        self._close(link, self._owner.context.timeouts.close if graceful else 0)

    def close_draining(self, *, with_current: bool = False) -> None:
        """Close the old link, if there is one, and report its possible losses; `with_current` if both links end."""
        handover, self.handover = self.handover, None
        if handover is None:
            return
        handover.drained()  # before its reader is stopped
        self._require_dedup.older_closed()
        self._close(handover.old, self._owner.context.timeouts.close)
        self._update_overlap()
        if with_current:
            handover.newer = None
        self._report(handover)

    def _report(self, handover: Handover) -> None:
        if handover.overlaps:
            self._registry.gaps.report_possible_loss(handover)

    # --- the events -----------------------------------------------------------------------------------------------------

    def filter_new(self, link: LinkIO, event: Event, recipients: list[SubscriptionDelivery]) -> list[SubscriptionDelivery]:
        """Return the subscriptions that have not got an event from another link."""
        new = self._require_dedup.filter_new(event, recipients, link.generation)
        self._update_overlap()
        return new

    def _update_overlap(self) -> None:
        self.is_overlapping = self.handover is not None or (self._dedup is not None and self._dedup.is_behind)

    @property
    def _require_handover(self) -> Handover:
        assert self.handover is not None, "a handover is under way"
        return self.handover

    @property
    def _require_dedup(self) -> HandoverDeduplicator:
        assert self._dedup is not None, "a handover has begun"
        return self._dedup

    async def wait_drained(self) -> None:
        """Wait until the old link of a complete handover is drained. The next change of link must not begin before that.

        Raises:
            LinkPaused: when the client does not read the old link for the reply timeout.
        """
        reply = self._owner.context.timeouts.reply
        while self.handover is not None and self.handover.is_complete:
            try:
                async with asyncio.timeout(reply):
                    await self.handover.ended.wait()
            except TimeoutError:
                if self.draining is not None and self.draining.paused:
                    raise LinkPaused(reply) from None

    # --- the end --------------------------------------------------------------------------------------------------------

    async def wait_closed(self) -> None:
        """Wait until the sockets of all former links are closed, which takes at most the close timeout."""
        while self._closing:
            await asyncio.wait(tuple(self._closing))

    def _close(self, link: LinkIO, seconds: float) -> None:
        task = link.close(seconds)
        self._closing.append(task)
        task.add_done_callback(self._closing.remove)
