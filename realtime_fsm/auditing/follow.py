"""Following: how a record moves the shadow of its connection, whether or not it was as it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.auditing.guards import TOO_MANY, failure_code
from realtime_fsm.auditing.life import Life, Outage
from realtime_fsm.auditing.rules import Said
from realtime_fsm.auditing.secrets import looks_secret
from realtime_fsm.auditing.shadow import WINDOW, Policies
from realtime_fsm.auditing.times import envelope
from realtime_fsm.vocabulary.errors import BadOption
from realtime_fsm.vocabulary.table import LIVE, State, Trigger

if TYPE_CHECKING:
    from realtime_fsm.auditing.lines import Line
    from realtime_fsm.auditing.shadow import Shadow, Step
    from realtime_fsm.vocabulary.records import OpenRecord

_NEVER = float("-inf")
SEGMENTS = 2000
"""Bars of one connection that a picture shows."""


def resync(shadow: Shadow, line: Line) -> None:
    """Believe the record: what came before it does not explain it."""
    shadow.blind()
    shadow.state = line.source
    shadow.link, shadow.attempt, shadow.sends = line.link, max(0, line.attempt), max(0, line.sends)
    shadow.entered = shadow.now - max(0.0, line.dwell)
    if line.source in LIVE:
        shadow.holds = True
    elif line.source in (State.DISCONNECTED, State.ERROR):
        shadow.holds = False


def follow(shadow: Shadow, line: Line, step: Step, t: float, *, detail: bool) -> None:
    """Move the shadow by a step.

    Args:
        shadow: the connection.
        line: the record.
        step: its row.
        t: its time, in seconds of the connection.
        detail: whether bars are kept for a picture.
    """
    shadow.now = t
    life = shadow.life
    life.rows[step.id] += 1
    if shadow.just_removed:
        _settle_removals(shadow, step)
    if step.may_send:
        _note_sends(shadow, line, step, t)
    if step.changes:
        _enter(shadow, line, step, t, detail=detail)
    elif step.told:
        _note_inside(shadow, step, t)
    if not step.plain:
        _note_link(shadow, line, step, t)


def _note_inside(shadow: Shadow, step: Step, t: float) -> None:
    """A step within a state that leaves something to remember."""
    if step.trigger == Trigger.OPENED:
        shadow.opened_at = t
    elif step.trigger == Trigger.CLOSED:
        shadow.closed = True
    else:
        _owe(shadow)


def _note_sends(shadow: Shadow, line: Line, step: Step, t: float) -> None:
    sent = line.sends - shadow.sends
    if step.answers:
        shadow.blamed = shadow.asked if step.trigger == Trigger.SERVER_ERROR else shadow.blamed
        shadow.asked = False
        if line.error_code == TOO_MANY:
            shadow.closed_until = t + WINDOW
    if sent > 0:
        shadow.sent.append(t)
        if not step.pings:
            shadow.asked, shadow.asked_at = True, t
    shadow.sends = line.sends


def _note_link(shadow: Shadow, line: Line, step: Step, t: float) -> None:
    if step.trigger == Trigger.SERVER_ERROR and not step.may_send:
        shadow.asked = shadow.blamed = False
    if step.drops:
        shadow.holds = shadow.asked = shadow.blamed = False
        shadow.acknowledged.clear()
        shadow.owed = 0
        shadow.retry = None
    if step.plans_retry:
        # An upgrade refused with 429 is throttled, too; the records do not tell the status.
        shadow.throttled = None if line.cause == "upgrade_refused" else failure_code(line) == TOO_MANY
    if step.plans_retry and shadow.policies is not None:
        shadow.retry = (t, *envelope(shadow.policies, line))
    elif step.dials:
        shadow.retry = None
    if line.link > shadow.link:
        shadow.holds, shadow.dialed_at, shadow.opened_at, shadow.closed_until = True, t, _NEVER, _NEVER
        shadow.asked = shadow.blamed = shadow.throttled = False
        shadow.sent.clear()
        shadow.sends = line.sends
    shadow.link, shadow.attempt = line.link, line.attempt


def _settle_removals(shadow: Shadow, step: Step) -> None:
    if step.trigger != Trigger.UNSUBSCRIBE:
        shadow.owed = max(0, shadow.owed - shadow.just_removed)
        shadow.just_removed = 0


def _owe(shadow: Shadow) -> None:
    """A subscription was given up; its end is told now or later."""
    if shadow.just_removed:
        shadow.just_removed -= 1
    else:
        shadow.owed += 1


def _enter(shadow: Shadow, line: Line, step: Step, t: float, *, detail: bool) -> None:
    """A state is left, and another one entered."""
    life = shadow.life
    since = max(shadow.life_from, shadow.entered)
    life.states[step.source] += t - since
    shadow.entered, shadow.state = t, step.dest
    if detail:
        _draw(life, since, t, step.source)
    if step.ponged:
        life.pings.add(line.dwell)
    if step.pings:
        if step.source != "unsubscribed":
            shadow.idle_from = t  # the last subscription may be given up meanwhile, and no record would tell
    elif life.outage is not None or not step.ponged:
        _move(shadow, line, step, t, t - since)


def _draw(life: Life, since: float, until: float, state: str) -> None:
    if len(life.segments) < SEGMENTS:
        life.segments.append((since, until - since, state))
    else:
        life.segments_left_out += 1


def _move(shadow: Shadow, line: Line, step: Step, t: float, spent: float) -> None:
    """What a change means that is not of a heartbeat."""
    life, dest = shadow.life, step.dest
    if step.trigger == Trigger.UNSUBSCRIBE:
        _owe(shadow)
    if step.source == State.DISCONNECTED and life.outage is not None:
        life.down += spent
    if dest == State.UNSUBSCRIBED and step.source != State.PING:
        shadow.idle_from = t
    if dest == State.ERROR:
        life.count("gave up")
    if step.enters_live:
        shadow.up_at = t
        if shadow.told and not shadow.desired:  # nothing is desired, so nothing is missing
            life.end_outage(t, line.link, "healed")
    if step.leaves_live and life.outage is None:
        planned = line.cause is None
        if dest != State.DISPOSING and not (planned and dest == State.DISCONNECTED):
            life.begin_outage(Outage(line.timestamp, t, shadow.link, line.cause or step.trigger, planned=planned))
    elif life.outage is not None:
        _note_outage(shadow, line, step, t)


def _note_outage(shadow: Shadow, line: Line, step: Step, t: float) -> None:
    end = {
        State.SUBSCRIBED.value: "healed",
        State.UNSUBSCRIBED.value: "healed",
        State.DISCONNECTED.value: "" if line.cause else "disconnected",
        State.DISPOSING.value: "disposed",
    }.get(step.dest, "")
    if end:
        shadow.life.end_outage(t, line.link, end)


def configure(shadow: Shadow, opened: OpenRecord) -> Said | None:
    """Take the settings that a connection told."""
    try:
        shadow.policies = Policies(opened)
    except (BadOption, TypeError):
        return Said("form", "the settings are none that the library accepts")
    return None


def note(shadow: Shadow, line: Line) -> Said | None:
    """Take a record that is not a step."""
    if line.link != shadow.link and shadow.state is not None:
        return Said("link", f"the link is {shadow.link}, and only a step changes it")
    taker = _TAKERS.get(line.event)
    return None if taker is None else taker(shadow, line)


def _outage(shadow: Shadow, line: Line) -> Said | None:
    healed = shadow.state in (State.SUBSCRIBED, State.UNSUBSCRIBED, None)
    if line.change == "closed" and not healed:
        return Said("healed", f"the outage is over, and the connection is {shadow.state}")
    return None


def _dropped(shadow: Shadow, line: Line) -> Said:
    shadow.life.count("dropped", line.count)
    return Said("dropped", f"{line.count} events had to make room")


def _pause(shadow: Shadow, _: Line) -> None:
    shadow.asked_at = float("-inf")  # a reply may have lain there unread


def _gap(shadow: Shadow, line: Line) -> Said:
    shadow.life.count("gaps")
    outage = shadow.life.outage
    if outage is not None:
        outage.gap = max(outage.gap, line.seconds)
    return Said("gap", f"a subscription may have missed events of {line.seconds:.3f} s")


def _malformed(shadow: Shadow, line: Line) -> Said:
    shadow.life.count("malformed")
    if looks_secret(line.kind):
        return Said("secret", "the kind looks like a secret")
    return Said("malformed", "a message of the server could not be understood")


def _close(shadow: Shadow, _: Line) -> Said | None:
    shadow.done = True
    if shadow.state in (State.DISPOSING, None):
        return None
    return Said("end", f"the connection object is closed, and the connection is {shadow.state}")


def _subscription(shadow: Shadow, line: Line) -> Said | None:
    who = line.subscription
    if who not in shadow.desired and looks_secret(who):
        return Said("secret", "the subscription's id looks like a secret")
    shadow.told = shadow.whole
    if line.change == "desired":
        shadow.desired.add(who)
    elif line.change == "acknowledged":
        shadow.acknowledged.add(who)
    elif line.change == "withdrawn":
        shadow.desired.discard(who)
    else:
        shadow.desired.discard(who)
        shadow.acknowledged.discard(who)
        if line.change == "removed":
            shadow.just_removed += 1
            return None
        shadow.life.count("rejected")
        return Said("rejected", "the server rejected a subscription")
    return None


_TAKERS = {
    "realtime.subscription": _subscription,
    "realtime.outage": _outage,
    "realtime.dropped": _dropped,
    "realtime.pause": _pause,
    "realtime.gap": _gap,
    "realtime.malformed": _malformed,
    "realtime.close": _close,
}
