"""Follow a connection around one instant: whether it was down then, since when, and until when.

Invariant: an outage is what the records of the client say it is. This module finds the one that holds the instant; it derives
none. Before the first link there is no outage, and the state tells that the connection was not available.

Design: the state at the instant is the state after the last record before it. Where records are missing around the instant, the
next step tells since when its state was, and the end of an outage tells its length; either corrects the first opinion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from realtime_fsm.audit.answer import Missed
from realtime_fsm.audit.decoding import FAULT as SERVER_FAULT
from realtime_fsm.audit.decoding import GAP, MISSING, OUTAGE, TRANSITION
from realtime_fsm.audit.row_facts import CONNECTED, DISCONNECTED, DISPOSING, ERROR, PING, RECONNECTING, SUBSCRIBED, UNSUBSCRIBED
from realtime_fsm.fsm.table import LIVE

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts

UP, DOWN, UNWANTED, UNKNOWN, ABSENT, SILENT = "up", "down", "unwanted", "unknown", "absent", "silent"
"""How a connection may stand at an instant. It is absent before its first record, and after its end."""
LOST, FAULT, NO_LINK = "outage", "fault", "no link yet"
MOST_MISSED = 100
"""Subscriptions whose missed spans are listed."""
_SETTLED = (SUBSCRIBED, UNSUBSCRIBED, PING)


class LocatedRecord(NamedTuple):
    """A record, and the number of its line."""

    record: FlatRecord
    line: int


@dataclass(slots=True, eq=False)
class DownPeriod:
    """A time in which a connection was not available."""

    kind: str
    since: datetime
    cause: str
    planned: bool = False
    is_exact: bool = True
    seen: LocatedRecord | None = None  # the record to look at
    opened: FlatRecord | None = None  # the record that begins the outage
    dials: int = 0
    until: datetime | None = None
    end: str = ""
    failure: FlatRecord | None = None  # the last step that failed in it
    gave_up: bool = False
    missed: list[Missed] = field(default_factory=list)

    def finish(self, moment: datetime, end: str) -> None:
        """Note the end."""
        self.until, self.end = moment, end

    def go_on_as_outage(self, opened: FlatRecord) -> None:
        """Go on where the loss of the link ends a server fault: nothing is delivered, as before."""
        if self.until is None or (opened.timestamp - self.until).total_seconds() <= 1:
            self.kind, self.opened, self.cause, self.until, self.end = LOST, opened, opened.cause or MISSING, None, ""
            self.dials = opened.dials

    def miss(self, line: FlatRecord) -> None:
        """Note the gap of a subscription, if it belongs to the period."""
        since = line.timestamp - timedelta(seconds=line.seconds)
        if len(self.missed) < MOST_MISSED and (self.until is None or since < self.until):
            self.missed.append(Missed(line.subscription, since, line.timestamp, line.seconds))


class Watch:
    """Follow a connection around the instant `at`; `first` is the moment of its first record."""

    def __init__(self, at: datetime, first: datetime, facts: Facts) -> None:
        self.first: datetime = first
        self._at, self._facts = at, facts
        self.standing: str | None = None  # at the instant; None before
        self.period: DownPeriod | None = None  # the time that holds the instant and in which the connection is down
        self._is_sure: bool  # whether no step can correct the look at the instant; set with that look
        self._sought: LocatedRecord | None = None  # the step since which a link is sought
        self._loss: LocatedRecord | None = None  # the last step that lost a live link
        self._opened: LocatedRecord | None = None  # the last record that begins an outage
        self._fault: LocatedRecord | None = None  # the last record that begins a server fault
        self._failure: FlatRecord | None = None  # the last step that failed since a link was up
        self._gave_up = False  # since then

    def before(self, moment: datetime, *, is_hole: bool = False) -> None:
        """Look at the connection before a record of some moment counts, or after records that are missing before it."""
        if self.standing is None and moment > self._at:
            self._look(is_hole=is_hole)

    def after(self, line: FlatRecord, number: int) -> None:
        """Learn from a record that has been applied; `number` is that of its line."""
        period = self.period
        if line.event == TRANSITION:
            self._after_step(line, number)
        elif line.event == OUTAGE and line.change == "opened":
            self._opened = LocatedRecord(line, number)
            if period is not None and period.kind == FAULT:
                period.go_on_as_outage(line)
        elif line.event == OUTAGE:
            self._after_outage(line, number)
        elif line.event == SERVER_FAULT and line.change == "opened":
            self._fault = LocatedRecord(line, number)
        elif line.event == SERVER_FAULT:
            if period is not None and period.kind == FAULT and period.until is None:
                period.finish(line.timestamp, "healed")
        elif line.event == GAP and period is not None:
            period.miss(line)

    def conclude(self, last: datetime, newest: datetime) -> str:
        """Tell how the connection stood at the instant; `last` is its last record, and `newest` the newest of the log."""
        if self.standing is None:
            self._look()
            if self.standing == UP and self._is_silent(last):
                self.standing = SILENT
        period = self.period
        if period is not None and period.until is None:
            lasted = round(max(0.0, (newest - period.since).total_seconds()), 6)
            rest = sorted(self._facts.subscriptions.desired - {missed.subscription for missed in period.missed})
            period.missed += [Missed(each, period.since, None, lasted) for each in rest[: MOST_MISSED - len(period.missed)]]
        return self.standing or UNKNOWN

    def _look(self, *, is_hole: bool = False) -> None:
        """Note how the connection stands at the instant."""
        facts, outages = self._facts, self._facts.outages
        state = facts.state
        self._is_sure = state is not None and not is_hole
        self.standing = UP
        if self.first > self._at:
            self.standing = UNKNOWN if is_hole else ABSENT
        elif facts.closed_by_record or state == DISPOSING:
            self.standing = ABSENT
        elif outages.current is not None and state not in _SETTLED:
            self._begin_outage(outages.current.record)
        elif outages.lost_by is not None and self._loss is not None:  # the record of the outage is missing
            self._begin(DownPeriod(LOST, self._loss.record.timestamp, outages.lost_by, seen=self._loss))
        elif state is None:
            self.standing = UNKNOWN
        elif state == DISCONNECTED:
            self.standing = UNWANTED
        elif state == ERROR or (state == RECONNECTING and outages.covered_from is None):
            self._begin_search()
        elif outages.faulty_since is not None and self._fault is not None:
            told = self._fault.record
            self._begin(DownPeriod(FAULT, told.timestamp - timedelta(seconds=told.seconds), "error_frame", seen=self._fault))

    def _begin(self, period: DownPeriod) -> None:
        self.standing, self.period = DOWN, period
        period.failure, period.gave_up = self._failure, self._gave_up
        if period.opened is not None:
            period.dials = self._facts.dials_in(period.opened)
        elif period.kind != FAULT:
            period.dials = max(0, self._facts.attempt)

    def _begin_outage(self, opened: FlatRecord) -> None:
        if opened.planned and self._facts.state == DISCONNECTED:
            self.standing = UNWANTED
            return
        since, seen, loss = opened.timestamp, self._opened, self._loss
        if loss is not None and loss.record.seq == opened.seq - 1:
            seen = loss  # which tells more
        if opened.planned and self._sought is not None:
            since = max(since, self._sought.record.timestamp)
        self._begin(DownPeriod(LOST, since, opened.cause or MISSING, planned=opened.planned, seen=seen, opened=opened))

    def _begin_search(self) -> None:
        """Begin without a record of an outage: before the first link, or where that record is missing."""
        sought = self._sought
        if sought is None:
            self.standing = UNKNOWN
            return
        step = sought.record
        kind = NO_LINK if self._loss is None and step.source not in LIVE else LOST
        period = DownPeriod(kind, step.timestamp, step.cause or MISSING, seen=sought)
        if step.source in (RECONNECTING, ERROR):  # the step that entered the state is missing
            period.since, period.is_exact = _entered(step), False
        self._begin(period)

    def _after_step(self, line: FlatRecord, number: int) -> None:
        if line.source in LIVE and line.dest not in LIVE:
            self._loss = LocatedRecord(line, number)
        if line.dest in LIVE or line.dest in (DISCONNECTED, DISPOSING):
            self._sought = None
        elif self._sought is None:
            self._sought = LocatedRecord(line, number)
        if line.dest in _SETTLED:
            self._failure, self._gave_up = None, False
        elif line.cause not in (None, MISSING):
            self._failure, self._gave_up = line, self._gave_up or line.dest == ERROR
        if self.standing is None:
            return
        if not self._is_sure:
            self._is_sure = True
            self._correct(line)
        if self.period is not None and self.period.until is None:
            self._go_on(self.period, line)

    def _go_on(self, period: DownPeriod, line: FlatRecord) -> None:
        """Follow a period through a step."""
        if period.kind != FAULT:
            period.dials = max(period.dials, self._facts.dials_in(period.opened) if period.opened is not None else line.attempt)
        if line.dest == DISPOSING:
            period.finish(line.timestamp, "disposed")
        elif period.kind == FAULT:
            return
        elif line.source in _SETTLED:  # the record of its end is missing
            period.finish(max(period.since, _entered(line)), "healed")
        elif line.dest in _SETTLED:
            period.finish(line.timestamp, "healed")
        else:
            period.failure, period.gave_up = self._failure, self._gave_up

    def _correct(self, line: FlatRecord) -> None:
        """Correct the opinion on the instant by the first step after it, which tells since when its state was."""
        entered = _entered(line)
        if entered > self._at:
            return
        if line.source in _SETTLED or (line.source == CONNECTED and self.standing == UNKNOWN):
            self.standing, self.period = UP, None
        elif line.source == DISCONNECTED:
            self.standing, self.period = UNWANTED, None
        elif line.source in (RECONNECTING, ERROR) and self.standing != DOWN:
            self._begin(DownPeriod(LOST, entered, MISSING, is_exact=False))

    def _after_outage(self, line: FlatRecord, number: int) -> None:
        """Learn from the end of an outage: it tells the length, whatever came before."""
        began = line.timestamp - timedelta(seconds=line.seconds)
        if self.standing is None or not began <= self._at < line.timestamp:
            return
        if self.standing in (UNWANTED, ABSENT) and line.planned:
            return
        period = self.period
        if period is None or period.kind == FAULT:
            period = DownPeriod(LOST, began, MISSING, seen=LocatedRecord(line, number))
            self._begin(period)
        if period.opened is None:
            period.since, period.is_exact = began, True
        period.kind, period.cause, period.planned, period.dials = LOST, line.cause or MISSING, line.planned, line.dials
        period.finish(line.timestamp, "healed")

    def _is_silent(self, last: datetime) -> bool:
        """Whether pings should have left records until the instant."""
        policies = self._facts.policies
        if policies is None or not policies.ping.enabled:
            return False
        return (self._at - last).total_seconds() > 3 * (policies.ping.interval + policies.ping.timeout)


def _entered(line: FlatRecord) -> datetime:
    """When the state was entered that a step ends."""
    return line.timestamp - timedelta(seconds=max(0.0, line.dwell))
