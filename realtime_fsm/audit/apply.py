"""Apply a record to the facts of its connection, whether or not the record is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.deadline_checks import delay_bounds
from realtime_fsm.audit.decoding import KINDS, MISSING
from realtime_fsm.audit.guard_inference import URL_ERAS, drops_message, is_refusal, is_told_to_wait
from realtime_fsm.audit.handovers import begin_handover, look_for_completion, resume
from realtime_fsm.audit.row_facts import DISCONNECTED, DISPOSING, ERROR, PING, RECONNECTING, SUBSCRIBED, UNSUBSCRIBED
from realtime_fsm.audit.rules import LATE, RuleBreach
from realtime_fsm.audit.secret_scan import looks_secret, secret_fields
from realtime_fsm.audit.tracking import LIMIT, MINUS_INFINITY, WINDOW, OpenOutage, Policies
from realtime_fsm.auditlog.records import RETIRED
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import LIVE
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import is_server_fault

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.row_facts import RowFacts
    from realtime_fsm.audit.tracking import TrackedConnection

_LIVE = frozenset(state.value for state in LIVE)


def resync(tracked: TrackedConnection, line: FlatRecord, step: RowFacts | None) -> None:
    """Take the state and the numbers from a record that the records before do not explain.

    The numbers are those after the record, less a dial or a frame that its row certainly makes.
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
    tracked.now = t
    tracked.rejected = 0
    was_draining = tracked.draining is not None
    if step.may_send:
        _note_sends(tracked, line, step, t)
    if step.changes:
        _enter(tracked, line, step, t, detail=detail)
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
    if step.settles and not tracked.proven:
        tracked.note_up()
    elif step.enters_live and not tracked.desired:
        tracked.note_up(surely=tracked.complete)
    if step.leaves_live or (was_draining and step.closes_draining):
        _note_loss(tracked, line.cause or step.trigger)


def _note_loss(tracked: TrackedConnection, cause: str) -> None:
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
    elif step.resets_attempts and step.source in _LIVE:  # in `reconnecting` the machine dials again as it did
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
        return True
    return None if tracked.doubtful is None else not tracked.doubtful


def _enter(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, *, detail: bool) -> None:
    """Leave a state and enter another one."""
    tracked.leave_state(t, detail=detail)
    dest = step.dest
    if step.is_pong:
        tracked.stats.pings.add(line.dwell)
    if dest == UNSUBSCRIBED and tracked.state_before_ping != UNSUBSCRIBED:
        # Where a ping was out, the last subscription may have been given up at any time since, and no step tells when.
        tracked.idle_from = tracked.entered if step.source == PING else t
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


def apply_record(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    """Apply a record of another kind than a step, and check it."""
    if line.link != tracked.link and tracked.state is not None:
        return RuleBreach("link", f"the link is {tracked.link}, and only a step changes it")
    handler = _RECORD_HANDLERS.get(line.event)
    return None if handler is None else handler(tracked, line)


def _open(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    try:
        tracked.policies = Policies(line)
    except (BadOption, TypeError, ValueError):
        return RuleBreach("form", "the library does not accept these settings")
    secrets = tuple(secret_fields({"versions": line.versions or {}}))
    return RuleBreach("secret", f"{', '.join(secrets)}: the value looks like a secret") if secrets else None


_MISSING_FIELD = RuleBreach("form", "it lacks a field of its kind")
_SECRET = RuleBreach("secret", "the subscription's id looks like a secret")


def _names_secret(tracked: TrackedConnection, line: FlatRecord) -> bool:
    return line.subscription not in tracked.desired and looks_secret(line.subscription)


def _ping(_: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    return _MISSING_FIELD if line.round_trip < 0 else None


def _outage(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.dials < 0 or line.change not in ("opened", "closed"):
        return _MISSING_FIELD
    if line.change == "opened":
        wrong = _begins_wrongly(tracked, line)
        tracked.outage, tracked.gap, tracked.lost_by = OpenOutage(tracked.now, line), 0.0, None
        tracked.end_coverage(tracked.now)
        return wrong or (None if line.planned else RuleBreach("outage", f"a link is lost: {line.cause}"))
    wrong = _ends_wrongly(tracked, line)
    tracked.stats.add_outage(tracked.end_outage(line))
    tracked.gap = 0.0
    return wrong


def _begins_wrongly(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if tracked.outage is not None:
        return RuleBreach("healed", "an outage begins, and the one before is not over")
    expected = tracked.lost_by
    if expected is None:
        return RuleBreach("healed", "an outage begins, and no link was lost") if tracked.complete else None
    if line.cause == MISSING or (line.cause, line.planned) == (expected, _is_planned(expected)):
        return None
    return RuleBreach("cause", f"the outage began with {expected}")


def _ends_wrongly(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if tracked.state not in (SUBSCRIBED, UNSUBSCRIBED, None):
        return RuleBreach("healed", f"the outage is over, and the connection is {tracked.state}")
    if tracked.outage is None:
        return RuleBreach("healed", "an outage is over, and none was under way") if tracked.complete else None
    at, opened = tracked.outage
    if (line.cause, line.planned) != (opened.cause, opened.planned):
        return RuleBreach("cause", f"the outage began with {opened.cause}")
    lasted = tracked.now - at
    if tracked.complete and abs(line.seconds - lasted) > LATE:
        return RuleBreach("clock", f"the outage lasted {lasted:.3f} s, and not {line.seconds:.3f} s")
    return None


def _is_planned(cause: str) -> bool:
    return cause not in KINDS and cause != RETIRED


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
        return RuleBreach("fault", "the server answers, and cannot do its work")
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
    return RuleBreach("dropped", f"{line.count} events were dropped")


def _gap(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if line.seconds < 0:
        return _MISSING_FIELD
    if _names_secret(tracked, line):
        return _SECRET
    tracked.stats.count("gaps")
    tracked.gap = max(tracked.gap, line.seconds)
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
        if line.change != "removed":  # which may come with the end of a link
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
    """Note whether everything desired is acknowledged, as the machine does after a withdrawal or an acknowledgement."""
    if tracked.state in _LIVE and tracked.desired <= tracked.acknowledged:
        tracked.note_up(surely=tracked.complete)


def _pause(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.dwell < 0 or line.change not in ("opened", "closed"):
        return _MISSING_FIELD
    if line.paused == tracked.link:  # the reply timeout rests, and begins anew
        tracked.asked_at = MINUS_INFINITY if line.change == "opened" else tracked.entered + line.dwell
    return None


def _retired(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.retired < 1 or line.dwell < 0:
        return _MISSING_FIELD
    draining, tracked.draining = tracked.draining, None
    if tracked.state is not None:
        tracked.now = max(tracked.now, tracked.entered + line.dwell)
    if tracked.complete and draining != line.retired:
        return RuleBreach("link", f"link {line.retired} has ended, and {draining or 'no link'} was draining")
    _note_loss(tracked, RETIRED)
    return None


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
