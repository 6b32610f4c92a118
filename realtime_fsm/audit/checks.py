"""The checks of a step against the table and the facts of its connection.

Design: a check returns the rule that a step breaks, or None. Each transition rule gets its checks once: on import.
"""

from __future__ import annotations

from math import frexp
from typing import TYPE_CHECKING

from realtime_fsm.audit.deadline_checks import deadline_of, delay
from realtime_fsm.audit.facts import LIMIT, WINDOW
from realtime_fsm.audit.guard_inference import URL_ERAS, choice_of, is_forgiven, is_told_to_wait
from realtime_fsm.audit.row_facts import DISPOSING, EFFECT, ERROR, OWN, SUBSCRIBED, UNSUBSCRIBED, RowFacts, Rulebook
from realtime_fsm.audit.rules import ROUNDING, SINGLE, RuleBreach
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import POLICY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts
    from realtime_fsm.audit.row_facts import Check
    from realtime_fsm.fsm.tablespec import Table


_FORGIVING = frozenset({EFFECT.RESET_ATTEMPTS, EFFECT.RESET_BACKOFF})
_COMPLETED = State.CONNECTED, State.SUBSCRIBED


def check_row_identity(facts: Facts, line: FlatRecord, step: RowFacts | None, book: Rulebook) -> RuleBreach | None:
    """Check that a step follows a transition rule of the table and begins where the step before ended."""
    state = facts.state
    if state == DISPOSING and (step is None or step.source != DISPOSING or line.source != DISPOSING):
        return RuleBreach("end", f"the connection is {state}, and this is {line.source} x {line.trigger}")
    if step is None:
        return RuleBreach("row", "no transition rule of the table has this id")
    fits = any(
        (other.source, other.trigger, other.dest) == (line.source, line.trigger, line.dest) and other.id != step.id
        for other in book.steps.values()
    )
    if fits and line.source == state:
        return RuleBreach("row", f"rule {step.id} is {step.source} x {step.trigger} -> {step.dest}")
    for name in ("trigger", "source", "dest"):
        if getattr(line, name) != (means := getattr(step, name)):
            return RuleBreach(name, f"rule {step.id} has the {name} {means}")
    if state is not None and line.source != state:
        return RuleBreach("source", f"the connection is {state}")
    return None


def _basics(facts: Facts, line: FlatRecord, step: RowFacts, t: float) -> RuleBreach | None:
    """Check the cause, the numbers and the clock, which every step has.

    One function, because three of them, one after the other, took an eighth of the time of an audit.
    """
    if line.cause not in step.causes:
        known = ", ".join(sorted(map(str, step.causes)))
        return RuleBreach("cause", "this rule is about no failure" if None in step.causes else f"the cause is one of {known}")
    if line.cause is None and not (line.error_code is line.close_code is line.status is line.retry_after is None):
        return RuleBreach("cause", "the record has the code of a failure, and no cause")
    if step.needs_link and facts.link.is_open is False:
        return RuleBreach("link", f"the trigger {step.trigger} needs a link, and the connection has none")
    if facts.state is not None:
        breach = None
        if not step.keeps_link or line.attempt != facts.attempt or line.link != facts.newest_link:
            breach = _numbers(facts, line, step, t)
        elif step.must_send or line.sends != facts.frames.sends:
            breach = _frames(facts, line, step, t)
        if breach is not None:
            return breach
        last = facts.last_step
        if t < last.now - ROUNDING:
            return RuleBreach("clock", f"{last.now - facts.entered:.6f} s had passed in {line.source} before")
        if t < last.noted - ROUNDING:
            return RuleBreach("clock", f"a record tells of {last.noted - t:.6f} s later")
        if line.at is not None and last.origin is not None and abs(line.at - last.origin - t) > ROUNDING:
            told = line.at - last.origin
            if abs(told - t) > ROUNDING + _blur(line.at):
                return RuleBreach("clock", f"by the clock of the machine (`at`) the dwell is {told - facts.entered:.6f} s")
        if last.next_triggers is not None and step.trigger not in last.next_triggers:
            return RuleBreach("request", f"a record tells of an answer, and the step is {step.trigger}")
        if line.era != facts.era and _keeps_era(facts, line, step):
            return RuleBreach("era", f"the era is {facts.era}, and the rule does not change it")
    if line.dwell < 0:
        return RuleBreach("clock", f"the dwell in {line.source} is negative: {line.dwell:.6f} s")
    outages = facts.outages
    if outages.lost_by is not None:
        return RuleBreach("healed", "a live link was lost, and no record begins an outage")
    if outages.current is not None and step.source in (SUBSCRIBED, UNSUBSCRIBED):
        return RuleBreach("healed", "everything desired is acknowledged, and no record ends the outage")
    return None


def _blur(at: float) -> float:
    """How far a moment may be off, in seconds: a shipper may have written the numbers of the log in single precision."""
    is_single = float(f"{at:.9g}") == at or (frexp(at)[0] * 2**24).is_integer()
    return at * SINGLE if is_single else 0.0


def _keeps_era(facts: Facts, line: FlatRecord, step: RowFacts) -> bool:
    if not facts.complete or step.enters_live or EFFECT.USE_URL_SUBSCRIPTIONS in step.effects:
        return False
    refused = step.source == ERROR and facts.history.failure_code == POLICY
    if refused and EFFECT.FIND_ERA in step.effects and facts.policies is not None:
        return line.era != facts.policies.era  # the server may be of another era by now, so the machine begins anew
    return not (step.row.trigger in (Trigger.PONG, Trigger.SERVER_ERROR) and {line.era, facts.era} == {Era.E1, Era.E2})


def _numbers(facts: Facts, line: FlatRecord, step: RowFacts, t: float) -> RuleBreach | None:
    """Check the numbers of links, attempts and frames, which follow from the effects of the transition rule."""
    if EFFECT.RESUME_LINK in step.effects:
        return None if line.attempt == 0 else RuleBreach("attempt", "it is 0")
    dials = EFFECT.DIAL in step.effects
    attempt = 0 if step.effects & _FORGIVING else facts.attempt
    if step.row.trigger is Trigger.LOST:
        forgiven = is_forgiven(facts, line)
        if forgiven or (forgiven is None and line.attempt != attempt):
            attempt = max(0, attempt - 1)
    if dials and line.attempt == attempt + 1:
        return _dialed(facts, line, step)
    if line.attempt != attempt:
        expected = f"there were {attempt} attempts, or {attempt + 1} with a dial" if dials else f"it is {attempt}"
        return RuleBreach("attempt", expected)
    if dials and _dials_at_once(facts, line, step):
        return RuleBreach("attempt", f"nothing holds the dial back, and a dial counts as attempt {attempt + 1}")
    if line.link != facts.newest_link:
        return RuleBreach("link", f"the link is {facts.newest_link}, and none was dialed")
    return _frames(facts, line, step, t)


def _frames(facts: Facts, line: FlatRecord, step: RowFacts, t: float) -> RuleBreach | None:
    frames = facts.frames
    sent = line.sends - frames.sends
    if not step.must_send <= sent <= step.may_send:
        few = str(step.must_send) if step.must_send == step.may_send else f"{step.must_send} or {step.may_send}"
        return RuleBreach("budget", f"{frames.sends} frames had been sent on the link, and the rule sends {few}")
    if not sent:
        return None
    if facts.frames.in_flight and not step.answers:
        return RuleBreach("request", "a frame is sent while the answer to a request is awaited")
    if len(frames.sent) == LIMIT and t - frames.sent[0] < WINDOW - ROUNDING:
        return RuleBreach("budget", f"it is frame {LIMIT + 1} within {t - frames.sent[0]:.3f} s")
    if t < frames.closed_until - ROUNDING:
        later = frames.closed_until - t
        return RuleBreach("budget", f"the server refused more frames, and the next one may go out {later:.3f} s later")
    return None


def _dials_at_once(facts: Facts, line: FlatRecord, step: RowFacts) -> bool:
    if facts.policies is None or facts.policies.retry.dials_per_minute is not None:
        return False
    if facts.next_dial.awaits is None:  # records are missing, and a link may still have to close
        return False
    awaits = EFFECT.CLOSE_FIRST in step.effects or (facts.next_dial.awaits != 0 and step.row.trigger is not Trigger.CLOSED)
    return not awaits and not (EFFECT.RESTORE_IDENTITY in step.effects and is_told_to_wait(line) is not False)


def _dialed(facts: Facts, line: FlatRecord, step: RowFacts) -> RuleBreach | None:
    if facts.link.is_open and not step.drops:
        return RuleBreach("link", f"link {facts.newest_link} is not gone, and another one is dialed")
    if line.link != facts.newest_link + 1:
        return RuleBreach("link", f"the dial after link {facts.newest_link} makes link {facts.newest_link + 1}")
    return RuleBreach("budget", "nothing can have been sent on a new link") if line.sends else None


def _answered(facts: Facts, line: FlatRecord, _: RowFacts, __: float) -> RuleBreach | None:
    in_url = line.era in URL_ERAS  # the greeting answers a request in the URL
    if in_url or facts.frames.in_flight is not False or facts.frames.put_back is not False:
        return None
    return RuleBreach("request", "no request was in flight")


def _all_acknowledged(facts: Facts, line: FlatRecord, _: RowFacts, __: float) -> RuleBreach | None:
    subscriptions, desired = facts.subscriptions, facts.subscriptions.desired
    if not subscriptions.known or line.lag < 0:  # a log without lags has no withdrawals either
        return None
    missing = len(desired - subscriptions.acknowledged)
    if missing:
        return RuleBreach("healed", f"of {len(desired)} desired subscriptions {missing} are not acknowledged on this link")
    return None if desired else RuleBreach("healed", "no subscription is desired")


def _recovered(facts: Facts, _: FlatRecord, __: RowFacts, ___: float) -> RuleBreach | None:
    if facts.outages.faulty_since is not None or not facts.complete:
        return None
    return RuleBreach("recovery", "no server fault was under way")


def _closed_once(facts: Facts, _: FlatRecord, __: RowFacts, ___: float) -> RuleBreach | None:
    return RuleBreach("end", "the socket was closed before") if facts.closed else None


def rulebook(table: Table[State, Trigger]) -> Rulebook:
    """Prepare the judgement by a table."""
    return _with_checks(Rulebook(table, {row.id: RowFacts(row) for row in table.rows}))


def _with_checks(book: Rulebook) -> Rulebook:
    for step in book.steps.values():
        step.checks = tuple(_checks_of(step, book.table))
    return book


def _checks_of(step: RowFacts, table: Table[State, Trigger]) -> Iterator[Check]:
    """Choose the checks of a transition rule, in their order."""
    row, effects = step.row, step.effects
    checks: tuple[tuple[Check | None, bool], ...] = (
        (_basics, True),
        (choice_of(step, table.cells[row.source, row.trigger]), True),
        (_answered, row.trigger is Trigger.ACKNOWLEDGED),
        (deadline_of(step), True),
        (delay, row.source is State.RECONNECTING and EFFECT.DIAL in effects and EFFECT.RESET_ATTEMPTS not in effects),
        (_all_acknowledged, (row.source, row.dest) == _COMPLETED and EFFECT.RESUME_LINK not in effects),
        (_recovered, row.trigger is Trigger.RECOVERED),
        (_closed_once, row.source is State.DISPOSING),
    )
    yield from (check for check, needed in checks if check is not None and needed)


_with_checks(OWN)
