"""The steps: what each row of the table means to an auditor, worked out once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_fsm.auditing.lines import KINDS
from realtime_fsm.vocabulary.names import Effect
from realtime_fsm.vocabulary.table import LIVE, TABLE, State, Trigger

if TYPE_CHECKING:
    from realtime_fsm.vocabulary.form import Row

DISCONNECTED, RECONNECTING, CONNECTED, SUBSCRIBED, UNSUBSCRIBED, PING, ERROR, DISPOSING = (state.value for state in State)
"""The states as plain strings, which are found and compared ten times faster than the members of an enumeration."""

_NONE: frozenset[str | None] = frozenset({None})
_OVERDUE = {State.RECONNECTING: {"upgrade_overdue", "greeting_overdue"}, State.PING: {"pong_overdue"}}
_LETTING_GO = frozenset({Effect.ABORT_LINK, Effect.CLOSE_LINK, Effect.DRAIN_LINK})
_OF_SOCKET = frozenset(
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


PINGED, ANSWERED, ASKED, GRANTED = 1, 2, 3, 4
"""The kinds of swift steps: a ping goes out, its pong comes, something is asked for, something that was asked for is granted."""

SWIFT: dict[str | None, dict[str, Step]] = {None: {}} | {state.value: {} for state in State}
"""The swift steps from each state, by their rows; from where nobody knows there are none."""
BACK: dict[str | None, dict[str, Step]] = {None: {}} | {state.value: {} for state in State}
"""Those from `ping` that lead back to a state."""


class Step:
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
        kind: which kind of swift step it is; 0 for one that must always be looked at in full.
        onward: the swift steps from where it leads.
    """

    __slots__ = (
        "addresses", "answers", "authenticates", "causes", "changes", "checks", "closes", "closes_first", "dest", "dials",
        "drops", "enters_live", "errs", "expects", "expires", "finds", "forgives", "fresh", "gives_up", "id", "kind",
        "leaves_live", "may_send", "must_send", "of_socket", "onward", "opens", "parts", "pings", "plain", "plans_retry",
        "ponged", "releases", "restores", "retires", "row", "source", "trigger",
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
        self.dials = Effect.DIAL in does
        self.fresh = Effect.RESET_ATTEMPTS in does
        self.expects = Effect.EXPECT_FIRST_LINK in does
        self.restores = Effect.RESTORE_IDENTITY in does
        self.finds = Effect.FIND_ERA in does
        self.addresses = Effect.USE_URL_SUBSCRIPTIONS in does
        self.closes_first = Effect.CLOSE_FIRST in does
        self.forgives = Effect.RESET_BACKOFF in does
        self.drops = bool(_LETTING_GO.intersection(does))
        self.retires = Effect.DRAIN_LINK in does
        self.parts = Effect.CLOSE_LINK in does or Effect.FAIL_PERMANENTLY in does
        self.gives_up = dest is State.ERROR and self.changes
        self.plans_retry = Effect.SCHEDULE_RETRY in does
        self.pings = Effect.SEND_PING in does
        self.authenticates = Effect.SEND_AUTHENTICATION in does
        self.answers = row.trigger in (Trigger.ACKNOWLEDGED, Trigger.SERVER_ERROR)
        self.of_socket = row.trigger in _OF_SOCKET
        self.expires = row.trigger is Trigger.DEADLINE
        self.may_send = int(Effect.SEND_REQUEST in does or self.pings or self.authenticates)
        # The clock wakes a quiet link for one of its reasons; where none of the others is met, it is to send.
        only_sends = self.expires and not self.changes and does == (Effect.SEND_REQUEST,)
        self.must_send = int(self.pings or self.authenticates or only_sends)
        self.plain = not (self.dials or self.fresh or self.forgives or self.drops or row.trigger in _FAILING)
        self.ponged = row.trigger is Trigger.PONG
        self.errs = row.trigger is Trigger.SERVER_ERROR
        self.opens = row.trigger is Trigger.OPENED
        self.closes = row.trigger is Trigger.CLOSED and row.source is State.DISPOSING
        self.releases = row.trigger is Trigger.CLOSED and row.source is State.RECONNECTING
        self.causes = _causes(row)
        self.checks: tuple[Any, ...] = ()
        self.kind = _kind(row)
        self.onward = BACK[self.source] if self.kind is PINGED else SWIFT[self.dest]
        if self.kind:
            (BACK[self.dest] if self.kind is ANSWERED else SWIFT[self.source])[self.id] = self


def _kind(row: Row[State, Trigger]) -> int:
    stays = row.dest is None
    if Effect.SEND_PING in row.effects and row.trigger is Trigger.DEADLINE:
        return PINGED
    if row.trigger is Trigger.PONG:
        return ANSWERED
    if row.trigger is Trigger.ACKNOWLEDGED and stays:
        return GRANTED
    asks = row.trigger in (Trigger.SUBSCRIBE, Trigger.UNSUBSCRIBE, Trigger.PRESENCE) and Effect.SEND_REQUEST in row.effects
    return ASKED if asks and stays else 0


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


STEPS: dict[str, Step] = {row.id: Step(row) for row in TABLE.rows}
"""What each row means, by its id."""
