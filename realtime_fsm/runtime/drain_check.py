"""The farewell: what must be known of a link that has made room, before it is let go of.

The law. All that only this link owed had happened before the one in its place was up, and a stream keeps its order. So nothing is
missing once it has answered a ping that was sent later than that. If it has not, or has ended by itself, nobody knows; and what
nobody knows is told as a gap. Where pings are off, only its end shows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from realtime_fsm.protocol.frames import PING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from realtime_fsm.events import Event
    from realtime_fsm.runtime.link import LinkIO


class DrainCheck:
    """One farewell, from the moment at which another link was up.

    Args:
        link: the link that has made room.
        stamps: for each subscription that it served, the server's time of the last event, as it came.
        seconds: for how long it has made room.

    Attributes:
        stamps: as given.
        seconds: as given.
        until: that moment, by the clock of this machine.
        news: what was delivered since then, by either link.
        disordered: the subscriptions that got an event from this link behind one that happened after it.
    """

    __slots__ = (
        "_asked_at",
        "_assume_complete",
        "_link",
        "delivered_since",
        "disordered",
        "last_event_times",
        "seconds",
        "until",
    )

    def __init__(self, link: LinkIO, stamps: dict[str, Any], seconds: float) -> None:
        self._link = link
        self._asked_at: float | None = None
        self._assume_complete = False
        self.last_event_times = stamps
        self.seconds = seconds
        self.until = datetime.now(UTC)
        self.delivered_since: list[tuple[Event, Sequence[str]]] = []
        self.disordered: set[str] = set()

    def send_probe(self, now: float, *, pings: bool) -> None:
        """Ask the link for a sign of life, unless pings are off or the budget has no room for one."""
        budget = self._link.state.budget
        self._assume_complete = not pings
        if pings and not self._link.ended and budget.available_at(now, ping=True) <= now:
            budget.record_send(now, ping=True)
            self._asked_at = now
            self._link.send(PING)

    def is_pending(self, now: float, timeout: float) -> bool:
        """Whether the answer may still come: while nothing is read, it is awaited anew."""
        if self._asked_at is None or self._link.ended or not self._link.pings_in_flight:
            return False
        if self._link.paused:
            self._asked_at = now
        return now < self._asked_at + timeout

    @property
    def is_confirmed(self) -> bool:
        """Whether nothing is missing."""
        answered = self._asked_at is not None and not self._link.pings_in_flight
        return (answered or self._assume_complete) and not (self._link.ended or self._link.state.at_fault)

    @property
    def doubts(self) -> dict[str, Any]:
        """Those of `stamps` whose subscriptions may miss something, or got it in another order than the server's."""
        if not self.is_confirmed:
            return self.last_event_times
        return {identifier: stamp for identifier, stamp in self.last_event_times.items() if identifier in self.disordered}
