"""The span of time that an audit judges. It follows earlier records without judging them, and leaves out later ones.

Invariant: an outage keeps its true beginning and end, also where they are outside of the span. The times in states, and with them
the availability, are those within the span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.decoding import GAP, OUTAGE
from realtime_fsm.audit.row_facts import DISPOSING

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.tracking import TrackedConnection

_SLACK = 5.0
"""Seconds by which the clocks of two records of one outage may differ."""


class Window:
    """A span of time; None for a beginning or an end that is not set."""

    def __init__(self, since: datetime | None, until: datetime | None) -> None:
        self.since: datetime | None = since
        self.until: datetime | None = until
        self.is_all: bool = since is None and until is None

    def includes(self, tracked: TrackedConnection, line: FlatRecord) -> bool:
        """Tell whether a record counts; with the first one in the window the statistics begin."""
        if tracked.past_window or (self.until is not None and line.timestamp > self.until):
            if not tracked.past_window and tracked.last is not None and not tracked.in_window:
                self._begin(tracked)
            tracked.past_window = True
            self.look_back(tracked, line)
            return False
        if not tracked.in_window and self.has_started(line.timestamp):
            self._begin(tracked)
            tracked.first = line.timestamp
        return True

    def _begin(self, tracked: TrackedConnection) -> None:
        tracked.in_window = True
        if self.since is not None:
            tracked.restart_stats(self.since)

    @staticmethod
    def look_back(tracked: TrackedConnection, line: FlatRecord) -> None:
        """Learn from a record after the window how the outage under way ended."""
        outages, healed = tracked.facts.outages, tracked.healed
        if outages.current is None or line.event not in (OUTAGE, GAP) or line.seq <= tracked.seq:
            return
        opened = outages.current.record
        if line.event != OUTAGE:
            if healed is None or line.seq < healed.seq:
                outages.gap = max(outages.gap, line.seconds)
        elif line.change == "closed" and (healed is None or line.seq < healed.seq):
            begun = (line.timestamp - opened.timestamp).total_seconds() - line.seconds
            if abs(begun) <= _SLACK:
                tracked.healed = line

    def has_started(self, moment: datetime | None) -> bool:
        """Whether the window begins no later than a moment."""
        return self.since is None or (moment is not None and moment >= self.since)

    def reports(self, tracked: TrackedConnection) -> bool:
        """Whether findings about a connection are reported by now."""
        return self.since is None or tracked.in_window

    def conclude(self, tracked: TrackedConnection, newest: datetime | None) -> bool:
        """Follow a connection to its end, or to that of the window; tell whether it lived in the window."""
        facts = tracked.facts
        lasts = facts.outages.current is not None and facts.state != DISPOSING and not facts.closed_by_record
        end = self.until if self.until is not None else newest
        if not tracked.in_window and not self.is_all:
            if not (lasts and self.has_started(end)):
                return False
            self._begin(tracked)
        if end is not None and (lasts or (tracked.past_window and not facts.closed_by_record)):
            facts.last_step.now = max(facts.last_step.now, tracked.time_at(end))
        return True
