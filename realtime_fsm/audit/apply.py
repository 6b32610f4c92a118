"""Apply a step to the facts of its connection, whether or not the step is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.deadline_checks import delay_bounds
from realtime_fsm.audit.facts import LIMIT, MINUS_INFINITY, WINDOW, Frames, Link, OldLink
from realtime_fsm.audit.guard_inference import URL_ERAS, drops_message, failure_code, is_refusal, is_throttled, is_told_to_wait
from realtime_fsm.audit.row_facts import DISCONNECTED, DISPOSING, EFFECT, ERROR, PING, RECONNECTING, UNSUBSCRIBED, told_facts
from realtime_fsm.fsm.table import LIVE, State, Trigger
from realtime_fsm.protocol.eras import Era

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts
    from realtime_fsm.audit.row_facts import RowFacts
    from realtime_fsm.audit.tracking import TrackedConnection

_STATES = frozenset(state.value for state in State)
OPENED, CLOSED, PONG, SERVER_ERROR = (each.value for each in (Trigger.OPENED, Trigger.CLOSED, Trigger.PONG, Trigger.SERVER_ERROR))


def resync(facts: Facts, line: FlatRecord, step: RowFacts | None) -> None:
    """Take the state and the numbers from a record that the records before do not explain.

    The numbers are those after the record, less a dial or a frame that its transition rule certainly makes.
    """
    facts.forget()
    facts.set_state(line.source if line.source in _STATES else None, facts.last_step.now - max(0.0, line.dwell))
    facts.link.number = facts.newest_link = line.link
    facts.attempt, facts.frames.sends = max(0, line.attempt), max(0, line.sends)
    if step is not None:
        facts.frames.sends -= step.must_send
        if step.effects >= {EFFECT.RESET_ATTEMPTS, EFFECT.DIAL} and line.attempt > 0:
            facts.newest_link -= 1
    if line.source in LIVE:
        facts.link.is_open = True
    elif line.source in (DISCONNECTED, ERROR):
        facts.link.is_open = False


def doubt(facts: Facts, step: RowFacts) -> None:
    """Forget whether a believed step sent a request or dialed: only the numbers before it could tell."""
    effects = step.effects
    if step.may_send and not step.pings:
        facts.frames.in_flight = facts.frames.put_back = None
    if EFFECT.DIAL in effects and EFFECT.RESET_ATTEMPTS not in effects:
        facts.link.is_open = None


def apply_step(tracked: TrackedConnection, facts: Facts, line: FlatRecord, step: RowFacts, t: float, *, detail: bool) -> None:
    """Apply a step that was taken at `t`, in seconds of the connection; `detail` keeps the timeline."""
    last, was_draining = facts.last_step, facts.draining is not None
    last.now = last.noted = t
    last.now_at = line.timestamp
    if line.at is not None:
        last.origin = line.at - t
    if detail:
        last.wall = line.timestamp.timestamp() - t
    last.ping_took = line.dwell if step.source == PING else None
    last.dials, last.rejected = line.link - facts.newest_link, 0
    last.next_triggers = None
    if step.answers:
        facts.frames.erred = step.trigger == SERVER_ERROR
    if step.may_send and (step.answers or line.sends != facts.frames.sends):
        _note_frames(facts, line, step, t)
    if step.changes:
        _enter(tracked, facts, line, step, t)
    elif step.trigger == OPENED:
        facts.link.opened_at = t
    elif step.trigger == CLOSED and step.source == DISPOSING:
        facts.closed = True
    elif step.trigger == CLOSED and step.source == RECONNECTING and facts.next_dial.awaits is not None:
        facts.next_dial.awaits -= 1
    if not step.keeps_link:
        _note_link(facts, line, step, t)
    elif step.enters_live:
        if step.closes_draining:
            facts.draining = None
        _note_era(facts, line.era)
    else:
        facts.era = line.era
    if step.settles:
        facts.note_up()
    elif step.enters_live and not facts.subscriptions.desired:
        facts.note_up(surely=facts.complete)
    if step.leaves_live or (was_draining and step.closes_draining):
        facts.note_loss(line.cause or step.trigger)


def follow_step(tracked: TrackedConnection, line: FlatRecord, *, detail: bool) -> RowFacts | None:
    """Follow a step of an unknown table, for the figures that need no table; None for a state that this version lacks."""
    facts = tracked.facts
    step = told_facts(line.source, line.trigger, line.dest)
    if step is None:
        facts.note_hole()
        facts.last_step.now_at = line.timestamp
        return None
    if facts.state != line.source:
        resync(facts, line, None)
    facts.complete = False
    apply_step(tracked, facts, line, step, facts.entered + max(0.0, line.dwell), detail=detail)
    facts.newest_link, facts.attempt = line.link, line.attempt
    return step


def _note_frames(facts: Facts, line: FlatRecord, step: RowFacts, t: float) -> None:
    """Note the answer that came, and the frame that was sent."""
    frames = facts.frames
    if step.answers:
        if frames.erred:
            frames.error_answered = frames.in_flight
            if drops_message(line):
                frames.closed_until = t + WINDOW
                frames.put_back = frames.in_flight or frames.put_back
        else:
            frames.put_back = False
        frames.in_flight = False
    if line.sends > frames.sends:
        if len(frames.sent) == LIMIT:
            frames.forget_old(t)
        frames.sent.append(t)
        if not step.pings:
            frames.in_flight, frames.asked_at, frames.put_back = True, t, False
    frames.sends = line.sends


def _note_link(facts: Facts, line: FlatRecord, step: RowFacts, t: float) -> None:
    """Note the effects on the link, and on the next dial."""
    effects, link, next_dial, history = step.effects, facts.link, facts.next_dial, facts.history
    plans_retry, resets = EFFECT.SCHEDULE_RETRY in effects, EFFECT.RESET_ATTEMPTS in effects
    waits = plans_retry or (EFFECT.RESTORE_IDENTITY in effects and is_told_to_wait(line))
    if plans_retry:
        refused = is_refusal(facts, line)
        if refused is False:
            history.refusals = 0
        else:
            history.refusals = history.refusals + 1 if refused and history.refusals is not None else None
    if step.trigger == SERVER_ERROR and not step.may_send:
        facts.frames.in_flight = facts.frames.error_answered = False
    if EFFECT.CLOSE_FIRST in effects:
        next_dial.awaits = None if link.is_open is None else link.is_open + (facts.draining is not None)
    if EFFECT.DRAIN_LINK in effects and facts.draining is None:
        facts.draining = OldLink(link, frozenset(facts.subscriptions.acknowledged), history.been_up)
    if step.drops:
        link.is_open = facts.frames.in_flight = facts.frames.error_answered = False
        facts.subscriptions.acknowledged.clear()
        next_dial.retry = None
    if waits:
        held = next_dial.not_before - t
        next_dial.throttled = held > 0 or is_told_to_wait(line)
        next_dial.retry = None if facts.policies is None else (t, *delay_bounds(facts.policies, line, held))
    elif EFFECT.DIAL in effects:
        next_dial.retry = None
    if step.closes_draining:
        facts.draining = None
    _note_url_channels(facts, line.era, step, waits=waits)
    facts.era = line.era
    if resets:
        history.refusals, next_dial.not_before = 0, MINUS_INFINITY
    if EFFECT.EXPECT_FIRST_LINK in effects:
        history.been_up = False
    elif EFFECT.RESTORE_IDENTITY in effects:
        history.been_up = history.ever_up
    if line.link > facts.newest_link:
        next_dial.awaits, next_dial.throttled = 0, False
        facts.link = Link(line.link, is_open=True, dialed_at=t, in_url=next_dial.in_url)
        facts.frames = Frames(line.sends)
    facts.newest_link, facts.attempt = line.link, line.attempt
    if EFFECT.RESUME_LINK in effects:
        _resume(facts, line, t)


def _resume(facts: Facts, line: FlatRecord, t: float) -> None:
    """Go back to the old link. The next renewal is due after a tenth of the age."""
    old, facts.draining = facts.draining, None
    next_dial, history = facts.next_dial, facts.history
    if is_told_to_wait(line):
        next_dial.not_before = t + max(line.retry_after or 0.0, WINDOW if is_throttled(line) else 0.0)
    next_dial.throttled, next_dial.awaits = False, 0
    facts.frames = Frames(line.sends, sent_known=False, in_flight=None)
    history.refusals = None
    number, in_url = facts.link.number, None
    if old is None:
        history.been_up = None
    else:
        number, in_url = old.link.number, old.link.in_url
        facts.subscriptions.acknowledged |= old.served & facts.subscriptions.desired
        history.been_up = old.been_up
    age = None if facts.policies is None else facts.policies.max_link_age
    up_at = t if age is None else t - 0.8 * age
    facts.link = Link(number, is_open=True, up_at=up_at, idle_from=t, in_url=in_url, proven=None, accepted=None)
    next_dial.in_url = in_url


def _note_url_channels(facts: Facts, era: str | None, step: RowFacts, *, waits: bool | None) -> None:
    """Note whether the next dial asks for channels in the URL."""
    effects, next_dial = step.effects, facts.next_dial
    finds_era = EFFECT.FIND_ERA in effects
    if EFFECT.USE_URL_SUBSCRIPTIONS in effects:
        next_dial.in_url, next_dial.doubtful = True, False
    elif finds_era or waits:
        if finds_era:
            next_dial.doubtful = None if facts.policies is None else era == Era.E3 and facts.policies.era is None
        next_dial.in_url = _asks_in_url(facts, era, covered=not finds_era and facts.draining is not None)
    elif EFFECT.RESET_ATTEMPTS in effects and step.source in LIVE:  # in `reconnecting` the machine dials again as it did
        next_dial.in_url = era in URL_ERAS


def _asks_in_url(facts: Facts, era: str | None, *, covered: bool) -> bool | None:
    """Whether the next dial asks for channels in the URL. A server that greets like an E3 is asked once like an E4."""
    if era != Era.E3:
        return era in URL_ERAS
    if covered:
        return True if facts.complete else None
    return None if facts.next_dial.doubtful is None else not facts.next_dial.doubtful


def _note_era(facts: Facts, era: str | None) -> None:
    """Note the era that a greeting shows."""
    facts.look_for_handover_end()
    if not facts.complete or facts.policies is None:
        facts.next_dial.doubtful = None
    elif era == Era.E3 and facts.era not in (None, Era.E3):
        facts.next_dial.doubtful = facts.policies.era is None
    facts.era = era


def _enter(tracked: TrackedConnection, facts: Facts, line: FlatRecord, step: RowFacts, t: float) -> None:
    """Leave a state and enter another one."""
    tracked.leave_state(t)
    outages, before_ping, dest = facts.outages, facts.state_before_ping, step.dest
    if step.trigger == PONG:
        tracked.stats.pings.add(line.dwell)
    if dest == UNSUBSCRIBED and before_ping != UNSUBSCRIBED:
        # Where a ping was out, the last subscription may have been given up at any time since, and no step tells when.
        # After missing records it may have been removed before the ping.
        since_ping = MINUS_INFINITY if before_ping is None else facts.entered
        facts.link.idle_from = since_ping if step.source == PING else t
    if step.enters_live:
        facts.link.up_at = t
    elif dest == ERROR:
        tracked.stats.counts["gave_up"] += 1
        facts.history.failure_code = failure_code(line)
    elif dest == DISCONNECTED:
        outages.unwanted = line.cause is not None
    if outages.covered_from is not None:
        tracked.end_coverage(t)
    if step.leaves_live and dest == RECONNECTING and outages.current is None:
        outages.covered_from = t
    facts.state, facts.entered = dest, t
    facts.state_before_ping = step.source if dest == PING else dest
