"""A connection that the audit follows: its place in the log, its facts, and the findings and statistics so far."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from realtime_fsm.audit.facts import Facts, OpenOutage
from realtime_fsm.audit.report import OutageLine
from realtime_fsm.audit.row_facts import DISCONNECTED, DISPOSING, OWN, Rulebook
from realtime_fsm.audit.stats import StatsAccumulator
from realtime_fsm.fsm.table import TABLE

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.decoding import BadRecord, FlatRecord
    from realtime_fsm.audit.downtime import Watch
    from realtime_fsm.audit.report import Finding

CONTEXT = 5
"""The number of records that are shown before a finding."""


class EarlyRecord(NamedTuple):
    """A record that waits for an earlier one: its line with the number of the line, and the names of its secret fields."""

    here: tuple[int, bytes]
    record: FlatRecord | BadRecord
    secrets: tuple[str, ...]


@dataclass(slots=True, eq=False)
class TrackedConnection:
    """One connection."""

    connection_id: str
    first_line: int  # the number of the line of its first record
    seq: int = 0  # of the last record
    missing: int = 0  # numbers that no record had; a record without a number of its own counts against it
    skipped: bool = False  # whether the auditor has ceased to wait for a number, which may still come
    early: dict[int, EarlyRecord] = field(default_factory=dict)  # by their numbers
    recent: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=CONTEXT))  # the newest lines, by their numbers
    first: datetime | None = None
    last: datetime | None = None
    in_window: bool = False
    past_window: bool = False
    healed: FlatRecord | None = None  # the record after the window that ends the outage under way
    machine: str = TABLE.fingerprint  # of the table that wrote the records
    book: Rulebook = OWN  # that table, where it is known
    facts: Facts = field(default_factory=Facts)
    stats: StatsAccumulator = field(default_factory=StatsAccumulator)
    findings: dict[str, tuple[Finding, int]] = field(default_factory=dict)  # the first of each rule, and their count
    watch: Watch | None = None  # where a user asks about an instant

    @property
    def records(self) -> int:
        """The number of records."""
        return self.seq - self.missing

    def restart_stats(self, moment: datetime) -> None:
        """Drop the statistics and findings from before a moment."""
        at = self.time_at(moment)
        self.stats, self.findings = StatsAccumulator(since=at), {}
        self.missing = self.seq
        if self.facts.outages.covered_from is not None:
            self.facts.outages.covered_from = at

    def time_at(self, moment: datetime) -> float:
        """Return a moment after the last step, in seconds of the connection."""
        last = self.facts.last_step
        begun = last.now_at or self.last
        return last.now if begun is None else last.now + max(0.0, (moment - begun).total_seconds())

    def leave_state(self, t: float) -> None:
        """Count the time in the state until `t`, also for the timeline where the wall clock is known."""
        facts, stats = self.facts, self.stats
        if facts.state is None:
            return
        since = max(stats.since, facts.entered)
        spent = t - since if t > since else 0.0
        stats.states[facts.state] += spent
        if facts.outages.unwanted and facts.state == DISCONNECTED:
            stats.unwanted += spent
        if facts.last_step.wall is not None:
            stats.stays.add(facts.last_step.wall + since, spent, facts.state)

    def end_coverage(self, t: float) -> None:
        """Count the time until `t` in which a draining link delivered."""
        outages = self.facts.outages
        if outages.covered_from is not None:
            self.stats.covered += max(0.0, t - outages.covered_from)
            outages.covered_from = None

    def end_outage(self, closed: FlatRecord) -> None:
        """End the outage under way by its record; the record alone tells one whose beginning is missing."""
        outages = self.facts.outages
        outages.current = None
        self._add_outage(closed, self.facts.last_step.now - closed.seconds, closed.seconds, closed.dials, "healed")
        outages.gap = 0.0

    def cut_outage(self, outage: OpenOutage) -> None:
        """Count an outage that lasts until now; its true end may be later."""
        at, opened, healed = outage.at, outage.record, self.healed
        if healed is not None:
            self._add_outage(healed, at, healed.seconds, healed.dials, "healed")
            return
        end = "disposed" if self.facts.state == DISPOSING else ""
        self._add_outage(opened, at, self.facts.last_step.now - at, self.facts.dials_in(opened), end)

    def _add_outage(self, record: FlatRecord, at: float, seconds: float, dials: int, end: str) -> None:
        start = record.timestamp - timedelta(seconds=record.seconds)
        within = max(0.0, self.facts.last_step.now - max(at, self.stats.since))
        at, seconds, within = (round(each, 6) for each in (at, seconds, within))
        gap, cause = self.facts.outages.gap, record.cause or "unknown"
        self.stats.add_outage(OutageLine(start, at, seconds, cause, record.planned, dials, gap, end, within))
