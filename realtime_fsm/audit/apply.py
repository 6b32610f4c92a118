"""Apply a step to the facts of its connection, whether or not the step is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.deadline_checks import delay_bounds
from realtime_fsm.audit.guard_inference import URL_ERAS, drops_message, is_refusal, is_told_to_wait
from realtime_fsm.audit.handovers import begin_handover, look_for_completion, resume
from realtime_fsm.audit.row_facts import DISCONNECTED, DISPOSING, ERROR, PING, RECONNECTING, UNSUBSCRIBED, told_facts
from realtime_fsm.audit.tracking import LIMIT, MINUS_INFINITY, WINDOW
from realtime_fsm.fsm.table import LIVE, State
from realtime_fsm.protocol.eras import Era

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.row_facts import RowFacts
    from realtime_fsm.audit.tracking import TrackedConnection

_STATES = frozenset(state.value for state in State)


def resync(tracked: TrackedConnection, line: FlatRecord, step: RowFacts | None) -> None:
    """Take the state and the numbers from a record that the records before do not explain.

    The numbers are those after the record, less a dial or a frame that its row certainly makes.
    """
    tracked.forget_state()
    tracked.set_state(line.source if line.source in _STATES else None, tracked.now - max(0.0, line.dwell))
    tracked.current = line.link
    tracked.link, tracked.attempt, tracked.sends = line.link, max(0, line.attempt), max(0, line.sends)
    if step is not None:
        tracked.sends -= step.must_send
        if step.resets_attempts and step.dials and line.attempt > 0:
            tracked.link -= 1
    if line.source in LIVE:
        tracked.has_link = True
    elif line.source in (DISCONNECTED, ERROR):
        tracked.has_link = False


def doubt(tracked: TrackedConnection, step: RowFacts) -> None:
    """Forget whether a believed step sent a request or dialed: only the numbers before it could tell."""
    if step.may_send and not step.pings:
        tracked.request_in_flight = tracked.put_back = None
    if step.dials and not step.resets_attempts:
        tracked.has_link = None


def apply_step(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, detail: bool) -> None:
    """Apply a step.

    Args:
        tracked: the connection.
        line: the record.
        step: the facts of its row.
        t: its time, in seconds of the connection.
        detail: whether to keep the timeline.
    """
    tracked.now = tracked.noted = t
    if line.at is not None:
        tracked.origin = line.at - t
    tracked.ping_took = line.dwell if step.source == PING else None
    if detail:
        tracked.clock = line.timestamp.timestamp() - t
    tracked.rejected, tracked.next_triggers, tracked.dialed = 0, None, max(0, line.link - tracked.link)
    was_draining = tracked.draining is not None
    if step.answers:
        tracked.erred = step.is_error_frame
    if step.may_send:
        _note_sends(tracked, line, step, t)
    if step.changes:
        _enter(tracked, line, step, t, detail)
    elif step.opens:
        tracked.opened_at = t
    elif step.ends:
        tracked.closed = True
    elif step.closes_awaited and tracked.awaits is not None:
        tracked.awaits -= 1
    if not step.link_unchanged:
        _note_link(tracked, line, step, t)
    elif step.enters_live:
        if step.closes_draining:
            tracked.draining = None
        _note_era(tracked, line.era)
    else:
        tracked.era = line.era
    if step.settles:
        tracked.note_up()
    elif step.enters_live and not tracked.desired:
        tracked.note_up(surely=tracked.complete)
    if step.leaves_live or (was_draining and step.closes_draining):
        note_loss(tracked, line.cause or step.trigger)


def follow_step(tracked: TrackedConnection, line: FlatRecord, *, detail: bool) -> RowFacts | None:
    """Follow a step of an unknown table, for the figures that need no table.

    Returns:
        The facts of the step; None for a state that this version does not know, after which the connection's state is unknown.
    """
    step = told_facts(line.source, line.trigger, line.dest)
    if step is None:
        tracked.note_hole()
        return None
    if tracked.state != line.source:
        resync(tracked, line, None)
    tracked.complete = False
    apply_step(tracked, line, step, tracked.entered + max(0.0, line.dwell), detail)
    tracked.link, tracked.attempt = line.link, line.attempt
    return step


def note_loss(tracked: TrackedConnection, cause: str) -> None:
    """Note that no link delivers any more. A record must begin an outage before the next step."""
    if tracked.complete and tracked.outage is None and tracked.draining is None and tracked.state != DISPOSING:
        tracked.lost_by = cause


def _note_sends(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> None:
    sent = line.sends - tracked.sends
    if step.answers:
        if step.is_error_frame:
            tracked.error_answered_request = tracked.request_in_flight
            if drops_message(line):
                tracked.closed_until = t + WINDOW
                tracked.put_back = tracked.request_in_flight or tracked.put_back
        else:
            tracked.put_back = False
        tracked.request_in_flight = False
    if sent > 0:
        if len(tracked.sent) == LIMIT:
            tracked.prune_send_window(t)
        tracked.sent.append(t)
        if not step.pings:
            tracked.request_in_flight, tracked.asked_at, tracked.put_back = True, t, False
    tracked.sends = line.sends


def _note_link(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> None:
    waits = step.plans_retry or (step.restores and is_told_to_wait(line))
    if step.plans_retry:
        refused = is_refusal(tracked, line)
        tracked.refusals = (
            0 if refused is False else None if refused is None or tracked.refusals is None else tracked.refusals + 1
        )
    if step.is_error_frame and not step.may_send:
        tracked.request_in_flight = tracked.error_answered_request = False
    if step.closes_first:
        tracked.awaits = None if tracked.has_link is None else tracked.has_link + (tracked.draining is not None)
    if step.drains and tracked.draining is None:
        begin_handover(tracked)
    if step.drops:
        tracked.has_link = tracked.request_in_flight = tracked.error_answered_request = False
        tracked.acknowledged.clear()
        tracked.retry = None
    if waits:
        held = tracked.not_before - t
        tracked.throttled = held > 0 or is_told_to_wait(line)
        tracked.retry = None if tracked.policies is None else (t, *delay_bounds(tracked.policies, line, held))
    elif step.dials:
        tracked.retry = None
    if step.closes_draining:
        tracked.draining = None
    if step.switches_to_url:
        tracked.next_dial_in_url, tracked.doubtful = True, False
    elif step.finds_era or waits:
        if step.finds_era:
            tracked.doubtful = None if tracked.policies is None else line.era == Era.E3 and tracked.policies.era is None
        tracked.next_dial_in_url = _asks_in_url(tracked, line.era, covered=not step.finds_era and tracked.draining is not None)
    elif step.resets_attempts and step.source in LIVE:  # in `reconnecting` the machine dials again as it did
        tracked.next_dial_in_url = line.era in URL_ERAS
    tracked.era = line.era
    if step.resets_attempts:
        tracked.refusals, tracked.not_before = 0, MINUS_INFINITY
    if step.expects_first_link:
        tracked.been_up = False
    elif step.restores:
        tracked.been_up = tracked.ever_up
    if line.link > tracked.link:
        tracked.awaits, tracked.current = 0, line.link
        tracked.dialed_in_url = tracked.next_dial_in_url
        tracked.has_link, tracked.dialed_at, tracked.sends = True, t, line.sends
        tracked.request_in_flight = tracked.put_back = tracked.error_answered_request = tracked.throttled = tracked.proven = (
            tracked.accepted
        ) = False
        tracked.reset_link()
    tracked.link, tracked.attempt = line.link, line.attempt
    if step.resumes:
        resume(tracked, line, t)


def _note_era(tracked: TrackedConnection, era: str | None) -> None:
    """Note the era that a greeting shows."""
    look_for_completion(tracked)
    if not tracked.complete or tracked.policies is None:
        tracked.doubtful = None
    elif era == Era.E3 and tracked.era not in (None, Era.E3):
        tracked.doubtful = tracked.policies.era is None
    tracked.era = era


def _asks_in_url(tracked: TrackedConnection, era: str | None, *, covered: bool) -> bool | None:
    """Whether the next dial asks for channels in the URL. A server that greets like an E3 is asked once like an E4."""
    if era != Era.E3:
        return era in URL_ERAS
    if covered:
        return True if tracked.complete else None
    return None if tracked.doubtful is None else not tracked.doubtful


def _enter(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, detail: bool) -> None:
    """Leave a state and enter another one."""
    tracked.leave_state(t, detail)
    dest = step.dest
    if step.is_pong:
        tracked.stats.pings.add(line.dwell)
    if dest == UNSUBSCRIBED and tracked.state_before_ping != UNSUBSCRIBED:
        # Where a ping was out, the last subscription may have been given up at any time since, and no step tells when.
        # After missing records it may have been removed before the ping.
        before_ping = MINUS_INFINITY if tracked.state_before_ping is None else tracked.entered
        tracked.idle_from = before_ping if step.source == PING else t
    if step.enters_live:
        tracked.up_at = t
    elif dest == ERROR:
        tracked.stats.count("gave up")
    elif dest == DISCONNECTED:
        tracked.unwanted = line.cause is not None
    if tracked.covered_from is not None:
        tracked.end_coverage(t)
    if step.leaves_live and dest == RECONNECTING and tracked.outage is None:
        tracked.covered_from = t
    tracked.state, tracked.entered = dest, t
    tracked.state_before_ping = step.source if dest == PING else dest
