"""The steps: what each row of the table means to an auditor, worked out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_fsm.audit.decoding import KINDS
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger

if TYPE_CHECKING:
    from realtime_fsm.fsm.tablespec import Row

DISCONNECTED, RECONNECTING, CONNECTED, SUBSCRIBED, UNSUBSCRIBED, PING, ERROR, DISPOSING = (state.value for state in State)
"""The states as plain strings, which are found and compared ten times faster than the members of an enumeration."""

_NONE: frozenset[str | None] = frozenset({None})
_OVERDUE = {State.RECONNECTING: {"upgrade_overdue", "greeting_overdue"}, State.PING: {"pong_overdue"}}
_LINK_CLOSING_EFFECTS = frozenset({Effect.ABORT_LINK, Effect.CLOSE_LINK, Effect.DRAIN_LINK})
_SOCKET_TRIGGERS = frozenset(
    {
        Trigger.OPENED,
        Trigger.GREETED,
        Trigger.ACKNOWLEDGED,
        Trigger.PONG,
        Trigger.SERVER_ERROR,
        Trigger.RECOVERED,
        Trigger.LOST,
        Trigger.DIAL_FAILED,
        Trigger.DEAF,
    }
)


class RowFacts:
    """What a row of the table means to an auditor. Made once a row; its strings are compared with those of records.

    Attributes:
        row: the row.
        causes: what its cause may be.
        expects: whether it is a new beginning, after which no link has been up.
        finds: whether the era of the server is found out anew.
        dials: whether it dials, or takes a place in the queue of those who want to.
        addresses: whether it asks for channels by the address from then on.
        drops: whether it lets go of the link.
        retires: whether the link then makes room, and delivers until the next one is up.
        parts: whether it lets go of one that makes room, too.
        answers: whether it settles the request in flight.
        may_send: how many frames it may send at most.
        must_send: how many at least.
        gives_up: whether no further attempt is made.
        plain: whether it leaves the link and the count of attempts alone.
        errs: whether it is about an error frame.
        opens: whether it is the end of the upgrade.
        closes_first: whether its dial waits until what it lets go of is closed.
        releases: whether it is the end of a link that the next dial waits for.
        closes: whether it is the end of the last socket.
        expires: whether the clock makes it.
        checks: what it is judged by, in order; the judge fills them in.
    """

    __slots__ = (
        "answers",
        "causes",
        "changes",
        "checks",
        "closes",
        "closes_draining",
        "closes_first",
        "dest",
        "dials",
        "drops",
        "enters_live",
        "expects",
        "finds",
        "forgives",
        "gives_up",
        "id",
        "is_deadline",
        "is_error_frame",
        "is_loss",
        "is_pong",
        "leaves_live",
        "link_unchanged",
        "loses",
        "may_send",
        "must_send",
        "of_socket",
        "opens",
        "pings",
        "plans_retry",
        "releases",
        "resets_attempts",
        "restores",
        "retires",
        "row",
        "sends_authentication",
        "settles",
        "source",
        "switches_to_url",
        "trigger",
    )  # fmt: skip

    def __init__(self, row: Row[State, Trigger]) -> None:
        does = row.effects
        dest = row.source if row.dest is None else row.dest
        self.row = row
        self.id = row.id
        self.source, self.trigger, self.dest = row.source.value, row.trigger.value, dest.value
        self.changes = row.dest is not None
        self.enters_live = dest in LIVE and row.source not in LIVE
        self.leaves_live = row.source in LIVE and dest not in LIVE
        self.settles = self.changes and dest in (State.SUBSCRIBED, State.UNSUBSCRIBED)
        self.dials = Effect.DIAL in does
        self.resets_attempts = Effect.RESET_ATTEMPTS in does
        self.expects = Effect.EXPECT_FIRST_LINK in does
        self.restores = Effect.RESTORE_IDENTITY in does
        self.finds = Effect.FIND_ERA in does
        self.switches_to_url = Effect.USE_URL_SUBSCRIPTIONS in does
        self.closes_first = Effect.CLOSE_FIRST in does
        self.forgives = Effect.RESET_BACKOFF in does
        self.drops = bool(_LINK_CLOSING_EFFECTS.intersection(does))
        self.retires = Effect.DRAIN_LINK in does
        self.closes_draining = Effect.CLOSE_LINK in does or Effect.FAIL_PERMANENTLY in does
        self.loses = self.leaves_live or self.closes_draining
        self.gives_up = dest is State.ERROR and self.changes
        self.plans_retry = Effect.SCHEDULE_RETRY in does
        self.pings = Effect.SEND_PING in does
        self.sends_authentication = Effect.SEND_AUTHENTICATION in does
        self.answers = row.trigger in (Trigger.ACKNOWLEDGED, Trigger.SERVER_ERROR)
        self.of_socket = row.trigger in _SOCKET_TRIGGERS
        self.is_deadline = row.trigger is Trigger.DEADLINE
        self.may_send = int(Effect.SEND_REQUEST in does or self.pings or self.sends_authentication)
        # The clock wakes a quiet link for one of its reasons; where none of the others is met, it is to send.
        only_sends = self.is_deadline and not self.changes and does == (Effect.SEND_REQUEST,)
        self.must_send = int(self.pings or self.sends_authentication or only_sends)
        self.link_unchanged = not (self.dials or self.resets_attempts or self.forgives or self.drops or row.trigger in _FAILING)
        self.is_pong = row.trigger is Trigger.PONG
        self.is_error_frame = row.trigger is Trigger.SERVER_ERROR
        self.is_loss = row.trigger is Trigger.LOST
        self.opens = row.trigger is Trigger.OPENED
        self.closes = row.trigger is Trigger.CLOSED and row.source is State.DISPOSING
        self.releases = row.trigger is Trigger.CLOSED and row.source is State.RECONNECTING
        self.causes = _causes(row)
        self.checks: tuple[Any, ...] = ()


_FAILING = (Trigger.SERVER_ERROR, Trigger.LOST, Trigger.DIAL_FAILED, Trigger.DEAF)


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


STEPS: dict[str, RowFacts] = {row.id: RowFacts(row) for row in TABLE.rows}
"""What each row means, by its id."""
