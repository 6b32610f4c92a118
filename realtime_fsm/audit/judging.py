"""Judge the records of a connection one by one, in their order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.apply import apply_step, doubt, follow_step, resync
from realtime_fsm.audit.apply_records import apply_record
from realtime_fsm.audit.checks import check_row_identity
from realtime_fsm.audit.decoding import MISSING, OUTAGE, TRANSITION, BadRecord
from realtime_fsm.audit.downtime import Watch
from realtime_fsm.audit.finding import explain_missing_field
from realtime_fsm.audit.histogram import Histogram
from realtime_fsm.audit.row_facts import OWN, UNKNOWN
from realtime_fsm.audit.rules import RuleBreach

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from realtime_fsm.audit.collector import ReportBuilder
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts
    from realtime_fsm.audit.finding import Reporter
    from realtime_fsm.audit.row_facts import Rulebook
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.audit.window import Window


class Judge:
    """Judges records by their tables, which `books` holds by fingerprint; `reporter.here` is the line of the record."""

    def __init__(
        self,
        reporter: Reporter,
        builder: ReportBuilder,
        window: Window,
        books: Mapping[str, Rulebook],
        *,
        detail: bool,
        at: datetime | None,
        on_outage: Callable[[FlatRecord], None] | None,
    ) -> None:
        self._reporter, self._report, self._window, self._books = reporter, reporter.report, window, books
        self._is_narrow = at is not None or not window.is_all  # a user asks about a span of time, or an instant
        self._rows, self._dwells = builder.rows, builder.dwells
        self._detail, self._at, self._on_outage = detail, at, on_outage

    def judge(self, tracked: TrackedConnection, record: FlatRecord | BadRecord, secrets: tuple[str, ...]) -> None:
        """Judge the next record of a connection; `secrets` names its fields that look like secrets."""
        if isinstance(record, BadRecord):
            self._judge_bad(tracked, record)
            return
        facts = tracked.facts
        # A consumer may empty its stream after the end, and only then are its dropped events counted.
        if facts.closed_by_record and record.event != "realtime.dropped":
            self._report(tracked, RuleBreach("end", "the connection object was closed before"))
        if self._is_narrow:
            if not self._window.includes(tracked, record):
                return
            self.look(tracked, record.timestamp)
        tracked.seq, tracked.last = record.seq, record.timestamp
        if record.machine != tracked.machine:
            self._change_table(tracked, record)
        if record.row or record.event == TRANSITION:
            self._step(tracked, facts, record)
        else:
            self._note(tracked, facts, record)
        if tracked.watch is not None:
            tracked.watch.after(record, self._reporter.here[0])
        if secrets:
            self._reporter.report_secrets(tracked, secrets)
        tracked.recent.append(self._reporter.here)

    def look(self, tracked: TrackedConnection, moment: datetime, *, is_hole: bool = False) -> None:
        """Look how a connection stands at the instant, if a record of some moment, or a hole before it, comes after."""
        if self._at is None:
            return
        if tracked.watch is None:
            tracked.watch = Watch(self._at, moment, tracked.facts)
        tracked.watch.before(moment, is_hole=is_hole)

    def _judge_bad(self, tracked: TrackedConnection, trouble: BadRecord) -> None:
        """Judge a broken record: it hides what it may have changed."""
        if trouble.seq is not None:
            tracked.seq = trouble.seq
        if trouble.timestamp is not None:
            self.look(tracked, trouble.timestamp, is_hole=True)
            tracked.first = tracked.first or trouble.timestamp
            tracked.last = trouble.timestamp
        if self._window.has_started(trouble.timestamp):
            tracked.in_window = True
            self._report(tracked, RuleBreach(trouble.rule, trouble.text))
        tracked.facts.note_hole()
        tracked.recent.append(self._reporter.here)

    def _change_table(self, tracked: TrackedConnection, record: FlatRecord) -> None:
        """Judge a connection by the table of its records from now on, or only follow it without that table."""
        tracked.machine = machine = record.machine
        tracked.book = self._books.get(machine, UNKNOWN)
        if record.seq > 1:  # a connection has one table: the record is damaged, or the facts before it are of another table
            tracked.facts.note_hole()
        if tracked.book is UNKNOWN:
            which = f"table {machine}" if machine.isalnum() and len(machine) <= len(OWN.table.fingerprint) else "another table"
            remedy = "give it by --table: its version writes it with `realtime-fsm diagram --format json`"
            text = f"the records are of {which}, and this version knows {', '.join(self._books)}; {remedy}"
            self._report(tracked, RuleBreach("table", text))

    def _step(self, tracked: TrackedConnection, facts: Facts, line: FlatRecord) -> None:
        book = tracked.book
        if book is UNKNOWN:
            followed = follow_step(tracked, line, detail=self._detail)
            if followed is not None and followed.gives_up:
                self._report_giving_up(tracked, line)
            return
        step, state = book.steps.get(line.row), facts.state
        believed = False
        if line.cause is MISSING:  # some shippers drop nulls
            line.cause = None
        if step is not None and not line.source:
            self._report(tracked, RuleBreach("cut", "the record lacks source, a name that some shippers reserve"))
            line.source = step.source
        if step is None or state != step.source or line.source != state or line.trigger != step.trigger or line.dest != step.dest:
            breach = check_row_identity(facts, line, step, book)
            if breach is not None:
                self._report(tracked, breach)
            if breach is not None or state is None:
                resync(facts, line, step)
                believed = True
            if step is None:
                facts.set_state(None, facts.entered)
                return
        t = facts.entered + line.dwell
        for check in step.checks:
            breach = check(facts, line, step, t)
            if breach is not None:
                if self._report(tracked, explain_missing_field(breach, self._reporter.here[1])):
                    resync(facts, line, step)
                    believed = True
                    t = facts.entered + max(0.0, line.dwell)
                break
        if not self._is_narrow or self._window.reports(tracked):
            self._rows[step.id] += 1
        if self._detail:
            self._dwells.setdefault(step.id, Histogram()).add(line.dwell)
        apply_step(tracked, facts, line, step, t, detail=self._detail)
        if believed:
            doubt(facts, step)
        if step.gives_up:
            self._report_giving_up(tracked, line)

    def _report_giving_up(self, tracked: TrackedConnection, line: FlatRecord) -> None:
        if self._on_outage is not None:
            self._on_outage(line)
        self._report(tracked, RuleBreach("error", f"the connection gives up: {line.cause}"))

    def _note(self, tracked: TrackedConnection, facts: Facts, line: FlatRecord) -> None:
        if tracked.book is UNKNOWN:
            facts.newest_link = line.link
        breach = apply_record(tracked, facts, line)
        if self._on_outage is not None and line.event == OUTAGE:
            self._on_outage(line)
        if breach is not None:
            form = breach.rule == "form"
            self._report(tracked, explain_missing_field(breach, self._reporter.here[1]) if form else breach)
