"""Following: how a record moves the shadow of its connection, whether or not it was as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.deadline_checks import delay_bounds
from realtime_fsm.audit.guard_inference import BY_ADDRESS, drops_message, is_refusal, is_told_to_wait
from realtime_fsm.audit.handovers import begin_handover, look_for_completion, resume
from realtime_fsm.audit.outages import fail_handover, note_handover, on_state_change
from realtime_fsm.audit.row_facts import DISCONNECTED, DISPOSING, ERROR, PING, SUBSCRIBED, UNSUBSCRIBED
from realtime_fsm.audit.rules import ROUNDING, RuleBreach
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.audit.tracking import LIMIT, MINUS_INFINITY, WINDOW, parse_settings
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import LIVE
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import is_server_fault

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.row_facts import RowFacts
    from realtime_fsm.audit.stats import StatsAccumulator
    from realtime_fsm.audit.tracking import TrackedConnection

_LIVE = frozenset(state.value for state in LIVE)
SEGMENTS = 2000
"""Bars of one connection that a picture shows."""


def resync(tracked: TrackedConnection, line: FlatRecord, step: RowFacts | None) -> None:
    """Believe the record: what came before it does not explain it.

    The numbers are those that it leaves, less a dial or a frame that its row makes for certain.
    """
    tracked.forget_state()
    tracked.set_state(line.source, tracked.now - max(0.0, line.dwell))
    tracked.current = line.link
    tracked.link, tracked.attempt, tracked.sends = line.link, max(0, line.attempt), max(0, line.sends)
    if step is not None:
        tracked.sends -= step.must_send
        if step.resets_attempts and step.dials and line.attempt > 0:
            tracked.link -= 1
    if line.source in _LIVE:
        tracked.has_link = True
    elif line.source in (DISCONNECTED, ERROR):
        tracked.has_link = False


def doubt(tracked: TrackedConnection, step: RowFacts) -> None:
    """Forget whether a step that was believed sent a request, or dialed: its numbers tell that only beside those before."""
    if step.may_send and not step.pings:
        tracked.request_in_flight = tracked.put_back = None
    if step.dials and not step.resets_attempts:
        tracked.has_link = None


def apply_step(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, detail: bool) -> None:
    """Move the shadow by a step.

    Args:
        tracked: the connection.
        line: the record.
        step: its row.
        t: its time, in seconds of the connection.
        detail: whether bars are kept for a picture.
    """
    tracked.now = t
    tracked.rejected = 0
    if step.may_send:
        _note_sends(tracked, line, step, t)
    if step.changes:
        _enter(tracked, line, step, t, detail=detail)
    elif step.opens:
        tracked.opened_at = t
    elif step.closes:
        tracked.closed = True
    elif step.releases and tracked.awaits is not None:
        tracked.awaits -= 1
    if not step.link_unchanged:
        _note_link(tracked, line, step, t)
    elif step.enters_live:
        if step.closes_draining:
            tracked.draining = None
        _note_era(tracked, line.era)
    if step.changes and step.dest in (SUBSCRIBED, UNSUBSCRIBED):
        tracked.note_up()
    elif step.enters_live and not tracked.desired:
        tracked.note_up(surely=tracked.complete)


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
    if step.retires and tracked.draining is None:
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
    if tracked.handover is not None:
        note_handover(tracked, line, step, t, tracked.handover)
    if step.closes_draining:
        tracked.draining = None
    if step.switches_to_url:
        tracked.next_dial_in_url, tracked.doubtful = True, False
    elif step.finds or waits:
        if step.finds:
            tracked.doubtful = None if tracked.policies is None else line.era == Era.E3 and tracked.policies.era is None
        tracked.next_dial_in_url = _asks_by_address(tracked, line.era, covered=not step.finds and tracked.draining is not None)
    elif step.resets_attempts and step.source in _LIVE:  # in `reconnecting` the machine dials again as it did
        tracked.next_dial_in_url = line.era in BY_ADDRESS
    tracked.era = line.era
    if step.resets_attempts:
        tracked.refusals, tracked.not_before = 0, MINUS_INFINITY
    if step.expects:
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
    """Note what a greeting shows."""
    look_for_completion(tracked)
    if not tracked.complete or tracked.policies is None:
        tracked.doubtful = None
    elif era == Era.E3 and tracked.era not in (None, Era.E3):
        tracked.doubtful = tracked.policies.era is None
    tracked.era = era


def _asks_by_address(tracked: TrackedConnection, era: str | None, *, covered: bool) -> bool | None:
    """Whether the next dial asks by its address; a server that greets like an E3 is asked once like an E4."""
    if era != Era.E3:
        return era in BY_ADDRESS
    if covered:
        return True
    return None if tracked.doubtful is None else not tracked.doubtful


def _enter(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, *, detail: bool) -> None:
    """A state is left, and another one entered."""
    tracked.flush_heartbeats()
    life, dest = tracked.stats, step.dest
    since = max(tracked.life_from, tracked.entered)
    life.states[step.source] += t - since
    if detail:
        _draw(life, since, t, step.source)
    if step.is_pong:
        life.pings.add(line.dwell)
    if step.source == PING and dest == UNSUBSCRIBED and tracked.state_before_ping != UNSUBSCRIBED:
        tracked.idle_from = tracked.entered  # the last subscription may have been given up since then, and no step tells
    if not step.pings and (life.outage is not None or not step.is_pong):
        on_state_change(tracked, line, step, t, t - since)
    tracked.set_state(dest, t, step.source)


def _draw(life: StatsAccumulator, since: float, until: float, state: str) -> None:
    if len(life.segments) < SEGMENTS:
        life.segments.append((since, until - since, state))
    else:
        life.segments_left_out += 1


def apply_record(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    """Take a record that is not a step."""
    if line.link != tracked.link and tracked.state is not None:
        return RuleBreach("link", f"the link is {tracked.link}, and only a step changes it")
    taker = _RECORD_HANDLERS.get(line.event)
    return None if taker is None else taker(tracked, line)


def _open(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    try:
        policies, secrets = parse_settings(line)
    except (BadOption, TypeError, ValueError):
        return RuleBreach("form", "the settings are none that the library accepts")
    tracked.policies = policies
    tracked.pong_within, tracked.reply_within = policies.ping.timeout + ROUNDING, policies.timeouts.reply + ROUNDING
    return RuleBreach("secret", f"{', '.join(secrets)}: the value looks like a secret") if secrets else None


_MISSING_FIELD = RuleBreach("form", "it lacks a field of its kind")
_SECRET = RuleBreach("secret", "the subscription's id looks like a secret")


def _names_secret(tracked: TrackedConnection, line: FlatRecord) -> bool:
    return line.subscription not in tracked.desired and looks_secret(line.subscription)


def _ping(_: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    return _MISSING_FIELD if line.round_trip < 0 else None


def _outage(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.change == "closed":
        healed = tracked.state in (SUBSCRIBED, UNSUBSCRIBED, None)
        return None if healed else RuleBreach("healed", f"the outage is over, and the connection is {tracked.state}")
    return None if line.change == "opened" else _MISSING_FIELD


def _fault(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.change not in ("opened", "closed"):
        return _MISSING_FIELD
    since = tracked.faulty_since
    if line.change == "opened":
        tracked.faulty_since = tracked.now - line.seconds
        tracked.stats.count("faults")
        if since is not None:
            return RuleBreach("recovery", "a server fault begins, and the one before is not over")
        if tracked.state is not None and tracked.state not in _LIVE:
            return RuleBreach("recovery", f"a server fault begins, and the connection is {tracked.state}")
        return RuleBreach("fault", "the server answers, and cannot work")
    tracked.faulty_since = None
    if since is None and tracked.complete:
        return RuleBreach("recovery", "a server fault is over, and none was under way")
    tracked.stats.faulty += max(0.0, min(line.seconds, tracked.now - tracked.life_from))
    return None


def _dropped(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if line.count < 1:
        return _MISSING_FIELD
    if _names_secret(tracked, line):
        return _SECRET
    tracked.stats.count("dropped", line.count)
    return RuleBreach("dropped", f"{line.count} events had to make room")


def _gap(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if line.seconds < 0:
        return _MISSING_FIELD
    if _names_secret(tracked, line):
        return _SECRET
    tracked.stats.count("gaps")
    outage = tracked.stats.outage or tracked.handover
    if outage is not None:
        outage.gap = max(outage.gap, line.seconds)
    return RuleBreach("gap", f"a subscription may have missed events of {line.seconds:.3f} s")


def _malformed(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if not line.kind:
        return _MISSING_FIELD
    tracked.stats.count("malformed")
    if looks_secret(line.kind):
        return RuleBreach("secret", "the kind looks like a secret")
    return RuleBreach("malformed", "a message of the server could not be understood")


def _close(tracked: TrackedConnection, _: FlatRecord) -> RuleBreach | None:
    tracked.closed_by_record = True
    if tracked.state in (DISPOSING, None):
        return None
    return RuleBreach("end", f"the connection object is closed, and the connection is {tracked.state}")


def _subscription(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    who = line.subscription
    if _names_secret(tracked, line):
        return _SECRET
    if not who:
        return _MISSING_FIELD
    tracked.subscriptions_known = tracked.complete
    change = _note_change(tracked, line, who)
    if tracked.state in _LIVE:
        look_for_completion(tracked)
    return change


def _note_change(tracked: TrackedConnection, line: FlatRecord, who: str) -> RuleBreach | None:
    if line.change == "acknowledged":
        tracked.acknowledged.add(who)
        tracked.established.add(who)
        tracked.accepted = True
        tracked.refusals = 0
        _note_quiet(tracked)
    elif line.change == "desired":
        tracked.desired.add(who)
    elif line.change in ("withdrawn", "removed", "rejected"):
        tracked.desired.discard(who)
        tracked.acknowledged.discard(who)
        established = who in tracked.established
        tracked.established.discard(who)
        if line.change != "removed":  # which tells what became of a link, and may come with its end
            _note_quiet(tracked)
        if line.change == "rejected":
            tracked.rejected += 1
            tracked.stats.count("rejected")
            if established and line.error_code is not None and is_server_fault(line.error_code):
                return RuleBreach("kept", f"error {line.error_code} ends a subscription that was acknowledged")
            return RuleBreach("rejected", "the server rejected a subscription")
    else:
        return _MISSING_FIELD
    return None


def _note_quiet(tracked: TrackedConnection) -> None:
    """Note whether everything desired is acknowledged, as the machine does with what the user says or the server answers."""
    if tracked.state in _LIVE and tracked.desired <= tracked.acknowledged:
        tracked.note_up(surely=tracked.complete)


def _pause(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.dwell < 0 or line.change not in ("opened", "closed"):
        return _MISSING_FIELD
    if line.paused == tracked.link:  # what is awaited waits, and is awaited anew
        tracked.asked_at = MINUS_INFINITY if line.change == "opened" else tracked.entered + line.dwell
    return None


def _retired(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.retired < 1 or line.dwell < 0:
        return _MISSING_FIELD
    draining, tracked.draining = tracked.draining, None
    if tracked.state is not None:
        tracked.now = max(tracked.now, tracked.entered + line.dwell)
    if tracked.complete and draining != line.retired:
        return RuleBreach("link", f"link {line.retired} made room and has ended, and {draining or 'none'} made room")
    if tracked.handover is None:  # an outage is under way already
        return None
    fail_handover(tracked, line)
    return RuleBreach("outage", "the link that made room has ended before the next one was up")


def _presence(_: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    return None if line.change in ("desired", "stored", "rejected", "withdrawn") else _MISSING_FIELD


def _canary(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.change not in ("echoed", "missed", "refused", "failed"):
        return _MISSING_FIELD
    policies = tracked.policies
    unwanted = policies is not None and policies.canary is None
    return RuleBreach("form", "a canary was sent, and the connection has no canary policy") if unwanted else None


_RECORD_HANDLERS = {
    "realtime.open": _open,
    "realtime.subscription": _subscription,
    "realtime.presence": _presence,
    "realtime.ping": _ping,
    "realtime.outage": _outage,
    "realtime.fault": _fault,
    "realtime.dropped": _dropped,
    "realtime.pause": _pause,
    "realtime.retired": _retired,
    "realtime.gap": _gap,
    "realtime.canary": _canary,
    "realtime.malformed": _malformed,
    "realtime.close": _close,
}
