"""The auditor turns lines into a report, in one pass. Its memory grows with the live connections, not with the log.

Invariant: connections may be interleaved in any way. The auditor judges the records of one connection in the order of their
numbers. A record that is missing, doubled or out of order is a doubt, and the auditor judges nothing that a hole hides.

Design: the auditor does no I/O. `begin` names the file of the next lines, `feed` judges them, `finish` gives the report. The
auditor decodes a line. `Connections` finds the connection of its record, and brings the records of each into their order. The
judge compares them with the table and the facts, and the reporter makes the findings. A connection whose `realtime.close` record
has come leaves the memory; every other one stays until the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.absence import describe_absence, describe_asked, describe_span
from realtime_fsm.audit.answering import AnswerBuilder
from realtime_fsm.audit.checks import rulebook
from realtime_fsm.audit.collector import ReportBuilder
from realtime_fsm.audit.connections import Connections
from realtime_fsm.audit.decoding import ExtendedRecord, decode_fast
from realtime_fsm.audit.finding import LineNumbers, Reporter
from realtime_fsm.audit.framing import LineReader
from realtime_fsm.audit.judging import Judge
from realtime_fsm.audit.row_facts import OWN
from realtime_fsm.audit.shapes import MARK
from realtime_fsm.audit.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from realtime_fsm.audit.answer import Answer
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.framing import Piece
    from realtime_fsm.audit.report import Finding, Report
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.fsm.table import State, Trigger
    from realtime_fsm.fsm.tablespec import Table


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
        self.answer: Answer | None = None  # which connections were down at the instant; `finish` sets it
        self._only, self._window = tuple(only), Window(since, until)
        self._reader, self._places = LineReader(names), LineNumbers()
        self._unread: tuple[int, bytes] | None = None  # the first line that names an event and is no record
        self._answers = None if at is None else AnswerBuilder(at, self._places)
        books = {OWN.table.fingerprint: OWN} | {table.fingerprint: rulebook(table) for table in tables}
        self._builder = ReportBuilder(detail=detail, fail_on=fail_on, tables=[book.table for book in books.values()])
        self._reporter = Reporter(self._builder, self._places, self._window, fail_on)
        judge = Judge(self._reporter, self._builder, self._window, books, detail=detail, at=at, on_outage=on_outage)
        self._connections = Connections(only, judge, self._reporter, self._window, self._conclude)

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
        places, reporter, take = self._places, self._reporter, self._connections.take
        for here in enumerate(lines, places.number + 1):
            places.number, line = reporter.here = here
            try:
                record = decode_fast(line)
            except ValueError:
                self._take_pieces(self._reader.read(line))
            else:
                take(record)

    def unusable(self, name: str, text: str) -> None:
        """Note that a file cannot be read, or not to its end; in the latter case, the lines until there count."""
        self._builder.add_unreadable(name, text, is_begun=self._places.is_begun)

    def settle(self) -> None:
        """Wait no longer for records that are late."""
        self._connections.settle()

    def finish(self) -> Report:
        """End the audit; the auditor cannot be used again."""
        self._take_pieces(self._reader.flush())
        self._connections.finish()
        report = self._builder.report(
            self._places.files, self._places.number, self._window,
            is_strange=self._unread is not None, absence=self._describe_absence, surplus=self._reader.surplus,
        )  # fmt: skip
        if self._answers is not None:
            self.answer = self._answers.answer(report, self._connections.newest)
        return report

    def _describe_absence(self) -> str:
        lines, found = self._places.number, self._connections
        if found.others and found.oldest is None:
            return describe_absence(lines, str(found.others), describe_asked(self._only, self._window))
        if found.oldest is not None and not self._window.is_all:
            span = describe_span(self._only, self._window, found.oldest, found.latest)
            return describe_absence(lines, span, describe_asked(self._only, self._window))
        hint = "" if self._unread is None else f"{self._places.of(self._unread[0])} {self._reader.explain(self._unread[1])}"
        return describe_absence(lines, hint)

    def _take_pieces(self, pieces: Iterable[Piece]) -> None:
        """Judge the records of lines that the strict decoder refused."""
        number = self._reporter.here[0]
        for line, made in pieces:
            self._reporter.here = number, line
            if isinstance(made, ExtendedRecord):
                self._connections.take(made.line, made.secrets)
            elif made is not None:
                self._connections.take(made)
            elif self._unread is None and MARK in line:
                self._unread = number, line

    def _conclude(self, tracked: TrackedConnection, newest: datetime | None) -> None:
        if self._answers is not None:
            self._answers.add(tracked, newest)
        if self._window.conclude(tracked, newest):
            self._builder.finish_connection(tracked, self._places.here)
