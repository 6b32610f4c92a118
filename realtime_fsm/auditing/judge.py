"""The judge: what a step must be, rule by rule, given the shadow of its connection.

Each check looks at one step and says which rule it breaks and how, or nothing. Which checks a row needs is worked out once,
when this module is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.auditing.guards import BY_ADDRESS, Choice, is_forgiven, is_told_to_wait
from realtime_fsm.auditing.rules import ROUNDING, Said
from realtime_fsm.auditing.shadow import LIMIT, WINDOW
from realtime_fsm.auditing.steps import DISPOSING, STEPS
from realtime_fsm.auditing.times import deadline_of, delay
from realtime_fsm.vocabulary.table import TABLE, State, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.auditing.lines import Line
    from realtime_fsm.auditing.shadow import Shadow
    from realtime_fsm.auditing.steps import Step

    Check = Callable[[Shadow, Line, Step, float], Said | None]


def misplaced(shadow: Shadow, line: Line, step: Step | None) -> Said | None:
    """Whether a step is a row of the table at all, and begins where the one before ended."""
    state = shadow.state
    if state == DISPOSING and (step is None or step.source != DISPOSING or line.source != DISPOSING):
        return Said("end", f"the connection is {state}, and this is {line.source} x {line.trigger}")
    if step is None:
        return Said("row", "no row of the table has this id")
    fits = any(
        (other.source, other.trigger, other.dest) == (line.source, line.trigger, line.dest) and other.id != step.id
        for other in STEPS.values()
    )
    if fits and line.source == state:
        return Said("row", f"row {step.id} is {step.source} x {step.trigger} -> {step.dest}")
    for name, said, means in (
        ("trigger", line.trigger, step.trigger),
        ("source", line.source, step.source),
        ("dest", line.dest, step.dest),
    ):
        if said != means:
            return Said(name, f"row {step.id} has the {name} {means}")
    if state is not None and line.source != state:
        return Said("source", f"the connection is {state}")
    return None


def _counts(shadow: Shadow, line: Line, step: Step, _: float) -> Said | None:
    """The numbers of links, attempts and frames that follow from the row's effects."""
    if shadow.state is None:
        return None
    attempt = 0 if step.fresh or step.forgives else shadow.attempt
    forgiven = is_forgiven(shadow, line)
    if forgiven or (forgiven is None and line.attempt != attempt):
        attempt = max(0, attempt - 1)
    if step.dials and line.attempt == attempt + 1:
        return _dialed(shadow, line, step)
    if line.attempt != attempt:
        return Said(
            "attempt", f"there were {attempt} attempts, or {attempt + 1} with a dial" if step.dials else f"it is {attempt}"
        )
    held = (
        step.closes_first or (shadow.awaits != 0 and not step.releases) or (step.restores and is_told_to_wait(line) is not False)
    )
    unpaced = step.dials and not held and shadow.policies is not None and shadow.policies.retry.dials_per_minute is None
    if unpaced:
        return Said("attempt", f"nothing holds a dial back, and it counts as attempt {attempt + 1}")
    if line.link != shadow.link:
        return Said("link", f"the link is {shadow.link}, and none was dialed")
    sent = line.sends - shadow.sends
    if not step.must_send <= sent <= step.may_send:
        few = str(step.must_send) if step.must_send == step.may_send else f"{step.must_send} or {step.may_send}"
        return Said("budget", f"{shadow.sends} frames had been sent on the link, and the row sends {few}")
    return _sent(shadow, step) if sent else None


def _dialed(shadow: Shadow, line: Line, step: Step) -> Said | None:
    if shadow.holds and not step.drops:
        return Said("link", f"link {shadow.link} is not gone, and another one is dialed")
    if line.link != shadow.link + 1:
        return Said("link", f"the dial after link {shadow.link} makes link {shadow.link + 1}")
    return Said("budget", "nothing can have been sent on a new link") if line.sends else None


def _sent(shadow: Shadow, step: Step) -> Said | None:
    if shadow.asked and not step.answers:
        return Said("request", "a frame is sent while the answer to a request is awaited")
    return None


def _of_a_link(shadow: Shadow, _: Line, step: Step, __: float) -> Said | None:
    return Said("link", f"there is no link that could have {step.trigger}") if shadow.holds is False else None


def _answered(shadow: Shadow, line: Line, _: Step, __: float) -> Said | None:
    by_address = line.era in BY_ADDRESS  # where the address asks, the greeting answers
    if by_address or shadow.asked is not False or shadow.put_back is not False:
        return None
    return Said("request", "no request was in flight")


def _cause(_: Shadow, line: Line, step: Step, __: float) -> Said | None:
    if line.cause in step.causes:
        return None
    if None in step.causes:
        return Said("cause", "this row is about no failure")
    known = ", ".join(sorted(str(cause) for cause in step.causes))
    return Said("cause", f"the cause is one of {known}")


def _choosing(choice: Choice) -> Check:
    def check(shadow: Shadow, line: Line, step: Step, _: float) -> Said | None:
        wrong = choice(shadow, line)
        return None if wrong is None else Said("row", f"row {step.id} was not to be taken: {wrong}")

    return check


def _window(shadow: Shadow, line: Line, _: Step, t: float) -> Said | None:
    if line.sends == shadow.sends or shadow.state is None:
        return None
    if len(shadow.sent) == LIMIT and t - shadow.sent[0] < WINDOW - ROUNDING:
        return Said("budget", f"it is frame {LIMIT + 1} within {t - shadow.sent[0]:.3f} s")
    if t < shadow.closed_until - ROUNDING:
        later = shadow.closed_until - t
        return Said("budget", f"the server said that there were too many, and the next frame may be sent {later:.3f} s later")
    return None


def _healed(shadow: Shadow, line: Line, _: Step, __: float) -> Said | None:
    if not shadow.told or line.lag < 0:  # logs that tell no lag tell no withdrawals either
        return None
    missing = len(shadow.desired - shadow.acknowledged)
    if missing:
        return Said("healed", f"of {len(shadow.desired)} desired subscriptions {missing} are not acknowledged on this link")
    return None if shadow.desired else Said("healed", "no subscription is desired")


def _recovered(shadow: Shadow, _: Line, __: Step, ___: float) -> Said | None:
    if shadow.faulty_since is not None or not shadow.whole:
        return None
    return Said("recovery", "no server fault was under way")


def _closed_once(shadow: Shadow, _: Line, __: Step, ___: float) -> Said | None:
    return Said("end", "the socket was closed before") if shadow.closed else None


def _clock(shadow: Shadow, line: Line, _: Step, t: float) -> Said | None:
    if line.dwell < 0 or (shadow.state is not None and t < shadow.now - ROUNDING):
        return Said("clock", f"{shadow.now - shadow.entered:.6f} s had passed in {line.source} before")
    return None


def _prepare(step: Step) -> None:
    """Work out what a step by a row is judged by, in order."""
    row = step.row
    choice = Choice(step, TABLE.cells[row.source, row.trigger])
    checks: tuple[tuple[Check | None, bool], ...] = (
        (_cause, True),
        (_of_a_link, step.of_socket),
        (_counts, True),
        (_clock, True),
        (_choosing(choice), not choice.is_empty),
        (_answered, row.trigger is Trigger.ACKNOWLEDGED),
        (_window, step.may_send > 0),
        (deadline_of(step), True),
        (delay, row.source is State.RECONNECTING and step.dials and not step.fresh),
        (_healed, row.source is State.CONNECTED and row.dest is State.SUBSCRIBED),
        (_recovered, row.trigger is Trigger.RECOVERED),
        (_closed_once, row.source is State.DISPOSING),
    )
    step.checks = tuple(check for check, needed in checks if check is not None and needed)


for _step in STEPS.values():
    _prepare(_step)
