"""Judge the records of a connection one by one, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.apply import apply_step, doubt, follow_step, resync
from realtime_fsm.audit.apply_records import apply_record
from realtime_fsm.audit.checks import check_row_identity, rulebook
from realtime_fsm.audit.collector import ReportBuilder
from realtime_fsm.audit.decoding import MISSING, OUTAGE
from realtime_fsm.audit.finding import explain_missing_field, finding_of
from realtime_fsm.audit.histogram import Histogram
from realtime_fsm.audit.positions import LineNumbers
from realtime_fsm.audit.row_facts import OWN, UNKNOWN
from realtime_fsm.audit.rules import RULES, RuleBreach, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.report import Finding
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.audit.window import Window
    from realtime_fsm.fsm.table import State, Trigger
    from realtime_fsm.fsm.tablespec import Table


class Judge:
    """Judges records in their order. The auditor brings them into it.

    Args:
        window: the span of time that is judged.
        fail_on: the names of rules whose findings count as violations, whatever their weight.
        tables: the tables of other versions that judge their records.
        detail: whether to keep the timelines and dwells that the HTML page shows.
        on_outage: takes each record of an outage, and each step that gives up, as it counts.
    """

    def __init__(
        self,
        window: Window,
        fail_on: Collection[str],
        tables: Iterable[Table[State, Trigger]],
        *,
        detail: bool,
        on_outage: Callable[[FlatRecord], None] | None,
    ) -> None:
        self._window, self._judges_all = window, window.is_all
        self._fail_on, self._detail, self._on_outage = frozenset(fail_on), detail, on_outage
        self._books = {OWN.table.fingerprint: OWN} | {table.fingerprint: rulebook(table) for table in tables}
        self._builder = ReportBuilder(detail=detail, tables=[book.table for book in self._books.values()])
        self._dwells: dict[str, Histogram] = {}
        self._numbers = LineNumbers()
        self._here = 0, b""  # the line that is judged, and its number

    def _change_table(self, tracked: TrackedConnection, record: FlatRecord) -> None:
        """Judge a connection by the table of its records from now on, or only follow it without that table."""
        tracked.machine = machine = record.machine
        tracked.book = self._books.get(machine, UNKNOWN)
        if record.seq > 1:  # a connection has one table: the record is damaged, or the facts before it are of another table
            tracked.note_hole()
        if tracked.book is UNKNOWN:
            which = f"table {machine}" if machine.isalnum() and len(machine) <= len(OWN.table.fingerprint) else "another table"
            remedy = "give it by --table: its version writes it with `realtime-fsm diagram --format json`"
            text = f"the records are of {which}, and this version knows {', '.join(self._books)}; {remedy}"
            self._report(tracked, RuleBreach("table", text))

    def _step(self, tracked: TrackedConnection, line: FlatRecord) -> None:
        if tracked.book is UNKNOWN:
            step = follow_step(tracked, line, detail=self._detail)
            tracked.now_at = line.timestamp
            if step is not None and step.gives_up:
                self._report_giving_up(tracked, line)
            return
        step, state = tracked.book.steps.get(line.row), tracked.state
        believed = False
        if line.cause is MISSING:  # some shippers drop nulls
            line.cause = None
        if step is not None and not line.source:
            self._report(tracked, RuleBreach("cut", "the record lacks source, a name that some shippers reserve"))
            line.source = step.source
        if step is None or state != step.source or line.source != state or line.trigger != step.trigger or line.dest != step.dest:
            breach = check_row_identity(tracked, line, step)
            if breach is not None:
                self._report(tracked, breach)
            if breach is not None or state is None:
                resync(tracked, line, step)
                believed = True
            if step is None:
                tracked.set_state(None, tracked.entered)
                return
        t = tracked.entered + line.dwell
        for check in step.checks:
            breach = check(tracked, line, step, t)
            if breach is not None:
                if self._report(tracked, explain_missing_field(breach, self._here[1])):
                    resync(tracked, line, step)
                    believed = True
                    t = tracked.entered + max(0.0, line.dwell)
                break
        if self._judges_all or self._window.reports(tracked):
            self._builder.rows[step.id] += 1
        if self._detail:
            self._dwells.setdefault(step.id, Histogram()).add(line.dwell)
        apply_step(tracked, line, step, t, self._detail)
        tracked.now_at = line.timestamp
        if believed:
            doubt(tracked, step)
        if step.gives_up:
            self._report_giving_up(tracked, line)

    def _report_giving_up(self, tracked: TrackedConnection, line: FlatRecord) -> None:
        if self._on_outage is not None:
            self._on_outage(line)
        self._report(tracked, RuleBreach("error", f"the connection gives up: {line.cause}"))

    def _note(self, tracked: TrackedConnection, line: FlatRecord) -> None:
        if tracked.book is UNKNOWN:
            tracked.link = line.link
        breach = apply_record(tracked, line)
        if line.event == OUTAGE and self._on_outage is not None:
            self._on_outage(line)
        if breach is not None:
            self._report(tracked, explain_missing_field(breach, self._here[1]) if breach.rule == "form" else breach)

    def _report_secrets(self, tracked: TrackedConnection, names: tuple[str, ...]) -> None:
        self._report(tracked, RuleBreach("secret", f"{', '.join(names)}: the value looks like a secret"))

    def _report(self, tracked: TrackedConnection, said: RuleBreach) -> bool:
        """Note a finding, and tell whether the record contradicts the known facts."""
        weight = RULES[said.rule].weight
        if tracked.book is UNKNOWN and weight is Severity.VIOLATION and said.rule != "secret":
            return True  # only its table could tell
        if not self._window.reports(tracked):
            return True
        known = tracked.findings.get(said.rule)
        self._builder.add(tracked, known[0] if known is not None else self._finding(tracked, said))
        return weight is Severity.VIOLATION

    def _finding(self, tracked: TrackedConnection | None, said: RuleBreach) -> Finding:
        return finding_of(tracked, said, self._here, self._numbers, self._fail_on)
