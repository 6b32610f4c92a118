"""The shadow: what the records so far tell of a connection, and what each row of the table makes of it.

The law: the shadow follows the records; it never runs the machine. What the records do not tell is None, and what is None is
not judged: after a hole much is None, and comes back with the records.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from realtime_fsm.auditing.life import Life
from realtime_fsm.auditing.lines import KINDS
from realtime_fsm.vocabulary.eras import Era
from realtime_fsm.vocabulary.options import Timeouts
from realtime_fsm.vocabulary.policies import PingPolicy, RetryPolicy
from realtime_fsm.vocabulary.table import LIVE, TABLE, State, Trigger

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.auditing.report import Finding
    from realtime_fsm.vocabulary.form import Row
    from realtime_fsm.vocabulary.records import OpenRecord

LIMIT = 32
"""Frames on a link in any `WINDOW` (PROTOCOL: "Messages", rule 4)."""
WINDOW = 60.0
CONTEXT = 5
"""How many records before a finding are shown."""

_NONE: frozenset[str | None] = frozenset({None})
_OVERDUE = {State.RECONNECTING: {"upgrade_overdue", "greeting_overdue"}, State.PING: {"pong_overdue"}}
_OF_SOCKET = frozenset(
    {Trigger.OPENED, Trigger.GREETED, Trigger.ACKNOWLEDGED, Trigger.PONG, Trigger.SERVER_ERROR, Trigger.LOST, Trigger.DIAL_FAILED}
)


class Step:
    """What a row of the table means to an auditor. Made once a row; its strings are compared with those of records.

    Attributes:
        row: the row.
        causes: what its cause may be.
        dials: whether it dials, or takes a place in the queue of those who want to.
        drops: whether it lets go of the link.
        answers: whether it settles the request in flight.
        may_send: how many frames it may send at most.
        must_send: how many at least.
        plain: whether it leaves the link and the count of attempts alone.
        told: whether it is a step that a shadow notes although no state changes.
    """

    __slots__ = (
        "answers", "authenticates", "causes", "changes", "checks", "dest", "dials", "drops", "enters_live", "forgives", "fresh",
        "id", "leaves_live", "may_send", "must_send", "of_socket", "pings", "plain", "plans_retry", "ponged", "row", "screened",
        "source", "told", "trigger", "wakes",
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
        self.dials = "dial" in does
        self.fresh = "start_afresh" in does
        self.forgives = "forgive" in does
        self.drops = "drop_link" in does or "hang_up" in does
        self.plans_retry = "schedule_retry" in does
        self.pings = "send_ping" in does
        self.authenticates = "send_authentication" in does
        self.answers = row.trigger in (Trigger.ACKNOWLEDGED, Trigger.SERVER_ERROR)
        self.of_socket = row.trigger in _OF_SOCKET
        self.may_send = int("send_request" in does or self.pings or self.authenticates)
        # The clock wakes a quiet link for one of its reasons; where none of the others is met, it is to send.
        only_sends = row.trigger is Trigger.DEADLINE and row.dest is None and does == ("send_request",)
        self.must_send = int(self.pings or self.authenticates or only_sends)
        self.plain = not (self.dials or self.fresh or self.forgives or self.drops or row.trigger in _FAILING)
        self.ponged = row.trigger is Trigger.PONG
        self.wakes = row.trigger is Trigger.WOKEN
        self.told = row.trigger in (Trigger.OPENED, Trigger.CLOSED, Trigger.UNSUBSCRIBE)
        self.causes = _causes(row)
        self.checks: tuple[Any, ...] = ()  # all of them, filled in by the judge
        self.screened: tuple[Any, ...] = ()  # those that are left where nothing is out of the ordinary


_FAILING = (Trigger.SERVER_ERROR, Trigger.LOST, Trigger.DIAL_FAILED)


def _causes(row: Row[State, Trigger]) -> frozenset[str | None]:
    if row.trigger is Trigger.SERVER_ERROR:
        return frozenset({"error_frame"})
    if row.trigger in _FAILING:
        return KINDS
    if row.trigger is Trigger.GREETED and "is_fatal" in row.guards:
        return frozenset({"greeted_as_guest"})
    if row.trigger is Trigger.DEADLINE and "drop_link" in row.effects:
        return frozenset(_OVERDUE.get(row.source, {"reply_overdue"}))
    return _NONE


STEPS: dict[str, Step] = {row.id: Step(row) for row in TABLE.rows}
"""What each row means, by its id."""


class Policies:
    """The settings that a connection told when it was opened."""

    __slots__ = ("auto_reconnect", "max_link_age", "ping", "protocol", "retry", "timeouts")

    def __init__(self, opened: OpenRecord) -> None:
        given: Any = opened
        self.retry = RetryPolicy(**given.retry)
        self.ping = PingPolicy(**given.ping)
        self.timeouts = Timeouts(**given.timeouts)
        self.auto_reconnect = opened.auto_reconnect
        self.max_link_age = opened.max_link_age
        self.protocol = None if opened.protocol is None else Era(opened.protocol)


class Shadow:
    """One connection, as its records tell it. Times are seconds since its first step, summed up from the dwells.

    Attributes:
        seq: the number of its last record.
        now: the time of its last step.
        entered: when its state was entered.
        holds: whether it has a link.
        asked: whether a request is in flight.
        blamed: whether the last error frame of this link was the answer to a request.
        told: whether its records tell of all its subscriptions.
        whole: whether all its records have come, and made sense.
        owed: how many subscriptions were given up whose end has not been told yet.
    """

    __slots__ = (
        "acknowledged", "asked", "asked_at", "attempt", "blamed", "closed", "closed_until", "connection_id", "desired",
        "dialed_at", "done", "entered", "findings", "first", "holds", "idle_from", "just_removed", "last", "late", "life",
        "life_from", "link", "met", "now", "opened_at", "over", "owed", "policies", "recent", "records", "retry", "sends",
        "sent", "seq", "state", "throttled", "told", "up_at", "whole", "woken_at",
    )  # fmt: skip

    def __init__(self, connection_id: str, met: int) -> None:
        self.connection_id = connection_id
        self.met = met  # the number of the line at which it was met first
        self.seq = self.link = self.attempt = self.sends = self.records = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.state: str | None = TABLE.initial.value
        self.now = self.entered = self.life_from = 0.0
        self.holds: bool | None = False
        self.asked: bool | None = False
        self.blamed: bool | None = False
        self.throttled: bool | None = False  # whether the next dial waits for the server's next minute
        self.told = self.done = self.closed = self.over = False
        self.whole = True
        self.policies: Policies | None = None
        self.desired: set[str] = set()
        self.acknowledged: set[str] = set()
        self.owed = self.just_removed = 0
        self.sent: deque[float] = deque(maxlen=LIMIT)
        self.closed_until = self.up_at = self.dialed_at = self.opened_at = self.asked_at = self.idle_from = self.woken_at = float(
            "-inf"
        )
        self.retry: tuple[float, float, float] | None = None  # when it was planned, the least and the longest delay
        self.recent: deque[tuple[int, bytes]] = deque(maxlen=CONTEXT)
        self.late: tuple[float, int, Finding] | None = None  # what is late, unless it turns out that the process slept
        self.findings: dict[str, tuple[Finding, int]] = {}  # the first of each rule, and how many there are
        self.life = Life()

    def blind(self) -> None:
        """Records are missing: forget what depends on them."""
        self.state = self.holds = self.asked = self.blamed = self.throttled = None
        self.told = self.whole = False
        self.desired.clear()
        self.acknowledged.clear()
        self.owed = self.just_removed = 0
        self.sent.clear()
        self.closed_until = self.up_at = self.dialed_at = self.opened_at = self.asked_at = self.idle_from = float("-inf")
        self.retry = None
