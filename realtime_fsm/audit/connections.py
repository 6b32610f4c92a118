"""Bring each record to its connection, and the records of a connection into the order of their numbers.

Invariant: a record that is missing, doubled or out of order is a doubt. A record that comes before its turn waits, so that
disorder within a window costs nothing but a doubt. The number of records that wait is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from realtime_fsm.audit.absence import KnownConnections
from realtime_fsm.audit.decoding import BadRecord
from realtime_fsm.audit.finding import describe_hole, describe_repetition
from realtime_fsm.audit.rules import RuleBreach
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.audit.tracking import EarlyRecord, TrackedConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.finding import Reporter
    from realtime_fsm.audit.judging import Judge
    from realtime_fsm.audit.window import Window

    Conclude = Callable[[TrackedConnection, datetime | None], None]
    """Takes a connection after its last record, and the newest moment of the log so far."""

MAX_ENDED_TRACKED = 256
"""Ended connections that are kept, so that the auditor notices records after their end."""
MAX_EARLY = 128
"""Records of a connection that wait for an earlier one. With one more, the earlier one counts as missing."""
MAX_EARLY_TOGETHER = 1 << 14
"""Records of all connections that wait. With one more, its connection waits no longer."""


class Connections:
    """The connections of a log; `only` holds the beginnings of the ids of those to judge, and is empty for all."""

    def __init__(self, only: Collection[str], judge: Judge, reporter: Reporter, window: Window, conclude: Conclude) -> None:
        self._only, self._judge, self._reporter = tuple(only), judge, reporter
        self._window, self._conclude = window, conclude
        self._ended: OrderedDict[str | None, TrackedConnection] = OrderedDict()
        self.live: dict[str | None, TrackedConnection] = {}  # those that are followed, by their ids
        self.waiting: int = 0  # records that wait for an earlier one
        self.others: KnownConnections = KnownConnections()  # those that are not judged
        self.oldest: datetime | None = None  # the first moment of those that are judged
        self.latest: datetime | None = None  # after `finish`, their last moment; at most the end of the window
        # The newest moment of the connections that have left the memory, or are not judged; after `finish`, of all.
        self.newest: datetime | None = None

    def take(self, record: FlatRecord | BadRecord, secrets: tuple[str, ...] = ()) -> None:
        """Take a record, which is judged in its turn if its number can be read; `secrets` names its secret-like fields."""
        tracked = self.live.get(record.connection_id) or self._find(record)
        if tracked is None:
            return
        if record.seq == tracked.seq + 1 and not tracked.early:
            self._judge.judge(tracked, record, secrets)
        else:
            self._take_in_turn(tracked, record, secrets)
        if tracked.facts.closed_by_record:
            self._retire(tracked)

    def settle(self) -> None:
        """Wait no longer for records that are late."""
        for tracked in [*self._ended.values(), *self.live.values()]:
            while tracked.early:
                self._skip_hole(tracked)
            self._retire(tracked)

    def finish(self) -> None:
        """Conclude all connections."""
        self.settle()
        for tracked in [*self._ended.values(), *self.live.values()]:
            self._note_latest(tracked)
        for connections in (self._ended, self.live):
            while connections:
                self._conclude(connections.popitem()[1], self.newest)

    def _note_newest(self, moment: datetime | None) -> None:
        if moment is not None and (self.newest is None or moment > self.newest):
            self.newest = moment

    def _note_latest(self, tracked: TrackedConnection) -> None:
        self._note_newest(tracked.last)
        moment = self._window.until if tracked.past_window else tracked.last
        if moment is not None and (self.latest is None or moment > self.latest):
            self.latest = moment

    def _find(self, record: FlatRecord | BadRecord) -> TrackedConnection | None:
        """Find a connection that is not live: a new one, or one that has ended. None for one that is not judged."""
        identifier = record.connection_id
        if self._only and not (identifier or "").startswith(self._only):
            self._note_newest(record.timestamp)
            if identifier is not None:
                self.others.add(identifier)
            return None
        if identifier is None:
            assert isinstance(record, BadRecord)
            self._reporter.report_line(RuleBreach(record.rule, record.text))
            return None
        tracked = self._ended.get(identifier)
        if tracked is None:
            tracked = self.live[identifier] = TrackedConnection(identifier, self._reporter.here[0])
            if record.timestamp is not None and (self.oldest is None or record.timestamp < self.oldest):
                self.oldest = record.timestamp
            if self._window.is_all:
                tracked.first = record.timestamp
            if looks_secret(identifier):
                self._reporter.report(tracked, RuleBreach("secret", "the connection's id looks like a secret"))
        return tracked

    def _retire(self, tracked: TrackedConnection) -> None:
        """Follow a connection that has ended only for a while."""
        if not tracked.facts.closed_by_record or self.live.pop(tracked.connection_id, None) is None:
            return
        self._ended[tracked.connection_id] = tracked
        if len(self._ended) > MAX_ENDED_TRACKED:
            _, ended = self._ended.popitem(last=False)
            self._note_latest(ended)
            self._conclude(ended, self.newest)

    def _take_in_turn(self, tracked: TrackedConnection, record: FlatRecord | BadRecord, secrets: tuple[str, ...]) -> None:
        """Judge the record for which others wait, or one without a number; set any other one aside."""
        seq = record.seq
        if seq is None:
            tracked.missing -= 1
            self._judge.judge(tracked, record, secrets)
        elif seq == tracked.seq + 1:
            self._report_swap(tracked, record)
            self._judge.judge(tracked, record, secrets)
            self._take_early(tracked)
        else:
            self._set_aside(tracked, seq, EarlyRecord(self._reporter.here, record, secrets))

    def _set_aside(self, tracked: TrackedConnection, seq: int, early: EarlyRecord) -> None:
        """Let a record that comes too early wait, and leave out one whose number has come before."""
        if tracked.past_window:
            if not isinstance(early.record, BadRecord):
                self._window.look_back(tracked, early.record)
        elif seq <= tracked.seq or seq in tracked.early:
            tracked.missing -= 1
            self._reporter.report(tracked, RuleBreach("seq", describe_repetition(seq, is_sure=not tracked.skipped)))
            if early.secrets:
                self._reporter.report_secrets(tracked, early.secrets)
        else:
            tracked.early[seq] = early
            self.waiting += 1
            if len(tracked.early) > MAX_EARLY or self.waiting > MAX_EARLY_TOGETHER:
                self._skip_hole(tracked)

    def _report_swap(self, tracked: TrackedConnection, record: FlatRecord | BadRecord) -> None:
        """Report the record after the next one, where it has come before that one."""
        follower = tracked.early.get(tracked.seq + 2)
        if follower is not None and self._counts(tracked, record):
            here, self._reporter.here = self._reporter.here, follower.here
            said = f"number {tracked.seq + 2} comes before number {tracked.seq + 1}"
            self._reporter.report(tracked, RuleBreach("seq", said))
            self._reporter.here = here

    def _take_early(self, tracked: TrackedConnection) -> None:
        """Judge the records that waited for the last one."""
        while (early := tracked.early.pop(tracked.seq + 1, None)) is not None:
            self.waiting -= 1
            self._reporter.here = early.here
            self._judge.judge(tracked, early.record, early.secrets)
            if tracked.past_window:
                self.waiting -= len(tracked.early)
                tracked.early.clear()

    def _skip_hole(self, tracked: TrackedConnection) -> None:
        """Wait no longer for the next record, and judge those after it."""
        seq, early = min(tracked.early.items())
        self._reporter.here = early.here
        if early.record.timestamp is not None:
            self._judge.look(tracked, early.record.timestamp, is_hole=True)
        if self._counts(tracked, early.record):
            self._reporter.report(tracked, RuleBreach("seq", describe_hole(tracked.seq, seq)))
        tracked.facts.note_hole()
        tracked.skipped = True
        tracked.missing += seq - tracked.seq - 1
        tracked.seq = seq - 1
        self._take_early(tracked)

    def _counts(self, tracked: TrackedConnection, record: FlatRecord | BadRecord) -> bool:
        return self._window.is_all or isinstance(record, BadRecord) or self._window.includes(tracked, record)
