"""The collector of findings and statistics, by connection and in sum. Its size is bounded."""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

from realtime_fsm.audit.report import ConnectionReport, Finding, Location, Report, RowLine, Verdict
from realtime_fsm.audit.rules import RULES, weigh
from realtime_fsm.audit.secret_scan import masked
from realtime_fsm.audit.stats import StatsAccumulator, life_of
from realtime_fsm.fsm.table import TABLE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from realtime_fsm.audit.histogram import Histogram
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.audit.window import Window
    from realtime_fsm.fsm.table import Trigger
    from realtime_fsm.fsm.tablespec import Table

    _Badness = tuple[bool, float, float, bool, int]

KEPT, DRAWN = 1000, 10_000
"""Connections that are reported one by one: the worst. With their timelines more are, because a page draws the whole fleet."""
_UNUSABLE = "unusable"
Badness = TypeVar("Badness", bound=tuple[object, ...])
Thing = TypeVar("Thing")


class Worst(Generic[Badness, Thing]):
    """Keep `most` things: those with the greatest badness. No two things may be equally bad."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[Badness, Thing]] = []  # the least bad one is the first

    def add(self, badness: Badness, make: Callable[[], Thing]) -> None:
        """Keep a thing, which is made only where it is among the worst."""
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, (badness, make()))
        elif badness > self._heap[0][0]:
            heapq.heapreplace(self._heap, (badness, make()))

    def all(self) -> list[Thing]:
        """Return the things, the worst first."""
        return [thing for _, thing in sorted(self._heap, key=lambda pair: pair[0], reverse=True)]


class ReportBuilder:
    """Collect findings and statistics, and build the report; `detail` keeps the timelines of more connections."""

    def __init__(self, *, detail: bool, fail_on: Collection[str], tables: Collection[Table[State, Trigger]]) -> None:
        self.first: Finding | None = None  # the first violation; without a violation, the first doubt
        self.rows: dict[str, int] = {row.id: 0 for table in tables for row in table.rows}  # steps by each transition rule
        self.dwells: dict[str, Histogram] = {}  # before these steps, where a page shows them
        self._judged: dict[str, int] = {table.fingerprint: 0 for table in tables}  # connections, by the table that judged them
        self._fail_on = fail_on
        self._worst: Worst[_Badness, ConnectionReport] = Worst(DRAWN if detail else KEPT)
        self._healthy = 0
        self._unattributed: list[Finding] = []
        self._weights: set[str] = set()  # of these
        self._counts: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._total = StatsAccumulator()
        self._records = 0

    def add(self, tracked: TrackedConnection, finding: Finding) -> None:
        """Add a finding about a connection."""
        known, count = tracked.findings.get(finding.rule, (finding, 0))
        tracked.findings[finding.rule] = known, count + 1
        self._count(finding)

    def add_unattributed(self, finding: Finding) -> None:
        """Add a finding about a line that names no connection."""
        self._records += 1
        self._weigh(finding)
        if len(self._unattributed) < KEPT:
            self._unattributed.append(finding)

    def add_unreadable(self, name: str, text: str, *, is_begun: bool) -> None:
        """Add a file that cannot be read, or not to its end."""
        weight = weigh("cut", self._fail_on).value if is_begun else _UNUSABLE
        finding = Finding("cut", weight, text, Location(name, 0))
        self._weigh(finding)
        self._unattributed.append(finding)

    def _weigh(self, finding: Finding) -> None:
        self._weights.add(finding.weight)
        if finding.weight != _UNUSABLE:
            self._count(finding)

    def _count(self, finding: Finding) -> None:
        """Count a finding, and take it as the first one unless it is a note; a violation goes before a doubt."""
        self._counts[finding.rule] += 1
        if self.first is None:
            self.first = finding if finding.weight != "note" else None
        elif (self.first.weight, finding.weight) == ("doubt", "violation"):
            self.first = finding

    def finish_connection(self, tracked: TrackedConnection, place: Location) -> None:
        """Add a connection at its end, or at the end of the log; `place` is the last line."""
        if tracked.records == 0 and not tracked.in_window:
            return
        self._records += tracked.records
        if tracked.book.steps:
            self._judged[tracked.machine] += 1
        self._note_end(tracked, place)
        weights = {finding.weight for finding, _ in tracked.findings.values()}
        verdict = Verdict.CONFORMANT
        if weights - {"note"}:
            verdict = Verdict.VIOLATED if "violation" in weights else Verdict.INCONCLUSIVE
        self._verdicts[verdict.word] += 1
        self._total.merge(tracked.stats)
        self._healthy += _is_healthy(tracked, verdict)
        self._worst.add(_badness_of(tracked, verdict), lambda: _report_of(tracked, verdict))

    def _note_end(self, tracked: TrackedConnection, place: Location) -> None:
        facts, stats = tracked.facts, tracked.stats
        now, outages = facts.last_step.now, facts.outages
        tracked.leave_state(now)
        tracked.end_coverage(now)
        if outages.faulty_since is not None:
            stats.faulty += max(0.0, now - max(outages.faulty_since, stats.since))
        if outages.current is not None:
            tracked.cut_outage(outages.current)
        if not facts.closed_by_record:
            said = f"it has not been disposed of, and is at last {facts.state or 'in an unknown state'}"
            weight = weigh("open", self._fail_on).value
            self.add(tracked, Finding("open", weight, said, place, masked(tracked.connection_id)))

    def report(
        self, files: list[str], lines: int, window: Window, *, is_strange: bool, absence: Callable[[], str], surplus: int
    ) -> Report:
        """Build the report on files with so many lines.

        `is_strange` tells that a line seems to hold a record, and holds none. `absence` describes a log without a record.
        `surplus` is the number of records beyond one a line.
        """
        files = list(dict.fromkeys(files))  # a file that grows comes several times
        verdict = self._verdict(is_strange=is_strange)
        if verdict is Verdict.UNUSABLE and _UNUSABLE not in self._weights:
            self._unattributed.append(Finding("cut", _UNUSABLE, absence(), Location(", ".join(files) or "-", 0)))
        return Report(
            verdict=verdict.word,
            exit_code=int(verdict),
            files=files,
            lines=lines,
            records=self._records,
            other=max(0, lines + surplus - self._records),
            connections=self._worst.all(),
            connections_total=sum(self._verdicts.values()),
            healthy=self._healthy,
            verdicts={each.word: self._verdicts[each.word] for each in Verdict if self._verdicts[each.word]},
            first=self.first,
            findings=self._unattributed,
            counts={rule: self._counts[rule] for rule in RULES if self._counts[rule]},
            life=life_of(self._total),
            rows=[
                RowLine(row, count, self.dwells[row].percentile(50) if row in self.dwells else None)
                for row, count in self.rows.items()
                if count
            ],
            never_taken=[row for row, count in self.rows.items() if not count],
            recoveries=list(self._total.recoveries.bars()),
            since=window.since,
            until=window.until,
            machine=", ".join(machine for machine, count in self._judged.items() if count) or TABLE.fingerprint,
        )

    def _verdict(self, *, is_strange: bool) -> Verdict:
        """Judge the log; strange lines and no connection are an unusable log, also where the last line is cut."""
        if "violation" in self._weights or self._verdicts[Verdict.VIOLATED.word]:
            return Verdict.VIOLATED
        if _UNUSABLE in self._weights or not (self._verdicts or (self._records and not is_strange)):
            return Verdict.UNUSABLE
        if "doubt" in self._weights or self._verdicts[Verdict.INCONCLUSIVE.word]:
            return Verdict.INCONCLUSIVE
        return Verdict.CONFORMANT


def _is_healthy(tracked: TrackedConnection, verdict: Verdict) -> bool:
    stats = tracked.stats
    return verdict is Verdict.CONFORMANT and not (stats.failures or stats.counts["gave_up"] or stats.counts["faults"])


def _badness_of(tracked: TrackedConnection, verdict: Verdict) -> _Badness:
    """Rank a connection: violated ones, then the longest outage, then the lowest availability; the earlier one of equals."""
    stats = tracked.stats
    lacking = 0.0 if stats.availability is None else 100 - stats.availability
    return verdict is Verdict.VIOLATED, stats.longest, lacking, verdict is Verdict.INCONCLUSIVE, -tracked.first_line


def _report_of(tracked: TrackedConnection, verdict: Verdict) -> ConnectionReport:
    order, facts = list(RULES), tracked.facts
    findings = sorted(tracked.findings.values(), key=lambda pair: order.index(pair[0].rule))
    return ConnectionReport(
        connection=masked(tracked.connection_id),
        verdict=verdict.word,
        records=tracked.records,
        first=tracked.first,
        last=tracked.last,
        state=facts.state,
        ended=facts.closed_by_record or facts.state == State.DISPOSING,
        judged=facts.policies is not None,
        findings=[finding for finding, _ in findings],
        counts={finding.rule: count for finding, count in findings},
        healthy=_is_healthy(tracked, verdict),
        life=life_of(tracked.stats),
        timeline=tracked.stats.stays.all(),
        bars_left_out=tracked.stats.stays.absorbed,
        bars_left_out_longest=tracked.stats.stays.longest,
    )
