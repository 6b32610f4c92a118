"""Following: how a record moves the shadow of its connection, whether or not it was as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.deadline_checks import delay_bounds
from realtime_fsm.audit.guard_inference import BY_ADDRESS, drops_message, is_refusal, is_told_to_wait
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


def resync(shadow: TrackedConnection, line: FlatRecord, step: RowFacts | None) -> None:
    """Believe the record: what came before it does not explain it.

    The numbers are those that it leaves, less a dial or a frame that its row makes for certain.
    """
    shadow.forget_state()
    shadow.set_state(line.source, shadow.now - max(0.0, line.dwell))
    shadow.link, shadow.attempt, shadow.sends = line.link, max(0, line.attempt), max(0, line.sends)
    if step is not None:
        shadow.sends -= step.must_send
        if step.resets_attempts and step.dials and line.attempt > 0:
            shadow.link -= 1
    if line.source in _LIVE:
        shadow.has_link = True
    elif line.source in (DISCONNECTED, ERROR):
        shadow.has_link = False


def doubt(shadow: TrackedConnection, step: RowFacts) -> None:
    """Forget whether a step that was believed sent a request, or dialed: its numbers tell that only beside those before."""
    if step.may_send and not step.pings:
        shadow.request_in_flight = shadow.put_back = None
    if step.dials and not step.resets_attempts:
        shadow.has_link = None


def apply_step(shadow: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, detail: bool) -> None:
    """Move the shadow by a step.

    Args:
        shadow: the connection.
        line: the record.
        step: its row.
        t: its time, in seconds of the connection.
        detail: whether bars are kept for a picture.
    """
    shadow.now = t
    shadow.rejected = 0
    if step.may_send:
        _note_sends(shadow, line, step, t)
    if step.changes:
        _enter(shadow, line, step, t, detail=detail)
    elif step.opens:
        shadow.opened_at = t
    elif step.closes:
        shadow.closed = True
    elif step.releases and shadow.awaits is not None:
        shadow.awaits -= 1
    if not step.link_unchanged:
        _note_link(shadow, line, step, t)
    elif step.enters_live:
        _note_era(shadow, line.era)
    if step.changes and step.dest in (SUBSCRIBED, UNSUBSCRIBED):
        shadow.note_up()
    elif step.enters_live and not shadow.desired:
        shadow.note_up(surely=shadow.complete)


def _note_sends(shadow: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> None:
    sent = line.sends - shadow.sends
    if step.answers:
        if step.is_error_frame:
            shadow.error_answered_request = shadow.request_in_flight
            if drops_message(line):
                shadow.closed_until = t + WINDOW
                shadow.put_back = shadow.request_in_flight or shadow.put_back
        else:
            shadow.put_back = False
        shadow.request_in_flight = False
    if sent > 0:
        if len(shadow.sent) == LIMIT:
            shadow.prune_send_window(t)
        shadow.sent.append(t)
        if not step.pings:
            shadow.request_in_flight, shadow.asked_at, shadow.put_back = True, t, False
    shadow.sends = line.sends


def _note_link(shadow: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> None:
    waits = step.plans_retry or (step.restores and is_told_to_wait(line))
    if step.plans_retry:
        refused = is_refusal(shadow, line)
        shadow.refusals = 0 if refused is False else None if refused is None or shadow.refusals is None else shadow.refusals + 1
    if step.is_error_frame and not step.may_send:
        shadow.request_in_flight = shadow.error_answered_request = False
    if step.closes_first:
        shadow.awaits = None if shadow.has_link is None else shadow.has_link + (shadow.retiring is not None)
    if step.drops:
        shadow.has_link = shadow.request_in_flight = shadow.error_answered_request = False
        shadow.acknowledged.clear()
        shadow.retry = None
    if waits:
        shadow.throttled = is_told_to_wait(line)
        shadow.retry = None if shadow.policies is None else (t, *delay_bounds(shadow.policies, line))
    elif step.dials:
        shadow.retry = None
    if shadow.handover is not None:
        note_handover(shadow, line, step, t, shadow.handover)
    if step.retires:
        shadow.retiring = shadow.link
    elif step.closes_draining:
        shadow.retiring = None
    if step.switches_to_url:
        shadow.next_dial_in_url, shadow.doubtful = True, False
    elif step.finds or waits:
        if step.finds:
            shadow.doubtful = None if shadow.policies is None else line.era == Era.E3 and shadow.policies.era is None
        shadow.next_dial_in_url = _asks_by_address(shadow, line.era)
    elif step.resets_attempts and step.source in _LIVE:  # in `reconnecting` the machine dials again as it did
        shadow.next_dial_in_url = line.era in BY_ADDRESS
    shadow.era = line.era
    if step.resets_attempts:
        shadow.refusals = 0
    if step.expects:
        shadow.been_up = False
    elif step.restores:
        shadow.been_up = shadow.ever_up
    if line.link > shadow.link:
        shadow.awaits = 0
        shadow.dialed_in_url = shadow.next_dial_in_url
        shadow.has_link, shadow.dialed_at, shadow.sends = True, t, line.sends
        shadow.request_in_flight = shadow.put_back = shadow.error_answered_request = shadow.throttled = shadow.proven = (
            shadow.accepted
        ) = False
        shadow.reset_link()
    shadow.link, shadow.attempt = line.link, line.attempt


def _note_era(shadow: TrackedConnection, era: str | None) -> None:
    """Note what a greeting shows."""
    shadow.retiring = None
    if not shadow.complete or shadow.policies is None:
        shadow.doubtful = None
    elif era == Era.E3 and shadow.era not in (None, Era.E3):
        shadow.doubtful = shadow.policies.era is None
    shadow.era = era


def _asks_by_address(shadow: TrackedConnection, era: str | None) -> bool | None:
    """Whether the next dial asks by its address; a server that greets like an E3 is asked once like an E4."""
    if era != Era.E3:
        return era in BY_ADDRESS
    if shadow.retiring is not None:
        return True
    return None if shadow.doubtful is None else not shadow.doubtful


def _enter(shadow: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, *, detail: bool) -> None:
    """A state is left, and another one entered."""
    shadow.flush_heartbeats()
    life, dest = shadow.stats, step.dest
    since = max(shadow.life_from, shadow.entered)
    life.states[step.source] += t - since
    if detail:
        _draw(life, since, t, step.source)
    if step.is_pong:
        life.pings.add(line.dwell)
    if step.source == PING and dest == UNSUBSCRIBED and shadow.state_before_ping != UNSUBSCRIBED:
        shadow.idle_from = shadow.entered  # the last subscription may have been given up since then, and no step tells
    if not step.pings and (life.outage is not None or not step.is_pong):
        on_state_change(shadow, line, step, t, t - since)
    shadow.set_state(dest, t, step.source)


def _draw(life: StatsAccumulator, since: float, until: float, state: str) -> None:
    if len(life.segments) < SEGMENTS:
        life.segments.append((since, until - since, state))
    else:
        life.segments_left_out += 1


def apply_record(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    """Take a record that is not a step."""
    if line.link != shadow.link and shadow.state is not None:
        return RuleBreach("link", f"the link is {shadow.link}, and only a step changes it")
    taker = _RECORD_HANDLERS.get(line.event)
    return None if taker is None else taker(shadow, line)


def _open(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    try:
        policies, secrets = parse_settings(line)
    except (BadOption, TypeError, ValueError):
        return RuleBreach("form", "the settings are none that the library accepts")
    shadow.policies = policies
    shadow.pong_within, shadow.reply_within = policies.ping.timeout + ROUNDING, policies.timeouts.reply + ROUNDING
    return RuleBreach("secret", f"{', '.join(secrets)}: the value looks like a secret") if secrets else None


_MISSING_FIELD = RuleBreach("form", "it lacks a field of its kind")
_SECRET = RuleBreach("secret", "the subscription's id looks like a secret")


def _names_secret(shadow: TrackedConnection, line: FlatRecord) -> bool:
    return line.subscription not in shadow.desired and looks_secret(line.subscription)


def _ping(_: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    return _MISSING_FIELD if line.round_trip < 0 else None


def _outage(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.change == "closed":
        healed = shadow.state in (SUBSCRIBED, UNSUBSCRIBED, None)
        return None if healed else RuleBreach("healed", f"the outage is over, and the connection is {shadow.state}")
    return None if line.change == "opened" else _MISSING_FIELD


def _fault(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.change not in ("opened", "closed"):
        return _MISSING_FIELD
    since = shadow.faulty_since
    if line.change == "opened":
        shadow.faulty_since = shadow.now - line.seconds
        shadow.stats.count("faults")
        if since is not None:
            return RuleBreach("recovery", "a server fault begins, and the one before is not over")
        if shadow.state is not None and shadow.state not in _LIVE:
            return RuleBreach("recovery", f"a server fault begins, and the connection is {shadow.state}")
        return RuleBreach("fault", "the server answers, and cannot work")
    shadow.faulty_since = None
    if since is None and shadow.complete:
        return RuleBreach("recovery", "a server fault is over, and none was under way")
    shadow.stats.faulty += max(0.0, min(line.seconds, shadow.now - shadow.life_from))
    return None


def _dropped(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if line.count < 1:
        return _MISSING_FIELD
    if _names_secret(shadow, line):
        return _SECRET
    shadow.stats.count("dropped", line.count)
    return RuleBreach("dropped", f"{line.count} events had to make room")


def _gap(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if line.seconds < 0:
        return _MISSING_FIELD
    if _names_secret(shadow, line):
        return _SECRET
    shadow.stats.count("gaps")
    outage = shadow.stats.outage or shadow.handover
    if outage is not None:
        outage.gap = max(outage.gap, line.seconds)
    return RuleBreach("gap", f"a subscription may have missed events of {line.seconds:.3f} s")


def _malformed(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach:
    if not line.kind:
        return _MISSING_FIELD
    shadow.stats.count("malformed")
    if looks_secret(line.kind):
        return RuleBreach("secret", "the kind looks like a secret")
    return RuleBreach("malformed", "a message of the server could not be understood")


def _close(shadow: TrackedConnection, _: FlatRecord) -> RuleBreach | None:
    shadow.closed_by_record = True
    if shadow.state in (DISPOSING, None):
        return None
    return RuleBreach("end", f"the connection object is closed, and the connection is {shadow.state}")


def _subscription(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    who = line.subscription
    if _names_secret(shadow, line):
        return _SECRET
    if not who:
        return _MISSING_FIELD
    shadow.subscriptions_known = shadow.complete
    if line.change == "acknowledged":
        shadow.acknowledged.add(who)
        shadow.established.add(who)
        shadow.accepted = True
        shadow.refusals = 0
        _note_quiet(shadow)
    elif line.change == "desired":
        shadow.desired.add(who)
    elif line.change in ("withdrawn", "removed", "rejected"):
        shadow.desired.discard(who)
        shadow.acknowledged.discard(who)
        established = who in shadow.established
        shadow.established.discard(who)
        if line.change != "removed":  # which tells what became of a link, and may come with its end
            _note_quiet(shadow)
        if line.change == "rejected":
            shadow.rejected += 1
            shadow.stats.count("rejected")
            if established and line.error_code is not None and is_server_fault(line.error_code):
                return RuleBreach("kept", f"error {line.error_code} ends a subscription that was acknowledged")
            return RuleBreach("rejected", "the server rejected a subscription")
    else:
        return _MISSING_FIELD
    return None


def _note_quiet(shadow: TrackedConnection) -> None:
    """Note whether everything desired is acknowledged, as the machine does with what the user says or the server answers."""
    if shadow.state in _LIVE and shadow.desired <= shadow.acknowledged:
        shadow.note_up(surely=shadow.complete)


def _pause(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.dwell < 0 or line.change not in ("opened", "closed"):
        return _MISSING_FIELD
    if line.paused == shadow.link:  # what is awaited waits, and is awaited anew
        shadow.asked_at = MINUS_INFINITY if line.change == "opened" else shadow.entered + line.dwell
    return None


def _retired(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.retired < 1 or line.dwell < 0:
        return _MISSING_FIELD
    retiring, shadow.retiring = shadow.retiring, None
    if shadow.state is not None:
        shadow.now = max(shadow.now, shadow.entered + line.dwell)
    if shadow.complete and retiring != line.retired:
        return RuleBreach("link", f"link {line.retired} made room and has ended, and {retiring or 'none'} made room")
    if shadow.handover is None:  # an outage is under way already
        return None
    fail_handover(shadow, line)
    return RuleBreach("outage", "the link that made room has ended before the next one was up")


def _presence(_: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    return None if line.change in ("desired", "stored", "rejected", "withdrawn") else _MISSING_FIELD


def _canary(shadow: TrackedConnection, line: FlatRecord) -> RuleBreach | None:
    if line.seconds < 0 or line.change not in ("echoed", "missed", "refused", "failed"):
        return _MISSING_FIELD
    policies = shadow.policies
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
