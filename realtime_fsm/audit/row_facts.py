"""The facts of each transition rule that an audit needs, computed once."""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

from realtime_fsm.audit.decoding import KINDS
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger
from realtime_fsm.fsm.tablespec import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts
    from realtime_fsm.audit.rules import RuleBreach
    from realtime_fsm.fsm.tablespec import Table

    Check = Callable[[Facts, FlatRecord, "RowFacts", float], RuleBreach | None]
    """Takes the facts before a step, its record, the facts of its rule, and its time in seconds of the connection."""

DISCONNECTED, RECONNECTING, CONNECTED, SUBSCRIBED, UNSUBSCRIBED, PING, ERROR, DISPOSING = (state.value for state in State)
"""The states as plain strings, which compare ten times faster than the members of an enumeration."""
EFFECT = SimpleNamespace(**Effect.__members__)
"""The effects: Python 3.11 takes four times as long to look a member up in an enumeration."""

_NONE: frozenset[str | None] = frozenset({None})
_OVERDUE = {State.RECONNECTING: {"upgrade_overdue", "greeting_overdue"}, State.PING: {"pong_overdue"}}
_DROPPING = frozenset({Effect.ABORT_LINK, Effect.CLOSE_LINK, Effect.DRAIN_LINK})
_DRAINING_CLOSED = frozenset({Effect.CLOSE_LINK, Effect.FAIL_PERMANENTLY, Effect.CLOSE_DRAINING})
_FAILING = (Trigger.SERVER_ERROR, Trigger.LOST, Trigger.DIAL_FAILED, Trigger.DEAF)
_SOCKET_TRIGGERS = (*_FAILING, Trigger.OPENED, Trigger.GREETED, Trigger.ACKNOWLEDGED, Trigger.PONG, Trigger.RECOVERED)
_LINK_CHANGING = _DROPPING | {Effect.DIAL, Effect.RESET_ATTEMPTS, Effect.RESET_BACKOFF}


class RowFacts:
    """The facts of one transition rule."""

    def __init__(self, row: Row[State, Trigger]) -> None:
        effects = frozenset(row.effects)
        dest = row.source if row.dest is None else row.dest
        self.row: Row[State, Trigger] = row
        self.id: str = row.id
        self.source, self.trigger, self.dest = row.source.value, row.trigger.value, dest.value
        self.effects: frozenset[str] = effects
        self.causes: frozenset[str | None] = _causes(row)  # those that its records may have; None for no failure
        self.checks: tuple[Check, ...] = ()  # of its steps; `checks.py` chooses them
        self.changes: bool = row.dest is not None  # the state
        self.enters_live: bool = dest in LIVE and row.source not in LIVE
        self.leaves_live: bool = row.source in LIVE and dest not in LIVE
        self.settles: bool = row.dest in (State.SUBSCRIBED, State.UNSUBSCRIBED)  # all is acknowledged, or nothing is desired
        self.gives_up: bool = row.dest is State.ERROR
        self.needs_link: bool = row.trigger in _SOCKET_TRIGGERS
        # The link, the numbers of links and attempts, and the next dial stay as they are.
        self.keeps_link: bool = row.trigger not in _FAILING and not effects & _LINK_CHANGING
        self.drops: bool = bool(effects & _DROPPING)  # the link is given up
        self.closes_draining: bool = bool(effects & _DRAINING_CLOSED)  # the old link of a handover is given up
        self.answers: bool = row.trigger in (Trigger.ACKNOWLEDGED, Trigger.SERVER_ERROR)  # a request
        self.pings: bool = Effect.SEND_PING in effects
        sends = self.pings or Effect.SEND_AUTHENTICATION in effects
        # A deadline has several reasons. A rule that only sends applies where no other reason holds, so it must send.
        only_sends = row.trigger is Trigger.DEADLINE and not self.changes and row.effects == (Effect.SEND_REQUEST,)
        self.must_send: int = int(sends or only_sends)  # the frames that it certainly sends
        self.may_send: int = int(sends or Effect.SEND_REQUEST in effects)  # the most frames that it sends


def _causes(row: Row[State, Trigger]) -> frozenset[str | None]:
    if row.trigger is Trigger.SERVER_ERROR:
        return frozenset({"error_frame"})
    if row.trigger is Trigger.DEAF:
        return frozenset({"echo_overdue"})
    if row.trigger in _FAILING:
        return KINDS
    if row.trigger is Trigger.GREETED and Effect.ABORT_LINK in row.effects:
        return frozenset({"greeted_as_guest"})
    if row.trigger is Trigger.DEADLINE and Effect.ABORT_LINK in row.effects:
        return frozenset(_OVERDUE.get(row.source, {"reply_overdue"}))
    return _NONE


@lru_cache(maxsize=1024)
def told_facts(source: str, trigger: str, dest: str) -> RowFacts | None:
    """Tell the facts of a rule of an unknown table, as far as a record tells them; None for a state of another version."""
    try:
        begin, end = State(source), State(dest)
    except ValueError:
        return None
    cause = next((each for each in Trigger if each == trigger), Trigger.WOKEN)  # of all triggers only PONG has figures
    return RowFacts(Row("", begin, cause, None if begin is end else end, (), (), ""))


class Rulebook(NamedTuple):
    """A table, and the facts of each of its rules by its id. A table that is not known has none."""

    table: Table[State, Trigger]
    steps: Mapping[str, RowFacts]


STEPS: dict[str, RowFacts] = {row.id: RowFacts(row) for row in TABLE.rows}
"""The facts of each transition rule, by its id."""
OWN = Rulebook(TABLE, STEPS)
"""The table of this version."""
UNKNOWN = Rulebook(TABLE, {})
"""A table that the user did not give."""
