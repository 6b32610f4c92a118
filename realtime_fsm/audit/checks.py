"""The checks of a step against the table and the facts of its connection.

Design: a check returns the rule that a step breaks, or None. Each transition rule gets its checks once: on import.
"""

from __future__ import annotations

from math import frexp
from typing import TYPE_CHECKING

from realtime_fsm.audit.deadline_checks import deadline_of, delay
from realtime_fsm.audit.guard_inference import URL_ERAS, RowChoiceCheck, is_forgiven, is_told_to_wait
from realtime_fsm.audit.row_facts import DISPOSING, OWN, SUBSCRIBED, UNSUBSCRIBED, RowFacts, Rulebook
from realtime_fsm.audit.rules import ROUNDING, SINGLE, RuleBreach
from realtime_fsm.audit.tracking import LIMIT, WINDOW
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.protocol.eras import Era

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.fsm.tablespec import Table

    Check = Callable[[TrackedConnection, FlatRecord, RowFacts, float], RuleBreach | None]


def check_row_identity(tracked: TrackedConnection, line: FlatRecord, step: RowFacts | None) -> RuleBreach | None:
    """Check that a step follows a transition rule of the table and begins where the step before ended."""
    state = tracked.state
    if state == DISPOSING and (step is None or step.source != DISPOSING or line.source != DISPOSING):
        return RuleBreach("end", f"the connection is {state}, and this is {line.source} x {line.trigger}")
    if step is None:
        return RuleBreach("row", "no transition rule of the table has this id")
    fits = any(
        (other.source, other.trigger, other.dest) == (line.source, line.trigger, line.dest) and other.id != step.id
        for other in tracked.book.steps.values()
    )
    if fits and line.source == state:
        return RuleBreach("row", f"rule {step.id} is {step.source} x {step.trigger} -> {step.dest}")
    for name, said, means in (
        ("trigger", line.trigger, step.trigger),
        ("source", line.source, step.source),
        ("dest", line.dest, step.dest),
    ):
        if said != means:
            return RuleBreach(name, f"rule {step.id} has the {name} {means}")
    if state is not None and line.source != state:
        return RuleBreach("source", f"the connection is {state}")
    return None


def _basics(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> RuleBreach | None:
    """Check the cause, the numbers and the clock, which every step has.

    One function, because three of them, one after the other, took an eighth of the time of an audit.
    """
    if line.cause not in step.causes:
        return _wrong_cause(step)
    if line.cause is None and not (line.error_code is line.close_code is line.status is line.retry_after is None):
        return RuleBreach("cause", "the record has the code of a failure, and no cause")
    if step.of_socket and tracked.has_link is False:
        return RuleBreach("link", f"the trigger {step.trigger} needs a link, and the connection has none")
    if tracked.state is not None:
        if step.link_unchanged and line.attempt == tracked.attempt and line.link == tracked.link:
            breach = _frames(tracked, line, step, t)
        else:
            breach = _numbers(tracked, line, step, t)
        if breach is not None:
            return breach
        if t < tracked.now - ROUNDING:
            return RuleBreach("clock", f"{tracked.now - tracked.entered:.6f} s had passed in {line.source} before")
        if t < tracked.noted - ROUNDING:
            return RuleBreach("clock", f"a record tells of {tracked.noted - t:.6f} s later")
        if tracked.origin is not None and line.at is not None:
            told = line.at - tracked.origin
            if abs(told - t) > ROUNDING and abs(told - t) > ROUNDING + _blur(line.at):
                return RuleBreach("clock", f"by the clock of the machine (`at`) the dwell is {told - tracked.entered:.6f} s")
        if tracked.next_triggers is not None and step.trigger not in tracked.next_triggers:
            return RuleBreach("request", f"a record tells of an answer, and the step is {step.trigger}")
        if line.era != tracked.era and _keeps_era(tracked, line, step):
            return RuleBreach("era", f"the era is {tracked.era}, and the rule does not change it")
    if line.dwell < 0:
        return RuleBreach("clock", f"the dwell in {line.source} is negative: {line.dwell:.6f} s")
    if tracked.lost_by is not None:
        return RuleBreach("healed", "a live link was lost, and no record begins an outage")
    if tracked.outage is not None and step.source in (SUBSCRIBED, UNSUBSCRIBED):
        return RuleBreach("healed", "everything desired is acknowledged, and no record ends the outage")
    return None


def _blur(at: float) -> float:
    """How far a moment may be off, in seconds: a shipper may have written the numbers of the log in single precision."""
    is_single = float(f"{at:.9g}") == at or (frexp(at)[0] * 2**24).is_integer()
    return at * SINGLE if is_single else 0.0


def _keeps_era(tracked: TrackedConnection, line: FlatRecord, step: RowFacts) -> bool:
    if not tracked.complete or step.enters_live or step.switches_to_url:
        return False
    if step.finds_era and tracked.policies is not None:  # after a refusal by an era the machine begins anew
        return line.era != tracked.policies.era
    return not (step.may_tell_e1_from_e2 and {line.era, tracked.era} == {Era.E1, Era.E2})


def _numbers(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> RuleBreach | None:
    """Check the numbers of links, attempts and frames, which follow from the effects of the transition rule."""
    if step.resumes:
        return None if line.attempt == 0 else RuleBreach("attempt", "it is 0")
    attempt = 0 if step.resets_attempts or step.forgives else tracked.attempt
    if step.is_loss:
        forgiven = is_forgiven(tracked, line)
        if forgiven or (forgiven is None and line.attempt != attempt):
            attempt = max(0, attempt - 1)
    if step.dials and line.attempt == attempt + 1:
        return _dialed(tracked, line, step)
    if line.attempt != attempt:
        return RuleBreach(
            "attempt", f"there were {attempt} attempts, or {attempt + 1} with a dial" if step.dials else f"it is {attempt}"
        )
    if step.dials and _dials_at_once(tracked, line, step):
        return RuleBreach("attempt", f"nothing holds the dial back, and a dial counts as attempt {attempt + 1}")
    if line.link != tracked.link:
        return RuleBreach("link", f"the link is {tracked.link}, and none was dialed")
    return _frames(tracked, line, step, t)


def _frames(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> RuleBreach | None:
    sent = line.sends - tracked.sends
    if not step.must_send <= sent <= step.may_send:
        few = str(step.must_send) if step.must_send == step.may_send else f"{step.must_send} or {step.may_send}"
        return RuleBreach("budget", f"{tracked.sends} frames had been sent on the link, and the rule sends {few}")
    if not sent:
        return None
    if tracked.request_in_flight and not step.answers:
        return RuleBreach("request", "a frame is sent while the answer to a request is awaited")
    if len(tracked.sent) == LIMIT and t - tracked.sent[0] < WINDOW - ROUNDING:
        return RuleBreach("budget", f"it is frame {LIMIT + 1} within {t - tracked.sent[0]:.3f} s")
    if t < tracked.closed_until - ROUNDING:
        later = tracked.closed_until - t
        return RuleBreach("budget", f"the server refused more frames, and the next one may go out {later:.3f} s later")
    return None


def _dials_at_once(tracked: TrackedConnection, line: FlatRecord, step: RowFacts) -> bool:
    if tracked.policies is None or tracked.policies.retry.dials_per_minute is not None:
        return False
    if tracked.awaits is None:  # records are missing, and a link may still have to close
        return False
    awaits = step.closes_first or (tracked.awaits != 0 and not step.closes_awaited)
    return not awaits and not (step.restores and is_told_to_wait(line) is not False)


def _dialed(tracked: TrackedConnection, line: FlatRecord, step: RowFacts) -> RuleBreach | None:
    if tracked.has_link and not step.drops:
        return RuleBreach("link", f"link {tracked.link} is not gone, and another one is dialed")
    if line.link != tracked.link + 1:
        return RuleBreach("link", f"the dial after link {tracked.link} makes link {tracked.link + 1}")
    return RuleBreach("budget", "nothing can have been sent on a new link") if line.sends else None


def _wrong_cause(step: RowFacts) -> RuleBreach:
    if None in step.causes:
        return RuleBreach("cause", "this rule is about no failure")
    known = ", ".join(sorted(str(cause) for cause in step.causes))
    return RuleBreach("cause", f"the cause is one of {known}")


def _answered(tracked: TrackedConnection, line: FlatRecord, _: RowFacts, __: float) -> RuleBreach | None:
    in_url = line.era in URL_ERAS  # the greeting answers a request in the URL
    if in_url or tracked.request_in_flight is not False or tracked.put_back is not False:
        return None
    return RuleBreach("request", "no request was in flight")


def _check_all_acknowledged(tracked: TrackedConnection, line: FlatRecord, _: RowFacts, __: float) -> RuleBreach | None:
    if not tracked.subscriptions_known or line.lag < 0:  # a log without lags has no withdrawals either
        return None
    missing = len(tracked.desired - tracked.acknowledged)
    if missing:
        return RuleBreach(
            "healed", f"of {len(tracked.desired)} desired subscriptions {missing} are not acknowledged on this link"
        )
    return None if tracked.desired else RuleBreach("healed", "no subscription is desired")


def _recovered(tracked: TrackedConnection, _: FlatRecord, __: RowFacts, ___: float) -> RuleBreach | None:
    if tracked.faulty_since is not None or not tracked.complete:
        return None
    return RuleBreach("recovery", "no server fault was under way")


def _closed_once(tracked: TrackedConnection, _: FlatRecord, __: RowFacts, ___: float) -> RuleBreach | None:
    return RuleBreach("end", "the socket was closed before") if tracked.closed else None


def rulebook(table: Table[State, Trigger]) -> Rulebook:
    """Prepare the judgement by a table."""
    book = Rulebook(table, {row.id: RowFacts(row) for row in table.rows})
    _choose_checks(book)
    return book


def _choose_checks(book: Rulebook) -> None:
    for step in book.steps.values():
        step.checks = tuple(_checks_of(step, book.table))


def _checks_of(step: RowFacts, table: Table[State, Trigger]) -> Iterator[Check]:
    """Choose the checks of a transition rule, in their order."""
    row = step.row
    choice = RowChoiceCheck(step, table.cells[row.source, row.trigger])
    checks: tuple[tuple[Check | None, bool], ...] = (
        (_basics, True),
        (choice, not choice.is_empty),
        (_answered, row.trigger is Trigger.ACKNOWLEDGED),
        (deadline_of(step), True),
        (delay, row.source is State.RECONNECTING and step.dials and not step.resets_attempts),
        (_check_all_acknowledged, row.source is State.CONNECTED and row.dest is State.SUBSCRIBED and not step.resumes),
        (_recovered, row.trigger is Trigger.RECOVERED),
        (_closed_once, row.source is State.DISPOSING),
    )
    yield from (check for check, needed in checks if check is not None and needed)


_choose_checks(OWN)
