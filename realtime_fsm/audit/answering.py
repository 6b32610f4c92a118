"""Collect the connections that were down at an instant, and tell why in a sentence. Its size is bounded."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from realtime_fsm.audit import downtime
from realtime_fsm.audit.answer import Answer, Downtime, Missed
from realtime_fsm.audit.causes import describe_cause
from realtime_fsm.audit.collector import KEPT, Worst
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.report import Verdict
from realtime_fsm.audit.secret_scan import masked

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.downtime import DownPeriod
    from realtime_fsm.audit.finding import LineNumbers
    from realtime_fsm.audit.report import Report
    from realtime_fsm.audit.tracking import TrackedConnection


class AnswerBuilder:
    """Collect how the connections stood at an instant."""

    def __init__(self, at: datetime, places: LineNumbers) -> None:
        self._at = at
        self._places = places
        self._counts: Counter[str] = Counter()
        self._worst: Worst[tuple[bool, float, int], Downtime] = Worst(KEPT)
        self._begins: datetime | None = None

    def add(self, tracked: TrackedConnection, newest: datetime | None) -> None:
        """Add a connection after its last record; `newest` is the newest moment of the log so far."""
        watch = tracked.watch
        if watch is None or tracked.last is None:  # none of its records could be read
            return
        newest = newest or tracked.last
        standing = watch.conclude(tracked.last, newest)
        self._counts[standing] += 1
        self._begins = watch.first if self._begins is None else min(self._begins, watch.first)
        if watch.period is None or standing != downtime.DOWN:
            return
        told = self._tell(tracked, watch.period, newest)
        self._worst.add((not told.planned, told.seconds, -tracked.first_line), lambda: told)

    def _tell(self, tracked: TrackedConnection, period: DownPeriod, newest: datetime) -> Downtime:
        end = newest if period.until is None else period.until
        seen = period.seen
        missed = [Missed(masked(each.subscription), each.since, each.until, each.seconds) for each in period.missed]
        return Downtime(
            connection=masked(tracked.connection_id),
            since=period.since,
            is_exact=period.is_exact,
            seconds=round(max(0.0, (end - period.since).total_seconds()), 6),
            kind=period.kind,
            cause=masked(period.cause),
            planned=period.planned,
            why=_why(period),
            attempts=period.dials,
            until=period.until,
            end=period.end or "still down",
            last=tracked.last,
            missed=missed,
            seq=None if seen is None else seen.record.seq,
            place=None if seen is None else self._places.of(seen.line),
        )

    def answer(self, report: Report, newest: datetime | None) -> Answer:
        """Build the answer from the report on the log, and the newest moment of the log."""
        counts, at = self._counts, self._at
        told = self._begins is not None and newest is not None and self._begins <= at <= newest
        return Answer(
            at=at,
            zone=at.tzname() or "UTC",
            verdict=report.verdict if told else Verdict.UNUSABLE.word,
            exit_code=report.exit_code if told else int(Verdict.UNUSABLE),
            connections=counts.total() - counts[downtime.ABSENT],
            down=self._worst.all(),
            down_total=counts[downtime.DOWN],
            healthy=counts[downtime.UP],
            unwanted=counts[downtime.UNWANTED],
            unknown=counts[downtime.UNKNOWN],
            silent=counts[downtime.SILENT],
            begins=self._begins,
            ends=newest,
            findings=report.findings,
            first=report.first,
        )


def _why(period: DownPeriod) -> str:
    """Tell the cause in a sentence, and how it went on."""
    failure = period.failure
    last = None if failure is None or failure.cause is None else describe_cause(failure.cause, failure)
    step = None if period.seen is None else period.seen.record
    end = f"; it gave up after {pluralize(period.dials, 'attempt')}" if period.gave_up else ""
    if period.kind == downtime.FAULT:
        return "the server answered, and could not do its work (error_frame)"
    if period.kind == downtime.NO_LINK:
        return f"no link had come about{'' if last is None else f': {last}'}{end}"
    begun = describe_cause(period.cause, step if step is not None and step.cause == period.cause else None)
    if last is None or failure is None:
        return begun
    if period.gave_up:
        return f"{begun}{end}: {last}"
    return begun if failure is step or failure.cause == period.cause else f"{begun}; then {last}"
