"""Follow the connections around one instant: which of them were down then, since when, and until when.

Invariant: an outage is what the records of the client say it is. This module finds the one that holds the instant; it derives
none. Before the first link there is no outage, and the state tells that the connection was not available.

Design: the state at the instant is the state after the last record before it. Where records are missing around the instant, the
next step tells since when its state was, and the end of an outage tells its length; either corrects the first opinion.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from realtime_fsm.audit.answer import Missed
from realtime_fsm.audit.decoding import FAULT as SERVER_FAULT
from realtime_fsm.audit.decoding import GAP, MISSING, OUTAGE, TRANSITION
from realtime_fsm.audit.row_facts import CONNECTED, DISCONNECTED, DISPOSING, ERROR, PING, RECONNECTING, SUBSCRIBED, UNSUBSCRIBED
from realtime_fsm.audit.watch import Seen, Spell, Watch
from realtime_fsm.fsm.table import LIVE

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.tracking import TrackedConnection

UP, DOWN, UNWANTED, UNKNOWN, ABSENT, SILENT = "up", "down", "unwanted", "unknown", "absent", "silent"
"""How a connection may stand at an instant. It is absent before its first record, and after its end."""
LOST, FAULT, NO_LINK = "outage", "fault", "no link yet"
MOST_MISSED = 100
"""Subscriptions whose missed spans are listed."""
_SETTLED = (SUBSCRIBED, UNSUBSCRIBED, PING)


class Instant:
    """Watches all connections around an instant.

    Args:
        moment: the instant.
    """

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def before(self, tracked: TrackedConnection, moment: datetime, *, is_hole: bool = False) -> None:
        """Look at a connection before a record of some moment counts.

        Args:
            tracked: the connection.
            moment: the moment of the record.
            is_hole: whether records are missing before it.
        """
        watch = tracked.watch
        if watch is None:
            watch = tracked.watch = Watch(moment)
        if watch.standing is None and moment > self.moment:
            self._look(tracked, watch, is_hole=is_hole)

    def after(self, tracked: TrackedConnection, line: FlatRecord, number: int) -> None:
        """Learn from a record that has been applied."""
        watch = tracked.watch
        assert watch is not None
        spell = watch.spell
        if line.event == TRANSITION:
            self._after_step(tracked, watch, line, number)
        elif line.event == OUTAGE and line.change == "opened":
            watch.opened = Seen(line, number)
            if spell is not None and spell.kind == FAULT:
                _go_on_as_outage(spell, line)
        elif line.event == OUTAGE:
            self._after_outage(tracked, watch, line, number)
        elif line.event == SERVER_FAULT and line.change == "opened":
            watch.fault = Seen(line, number)
        elif line.event == SERVER_FAULT:
            if spell is not None and spell.kind == FAULT and spell.until is None:
                spell.finish(line.timestamp, "healed")
        elif line.event == GAP and spell is not None:
            _miss(spell, line)

    def conclude(self, tracked: TrackedConnection, newest: datetime) -> str:
        """Tell how a connection stood at the instant, after its last record.

        Args:
            tracked: the connection.
            newest: the newest moment of the log.
        """
        watch = tracked.watch
        if watch is None:  # none of its records could be read
            return UNKNOWN
        if watch.standing is None:
            self._look(tracked, watch)
            if watch.standing == UP and self._is_silent(tracked):
                watch.standing = SILENT
        spell = watch.spell
        if spell is not None and spell.until is None:
            if spell.opened is not None:
                spell.dials = tracked.dials_in(spell.opened)
            known = {missed.subscription for missed in spell.missed}
            lasted = round(max(0.0, (newest - spell.since).total_seconds()), 6)
            room = MOST_MISSED - len(spell.missed)
            spell.missed += [Missed(each, spell.since, None, lasted) for each in sorted(tracked.desired - known)[:room]]
        return watch.standing or UNKNOWN

    def _look(self, tracked: TrackedConnection, watch: Watch, *, is_hole: bool = False) -> None:
        """Note how the connection stands at the instant."""
        state, outage = tracked.state, tracked.outage
        watch.is_sure = state is not None and not is_hole
        watch.standing = UP
        if watch.first > self.moment:
            watch.standing = UNKNOWN if is_hole else ABSENT
        elif tracked.closed_by_record or state == DISPOSING:
            watch.standing = ABSENT
        elif outage is not None and state not in _SETTLED:
            self._begin_outage(tracked, watch, outage.record)
        elif tracked.lost_by is not None and watch.loss is not None:  # the record of the outage is missing
            self._begin(tracked, watch, Spell(LOST, watch.loss.record.timestamp, tracked.lost_by, seen=watch.loss))
        elif state is None:
            watch.standing = UNKNOWN
        elif state == DISCONNECTED:
            watch.standing = UNWANTED
        elif state == ERROR or (state == RECONNECTING and tracked.covered_from is None):
            self._begin_search(tracked, watch)
        elif tracked.faulty_since is not None and watch.fault is not None:
            told = watch.fault.record
            since = told.timestamp - timedelta(seconds=told.seconds)
            self._begin(tracked, watch, Spell(FAULT, since, "error_frame", seen=watch.fault))

    @staticmethod
    def _begin(tracked: TrackedConnection, watch: Watch, spell: Spell) -> None:
        watch.standing, watch.spell = DOWN, spell
        spell.failure, spell.gave_up = watch.failure, watch.gave_up
        if spell.opened is not None:
            spell.dials = tracked.dials_in(spell.opened)
        elif spell.kind != FAULT:
            spell.dials = max(0, tracked.attempt)

    def _begin_outage(self, tracked: TrackedConnection, watch: Watch, opened: FlatRecord) -> None:
        if opened.planned and tracked.state == DISCONNECTED:
            watch.standing = UNWANTED
            return
        since, seen, loss = opened.timestamp, watch.opened, watch.loss
        if loss is not None and loss.record.seq == opened.seq - 1:
            seen = loss  # which tells more
        if opened.planned and watch.sought is not None:
            since = max(since, watch.sought.record.timestamp)
        spell = Spell(LOST, since, opened.cause or MISSING, planned=opened.planned, seen=seen, opened=opened)
        self._begin(tracked, watch, spell)

    def _begin_search(self, tracked: TrackedConnection, watch: Watch) -> None:
        """Begin without a record of an outage: before the first link, or where that record is missing."""
        sought = watch.sought
        if sought is None:
            watch.standing = UNKNOWN
            return
        step = sought.record
        kind = NO_LINK if watch.loss is None and step.source not in LIVE else LOST
        spell = Spell(kind, step.timestamp, step.cause or MISSING, seen=sought)
        if step.source in (RECONNECTING, ERROR):  # the step that entered the state is missing
            spell.since, spell.is_exact = step.timestamp - timedelta(seconds=max(0.0, step.dwell)), False
        self._begin(tracked, watch, spell)

    def _after_step(self, tracked: TrackedConnection, watch: Watch, line: FlatRecord, number: int) -> None:
        if line.source in LIVE and line.dest not in LIVE:
            watch.loss = Seen(line, number)
        if line.dest in LIVE or line.dest in (DISCONNECTED, DISPOSING):
            watch.sought = None
        elif watch.sought is None:
            watch.sought = Seen(line, number)
        if line.dest in _SETTLED:
            watch.failure, watch.gave_up = None, False
        elif line.cause not in (None, MISSING):
            watch.failure, watch.gave_up = line, watch.gave_up or line.dest == ERROR
        if watch.standing is None:
            return
        if not watch.is_sure:
            watch.is_sure = True
            self._correct(tracked, watch, line)
        if watch.spell is not None and watch.spell.until is None:
            self._go_on(tracked, watch, watch.spell, line)

    @staticmethod
    def _go_on(tracked: TrackedConnection, watch: Watch, spell: Spell, line: FlatRecord) -> None:
        """Follow a spell through a step."""
        if spell.kind != FAULT:
            spell.dials = max(spell.dials, tracked.dials_in(spell.opened) if spell.opened is not None else line.attempt)
        if line.dest == DISPOSING:
            spell.finish(line.timestamp, "disposed")
        elif spell.kind == FAULT:
            return
        elif line.source in _SETTLED:  # the record of its end is missing
            spell.finish(max(spell.since, line.timestamp - timedelta(seconds=max(0.0, line.dwell))), "healed")
        elif line.dest in _SETTLED:
            spell.finish(line.timestamp, "healed")
        else:
            spell.failure, spell.gave_up = watch.failure, watch.gave_up

    def _correct(self, tracked: TrackedConnection, watch: Watch, line: FlatRecord) -> None:
        """Correct the opinion on the instant by the first step after it, which tells since when its state was."""
        entered = line.timestamp - timedelta(seconds=max(0.0, line.dwell))
        if entered > self.moment or line.dwell < 0:
            return
        if line.source in _SETTLED or (line.source == CONNECTED and watch.standing == UNKNOWN):
            watch.standing, watch.spell = UP, None
        elif line.source == DISCONNECTED:
            watch.standing, watch.spell = UNWANTED, None
        elif line.source in (RECONNECTING, ERROR) and watch.standing != DOWN:
            self._begin(tracked, watch, Spell(LOST, entered, MISSING, is_exact=False))

    def _after_outage(self, tracked: TrackedConnection, watch: Watch, line: FlatRecord, number: int) -> None:
        """Learn from the end of an outage: it tells the length, whatever came before."""
        began = line.timestamp - timedelta(seconds=line.seconds)
        if watch.standing is None or not began <= self.moment < line.timestamp:
            return
        if watch.standing in (UNWANTED, ABSENT) and line.planned:
            return
        spell = watch.spell
        if spell is None or spell.kind == FAULT:
            spell = Spell(LOST, began, MISSING, seen=Seen(line, number))
            self._begin(tracked, watch, spell)
        if spell.opened is None:
            spell.since, spell.is_exact = began, True
        spell.kind, spell.cause, spell.planned, spell.dials = LOST, line.cause or MISSING, line.planned, line.dials
        spell.finish(line.timestamp, "healed")

    def _is_silent(self, tracked: TrackedConnection) -> bool:
        """Whether pings should have left records until the instant."""
        policies, last = tracked.policies, tracked.last
        if policies is None or not policies.ping.enabled or last is None:
            return False
        return (self.moment - last).total_seconds() > 3 * (policies.ping.interval + policies.ping.timeout)


def _go_on_as_outage(spell: Spell, opened: FlatRecord) -> None:
    """Go on where the loss of the link ends a server fault: nothing is delivered, as before."""
    if spell.until is None or (opened.timestamp - spell.until).total_seconds() <= 1:
        spell.kind, spell.opened, spell.cause, spell.until, spell.end = LOST, opened, opened.cause or MISSING, None, ""


def _miss(spell: Spell, line: FlatRecord) -> None:
    """Note the gap of a subscription that belongs to a spell."""
    since = line.timestamp - timedelta(seconds=line.seconds)
    if len(spell.missed) < MOST_MISSED and (spell.until is None or since < spell.until):
        spell.missed.append(Missed(line.subscription, since, line.timestamp, line.seconds))
