"""The times that policies promise: heartbeats, deadlines and the delays before dials. Without the policies nothing is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.auditing.guards import TOO_MANY, failure_code
from realtime_fsm.auditing.rules import EARLY, LATE, SLEEP, Said
from realtime_fsm.auditing.shadow import WINDOW
from realtime_fsm.vocabulary.table import State, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.auditing.lines import Line
    from realtime_fsm.auditing.shadow import Policies, Shadow, Step

    Check = Callable[[Shadow, Line, Step, float], Said | None]


def pong(shadow: Shadow, line: Line, step: Step, _: float) -> Said | None:
    """Whether a heartbeat kept its timeout."""
    if shadow.policies is None:
        return None
    timeout = shadow.policies.ping.timeout
    if line.dwell > timeout + LATE:
        text = f"the ping was out for {line.dwell:.3f} s, and its timeout is {timeout:g} s"
        return Said("pong", text, _late(shadow, line.dwell, timeout, shadow.entered + line.dwell))
    if step.trigger == Trigger.DEADLINE and line.dwell < timeout - EARLY:
        return Said("pong", f"the ping was given up after {line.dwell:.3f} s, and its timeout is {timeout:g} s")
    return None


def _late(shadow: Shadow, spent: float, allowed: float, t: float) -> float:
    """By how much something is late that a sleep may explain; 0 where a step in between shows that nobody slept."""
    awake = shadow.now > t - spent + allowed + LATE and t - shadow.woken_at > SLEEP
    return 0.0 if awake else spent - allowed


def _within(shadow: Shadow, what: str, since: float, allowed: float, t: float, *, given_up: bool) -> Said | None:
    spent = t - since
    if spent > allowed + LATE and spent != float("inf"):
        text = f"the {what} took {spent:.3f} s, and {allowed:g} s are allowed"
        return Said("deadline", text, _late(shadow, spent, allowed, t))
    if given_up and spent < allowed - EARLY:
        return Said("deadline", f"the {what} was given up after {spent:.3f} s, and {allowed:g} s are allowed")
    return None


def _opened(shadow: Shadow, _: Line, __: Step, t: float) -> Said | None:
    if shadow.policies is None or shadow.opened_at > shadow.dialed_at:
        return None
    return _within(shadow, "dial", shadow.dialed_at, shadow.policies.timeouts.dial, t, given_up=False)


def _greeted(shadow: Shadow, _: Line, __: Step, t: float) -> Said | None:
    if shadow.policies is None:
        return None
    return _within(shadow, "greeting", shadow.opened_at, shadow.policies.timeouts.greeting, t, given_up=False)


def _not_up(shadow: Shadow, line: Line, __: Step, t: float) -> Said | None:
    if shadow.policies is None:
        return None
    if line.cause == "greeting_overdue":
        return _within(shadow, "greeting", shadow.opened_at, shadow.policies.timeouts.greeting, t, given_up=True)
    return _within(shadow, "dial", shadow.dialed_at, shadow.policies.timeouts.dial, t, given_up=True)


def _acknowledged(shadow: Shadow, _: Line, step: Step, t: float) -> Said | None:
    if shadow.policies is None:
        return None
    overdue = step.trigger == Trigger.DEADLINE
    return _within(shadow, "reply", shadow.asked_at, shadow.policies.timeouts.reply, t, given_up=overdue)


def _at_least(what: str, spent: float, least: float) -> Said | None:
    if spent >= least - EARLY:
        return None
    return Said("deadline", f"{what} after {spent:.3f} s, and not before {least:g} s are over")


def _forgiven(shadow: Shadow, _: Line, __: Step, t: float) -> Said | None:
    if shadow.policies is None:
        return None
    return _at_least("earlier failures are forgiven", t - shadow.up_at, shadow.policies.retry.stable_after)


def _renewed(shadow: Shadow, _: Line, __: Step, t: float) -> Said | None:
    if shadow.policies is None:
        return None
    age = shadow.policies.max_link_age
    if age is None:
        return Said("deadline", "the link is renewed, and no age is too old")
    return _at_least("the link is renewed", t - shadow.up_at, age * 0.9)


def _idle(shadow: Shadow, _: Line, __: Step, t: float) -> Said | None:
    if shadow.policies is None:
        return None
    idle = shadow.policies.timeouts.idle
    if idle is None:
        return Said("deadline", "the idle link is closed, and it is to be kept")
    return _at_least("the idle link is closed", t - shadow.idle_from, idle)


def deadline_of(step: Step) -> Check | None:
    """The check of the deadline that a row is about, if it is about one."""
    guards = step.row.guards
    if step.source == State.RECONNECTING:
        if step.trigger == Trigger.OPENED:
            return _opened
        if step.trigger == Trigger.GREETED:
            return _greeted
        return _not_up if step.trigger == Trigger.DEADLINE and step.drops else None
    if "reply_overdue" in guards or step.trigger == Trigger.ACKNOWLEDGED:
        return _acknowledged
    return next((check for name, check in _LEAST.items() if name in guards), None)


_LEAST: dict[str, Check] = {"stable_due": _forgiven, "renewal_due": _renewed, "idle_due": _idle}


def envelope(policies: Policies, line: Line) -> tuple[float, float]:
    """Between what and what the delay before the next dial must be, in seconds, after a step that planned it."""
    least, most = policies.retry.delay(line.attempt, 0.0), policies.retry.delay(line.attempt, 1.0)
    if failure_code(line) == TOO_MANY:
        least, most = max(least, WINDOW), max(most, WINDOW + policies.retry.base)
    elif line.cause == "upgrade_refused":  # with 429 it is throttled, too; the records do not tell
        most = max(most, WINDOW + policies.retry.base)
    return least, most


def delay(shadow: Shadow, line: Line, _: Step, t: float) -> Said | None:
    """Whether a dial after a failure waited as long as it should; one that the end of a sleep brings forward need not."""
    if shadow.retry is None or line.trigger == Trigger.WOKEN:
        return None
    began, least, most = shadow.retry
    if least - EARLY <= t - began <= most + LATE:
        return None
    text = f"the delay was {t - began:.3f} s, and is from {least:g} to {most:g} s"
    return Said("delay", text, _late(shadow, t - began, most, t) if t - began > most else 0.0)
