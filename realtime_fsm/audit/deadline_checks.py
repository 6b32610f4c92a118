"""The checks of times that the policies set: heartbeats, deadlines and the delays before dials.

Invariant: only the field `lag` excuses a step after its deadline, because it says how late the process was. In a log without
that field a late step is a note. Without a `realtime.open` record the policies are unknown, and no time is judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.facts import WINDOW
from realtime_fsm.audit.guard_inference import is_throttled
from realtime_fsm.audit.rules import LATE, ROUNDING, RuleBreach
from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.table import State, Trigger

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts
    from realtime_fsm.audit.policies import Policies
    from realtime_fsm.audit.row_facts import Check, RowFacts


def _late(rule: str, late: float, line: FlatRecord, text: str) -> RuleBreach | None:
    if line.lag >= 0 and late > line.lag + ROUNDING:
        return RuleBreach(rule, f"{text}; the process was {f'{line.lag:.3f} s late' if line.lag > ROUNDING else 'on time'}")
    return RuleBreach("late", text) if late > LATE else None


def _within(what: str, spent: float, allowed: float, line: FlatRecord, *, rule: str = "deadline") -> RuleBreach | None:
    """Check that an answer came in its time, or that its deadline came exactly then."""
    late = spent - allowed
    if late > ROUNDING and spent != float("inf"):
        return _late(rule, late, line, f"the {what} took {spent:.3f} s, and {allowed:g} s are allowed")
    if late < -ROUNDING and line.trigger == "deadline":
        return RuleBreach(rule, f"the {what} was given up after {spent:.3f} s, and {allowed:g} s are allowed")
    return None


def _pong(facts: Facts, line: FlatRecord, _: RowFacts, __: float) -> RuleBreach | None:
    if facts.policies is None:
        return None
    return _within("answer to the ping", line.dwell, facts.policies.ping.timeout, line, rule="pong")


def _not_up(facts: Facts, line: FlatRecord, _: RowFacts, t: float) -> RuleBreach | None:
    """Check the time of an upgrade or a greeting, whether it came or not."""
    policies, link = facts.policies, facts.link
    if policies is None:
        return None
    if line.trigger == "greeted" or line.cause == "greeting_overdue":
        return _within("greeting", t - link.opened_at, policies.timeouts.greeting, line)
    if line.trigger == "opened" and link.opened_at >= link.dialed_at:  # the upgrade came before, at once perhaps
        return None
    return _within("dial", t - link.dialed_at, policies.timeouts.dial, line)


def _acknowledged(facts: Facts, line: FlatRecord, _: RowFacts, t: float) -> RuleBreach | None:
    policies, frames = facts.policies, facts.frames
    if policies is None:
        return None
    if not frames.in_flight:
        overdue = line.trigger == "deadline" and frames.in_flight is False
        return RuleBreach("request", "no request was in flight") if overdue else None
    return _within("reply", t - frames.asked_at, policies.timeouts.reply, line)


def _at_least(what: str, spent: float, least: float | None, never: str = "") -> RuleBreach | None:
    """Check that a time is over; `never` says why it never is where no time is set."""
    if least is None:
        return RuleBreach("deadline", f"{what}, and {never}")
    if spent >= least - ROUNDING:
        return None
    return RuleBreach("deadline", f"{what} after {spent:.3f} s, and not before {least:g} s are over")


def _forgiven(facts: Facts, _: FlatRecord, __: RowFacts, t: float) -> RuleBreach | None:
    if facts.policies is None:
        return None
    return _at_least("earlier failures are forgiven", t - facts.link.up_at, facts.policies.retry.stable_after)


def _renewed(facts: Facts, _: FlatRecord, __: RowFacts, t: float) -> RuleBreach | None:
    if facts.policies is None:
        return None
    age = facts.policies.max_link_age
    return _at_least("the link is renewed", t - facts.link.up_at, age and age * 0.9, "no age is too old")


def _idle(facts: Facts, _: FlatRecord, __: RowFacts, t: float) -> RuleBreach | None:
    if facts.policies is None:
        return None
    most = facts.policies.timeouts.idle
    return _at_least("the idle link is closed", t - facts.link.idle_from, most, "it is to be kept")


def _room(facts: Facts, line: FlatRecord, _: RowFacts, t: float) -> RuleBreach | None:
    """Check that the budget got room for the request at its deadline, or had room already after the step before."""
    frames = facts.frames
    if facts.policies is None or not frames.sent_known or line.lag < 0:
        return None
    due = t - line.lag
    moments = (facts.last_step.now, frames.closed_until, *(sent + WINDOW for sent in frames.sent))
    if any(abs(due - moment) <= ROUNDING for moment in moments):
        return None
    return RuleBreach("row", f"rule {line.row} does not apply: the send budget did not get room at that moment")


_LEAST: dict[str, Check] = {Guard.STABLE_DUE: _forgiven, Guard.RENEWAL_DUE: _renewed, Guard.IDLE_DUE: _idle}


def deadline_of(step: RowFacts) -> Check | None:
    """Choose the check of the deadline of a transition rule; None where the rule has no deadline."""
    row = step.row
    is_deadline = row.trigger is Trigger.DEADLINE
    if row.source is State.PING:
        return _pong
    if row.source is State.RECONNECTING:
        ends_dial = row.trigger in (Trigger.OPENED, Trigger.GREETED) or (is_deadline and step.drops)
        return _not_up if ends_dial else None
    if Guard.REPLY_OVERDUE in row.guards or row.trigger is Trigger.ACKNOWLEDGED:
        return _acknowledged
    if is_deadline and step.must_send and not row.guards:
        return _room
    return next((check for name, check in _LEAST.items() if name in row.guards), None)


def delay_bounds(policies: Policies, line: FlatRecord, held: float) -> tuple[float, float]:
    """Compute the least and the greatest delay before the next dial, in seconds, after the step that planned it.

    For `held` seconds an earlier answer of the server still holds dials back.
    """
    least, most = policies.retry.delay(line.attempt, 0.0), policies.retry.delay(line.attempt, 1.0)
    throttled, asked = is_throttled(line), max(line.retry_after or 0.0, held)
    least = max(least, WINDOW if throttled else 0.0, asked)
    bound = max(asked, 0.0 if throttled is False else WINDOW)
    return least, max(most, bound + policies.retry.base) if bound else most


def delay(facts: Facts, line: FlatRecord, _: RowFacts, t: float) -> RuleBreach | None:
    """Check the delay of a dial after a failure, unless the user or the end of a sleep brought the dial forward."""
    if facts.next_dial.retry is None or line.trigger in ("woken", "reconnect"):
        return None
    began, least, most = facts.next_dial.retry
    waited = t - began
    text = f"the delay was {waited:.3f} s, and is from {least:g} to {most:g} s"
    if waited - max(0.0, line.lag) < least - ROUNDING:
        return RuleBreach("delay", text)
    return _late("delay", waited - most, line, text) if waited > most + ROUNDING else None
