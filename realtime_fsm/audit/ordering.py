"""Bring the records of each connection into the order of their numbers.

Invariant: a record that is missing, doubled or out of order is a doubt. A record that comes before its turn waits, so that
disorder within a window costs nothing but a doubt. The number of records that wait is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.decoding import BadRecord
from realtime_fsm.audit.finding import describe_hole
from realtime_fsm.audit.rules import RuleBreach
from realtime_fsm.audit.tracking import EarlyRecord

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.finding import Reporter
    from realtime_fsm.audit.judging import Judge
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.audit.window import Window

MAX_EARLY = 128
"""Records of a connection that wait for an earlier one. With one more, the earlier one counts as missing."""
MAX_EARLY_TOGETHER = 1 << 14
"""Records of all connections that wait. With one more, its connection waits no longer."""


class Sequencer:
    """Brings records into their order.

    Args:
        judge: judges them.
        reporter: takes the findings about their order.
        window: the span of time that is judged.

    Attributes:
        waiting: the number of records that wait for an earlier one.
    """

    def __init__(self, judge: Judge, reporter: Reporter, window: Window) -> None:
        self._judge, self._reporter, self._window = judge, reporter, window
        self.waiting: int = 0

    def take(self, tracked: TrackedConnection, record: FlatRecord | BadRecord, secrets: tuple[str, ...] = ()) -> None:
        """Take a record, which is judged in its turn; one without a number is judged at once."""
        seq = record.seq
        if seq == tracked.seq + 1:
            if tracked.early:
                self._report_swap(tracked, record)
            self._judge.judge(tracked, record, secrets)
            if tracked.early:
                self._take_early(tracked)
        elif seq is None:
            tracked.missing -= 1
            self._judge.judge(tracked, record)
        else:
            self._set_aside(tracked, seq, EarlyRecord(self._reporter.here, record, secrets))

    def settle(self, tracked: TrackedConnection) -> None:
        """Wait no longer for records of a connection that are late."""
        while tracked.early:
            self._skip_hole(tracked)

    def _set_aside(self, tracked: TrackedConnection, seq: int, early: EarlyRecord) -> None:
        """Let a record that comes too early wait, and leave out one whose number has come before."""
        if tracked.past_window:
            if not isinstance(early.record, BadRecord):
                self._window.look_back(tracked, early.record)
            return
        if seq <= tracked.seq or seq in tracked.early:
            tracked.missing -= 1
            self._reporter.report(tracked, RuleBreach("seq", f"number {seq} comes after number {max(tracked.seq, seq)}"))
            if early.secrets:
                self._reporter.report_secrets(tracked, early.secrets)
            return
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
        tracked.missing += seq - tracked.seq - 1
        tracked.seq = seq - 1
        self._take_early(tracked)

    def _counts(self, tracked: TrackedConnection, record: FlatRecord | BadRecord) -> bool:
        return self._window.is_all or isinstance(record, BadRecord) or self._window.includes(tracked, record)
