"""The auditor: records in, a report out. One pass; what it keeps grows with the connections that live, not with the log.

The law: it does no I/O and knows no files but by name. `begin` says whose lines come next, `feed` takes them, `finish` ends it.

What is guaranteed: connections may be interleaved in any way. The records of one connection are judged in the order in which
they come; what is out of order or missing there is a doubt, and what a doubt hides is not judged. A connection is summed up
when it has been disposed of; those that never are stay in memory, as live ones do.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.apply import apply_record, apply_step, doubt, resync
from realtime_fsm.audit.checks import check_row_identity
from realtime_fsm.audit.collector import ReportBuilder
from realtime_fsm.audit.decoding import (
    TRANSITION,
    BadRecord,
    ExtendedRecord,
    FlatRecord,
    decode_block,
    decode_fast,
    decode_unusual,
)
from realtime_fsm.audit.finding import describe_sequence_break, explain_missing_field, finding_of
from realtime_fsm.audit.histogram import Histogram
from realtime_fsm.audit.positions import BlockLines, LineNumbers
from realtime_fsm.audit.report import Finding, Location, Report
from realtime_fsm.audit.row_facts import STEPS
from realtime_fsm.audit.rules import RULES, RuleBreach, Severity
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.audit.sources import split_lines
from realtime_fsm.audit.tracking import TrackedConnection
from realtime_fsm.audit.window import Window

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime

MAX_ENDED_TRACKED = 256
"""Ended connections that are remembered, so that what follows their end is noticed."""
BATCH = 500
"""Lines that are taken before what they were is counted."""
BLOCK_RETRY_AFTER = 16
"""Blocks that are taken line by line after one with lines of other programs."""


class Auditor:
    """Judges the records of any number of connections.

    Args:
        only: the ids of the connections to look at; all if empty.
        since: what was written before it is followed and not judged.
        until: what was written after it is left out.
        fail_on: the names of rules whose findings count as violations, whatever their weight.
        detail: whether to keep what pictures need.
        keep: whether to keep the newest lines of each connection, to show them before a finding. It costs a tenth of the time;
            those that can be read again are better looked up at the end (`lookup.look_up`).
    """

    def __init__(
        self,
        *,
        only: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        fail_on: Collection[str] = (),
        detail: bool = False,
        keep: bool = True,
    ) -> None:
        self._only, self._window = frozenset(only), Window(since, until)
        self._fail_on, self._detail, self._keep = frozenset(fail_on), detail, keep
        self._live: dict[str, TrackedConnection] = {}
        self._ended: OrderedDict[str, TrackedConnection] = OrderedDict()
        self._ledger = ReportBuilder(detail=detail)
        self._dwells: dict[str, Histogram] = {}
        self._places = LineNumbers()
        self._rows: list[str] = []  # that were taken and are not counted yet
        self._lines: BlockLines | list[bytes] = []  # those under way
        self._before = 0  # the number of lines before them
        self._mixed = 0  # for how many blocks it is not tried to decode them at once

    @property
    def lines(self) -> int:
        """How many lines were fed."""
        return self._places.number

    @property
    def live(self) -> int:
        """How many connections are followed."""
        return len(self._live)

    @property
    def violation(self) -> Finding | None:
        """The first violation so far."""
        first = self._ledger.first
        return first if first is not None and first.weight == "violation" else None

    def begin(self, name: str) -> None:
        """The lines of a file come next."""
        self._places.begin(name)

    def feed(self, lines: Iterable[bytes]) -> None:
        """Take lines."""
        batch: list[bytes] = []
        try:
            for line in lines:
                batch.append(line)
                if len(batch) == BATCH:
                    full, batch = batch, []
                    self._run(map(decode_fast, full), full)
        finally:  # what came before the lines broke off counts
            self._run(map(decode_fast, batch), batch)

    def feed_block(self, block: bytes) -> None:
        """Take whole lines at once, which is faster where all of them are ordinary records."""
        records = None if self._mixed else decode_block(block)
        if records is not None:
            self._run(iter(records), BlockLines(block))
            return
        self._mixed = (self._mixed or BLOCK_RETRY_AFTER) - 1
        lines = split_lines(block)
        self._run(map(decode_fast, lines), lines)

    def unusable(self, name: str, text: str, line: int = 0) -> None:
        """Note that a file cannot be read, or not to its end."""
        self._ledger.add_unusable(Finding("cut", "unusable", text, Location(name, line)))

    def finish(self) -> Report:
        """The end of all lines.

        Returns:
            The report. The auditor is used up.
        """
        for shadows in (self._ended, self._live):
            while shadows:
                _, tracked = shadows.popitem()
                self._conclude(tracked)
        asked = bool(self._only) or not self._window.is_all
        return self._ledger.report(self._places.files, self._places.number, self._dwells, in_part=asked)

    def _run(self, records: Iterator[FlatRecord], lines: BlockLines | list[bytes]) -> None:
        """Take records, and the lines that are none.

        Args:
            records: the records of the lines; where one is none, it raises, and goes on with the next.
            lines: the lines.
        """
        self._lines, self._before = lines, self._places.number
        while True:
            try:
                record = self._advance(records)
            except (msgspec.MsgspecError, ValueError):
                self._places.number += 1
                self._take_slowly()
            else:
                if record is None:
                    break
                self._take(record)
        self._ledger.rows.update(self._rows)
        self._rows.clear()

    def _advance(self, records: Iterator[FlatRecord]) -> FlatRecord | None:
        """The next record that must be looked at in full; None where there is no more."""
        record = next(records, None)
        self._places.number += record is not None
        return record

    @property
    def _line(self) -> bytes:
        """The line under way."""
        return self._lines[self._places.number - self._before - 1]

    def _take_slowly(self) -> None:
        made = decode_unusual(self._line)
        if isinstance(made, ExtendedRecord):
            self._take(made.line, made.secrets)
        elif isinstance(made, BadRecord):
            self._take_trouble(made)

    def _take_trouble(self, trouble: BadRecord) -> None:
        identifier = trouble.connection_id
        if self._only and identifier not in self._only:
            return
        if identifier is None:
            self._ledger.add_unattributed(self._finding(None, RuleBreach(trouble.rule, trouble.text)))
            return
        tracked = self._live.get(identifier) or self._track(identifier, trouble.timestamp)
        if trouble.seq is None:
            tracked.missing -= 1
        else:
            self._count(tracked, trouble.seq)
        if trouble.timestamp is not None:
            tracked.first = tracked.first or trouble.timestamp
            tracked.last = trouble.timestamp
        if self._window.has_started(trouble.timestamp):
            self._report(tracked, RuleBreach(trouble.rule, trouble.text))
        tracked.note_hole()
        self._remember(tracked)

    def _take(self, record: FlatRecord, secrets: tuple[str, ...] = ()) -> None:
        tracked = self._live.get(record.connection_id)
        if tracked is None:
            if self._only and record.connection_id not in self._only:
                return
            tracked = self._track(record.connection_id, record.timestamp)
        if not self._window.is_all and not self._window.includes(tracked, record):
            return
        self._count(tracked, record.seq)
        tracked.last = record.timestamp
        if record.row or record.event == TRANSITION:
            self._step(tracked, record)
        else:
            self._note(tracked, record)
        if secrets:
            self._report(tracked, RuleBreach("secret", f"{', '.join(secrets)}: the value looks like a secret"))
        self._remember(tracked)

    def _step(self, tracked: TrackedConnection, line: FlatRecord) -> None:
        step = STEPS.get(line.row)
        if tracked.closed_by_record:
            self._report(tracked, RuleBreach("end", "the connection object was closed before"))
        facts = line.source, line.trigger, line.dest
        believed = False
        if step is None or line.source != tracked.state or facts != (step.source, step.trigger, step.dest):
            said = check_row_identity(tracked, line, step)
            if said is not None:
                self._report(tracked, said)
                resync(tracked, line, step)
                if step is None:
                    tracked.set_state(None, tracked.entered)
                    return
                believed = True
            elif tracked.state is None:
                resync(tracked, line, step)
                believed = True
            assert step is not None
        t = tracked.entered + line.dwell
        for check in step.checks:
            wrong = check(tracked, line, step, t)
            if wrong is not None:
                if self._report(tracked, explain_missing_field(wrong, self._line)):
                    resync(tracked, line, step)
                    believed = True
                    t = tracked.entered + max(0.0, line.dwell)
                break
        if self._window.reports(tracked):
            self._rows.append(step.id)
        if self._detail:
            self._dwells.setdefault(step.id, Histogram()).add(line.dwell)
        apply_step(tracked, line, step, t, self._detail)
        if believed:
            doubt(tracked, step)
        if step.gives_up:
            self._report(tracked, RuleBreach("error", f"the connection gives up: {line.cause}"))

    def _note(self, tracked: TrackedConnection, line: FlatRecord) -> None:
        if tracked.closed_by_record and line.event != "realtime.dropped":  # a consumer may empty its stream after the end
            self._report(tracked, RuleBreach("end", "the connection object was closed before"))
        said = apply_record(tracked, line)
        if said is not None:
            self._report(tracked, explain_missing_field(said, self._line) if said.rule == "form" else said)
        if tracked.closed_by_record and tracked.connection_id in self._live:
            del self._live[tracked.connection_id]
            self._ended[tracked.connection_id] = tracked
            if len(self._ended) > MAX_ENDED_TRACKED:
                self._conclude(self._ended.popitem(last=False)[1])

    def _track(self, identifier: str, moment: datetime | None) -> TrackedConnection:
        """A connection whose records come for the first time, or after its end."""
        tracked = self._ended.get(identifier)
        if tracked is None:
            tracked = self._live[identifier] = TrackedConnection(identifier, self._places.number)
            if self._window.is_all:
                tracked.first = moment
            if looks_secret(identifier):
                self._report(tracked, RuleBreach("secret", "the connection's id looks like a secret"))
        return tracked

    def _remember(self, tracked: TrackedConnection) -> None:
        if self._keep:
            tracked.recent.append((self._places.number, self._line))

    def _count(self, tracked: TrackedConnection, seq: int) -> None:
        if seq != tracked.seq + 1:
            self._report(tracked, RuleBreach("seq", describe_sequence_break(tracked.seq, seq)))
            tracked.note_hole()
            tracked.missing += seq - tracked.seq - 1
        tracked.seq = seq

    def _conclude(self, tracked: TrackedConnection) -> None:
        if not self._window.is_all and tracked.first is None:  # nothing of it is in the time that is asked for
            return
        self._ledger.finish_connection(tracked, self._places.here, self._fail_on)

    def _report(self, tracked: TrackedConnection, said: RuleBreach) -> bool:
        """Note a finding. The answer tells whether the record contradicts what is known."""
        if not self._window.reports(tracked):
            return True
        known = tracked.findings.get(said.rule)
        self._ledger.add(tracked, known[0] if known is not None else self._finding(tracked, said))
        return RULES[said.rule].weight is Severity.VIOLATION

    def _finding(self, tracked: TrackedConnection | None, said: RuleBreach) -> Finding:
        return finding_of(tracked, said, self._line, self._places, self._fail_on)
