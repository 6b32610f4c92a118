"""The guards, as far as records show whether they held.

Design: no record shows the guards that are missing in `INFERRED_GUARDS`. The audit believes that these held where their
transition rule was taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.rules import RuleBreach
from realtime_fsm.fsm.names import Guard
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import POLICY, is_server_fault, is_throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts
    from realtime_fsm.audit.row_facts import Check, RowFacts
    from realtime_fsm.fsm.table import State, Trigger
    from realtime_fsm.fsm.tablespec import Row

    Fact = Callable[[Facts, FlatRecord], bool | None]

URL_ERAS = frozenset({"E1", "E2", "E3"})
"""The eras of servers that read channels from the URL."""
TOO_MANY_REQUESTS = 429


def _not(fact: bool | None) -> bool | None:
    return None if fact is None else not fact


def failure_code(line: FlatRecord) -> int | str | None:
    """Find the code of a failure: of the error frame, or of the close where no error frame came."""
    if line.cause == "error_frame":
        return line.error_code
    return line.close_code if line.cause == "stream_ended" else None


def drops_message(line: FlatRecord) -> bool:
    """Whether an error frame says that the server dropped a message because of its rate limit."""
    return line.error_code is not None and is_throttle(line.error_code)


def is_throttled(line: FlatRecord) -> bool | None:
    """Whether a server or a proxy applied its rate limit; None in a log without the status."""
    if line.cause == "upgrade_refused":
        return None if line.status is None else line.status == TOO_MANY_REQUESTS
    code = failure_code(line)
    return code is not None and is_throttle(code)


def is_told_to_wait(line: FlatRecord) -> bool | None:
    """Whether the next dial waits for a moment that the server, or a proxy, asked for."""
    return True if line.retry_after else is_throttled(line)


def blamed_end(facts: Facts, line: FlatRecord) -> bool | None:
    """Whether the error frame that announced the end of a link answered a request."""
    if line.trigger != "lost" or line.cause != "error_frame" or line.error_code != POLICY or line.source == "reconnecting":
        return False
    return facts.frames.error_answered


def is_forgiven(facts: Facts, line: FlatRecord) -> bool | None:
    """Whether the end of a link does not count as a failed attempt, because it rejects a known request."""
    blamed = blamed_end(facts, line)
    return facts.link.accepted if blamed else blamed


def is_refusal(facts: Facts, line: FlatRecord) -> bool | None:
    """Whether a failure counts as a refusal of the connection."""
    if failure_code(line) != POLICY:
        return False
    blamed = blamed_end(facts, line)
    if blamed is None:
        return None
    return _not(facts.link.accepted if blamed else facts.link.proven)


def is_fatal(facts: Facts, line: FlatRecord) -> bool | None:
    """As `policies.verdict` judges the failure."""
    if line.cause in ("certificate_refused", "greeted_as_guest"):
        return True
    code = failure_code(line)
    if code == POLICY:
        return _is_refused_for_good(facts, line)
    return code in (401, 403) and line.source == "reconnecting"


def _is_refused_for_good(facts: Facts, line: FlatRecord) -> bool | None:
    blamed, may_go_on = blamed_end(facts, line), _may_be_refused_again(facts)
    if blamed is None:
        return None
    if blamed:  # no record shows which subscriptions the request held, and so whether all are refused
        return False if facts.link.accepted or may_go_on else None
    if facts.link.proven is not False:
        return _not(facts.link.proven)
    return _not(may_go_on if facts.history.been_up else facts.history.been_up)


def _may_be_refused_again(facts: Facts) -> bool | None:
    """Whether one more refusal in a row is not yet too many."""
    if facts.policies is None:
        return None
    most = facts.policies.retry.attempts
    if most is None:
        return True
    return None if facts.history.refusals is None else facts.history.refusals + 1 < most


def _may_retry(facts: Facts, line: FlatRecord) -> bool | None:
    if facts.policies is None:
        return None
    retry = facts.policies.retry
    first, later = retry.allows(line.attempt), retry.allows(line.attempt, been_up=True)
    if facts.history.been_up is None or (facts.draining is not None and not facts.complete):
        return first if first is later else None
    return later if facts.history.been_up and facts.draining is None else first


def _credentials_renewable(facts: Facts, line: FlatRecord) -> bool | None:
    return False if line.error_code not in (401, 403) or facts.history.been_up is False else None


def _can_dial_early(facts: Facts, _: FlatRecord) -> bool | None:
    if facts.link.is_open or facts.next_dial.throttled:
        return False
    return None if facts.link.is_open is None or facts.next_dial.throttled is None else True


def _needs_url_channels(facts: Facts, line: FlatRecord) -> bool | None:
    if line.error_code != POLICY or facts.link.in_url or (line.era == Era.E4 and facts.history.refusals == 0):
        return False
    if line.era == Era.E4 and facts.history.refusals is None:
        return None
    if facts.policies is None or facts.link.in_url is None:
        return None
    return facts.policies.era is None


def _new_subscriptions_rejected(facts: Facts, line: FlatRecord) -> bool | None:
    if line.error_code in (401, 403) or drops_message(line) or facts.link.in_url is False:
        return False
    return facts.last_step.rejected > 0 if facts.complete else None


def _handover_due(facts: Facts, _: FlatRecord) -> bool | None:
    if facts.link.in_url is False or (facts.complete and facts.subscriptions.desired <= facts.subscriptions.acknowledged):
        return False
    return None


def _all_closed(facts: Facts, _: FlatRecord) -> bool | None:
    awaits = facts.next_dial.awaits
    return None if awaits is None or not facts.complete else awaits <= 1


def _is_old_link_there(facts: Facts, _: FlatRecord) -> bool | None:
    return False if facts.complete and facts.draining is None else None


INFERRED_GUARDS: dict[str, Fact] = {
    Guard.IS_FATAL: is_fatal,
    Guard.SERVER_NEEDS_URL_CHANNELS: _needs_url_channels,
    Guard.NEW_SUBSCRIPTIONS_REJECTED: _new_subscriptions_rejected,
    Guard.CREDENTIALS_RENEWABLE: _credentials_renewable,
    Guard.HANDOVER_DUE: _handover_due,
    Guard.ALL_CLOSED: _all_closed,
    Guard.USER_CHANGED: _is_old_link_there,
    Guard.CAN_RESUME: _is_old_link_there,
    Guard.MAY_RETRY: _may_retry,
    Guard.RECONNECT_OFF: lambda facts, _: None if facts.policies is None else not facts.policies.auto_reconnect,
    Guard.CAN_DIAL_EARLY: _can_dial_early,
    Guard.ATTEMPT_DUE: lambda facts, _: _not(facts.link.is_open),
    Guard.ERROR_ANSWERS_REQUEST: lambda facts, _: facts.frames.in_flight,
    Guard.REPETITION_DUE: lambda facts, _: False if facts.frames.erred is False else None,
    Guard.REPLY_OVERDUE: lambda _, line: line.cause == "reply_overdue",
    Guard.HEARD_SINCE_PING: lambda _, line: line.cause is None,
    Guard.RATE_LIMITED: lambda _, line: drops_message(line),
    Guard.ERROR_ANSWERS_PING: lambda _, line: line.error_code == 1003 or drops_message(line),
    Guard.SERVER_AT_FAULT: lambda _, line: line.error_code is not None and is_server_fault(line.error_code),
    Guard.ERROR_PRECEDES_CLOSE: lambda _, line: line.error_code == POLICY,
}
"""For each guard that records show: a function that tells whether it held, or None where that is unknown."""


def _is_out(guard: str, step: RowFacts) -> bool:
    """Whether a guard cannot hold where a transition rule has the causes that it may have."""
    if guard == Guard.REPLY_OVERDUE:
        return guard not in step.causes
    return guard == Guard.IS_FATAL and step.causes == {None}


def choice_of(step: RowFacts, cell: tuple[Row[State, Trigger], ...]) -> Check | None:
    """Make the check that a transition rule is the first of its cell whose guards held; None where the records tell nothing."""
    own = tuple((name, INFERRED_GUARDS[name]) for name in step.row.guards if name in INFERRED_GUARDS)
    before = tuple(
        (row.id, tuple(INFERRED_GUARDS[name] for name in row.guards))
        for row in cell[: cell.index(step.row)]
        if all(name in INFERRED_GUARDS and not _is_out(name, step) for name in row.guards)
    )

    def check(facts: Facts, line: FlatRecord, _: RowFacts, __: float) -> RuleBreach | None:
        for name, held in own:
            if held(facts, line) is False:
                return RuleBreach("row", f"rule {step.id} does not apply: its guard {name} cannot have held")
        for row, guards in before:
            for held in guards:
                if not held(facts, line):
                    break
            else:
                return RuleBreach("row", f"rule {step.id} does not apply: {row} comes before it, and all of its guards held")
        return None

    return check if own or before else None
