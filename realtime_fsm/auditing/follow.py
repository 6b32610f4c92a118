"""Following: how a record moves the shadow of its connection, whether or not it was as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.auditing.guards import BY_ADDRESS, drops_message, is_refusal, is_told_to_wait
from realtime_fsm.auditing.outages import move, note_handover, uncover
from realtime_fsm.auditing.rules import ROUNDING, Said
from realtime_fsm.auditing.secrets import looks_secret
from realtime_fsm.auditing.shadow import LIMIT, NEVER, WINDOW, settings_of
from realtime_fsm.auditing.steps import DISCONNECTED, DISPOSING, ERROR, PING, SUBSCRIBED, UNSUBSCRIBED
from realtime_fsm.auditing.times import envelope
from realtime_fsm.vocabulary.eras import Era
from realtime_fsm.vocabulary.errors import BadOption
from realtime_fsm.vocabulary.faults import is_server_fault
from realtime_fsm.vocabulary.table import LIVE

if TYPE_CHECKING:
    from realtime_fsm.auditing.life import Life
    from realtime_fsm.auditing.lines import Line
    from realtime_fsm.auditing.shadow import Shadow
    from realtime_fsm.auditing.steps import Step

_LIVE = frozenset(state.value for state in LIVE)
SEGMENTS = 2000
"""Bars of one connection that a picture shows."""


def resync(shadow: Shadow, line: Line, step: Step | None) -> None:
    """Believe the record: what came before it does not explain it.

    The numbers are those that it leaves, less a dial or a frame that its row makes for certain.
    """
    shadow.blind()
    shadow.stand(line.source, shadow.now - max(0.0, line.dwell))
    shadow.link, shadow.attempt, shadow.sends = line.link, max(0, line.attempt), max(0, line.sends)
    if step is not None:
        shadow.sends -= step.must_send
        if step.fresh and step.dials and line.attempt > 0:
            shadow.link -= 1
    if line.source in _LIVE:
        shadow.holds = True
    elif line.source in (DISCONNECTED, ERROR):
        shadow.holds = False


def doubt(shadow: Shadow, step: Step) -> None:
    """Forget whether a step that was believed sent a request, or dialed: its numbers tell that only beside those before."""
    if step.may_send and not step.pings:
        shadow.asked = shadow.put_back = None
    if step.dials and not step.fresh:
        shadow.holds = None


def follow(shadow: Shadow, line: Line, step: Step, t: float, detail: bool) -> None:
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
    if not step.plain:
        _note_link(shadow, line, step, t)
    elif step.enters_live:
        _note_era(shadow, line.era)
    if step.changes and step.dest in (SUBSCRIBED, UNSUBSCRIBED):
        shadow.note_up()
    elif step.enters_live and not shadow.desired:
        shadow.note_up(surely=shadow.whole)


def _note_sends(shadow: Shadow, line: Line, step: Step, t: float) -> None:
    sent = line.sends - shadow.sends
    if step.answers:
        if step.errs:
            shadow.blamed = shadow.asked
            if drops_message(line):
                shadow.closed_until = t + WINDOW
                shadow.put_back = shadow.asked or shadow.put_back
        else:
            shadow.put_back = False
        shadow.asked = False
    if sent > 0:
        if len(shadow.sent) == LIMIT:
            shadow.make_room(t)
        shadow.sent.append(t)
        if not step.pings:
            shadow.asked, shadow.asked_at, shadow.put_back = True, t, False
    shadow.sends = line.sends


def _note_link(shadow: Shadow, line: Line, step: Step, t: float) -> None:
    waits = step.plans_retry or (step.restores and is_told_to_wait(line))
    if step.plans_retry:
        refused = is_refusal(shadow, line)
        shadow.refusals = 0 if refused is False else None if refused is None or shadow.refusals is None else shadow.refusals + 1
    if step.errs and not step.may_send:
        shadow.asked = shadow.blamed = False
    if step.closes_first:
        shadow.awaits = None if shadow.holds is None else shadow.holds + (shadow.retiring is not None)
    if step.drops:
        shadow.holds = shadow.asked = shadow.blamed = False
        shadow.acknowledged.clear()
        shadow.retry = None
    if waits:
        shadow.throttled = is_told_to_wait(line)
        shadow.retry = None if shadow.policies is None else (t, *envelope(shadow.policies, line))
    elif step.dials:
        shadow.retry = None
    if shadow.handover is not None:
        note_handover(shadow, line, step, t, shadow.handover)
    if step.retires:
        shadow.retiring = shadow.link
    elif step.parts:
        shadow.retiring = None
    if step.addresses:
        shadow.by_address, shadow.doubtful = True, False
    elif step.finds or waits:
        if step.finds:
            shadow.doubtful = None if shadow.policies is None else line.era == Era.E3 and shadow.policies.protocol is None
        shadow.by_address = _asks_by_address(shadow, line.era)
    elif step.fresh and step.source in _LIVE:  # in `reconnecting` the machine dials again as it did
        shadow.by_address = line.era in BY_ADDRESS
    shadow.era = line.era
    if step.fresh:
        shadow.refusals = 0
    if step.expects:
        shadow.been_up = False
    elif step.restores:
        shadow.been_up = shadow.ever_up
    if line.link > shadow.link:
        shadow.awaits = 0
        shadow.planned = shadow.by_address
        shadow.holds, shadow.dialed_at, shadow.sends = True, t, line.sends
        shadow.asked = shadow.put_back = shadow.blamed = shadow.throttled = shadow.proven = shadow.accepted = False
        shadow.renew()
    shadow.link, shadow.attempt = line.link, line.attempt


def _note_era(shadow: Shadow, era: str | None) -> None:
    """Note what a greeting shows."""
    shadow.retiring = None
    if not shadow.whole or shadow.policies is None:
        shadow.doubtful = None
    elif era == Era.E3 and shadow.era not in (None, Era.E3):
        shadow.doubtful = shadow.policies.protocol is None
    shadow.era = era


def _asks_by_address(shadow: Shadow, era: str | None) -> bool | None:
    """Whether the next dial asks by its address; a server that greets like an E3 is asked once like an E4."""
    if era != Era.E3:
        return era in BY_ADDRESS
    if shadow.retiring is not None:
        return True
    return None if shadow.doubtful is None else not shadow.doubtful


def _enter(shadow: Shadow, line: Line, step: Step, t: float, *, detail: bool) -> None:
    """A state is left, and another one entered."""
    shadow.settle()
    life, dest = shadow.life, step.dest
    since = max(shadow.life_from, shadow.entered)
    life.states[step.source] += t - since
    if detail:
        _draw(life, since, t, step.source)
    if step.ponged:
        life.pings.add(line.dwell)
    if step.source == PING and dest == UNSUBSCRIBED and shadow.rest != UNSUBSCRIBED:
        shadow.idle_from = shadow.entered  # the last subscription may have been given up since then, and no step tells
    if not step.pings and (life.outage is not None or not step.ponged):
        move(shadow, line, step, t, t - since)
    shadow.stand(dest, t, step.source)


def _draw(life: Life, since: float, until: float, state: str) -> None:
    if len(life.segments) < SEGMENTS:
        life.segments.append((since, until - since, state))
    else:
        life.segments_left_out += 1


def note(shadow: Shadow, line: Line) -> Said | None:
    """Take a record that is not a step."""
    if line.link != shadow.link and shadow.state is not None:
        return Said("link", f"the link is {shadow.link}, and only a step changes it")
    taker = _TAKERS.get(line.event)
    return None if taker is None else taker(shadow, line)


def _open(shadow: Shadow, line: Line) -> Said | None:
    try:
        policies, secrets = settings_of(line)
    except (BadOption, TypeError, ValueError):
        return Said("form", "the settings are none that the library accepts")
    shadow.policies = policies
    shadow.pong_within, shadow.reply_within = policies.ping.timeout + ROUNDING, policies.timeouts.reply + ROUNDING
    return Said("secret", f"{', '.join(secrets)}: the value looks like a secret") if secrets else None


_UNLIKE = Said("form", "it lacks a field of its kind")
_SECRET = Said("secret", "the subscription's id looks like a secret")


def _names_secret(shadow: Shadow, line: Line) -> bool:
    return line.subscription not in shadow.desired and looks_secret(line.subscription)


def _ping(_: Shadow, line: Line) -> Said | None:
    return _UNLIKE if line.round_trip < 0 else None


def _outage(shadow: Shadow, line: Line) -> Said | None:
    if line.change == "closed":
        healed = shadow.state in (SUBSCRIBED, UNSUBSCRIBED, None)
        return None if healed else Said("healed", f"the outage is over, and the connection is {shadow.state}")
    return None if line.change == "opened" else _UNLIKE


def _fault(shadow: Shadow, line: Line) -> Said | None:
    if line.seconds < 0 or line.change not in ("opened", "closed"):
        return _UNLIKE
    since = shadow.faulty_since
    if line.change == "opened":
        shadow.faulty_since = shadow.now - line.seconds
        shadow.life.count("faults")
        if since is not None:
            return Said("recovery", "a server fault begins, and the one before is not over")
        if shadow.state is not None and shadow.state not in _LIVE:
            return Said("recovery", f"a server fault begins, and the connection is {shadow.state}")
        return Said("fault", "the server answers, and cannot work")
    shadow.faulty_since = None
    if since is None and shadow.whole:
        return Said("recovery", "a server fault is over, and none was under way")
    shadow.life.faulty += max(0.0, min(line.seconds, shadow.now - shadow.life_from))
    return None


def _dropped(shadow: Shadow, line: Line) -> Said:
    if line.count < 1:
        return _UNLIKE
    if _names_secret(shadow, line):
        return _SECRET
    shadow.life.count("dropped", line.count)
    return Said("dropped", f"{line.count} events had to make room")


def _gap(shadow: Shadow, line: Line) -> Said:
    if line.seconds < 0:
        return _UNLIKE
    if _names_secret(shadow, line):
        return _SECRET
    shadow.life.count("gaps")
    outage = shadow.life.outage or shadow.handover
    if outage is not None:
        outage.gap = max(outage.gap, line.seconds)
    return Said("gap", f"a subscription may have missed events of {line.seconds:.3f} s")


def _malformed(shadow: Shadow, line: Line) -> Said:
    if not line.kind:
        return _UNLIKE
    shadow.life.count("malformed")
    if looks_secret(line.kind):
        return Said("secret", "the kind looks like a secret")
    return Said("malformed", "a message of the server could not be understood")


def _close(shadow: Shadow, _: Line) -> Said | None:
    shadow.done = True
    if shadow.state in (DISPOSING, None):
        return None
    return Said("end", f"the connection object is closed, and the connection is {shadow.state}")


def _subscription(shadow: Shadow, line: Line) -> Said | None:
    who = line.subscription
    if _names_secret(shadow, line):
        return _SECRET
    if not who:
        return _UNLIKE
    shadow.told = shadow.whole
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
            shadow.life.count("rejected")
            if established and line.error_code is not None and is_server_fault(line.error_code):
                return Said("kept", f"error {line.error_code} ends a subscription that was acknowledged")
            return Said("rejected", "the server rejected a subscription")
    else:
        return _UNLIKE
    return None


def _note_quiet(shadow: Shadow) -> None:
    """Note whether everything desired is acknowledged, as the machine does with what the user says or the server answers."""
    if shadow.state in _LIVE and shadow.desired <= shadow.acknowledged:
        shadow.note_up(surely=shadow.whole)


def _pause(shadow: Shadow, line: Line) -> Said | None:
    if line.seconds < 0 or line.dwell < 0 or line.change not in ("opened", "closed"):
        return _UNLIKE
    if line.paused == shadow.link:  # what is awaited waits, and is awaited anew
        shadow.asked_at = NEVER if line.change == "opened" else shadow.entered + line.dwell
    return None


def _retired(shadow: Shadow, line: Line) -> Said | None:
    if line.retired < 1 or line.dwell < 0:
        return _UNLIKE
    retiring, shadow.retiring = shadow.retiring, None
    if shadow.state is not None:
        shadow.now = max(shadow.now, shadow.entered + line.dwell)
    if shadow.whole and retiring != line.retired:
        return Said("link", f"link {line.retired} made room and has ended, and {retiring or 'none'} made room")
    if shadow.handover is None:  # an outage is under way already
        return None
    uncover(shadow, line)
    return Said("outage", "the link that made room has ended before the next one was up")


def _presence(_: Shadow, line: Line) -> Said | None:
    return None if line.change in ("desired", "stored", "rejected", "withdrawn") else _UNLIKE


def _canary(shadow: Shadow, line: Line) -> Said | None:
    if line.seconds < 0 or line.change not in ("echoed", "missed", "refused", "failed"):
        return _UNLIKE
    policies = shadow.policies
    unwanted = policies is not None and policies.canary is None
    return Said("form", "a canary was sent, and the connection has no canary policy") if unwanted else None


_TAKERS = {
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
