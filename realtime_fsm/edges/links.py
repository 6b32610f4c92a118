"""The links of a connection: the current one, and one that makes room for it.

The law: the machine speaks of the current link only. One that makes room delivers events and nothing else, until the current
one is up and a moment longer: what is on its way must not be lost, and what both deliver is delivered once. So what the one has
brought is remembered for another moment after it is closed: on the other, the same may still be on its way. Before it goes it is
asked once whether it lives; if that stays open, those that it served are told.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from realtime_fsm.core.link import LINGER
from realtime_fsm.edges.link import Link
from realtime_fsm.edges.overlap import Overlap

if TYPE_CHECKING:
    from realtime_fsm.core.link import Link as Facts
    from realtime_fsm.core.seat import Seat
    from realtime_fsm.edges.farewell import Farewell
    from realtime_fsm.edges.link import Owner
    from realtime_fsm.vocabulary.eras import Plan
    from realtime_fsm.vocabulary.events import Event

_AGAIN = 0.5
"""Seconds between two looks whether a link that is to go has come after, or has answered."""


class Links:
    """The links of a connection.

    Args:
        owner: who is told what happens on them.
        seat: what the connection remembers.

    Attributes:
        current: the link that the machine speaks of.
        retiring: one that makes room for it.
    """

    __slots__ = ("_closing", "_fading", "_farewell", "_lingering", "_overlap", "_owner", "_seat", "current", "retiring")

    def __init__(self, owner: Owner, seat: Seat) -> None:
        self._owner = owner
        self._seat = seat
        self._closing: list[asyncio.Task[None]] = []
        self._lingering: asyncio.TimerHandle | None = None
        self._overlap: Overlap | None = None
        self._fading: Overlap | None = None  # of the link before that one, which is closed
        self._farewell: Farewell | None = None
        self.current: Link | None = None
        self.retiring: Link | None = None

    @property
    def covered(self) -> bool:
        """Whether a link delivers in the place of the current one, which is not up."""
        return self.retiring is not None and self._lingering is None

    @property
    def overlap(self) -> bool:
        """Whether an event may come behind one that happened after it: two links deliver, or one of them is still behind."""
        return self.retiring is not None or (self._fading is not None and self._fading.behind)

    @property
    def is_cut_off(self) -> bool:
        """Whether the event loop ends: it cancels what reads, and what begins now is not finished."""
        return any(link is not None and link.is_cut_off for link in (self.current, self.retiring))

    def farewell_of(self, link: Link) -> Farewell | None:
        """The farewell of a draining link, if it has begun."""
        return self._farewell if link is self.retiring else None

    def begin(self, generation: int, facts: Facts, plan: Plan | None, loop: asyncio.AbstractEventLoop) -> Link:
        """Have another link, which is to be opened."""
        self._overlap = None if self.retiring is None else Overlap(generation)
        self.current = Link(generation, facts, self._owner, loop, plan)
        return self.current

    def of(self, generation: int) -> Link:
        """The current link, which must be of that generation."""
        link = self.current
        assert link is not None
        assert link.generation == generation, "the machine speaks of the current link only"
        return link

    def retire(self, generation: int) -> None:
        """Let the current link deliver, and do nothing else."""
        self.close_retiring()
        self.retiring, self.current = self.of(generation), None

    def drop(self, generation: int, *, tidy: bool) -> None:
        """Let go of the current link; with a closing handshake if `tidy`, at once if not."""
        if self._lingering is not None:
            self.close_retiring(broken=True)
        link, self.current = self.of(generation), None
        if self.retiring is None:
            self._fading = None
        self._close(link, self._seat.timeouts.close if tidy else 0)

    def linger(self, loop: asyncio.AbstractEventLoop, farewell: Farewell | None) -> None:
        """The current link is up: the one that made room for it goes, when what is on its way has come.

        Args:
            loop: whose clock counts.
            farewell: what is to be known of it before; None where a gap is told anyway.
        """
        self._farewell = farewell
        if farewell is not None:
            farewell.ask(loop.time(), pings=self._seat.ping_enabled)
        self._lingering = loop.call_later(LINGER, self._linger_no_more, loop)

    def _linger_no_more(self, loop: asyncio.AbstractEventLoop) -> None:
        waits = self.retiring is not None and self.retiring.paused  # nothing has come, because nothing is read
        if self._farewell is not None and self._farewell.awaits(loop.time(), self._seat.ping.timeout):
            waits = True
        if waits:
            self._lingering = loop.call_later(_AGAIN, self._linger_no_more, loop)
        else:
            self.close_retiring()

    def close_retiring(self, *, broken: bool = False) -> None:
        """Let go of the link that makes room, if there is one; `broken` if the one in its place goes, too."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        link, self.retiring = self.retiring, None
        farewell, self._farewell = self._farewell, None
        if farewell is not None:
            farewell.stamps = farewell.doubts  # before its reader is stopped
        if link is not None:
            self._close(link, self._seat.timeouts.close)
            self._fading, self._overlap = self._overlap, None
            if self._fading is not None:
                self._fading.end()
        if farewell is not None and farewell.stamps:
            self._owner.parted(farewell, broken=broken)

    def fresh(self, link: Link, event: Event, subscriptions: list[str]) -> list[str]:
        """The subscriptions that another link has not given the event to."""
        wanted = subscriptions
        for overlap in (self._fading, self._overlap):
            if overlap is not None:
                fresh = overlap.fresh(event, subscriptions, link.generation)
                wanted = [identifier for identifier in wanted if identifier in fresh]
        if self._farewell is not None:
            self._farewell.news.append((event, wanted))
        return wanted

    async def settle(self) -> None:
        """Wait until every socket that was let go of is closed; each is, within the close timeout."""
        while self._closing:
            await asyncio.wait(tuple(self._closing))

    def _close(self, link: Link, seconds: float) -> None:
        task = link.close(seconds)
        self._closing.append(task)
        task.add_done_callback(self._closing.remove)
