"""Apply a record of another kind than a step, and check it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.apply import note_loss
from realtime_fsm.audit.decoding import KINDS, MISSING
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.handovers import look_for_completion
from realtime_fsm.audit.row_facts import DISPOSING, SUBSCRIBED, UNSUBSCRIBED
from realtime_fsm.audit.rules import ROUNDING, SINGLE, RuleBreach
from realtime_fsm.audit.secret_scan import looks_secret, secret_fields
from realtime_fsm.audit.tracking import MINUS_INFINITY, OpenOutage, Policies
from realtime_fsm.auditlog.records import RETIRED
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import LIVE
from realtime_fsm.protocol.faults import is_server_fault

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.tracking import TrackedConnection


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
    tracked.era = line.protocol
    secrets = tuple(secret_fields({"versions": line.versions or {}}))
    return RuleBreach("secret", f"{', '.join(secrets)}: the value looks like a secret") if secrets else None


_MISSING_FIELD = RuleBreach("form", "it lacks a field of its kind")
_SECRET = RuleBreach("secret", "the subscription's id looks like a secret")


_CHANGES = ("desired", "acknowledged", "withdrawn", "removed", "rejected")
_TRIGGERS = {"acknowledged": ("acknowledged",), "rejected": ("server_error", "acknowledged")}
"""The triggers of the steps that make a record of a subscription, each of which comes before the record of its step."""


def _differ(told: float, known: float) -> bool:
    return abs(told - known) > ROUNDING + known * SINGLE


def _names_secret(tracked: TrackedConnection, line: FlatRecord) -> bool:
    return line.subscription not in tracked.desired and looks_secret(line.subscription)


def _ping(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.round_trip < 0:
        return _MISSING_FIELD
    took = tracked.ping_took
    if took is not None and _differ(line.round_trip, took):
        return RuleBreach("clock", f"the answer came after {took:.6f} s in 'ping'")
    return None


def _note_moment(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    """Check that the time in the state, which a record tells, has not gone back."""
    at, noted = tracked.entered + line.dwell, tracked.noted
    if tracked.state is None or line.dwell < 0:
        return None
    tracked.noted = max(at, noted)
    return RuleBreach("clock", f"the record before tells of {noted - at:.6f} s later") if at < noted - ROUNDING else None


def _outage(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.dials < 0 or line.change not in ("opened", "closed"):
        return _MISSING_FIELD
    if line.change == "opened":
        wrong = _begins_wrongly(tracked, line)
        if line.seconds > ROUNDING:
            wrong = RuleBreach("clock", "the outage begins, and has no length yet")
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
    if tracked.complete and line.dials != tracked.dialed and (line.cause != RETIRED or line.dials > 1):
        return RuleBreach("link", f"the step that begins the outage made {pluralize(tracked.dialed, 'dial', 'dials')}")
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
    if tracked.complete and _differ(line.seconds, lasted):
        return RuleBreach("clock", f"the outage lasted {lasted:.3f} s, and not {line.seconds:.3f} s")
    if tracked.complete and line.dials != (dials := tracked.dials_in(opened)):
        return RuleBreach("link", f"{pluralize(dials, 'dial was', 'dials were')} made in the outage")
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
        if tracked.state is not None and tracked.state not in LIVE:
            return RuleBreach("recovery", f"a server fault begins, and the connection is {tracked.state}")
        return RuleBreach("fault", "the server answers, and cannot do its work")
    tracked.faulty_since = None
    if since is None and tracked.complete:
        return RuleBreach("recovery", "a server fault is over, and none was under way")
    if since is not None and _differ(line.seconds, tracked.now - since):
        return RuleBreach("clock", f"the server fault lasted {tracked.now - since:.3f} s, and not {line.seconds:.3f} s")
    tracked.stats.faulty += max(0.0, min(line.seconds, tracked.now - tracked.life_from))
    return None


def _dropped(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if line.count < 1:
        return _MISSING_FIELD
    if _names_secret(tracked, line):
        return _SECRET
    tracked.stats.count("dropped", line.count)
    return RuleBreach("dropped", f"{pluralize(line.count, 'event was', 'events were')} dropped")


def _gap(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if line.seconds < 0:
        return _MISSING_FIELD
    if _names_secret(tracked, line):
        return _SECRET
    tracked.stats.count("gaps")
    if tracked.complete and line.subscription not in tracked.desired | tracked.withdrawn:
        return RuleBreach("request", "the gap is of a subscription that is not desired")
    tracked.gap = max(tracked.gap, line.seconds)
    return RuleBreach("gap", f"a subscription may have missed events for {line.seconds:.3f} s")


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
    if not who or line.change not in _CHANGES:
        return _MISSING_FIELD
    tracked.subscriptions_known = tracked.complete
    breach = _check_change(tracked, line) if tracked.complete else None
    change = _note_change(tracked, line, who)
    if tracked.state in LIVE:
        look_for_completion(tracked)
    return breach or change


def _check_change(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    """Check that a subscription is desired once, withdrawn once, and removed where it was withdrawn."""
    who, change = line.subscription, line.change
    if change in ("desired", "withdrawn"):
        if tracked.next_triggers is not None:
            return RuleBreach("request", "a call comes between the records of a step")
        breach = _note_moment(tracked, line)
        if breach is not None:
            return breach
    desired, withdrawn = who in tracked.desired, who in tracked.withdrawn
    if tracked.put_back is False:  # a late reply has no step
        tracked.next_triggers = _TRIGGERS.get(change, tracked.next_triggers)
    match change:
        case "desired":
            allowed = not (desired or withdrawn)
        case "acknowledged":
            allowed = desired and who not in tracked.acknowledged
        case "removed":  # without a withdrawal, where a call ends that no server has answered
            allowed = withdrawn or (desired and who not in tracked.established)
        case "withdrawn" | "rejected":
            allowed = desired
        case _:
            return _MISSING_FIELD
    if allowed:
        return None
    desire = "acknowledged" if who in tracked.acknowledged else "desired" if desired else "not desired"
    state = "withdrawn" if withdrawn else desire
    return RuleBreach("request", f"the record says {change}, and the subscription is {state}")


def _note_change(tracked: TrackedConnection, line: FlatRecord, who: str) -> RuleBreach | None:
    if line.change == "acknowledged":
        tracked.acknowledged.add(who)
        tracked.established.add(who)
        tracked.accepted = True
        tracked.refusals = 0
        _note_quiet(tracked)
    elif line.change == "desired":
        tracked.desired.add(who)
    else:
        tracked.desired.discard(who)
        if line.change == "withdrawn":
            tracked.withdrawn.add(who)
        else:
            tracked.withdrawn.discard(who)
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
    return None


def _note_quiet(tracked: TrackedConnection) -> None:
    """Note whether everything desired is acknowledged, as the machine does after a withdrawal or an acknowledgement."""
    if tracked.state in LIVE and tracked.desired <= tracked.acknowledged:
        tracked.note_up(surely=tracked.complete)


def _pause(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.dwell < 0 or line.change not in ("opened", "closed"):
        return _MISSING_FIELD
    breach = _note_moment(tracked, line)
    if line.paused == tracked.link:  # the reply timeout rests, and begins anew
        tracked.asked_at = MINUS_INFINITY if line.change == "opened" else tracked.entered + line.dwell
    return breach


def _retired(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.retired < 1 or line.dwell < 0:
        return _MISSING_FIELD
    draining, tracked.draining = tracked.draining, None
    if tracked.state is not None:
        tracked.now = max(tracked.now, tracked.entered + line.dwell)
    tracked.now_at = line.timestamp
    if tracked.complete and draining != line.retired:
        return RuleBreach("link", f"link {line.retired} has ended, and {draining or 'no link'} was draining")
    note_loss(tracked, RETIRED)
    return None


def _presence(tracked: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.change in ("desired", "withdrawn"):
        return _note_moment(tracked, line)
    return None if line.change in ("stored", "rejected") else _MISSING_FIELD


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
