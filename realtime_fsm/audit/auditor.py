"""The auditor turns lines into a report, in one pass. Its memory grows with the live connections, not with the log.

Invariant: connections may be interleaved in any way. The auditor judges the records of one connection in the order of their
numbers. A record that is missing, doubled or out of order is a doubt, and the auditor judges nothing that a hole hides.

Design: the auditor does no I/O. `begin` names the file of the next lines, `feed` judges them, `finish` gives the report. The
auditor decodes a line and finds its connection. The sequencer brings the records of a connection into their order. The judge
compares each with the table and the facts, and the reporter makes the findings. A connection whose `realtime.close` record has
come leaves the memory; every other one stays until the end.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.answering import AnswerBuilder
from realtime_fsm.audit.checks import rulebook
from realtime_fsm.audit.collector import ReportBuilder
from realtime_fsm.audit.decoding import BadRecord, ExtendedRecord, decode_fast
from realtime_fsm.audit.finding import Reporter
from realtime_fsm.audit.judging import Judge
from realtime_fsm.audit.ordering import Sequencer
from realtime_fsm.audit.positions import LineNumbers
from realtime_fsm.audit.reading import LineReader
from realtime_fsm.audit.row_facts import OWN
from realtime_fsm.audit.rules import RuleBreach
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.audit.shapes import MARK
from realtime_fsm.audit.tracking import TrackedConnection
from realtime_fsm.audit.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from realtime_fsm.audit.answer import Answer
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.reading import Piece
    from realtime_fsm.audit.report import Finding, Report
    from realtime_fsm.fsm.table import State, Trigger
    from realtime_fsm.fsm.tablespec import Table

MAX_ENDED_TRACKED = 256
"""Ended connections that are kept, so that the auditor notices records after their end."""


class Auditor:
    """Judges the records of any number of connections.

    Args:
        only: the beginnings of the ids of the connections to judge; empty for all.
        since: the auditor follows earlier records and does not judge them.
        until: the auditor leaves out later records. An outage that is still open counts until then.
        fail_on: the names of rules whose findings count as violations, whatever their weight.
        detail: whether to keep the timelines and dwells that the HTML page shows.
        names: the keys of fields that the log renames, by the field.
        tables: the tables of other versions that judge their records.
        at: an instant about which a user asks.
        on_outage: takes each record of an outage, and each step that gives up, as it counts.

    Attributes:
        answer: which connections were down at the instant, after `finish`; None where no instant was given.
    """

    def __init__(
        self,
        *,
        only: Collection[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        fail_on: Collection[str] = (),
        detail: bool = False,
        names: Mapping[str, str] | None = None,
        at: datetime | None = None,
        on_outage: Callable[[FlatRecord], None] | None = None,
        tables: Iterable[Table[State, Trigger]] = (),
    ) -> None:
        self.answer: Answer | None = None
        self._only = tuple(only)
        self._live: dict[str, TrackedConnection] = {}
        self._ended: OrderedDict[str, TrackedConnection] = OrderedDict()
        self._newest: datetime | None = None  # of the connections that have left the memory, or are not judged
        self._stranger: tuple[int, bytes] | None = None  # the first line that names an event and is no record
        self._reader, self._places, self._window = LineReader(names), LineNumbers(), Window(since, until)
        self._answers = None if at is None else AnswerBuilder(at, self._places)
        books = {OWN.table.fingerprint: OWN} | {table.fingerprint: rulebook(table) for table in tables}
        self._builder = ReportBuilder(detail=detail, fail_on=fail_on, tables=[book.table for book in books.values()])
        self._reporter = Reporter(self._builder, self._places, self._window, fail_on)
        judge = Judge(self._reporter, self._builder, self._window, books, detail=detail, at=at, on_outage=on_outage)
        self._sequencer = Sequencer(judge, self._reporter, self._window)

    @property
    def live(self) -> int:
        """The number of connections that are followed."""
        return len(self._live)

    @property
    def waiting(self) -> int:
        """The number of records that wait for an earlier one."""
        return self._sequencer.waiting

    @property
    def violation(self) -> Finding | None:
        """The first violation so far."""
        first = self._builder.first
        return first if first is not None and first.weight == "violation" else None

    def begin(self, name: str) -> None:
        """Name the file of the next lines."""
        self._take_pieces(self._reader.flush())
        self._places.begin(name)

    def feed(self, lines: Iterable[bytes]) -> None:
        """Judge lines."""
        places, reporter = self._places, self._reporter
        for line in lines:
            places.number = number = places.number + 1
            reporter.here = number, line
            try:
                record = decode_fast(line)
            except (msgspec.MsgspecError, ValueError):
                self._take_pieces(self._reader.read(line))
            else:
                self._take(record)

    def unusable(self, name: str, text: str) -> None:
        """Note that a file cannot be read, or not to its end; in the latter case, the lines until there count."""
        self._builder.add_unreadable(name, text, is_begun=self._places.is_begun)

    def settle(self) -> None:
        """Wait no longer for records that are late."""
        for tracked in [*self._ended.values(), *self._live.values()]:
            self._sequencer.settle(tracked)
            self._retire_closed(tracked)

    def finish(self) -> Report:
        """End the audit.

        Returns:
            The report. The auditor cannot be used again.
        """
        self._take_pieces(self._reader.flush())
        self.settle()
        for tracked in [*self._ended.values(), *self._live.values()]:
            self._note_newest(tracked.last)
        for connections in (self._ended, self._live):
            while connections:
                _, tracked = connections.popitem()
                self._conclude(tracked)
        hint = ""
        if self._stranger is not None:
            hint = f"; {self._places.of(self._stranger[0])} {self._reader.explain(self._stranger[1])}"
        report = self._builder.report(
            self._places.files, self._places.number, self._window,
            some=bool(self._only), hint=hint, surplus=self._reader.surplus,
        )  # fmt: skip
        if self._answers is not None:
            self.answer = self._answers.answer(report, self._newest)
        return report

    def _note_newest(self, moment: datetime | None) -> None:
        if moment is not None and (self._newest is None or moment > self._newest):
            self._newest = moment

    def _take_pieces(self, pieces: Iterable[Piece]) -> None:
        """Judge the records of lines that the strict decoder refused."""
        number = self._reporter.here[0]
        for line, made in pieces:
            self._reporter.here = number, line
            if isinstance(made, ExtendedRecord):
                self._take(made.line, made.secrets)
            elif isinstance(made, BadRecord):
                self._take(made)
            elif self._stranger is None and MARK in line:
                self._stranger = number, line

    def _take(self, record: FlatRecord | BadRecord, secrets: tuple[str, ...] = ()) -> None:
        """Bring a record to its connection."""
        identifier = record.connection_id
        tracked = None if identifier is None else self._live.get(identifier)
        if tracked is None:
            if self._only and not (identifier or "").startswith(self._only):
                self._note_newest(record.timestamp)
                return
            if identifier is None:
                assert isinstance(record, BadRecord)
                self._reporter.report_line(RuleBreach(record.rule, record.text))
                return
            tracked = self._track(identifier, record.timestamp)
        self._sequencer.take(tracked, record, secrets)
        if tracked.facts.closed_by_record:
            self._retire_closed(tracked)

    def _retire_closed(self, tracked: TrackedConnection) -> None:
        """Follow a connection that has ended only for a while."""
        if not tracked.facts.closed_by_record or self._live.pop(tracked.connection_id, None) is None:
            return
        self._ended[tracked.connection_id] = tracked
        if len(self._ended) > MAX_ENDED_TRACKED:
            _, ended = self._ended.popitem(last=False)
            self._note_newest(ended.last)
            self._conclude(ended)

    def _track(self, identifier: str, moment: datetime | None) -> TrackedConnection:
        """Find a connection that is not live: a new one, or one that has ended."""
        tracked = self._ended.get(identifier)
        if tracked is None:
            tracked = self._live[identifier] = TrackedConnection(identifier, self._places.number)
            if self._window.is_all:
                tracked.first = moment
            if looks_secret(identifier):
                self._reporter.report(tracked, RuleBreach("secret", "the connection's id looks like a secret"))
        return tracked

    def _conclude(self, tracked: TrackedConnection) -> None:
        if self._answers is not None:
            self._answers.add(tracked, self._newest)
        if self._window.conclude(tracked, self._newest):
            self._builder.finish_connection(tracked, self._places.here)
