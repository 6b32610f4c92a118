"""The collector of findings and statistics, by connection and in sum. Its size is bounded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.report import ConnectionReport, Finding, Location, Report, RowLine, Verdict
from realtime_fsm.audit.rules import RULES, Severity
from realtime_fsm.audit.secret_scan import masked
from realtime_fsm.audit.stats import StatsAccumulator, life_of
from realtime_fsm.audit.worst import Worst
from realtime_fsm.fsm.table import TABLE, State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from realtime_fsm.audit.histogram import Histogram
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.audit.window import Window
    from realtime_fsm.fsm.table import Trigger
    from realtime_fsm.fsm.tablespec import Table

    _Badness = tuple[bool, float, float, bool, int]

KEPT, DRAWN = 1000, 10_000
"""Connections that are reported one by one: the worst. With their timelines more are, because a page draws the whole fleet."""


class ReportBuilder:
    """Collect findings and statistics, and build the report.

    Args:
        detail: whether to keep the timelines.
        tables: the tables whose transition rules are counted.

    Attributes:
        first: the first violation; without a violation, the first doubt.
        rows: the number of steps by each transition rule.
    """

    def __init__(self, *, detail: bool, tables: Iterable[Table[State, Trigger]] = (TABLE,)) -> None:
        self.first: Finding | None = None
        tables = tuple(tables)
        self.rows: dict[str, int] = {row.id: 0 for table in tables for row in table.rows}
        self._judged: dict[str, int] = {table.fingerprint: 0 for table in tables}  # connections, by the table that judged them
        self._detail = detail
        self._worst: Worst[_Badness, ConnectionReport] = Worst(DRAWN if detail else KEPT)
        self._healthy = 0
        self._unattributed: list[Finding] = []
        self._counts: Counter[str] = Counter()
        self._verdicts: Counter[str] = Counter()
        self._total = StatsAccumulator()
        self._unusable = False
        self._records = 0
        self._in_doubt = False
        self._violated = False

    def add(self, tracked: TrackedConnection, finding: Finding) -> None:
        """Add a finding about a connection."""
        known, count = tracked.findings.get(finding.rule, (finding, 0))
        tracked.findings[finding.rule] = known, count + 1
        self._counts[finding.rule] += 1
        self._rank(finding)

    def add_unattributed(self, finding: Finding) -> None:
        """Add a finding about a line that names no connection."""
        self._records += 1
        self._weigh(finding)
        if len(self._unattributed) < KEPT:
            self._unattributed.append(finding)

    def add_unusable(self, finding: Finding) -> None:
        """Add a file that cannot be read."""
        self._unusable = True
        self._unattributed.append(finding)

    def add_cut(self, finding: Finding) -> None:
        """Add a file that cannot be read to its end."""
        self._weigh(finding)
        self._unattributed.append(finding)

    def _weigh(self, finding: Finding) -> None:
        self._counts[finding.rule] += 1
        self._in_doubt = self._in_doubt or finding.weight == "doubt"
        self._violated = self._violated or finding.weight == "violation"
        self._rank(finding)

    def _rank(self, finding: Finding) -> None:
        """Take a finding as the first one, unless it is a note; a violation goes before a doubt."""
        if self.first is None:
            self.first = finding if finding.weight != "note" else None
        elif (self.first.weight, finding.weight) == ("doubt", "violation"):
            self.first = finding

    def finish_connection(self, tracked: TrackedConnection, place: Location, fail_on: Collection[str]) -> None:
        """Add a connection at its end, or at the end of the log."""
        if tracked.records == 0 and not tracked.in_window:
            return
        self._records += tracked.records
        if tracked.book.steps:
            self._judged[tracked.machine] += 1
        self._note_end(tracked, place, fail_on)
        weights = {finding.weight for finding, _ in tracked.findings.values()}
        verdict = Verdict.CONFORMANT
        if weights - {"note"}:
            verdict = Verdict.VIOLATED if "violation" in weights else Verdict.INCONCLUSIVE
        self._verdicts[verdict.word] += 1
        self._total.merge(tracked.stats)
        self._healthy += _is_healthy(tracked, verdict)
        self._worst.add(_badness_of(tracked, verdict), lambda: _report_of(tracked, verdict))

    def _note_end(self, tracked: TrackedConnection, place: Location, fail_on: Collection[str]) -> None:
        life = tracked.stats
        tracked.leave_state(tracked.now, self._detail)
        tracked.end_coverage(tracked.now)
        if tracked.faulty_since is not None:
            life.faulty += max(0.0, tracked.now - max(tracked.faulty_since, tracked.life_from))
        if tracked.outage is not None:
            life.add_outage(tracked.cut_outage(tracked.outage))
        if not tracked.closed_by_record:
            weight = Severity.VIOLATION if "open" in fail_on else Severity.NOTE
            said = f"it has not been disposed of, and is at last {tracked.state or 'in an unknown state'}"
            self.add(tracked, Finding("open", weight.value, said, place, masked(tracked.connection_id)))

    def report(
        self, files: list[str], lines: int, dwells: Mapping[str, Histogram], window: Window,
        *, some: bool = False, hint: str = "", surplus: int = 0,
    ) -> Report:  # fmt: skip
        """Build the report.

        Args:
            files: the names of the files.
            lines: the number of lines.
            dwells: the dwells before the steps of each transition rule.
            window: the span of time that was judged.
            some: whether only some connections were judged.
            hint: why the log has no record, where it looks as if it had.
            surplus: the number of records beyond one a line.
        """
        verdict = self._verdict(is_strange=bool(hint))
        if verdict is Verdict.UNUSABLE and not self._unusable:
            which = "the connections or the time that are asked for" if some or not window.is_all else "this library"
            text = f"no record of {which} is in it: {pluralize(lines, 'line')}{hint}" if lines else "it is empty"
            for name in files or ["-"]:
                self._unattributed.append(Finding("cut", "unusable", text, Location(name, 0)))
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
                RowLine(row, count, dwells[row].percentile(50) if row in dwells else None)
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
        if self._violated or self._verdicts[Verdict.VIOLATED.word]:
            return Verdict.VIOLATED
        if self._unusable or not (self._verdicts or (self._records and not is_strange)):
            return Verdict.UNUSABLE
        if self._in_doubt or self._verdicts[Verdict.INCONCLUSIVE.word]:
            return Verdict.INCONCLUSIVE
        return Verdict.CONFORMANT


def _is_healthy(tracked: TrackedConnection, verdict: Verdict) -> bool:
    stats = tracked.stats
    return verdict is Verdict.CONFORMANT and not (stats.failures or stats.counts.get("gave up") or stats.counts.get("faults"))


def _badness_of(tracked: TrackedConnection, verdict: Verdict) -> _Badness:
    """Rank a connection: violated ones, then the longest outage, then the lowest availability; the earlier one of equals."""
    stats = tracked.stats
    lacking = 0.0 if stats.availability is None else 100 - stats.availability
    return verdict is Verdict.VIOLATED, stats.longest, lacking, verdict is Verdict.INCONCLUSIVE, -tracked.first_line


def _report_of(tracked: TrackedConnection, verdict: Verdict) -> ConnectionReport:
    order = list(RULES)
    findings = sorted(tracked.findings.values(), key=lambda pair: order.index(pair[0].rule))
    return ConnectionReport(
        connection=masked(tracked.connection_id),
        verdict=verdict.word,
        records=tracked.records,
        first=tracked.first,
        last=tracked.last,
        state=tracked.state,
        ended=tracked.closed_by_record or tracked.state == State.DISPOSING,
        judged=tracked.policies is not None,
        findings=[finding for finding, _ in findings],
        counts={finding.rule: count for finding, count in findings},
        healthy=_is_healthy(tracked, verdict),
        life=life_of(tracked.stats),
        timeline=tracked.stats.stays.all(),
        bars_left_out=tracked.stats.stays.absorbed,
        bars_left_out_longest=tracked.stats.stays.longest,
    )
