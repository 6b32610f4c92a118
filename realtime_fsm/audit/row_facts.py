"""The facts of each transition rule that an audit needs, computed once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from realtime_fsm.audit.decoding import KINDS
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger
from realtime_fsm.fsm.tablespec import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from realtime_fsm.fsm.tablespec import Table

DISCONNECTED, RECONNECTING, CONNECTED, SUBSCRIBED, UNSUBSCRIBED, PING, ERROR, DISPOSING = (state.value for state in State)
"""The states as plain strings, which compare ten times faster than the members of an enumeration."""

_NONE: frozenset[str | None] = frozenset({None})
_OVERDUE = {State.RECONNECTING: {"upgrade_overdue", "greeting_overdue"}, State.PING: {"pong_overdue"}}
_LINK_CLOSING_EFFECTS = frozenset({Effect.ABORT_LINK, Effect.CLOSE_LINK, Effect.DRAIN_LINK})
_DRAINING_CLOSED = frozenset({Effect.CLOSE_LINK, Effect.FAIL_PERMANENTLY, Effect.CLOSE_DRAINING})
_FAILING = (Trigger.SERVER_ERROR, Trigger.LOST, Trigger.DIAL_FAILED, Trigger.DEAF)
_SOCKET_TRIGGERS = (*_FAILING, Trigger.OPENED, Trigger.GREETED, Trigger.ACKNOWLEDGED, Trigger.PONG, Trigger.RECOVERED)


class RowFacts:
    """The facts of one transition rule. The checks of `checks.py` fill `checks`."""

    # Slots save a tenth of an audit: these are more attributes than fit into a shared dictionary.
    __slots__ = (
        "answers", "causes", "changes", "checks", "closes_awaited", "closes_draining", "closes_first", "dest",
        "dials", "drains", "drops", "ends", "enters_live", "expects_first_link", "finds_era", "forgives", "gives_up",
        "id", "is_deadline", "is_error_frame", "is_loss", "is_pong", "leaves_live", "link_unchanged", "may_send",
        "may_tell_e1_from_e2", "must_send", "of_socket", "opens", "pings", "plans_retry", "resets_attempts",
        "restores", "resumes", "row", "sends_authentication", "settles", "source", "switches_to_url", "trigger",
    )  # fmt: skip

    def __init__(self, row: Row[State, Trigger]) -> None:
        does = row.effects
        dest = row.source if row.dest is None else row.dest
        self.row: Row[State, Trigger] = row
        self.id: str = row.id
        self.source, self.trigger, self.dest = row.source.value, row.trigger.value, dest.value
        self.changes: bool = row.dest is not None
        self.enters_live: bool = dest in LIVE and row.source not in LIVE
        self.leaves_live: bool = row.source in LIVE and dest not in LIVE
        self.settles: bool = self.changes and dest in (State.SUBSCRIBED, State.UNSUBSCRIBED)
        self.dials: bool = Effect.DIAL in does
        self.resets_attempts: bool = Effect.RESET_ATTEMPTS in does
        self.expects_first_link: bool = Effect.EXPECT_FIRST_LINK in does
        self.restores: bool = Effect.RESTORE_IDENTITY in does
        self.finds_era: bool = Effect.FIND_ERA in does
        self.switches_to_url: bool = Effect.USE_URL_SUBSCRIPTIONS in does
        self.closes_first: bool = Effect.CLOSE_FIRST in does
        self.forgives: bool = Effect.RESET_BACKOFF in does
        self.drops: bool = bool(_LINK_CLOSING_EFFECTS.intersection(does))
        self.drains: bool = Effect.DRAIN_LINK in does
        self.resumes: bool = Effect.RESUME_LINK in does
        self.closes_draining: bool = bool(_DRAINING_CLOSED.intersection(does))
        self.gives_up: bool = dest is State.ERROR and self.changes
        self.plans_retry: bool = Effect.SCHEDULE_RETRY in does
        self.pings: bool = Effect.SEND_PING in does
        self.sends_authentication: bool = Effect.SEND_AUTHENTICATION in does
        self.answers: bool = row.trigger in (Trigger.ACKNOWLEDGED, Trigger.SERVER_ERROR)
        self.of_socket: bool = row.trigger in _SOCKET_TRIGGERS
        self.is_deadline: bool = row.trigger is Trigger.DEADLINE
        self.may_send: int = int(Effect.SEND_REQUEST in does or self.pings or self.sends_authentication)
        # A deadline has several reasons. A rule that only sends applies where no other reason holds, so it must send.
        only_sends = self.is_deadline and not self.changes and does == (Effect.SEND_REQUEST,)
        self.must_send: int = int(self.pings or self.sends_authentication or only_sends)
        breaks = self.dials or self.resets_attempts or self.forgives or self.drops or row.trigger in _FAILING
        self.link_unchanged: bool = not breaks
        self.may_tell_e1_from_e2: bool = row.trigger in (Trigger.PONG, Trigger.SERVER_ERROR)
        self.is_pong: bool = row.trigger is Trigger.PONG
        self.is_error_frame: bool = row.trigger is Trigger.SERVER_ERROR
        self.is_loss: bool = row.trigger is Trigger.LOST
        self.opens: bool = row.trigger is Trigger.OPENED
        self.ends: bool = row.trigger is Trigger.CLOSED and row.source is State.DISPOSING
        self.closes_awaited: bool = row.trigger is Trigger.CLOSED and row.source is State.RECONNECTING
        self.causes: frozenset[str | None] = _causes(row)
        self.checks: tuple[Any, ...] = ()


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
