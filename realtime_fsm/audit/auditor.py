"""The auditor turns lines into a report, in one pass. Its memory grows with the live connections, not with the log.

Invariant: connections may be interleaved in any way. The auditor judges the records of one connection in the order of their
numbers. A record that is missing, doubled or out of order is a doubt, and the auditor judges nothing that a hole hides.

Design: the auditor does no I/O. `begin` names the file of the next lines, `feed` judges them, `finish` gives the report. A
connection whose `realtime.close` record has come leaves the memory; every other one stays until the end. A record that comes
before its turn waits, so that disorder within a window costs nothing but a doubt.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.answering import AnswerBuilder
from realtime_fsm.audit.decoding import TRANSITION, BadRecord, ExtendedRecord, FlatRecord, decode_fast
from realtime_fsm.audit.finding import describe_hole
from realtime_fsm.audit.framing import Framing
from realtime_fsm.audit.judging import Judge
from realtime_fsm.audit.report import Finding, Location, Report
from realtime_fsm.audit.rules import RULES, RuleBreach, Severity
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.audit.shapes import MARK, Shapes
from realtime_fsm.audit.tracking import EarlyRecord, TrackedConnection
from realtime_fsm.audit.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from realtime_fsm.audit.answer import Answer
    from realtime_fsm.fsm.table import State, Trigger
    from realtime_fsm.fsm.tablespec import Table

MAX_ENDED_TRACKED = 256
"""Ended connections that are kept, so that the auditor notices records after their end."""
MAX_EARLY = 128
"""Records of a connection that wait for an earlier one. With one more, the earlier one counts as missing."""
MAX_EARLY_TOGETHER = 1 << 14
"""Records of all connections that wait. With one more, its connection waits no longer."""


class Auditor(Judge):
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
        on_outage: takes each record of an outage as it counts.

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
        super().__init__(Window(since, until), fail_on, tables, detail=detail, on_outage=on_outage)
        self._only = tuple(only)
        self._live: dict[str, TrackedConnection] = {}
        self._ended: OrderedDict[str, TrackedConnection] = OrderedDict()
        self._answers = None if at is None else AnswerBuilder(at, self._numbers)
        self._instant = None if self._answers is None else self._answers.instant
        self._newest: datetime | None = None  # of the connections that have left the memory, or are not judged
        self.answer: Answer | None = None
        self._waiting = 0  # records that wait for an earlier one
        self._shapes, self._framing = Shapes(names), Framing()
        self._stranger: tuple[int, bytes] | None = None  # the first line that names an event and is no record

    @property
    def live(self) -> int:
        """The number of connections that are followed."""
        return len(self._live)

    @property
    def waiting(self) -> int:
        """The number of records that wait for an earlier one."""
        return self._waiting

    @property
    def violation(self) -> Finding | None:
        """The first violation so far."""
        first = self._builder.first
        return first if first is not None and first.weight == "violation" else None

    def begin(self, name: str) -> None:
        """Name the file of the next lines."""
        self._take_pieces(self._framing.flush())
        self._numbers.begin(name)

    def feed(self, lines: Iterable[bytes]) -> None:
        """Judge lines."""
        numbers = self._numbers
        for line in lines:
            numbers.number = number = numbers.number + 1
            self._here = number, line
            try:
                record = decode_fast(line)
            except (msgspec.MsgspecError, ValueError):
                self._take_pieces(self._framing.pieces(line))
            else:
                self._take(record)

    def unusable(self, name: str, text: str) -> None:
        """Note that a file cannot be read, or not to its end; in the latter case, the lines until there count."""
        if self._numbers.is_begun:
            weight = Severity.VIOLATION if "cut" in self._fail_on else RULES["cut"].weight
            self._builder.add_cut(Finding("cut", weight.value, text, Location(name, 0)))
        else:
            self._builder.add_unusable(Finding("cut", "unusable", text, Location(name, 0)))

    def settle(self) -> None:
        """Wait no longer for records that are late."""
        for tracked in [*self._ended.values(), *self._live.values()]:
            while tracked.early:
                self._skip_hole(tracked)

    def finish(self) -> Report:
        """End the audit.

        Returns:
            The report. The auditor cannot be used again.
        """
        self._take_pieces(self._framing.flush())
        self.settle()
        for tracked in [*self._ended.values(), *self._live.values()]:
            self._note_newest(tracked.last)
        for shadows in (self._ended, self._live):
            while shadows:
                _, tracked = shadows.popitem()
                self._conclude(tracked)
        hint = ""
        if self._stranger is not None:
            hint = f"; {self._numbers.of(self._stranger[0])} {self._shapes.explain(self._stranger[1])}"
        report = self._builder.report(
            self._numbers.files, self._numbers.number, self._dwells, self._window,
            some=bool(self._only), hint=hint, surplus=self._framing.surplus,
        )  # fmt: skip
        if self._answers is not None:
            self.answer = self._answers.answer(report, self._newest)
        return report

    def _note_newest(self, moment: datetime | None) -> None:
        if moment is not None and (self._newest is None or moment > self._newest):
            self._newest = moment

    def _take_pieces(self, lines: Iterable[bytes]) -> None:
        """Judge the records of lines that the strict decoder refused."""
        number = self._here[0]
        for line in lines:
            plain, made = self._shapes.read(line)
            self._here = number, plain
            if isinstance(made, ExtendedRecord):
                self._take(made.line, made.secrets)
            elif isinstance(made, BadRecord):
                self._take_bad(made)
            elif self._stranger is None and MARK in line:
                self._stranger = number, line

    def _take_bad(self, trouble: BadRecord) -> None:
        identifier = trouble.connection_id
        if self._only and not (identifier or "").startswith(self._only):
            self._note_newest(trouble.timestamp)
            return
        if identifier is None:
            self._builder.add_unattributed(self._finding(None, RuleBreach(trouble.rule, trouble.text)))
            return
        tracked = self._live.get(identifier) or self._track(identifier, trouble.timestamp)
        if trouble.seq is None:
            tracked.missing -= 1
            self._judge_bad(tracked, trouble)
        elif trouble.seq != tracked.seq + 1:
            self._set_aside(tracked, trouble.seq, trouble)
        else:
            self._fill_hole(tracked, trouble)

    def _judge_bad(self, tracked: TrackedConnection, trouble: BadRecord) -> None:
        if trouble.seq is not None:
            tracked.seq = trouble.seq
        if trouble.timestamp is not None:
            if self._instant is not None:
                self._instant.before(tracked, trouble.timestamp, is_hole=True)
            tracked.first = tracked.first or trouble.timestamp
            tracked.last = trouble.timestamp
        if self._window.has_started(trouble.timestamp):
            tracked.in_window = True
            self._report(tracked, RuleBreach(trouble.rule, trouble.text))
        tracked.note_hole()
        tracked.recent.append(self._here)

    def _take(self, record: FlatRecord, secrets: tuple[str, ...] = ()) -> None:
        tracked = self._live.get(record.connection_id)
        if tracked is None:
            if self._only and not record.connection_id.startswith(self._only):
                self._note_newest(record.timestamp)
                return
            tracked = self._track(record.connection_id, record.timestamp)
        if record.seq != tracked.seq + 1:
            self._set_aside(tracked, record.seq, record, secrets)
        elif tracked.early:
            self._fill_hole(tracked, record, secrets)
        else:
            self._judge(tracked, record, secrets)

    def _judge(self, tracked: TrackedConnection, record: FlatRecord, secrets: tuple[str, ...]) -> None:
        """Judge the next record of a connection."""
        # A consumer may empty its stream after the end, and only then are its dropped events counted.
        if tracked.closed_by_record and record.event != "realtime.dropped":
            self._report(tracked, RuleBreach("end", "the connection object was closed before"))
        if not self._judges_all and not self._window.includes(tracked, record):
            return
        if self._instant is not None:
            self._instant.before(tracked, record.timestamp)
        tracked.seq, tracked.last = record.seq, record.timestamp
        if record.machine != tracked.machine:
            self._change_table(tracked, record)
        if record.row or record.event == TRANSITION:
            self._step(tracked, record)
        else:
            self._note(tracked, record)
            if tracked.closed_by_record and tracked.connection_id in self._live:
                self._retire(tracked)
        if self._instant is not None:
            self._instant.after(tracked, record, self._here[0])
        if secrets:
            self._report_secrets(tracked, secrets)
        tracked.recent.append(self._here)

    def _set_aside(
        self, tracked: TrackedConnection, seq: int, record: FlatRecord | BadRecord, secrets: tuple[str, ...] = ()
    ) -> None:
        """Let a record that comes too early wait, and leave out one whose number has come before."""
        if tracked.past_window:
            if not isinstance(record, BadRecord):
                self._window.look_back(tracked, record)
            return
        if seq <= tracked.seq or seq in tracked.early:
            tracked.missing -= 1
            self._report(tracked, RuleBreach("seq", f"number {seq} comes after number {max(tracked.seq, seq)}"))
            if secrets:
                self._report_secrets(tracked, secrets)
            return
        tracked.early[seq] = EarlyRecord(self._here, record, secrets)
        self._waiting += 1
        if len(tracked.early) > MAX_EARLY or self._waiting > MAX_EARLY_TOGETHER:
            self._skip_hole(tracked)

    def _fill_hole(self, tracked: TrackedConnection, record: FlatRecord | BadRecord, secrets: tuple[str, ...] = ()) -> None:
        """Judge the next record of a connection, and those that waited for it."""
        follower = tracked.early.get(tracked.seq + 2)
        if follower is not None and self._counts(tracked, record):
            here, self._here = self._here, follower.here
            self._report(tracked, RuleBreach("seq", f"number {tracked.seq + 2} comes before number {tracked.seq + 1}"))
            self._here = here
        self._judge_any(tracked, record, secrets)
        self._take_early(tracked)

    def _take_early(self, tracked: TrackedConnection) -> None:
        """Judge the records that waited for the last one."""
        while (early := tracked.early.pop(tracked.seq + 1, None)) is not None:
            self._waiting -= 1
            self._here = early.here
            self._judge_any(tracked, early.record, early.secrets)
            if tracked.past_window:
                self._waiting -= len(tracked.early)
                tracked.early.clear()

    def _judge_any(self, tracked: TrackedConnection, record: FlatRecord | BadRecord, secrets: tuple[str, ...]) -> None:
        if isinstance(record, BadRecord):
            self._judge_bad(tracked, record)
        else:
            self._judge(tracked, record, secrets)

    def _counts(self, tracked: TrackedConnection, record: FlatRecord | BadRecord) -> bool:
        return self._judges_all or isinstance(record, BadRecord) or self._window.includes(tracked, record)

    def _skip_hole(self, tracked: TrackedConnection) -> None:
        """Wait no longer for the next record, and judge those after it."""
        seq, early = min(tracked.early.items())
        self._here = early.here
        if self._instant is not None and early.record.timestamp is not None:
            self._instant.before(tracked, early.record.timestamp, is_hole=True)
        if self._counts(tracked, early.record):
            self._report(tracked, RuleBreach("seq", describe_hole(tracked.seq, seq)))
        tracked.note_hole()
        tracked.missing += seq - tracked.seq - 1
        tracked.seq = seq - 1
        self._take_early(tracked)

    def _retire(self, tracked: TrackedConnection) -> None:
        """Follow a connection that has ended only for a while."""
        del self._live[tracked.connection_id]
        self._ended[tracked.connection_id] = tracked
        if len(self._ended) > MAX_ENDED_TRACKED:
            _, ended = self._ended.popitem(last=False)
            self._note_newest(ended.last)
            self._conclude(ended)

    def _track(self, identifier: str, moment: datetime | None) -> TrackedConnection:
        """Find a connection that is not live: a new one, or one that has ended."""
        tracked = self._ended.get(identifier)
        if tracked is None:
            tracked = self._live[identifier] = TrackedConnection(identifier, self._numbers.number)
            if self._window.is_all:
                tracked.first = moment
            if looks_secret(identifier):
                self._report(tracked, RuleBreach("secret", "the connection's id looks like a secret"))
        return tracked

    def _conclude(self, tracked: TrackedConnection) -> None:
        if self._answers is not None and tracked.last is not None:
            self._answers.add(tracked, self._newest or tracked.last)
        if self._window.conclude(tracked, self._newest):
            self._builder.finish_connection(tracked, self._numbers.here, self._fail_on)
