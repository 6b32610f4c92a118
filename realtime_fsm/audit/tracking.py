"""The facts of a connection, as far as its records tell.

Invariant: the facts follow from records; the audit never runs the machine. None stands for an unknown fact, and no check uses it.
After missing records many facts are unknown until later records tell them.
"""

from __future__ import annotations

import warnings
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from realtime_fsm.audit.report import OutageLine
from realtime_fsm.audit.row_facts import DISCONNECTED, DISPOSING, OWN, Rulebook
from realtime_fsm.audit.rules import ROUNDING
from realtime_fsm.audit.stats import StatsAccumulator
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.policies import PingPolicy, PingPolicyWarning, RetryPolicy
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.decoding import BadRecord, FlatRecord
    from realtime_fsm.audit.report import Finding
    from realtime_fsm.audit.watch import Watch
    from realtime_fsm.auditlog.records import OpenRecord

LIMIT = 32
"""Frames on a link in any `WINDOW` (PROTOCOL: "Messages", rule 4)."""
WINDOW = 60.0
CONTEXT = 5
"""The number of records that are shown before a finding."""
MINUS_INFINITY = float("-inf")


UNTOLD_CHANNEL = "canary"
"""A placeholder for the channel of a canary, which no record tells."""


class Policies:
    """The settings of a `realtime.open` record.

    Raises:
        BadOption, TypeError: for settings that the library does not accept.
    """

    __slots__ = ("auto_reconnect", "canary", "era", "max_link_age", "ping", "retry", "timeouts")

    def __init__(self, opened: OpenRecord | FlatRecord) -> None:
        given: Any = opened
        self.retry: RetryPolicy = RetryPolicy(**given.retry)
        with warnings.catch_warnings():  # the program that built the policy was warned
            warnings.simplefilter("ignore", PingPolicyWarning)
            self.ping: PingPolicy = PingPolicy(**given.ping)
        self.timeouts: Timeouts = Timeouts(**given.timeouts)
        self.auto_reconnect: bool = opened.auto_reconnect
        self.max_link_age: float | None = opened.max_link_age
        self.era: Era | None = None if opened.protocol is None else Era(opened.protocol)
        self.canary: Canary | None = None if opened.canary is None else _canary(opened.canary)


def _canary(told: dict[str, float | bool]) -> Canary:
    """Build the canary policy, with a placeholder for the user's callable."""
    given: Any = {name: value for name, value in told.items() if name != "write"}
    return Canary(**given, write=_write, channel=UNTOLD_CHANNEL) if told.get("write") else Canary(**given)


async def _write() -> None:
    """Stand for the user's callable; the audit never calls it."""


@dataclass(frozen=True, slots=True)
class OldLink:
    """A draining link.

    Attributes:
        number: its number.
        served: the subscriptions that were acknowledged on it.
        in_url: whether its channels were in its URL.
        era: the era of its server.
        been_up: whether a link had been up since the user asked for one.
    """

    number: int
    served: frozenset[str]
    in_url: bool | None
    era: str | None
    been_up: bool | None


class OpenOutage(NamedTuple):
    """An outage that is not over: its beginning in seconds of the connection, and the record of it."""

    at: float
    record: FlatRecord


class EarlyRecord(NamedTuple):
    """A record that waits for an earlier one: its line with the number of the line, and the names of its secret fields."""

    here: tuple[int, bytes]
    record: FlatRecord | BadRecord
    secrets: tuple[str, ...]


@dataclass(slots=True, eq=False)
class TrackedConnection:
    """The facts of one connection. Times are in seconds since its first step; None stands for an unknown fact."""

    connection_id: str
    first_line: int  # the number of the line of its first record
    # --- its records
    seq: int = 0  # of the last record
    missing: int = 0  # numbers that no record had; a record without a number of its own counts against it
    early: dict[int, EarlyRecord] = field(default_factory=dict)  # by their numbers
    first: datetime | None = None
    last: datetime | None = None
    complete: bool = True  # every record has come, and made sense
    in_window: bool = False
    past_window: bool = False
    life_from: float = 0.0  # where the window begins
    healed: FlatRecord | None = None  # the record after the window that ends the outage under way
    watch: Watch | None = None  # where a user asks about an instant
    recent: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=CONTEXT))  # the newest lines, by their numbers
    findings: dict[str, tuple[Finding, int]] = field(default_factory=dict)  # the first of each rule, and their count
    stats: StatsAccumulator = field(default_factory=StatsAccumulator)
    policies: Policies | None = None
    machine: str = TABLE.fingerprint  # of the table that wrote the records
    book: Rulebook = OWN  # that table, where it is known
    # --- its state
    state: str | None = TABLE.initial.value
    entered: float = 0.0
    now: float = 0.0  # of the last step, or of the end of a draining link
    now_at: datetime | None = None  # the same by the wall clock
    noted: float = 0.0  # of the last record that tells a moment
    origin: float | None = None  # the machine's clock when `now` was 0
    state_before_ping: str | None = TABLE.initial.value
    up_at: float = MINUS_INFINITY
    idle_from: float = MINUS_INFINITY
    unwanted: bool = False  # a failure led to `disconnected`
    closed: bool = False  # by the last socket
    closed_by_record: bool = False
    clock: float | None = None  # the wall clock (seconds since 1970) when `now` was 0, for the timeline
    # --- its links
    link: int = 0
    has_link: bool | None = False
    attempt: int = 0
    dialed_at: float = MINUS_INFINITY
    dialed: int = 0  # dials of the last step
    opened_at: float = MINUS_INFINITY
    current: int = 0  # the link of the machine; the newest one, except after a way back to an old one
    draining: int | None = None  # the old link of a handover, until the new one serves all that it served
    old_link: OldLink | None = None  # the facts of that link
    not_before: float = MINUS_INFINITY  # the server, or a proxy, allows no dial until then
    awaits: int | None = 0  # links that must close before the next dial
    retry: tuple[float, float, float] | None = None  # when a dial was planned, the least and the greatest delay before it
    throttled: bool | None = False  # the next dial waits for a moment that the server, or a proxy, asked for
    next_dial_in_url: bool | None = False  # it asks for channels in the URL
    dialed_in_url: bool | None = False
    era: str | None = None
    doubtful: bool | None = False  # a server that greets like an E3 may be an E4
    been_up: bool | None = False  # since the user last asked for a link
    ever_up: bool | None = False
    proven: bool | None = False  # everything desired has once been acknowledged on this link
    accepted: bool | None = False  # the server has accepted a subscription on this link
    refusals: int | None = 0  # of the connection, in a row
    # --- its frames
    ping_took: float | None = None  # where the last step has left `ping`
    sends: int = 0
    sent: list[float] = field(default_factory=list)  # the moments of the newest frames, at most `LIMIT`
    sent_known: bool = True  # whether `sent` holds every frame of the last `WINDOW`
    erred: bool | None = False  # the server answered with an error frame, and has acknowledged nothing since
    closed_until: float = MINUS_INFINITY  # after a 1013
    request_in_flight: bool | None = False
    asked_at: float = MINUS_INFINITY
    put_back: bool | None = False  # a 1013 has put a request back, and a late reply may still answer it
    error_answered_request: bool | None = False
    # --- its subscriptions
    subscriptions_known: bool = False
    desired: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    next_triggers: tuple[str, ...] | None = None  # one of them is the trigger of the next step
    withdrawn: set[str] = field(default_factory=set)  # and not yet removed
    established: set[str] = field(default_factory=set)  # ever acknowledged
    rejected: int = 0  # since the last step
    # --- its outages and faults
    outage: OpenOutage | None = None
    lost_by: str | None = None  # the cause of a loss, until a record begins its outage
    gap: float = 0.0  # the longest one since the last record of an outage
    covered_from: float | None = None  # since then a draining link delivers in `reconnecting`, as no outage has begun
    faulty_since: float | None = None

    @property
    def records(self) -> int:
        """The number of records."""
        return self.seq - self.missing

    def restart_stats(self, moment: datetime) -> None:
        """Drop the statistics and findings from before a moment."""
        at = self.time_at(moment)
        self.stats, self.findings, self.life_from = StatsAccumulator(), {}, at
        self.missing = self.seq
        if self.covered_from is not None:
            self.covered_from = at

    def time_at(self, moment: datetime) -> float:
        """Return a moment after the last step, in seconds of the connection."""
        begun = self.now_at or self.last
        return self.now if begun is None else self.now + max(0.0, (moment - begun).total_seconds())

    def set_state(self, state: str | None, since: float) -> None:
        """Set the state; None where it is unknown. `since` is the time of its entry."""
        self.state, self.entered, self.state_before_ping = state, since, None

    def leave_state(self, t: float, detail: bool) -> None:
        """Count the time in the state.

        Args:
            t: until when, in seconds of the connection.
            detail: whether to keep it for the timeline.
        """
        if self.state is None:
            return
        since = max(self.life_from, self.entered)
        spent = max(0.0, t - since)
        self.stats.states[self.state] += spent
        if self.unwanted and self.state == DISCONNECTED:
            self.stats.unwanted += spent
        if detail and self.clock is not None:
            self.stats.stays.add(self.clock + since, spent, self.state)

    def forget_state(self) -> None:
        """Forget the facts that depend on the state."""
        self.set_state(None, self.entered)
        self.has_link = self.request_in_flight = self.put_back = self.error_answered_request = self.throttled = (
            self.next_dial_in_url
        ) = self.dialed_in_url = None
        self.been_up = self.ever_up = self.proven = self.accepted = self.refusals = self.doubtful = None
        self.subscriptions_known = self.complete = False
        self.desired.clear()
        self.withdrawn.clear()
        self.acknowledged.clear()
        self.established.clear()
        self.retry = self.covered_from = self.faulty_since = self.awaits = self.origin = self.ping_took = self.next_triggers = (
            None
        )
        self.unwanted = False
        self.reset_link()
        self.sent_known, self.erred = False, None
        self.up_at = self.dialed_at = self.asked_at = self.idle_from = self.noted = MINUS_INFINITY

    def note_hole(self) -> None:
        """Forget what the missing records may have changed: the state, and whether an outage is under way."""
        self.forget_state()
        self.outage = self.lost_by = None

    def note_up(self, *, surely: bool = True) -> None:
        """Note that everything desired is acknowledged on the link, or nothing is desired; or that this may be so."""
        if surely:
            self.been_up = self.ever_up = self.proven = True
            self.refusals = 0
        else:
            self.been_up, self.ever_up, self.proven = self.been_up or None, self.ever_up or None, self.proven or None
            self.refusals = None if self.refusals else self.refusals

    def end_coverage(self, t: float) -> None:
        """Count the time until `t` in which a draining link delivered."""
        if self.covered_from is not None:
            self.stats.covered += max(0.0, t - self.covered_from)
            self.covered_from = None

    def end_outage(self, closed: FlatRecord) -> OutageLine:
        """End the outage under way by its record; the record alone tells one whose beginning is missing."""
        self.outage = None
        return self._outage_line(closed, self.now - closed.seconds, closed.seconds, closed.dials, "healed")

    def cut_outage(self, outage: OpenOutage) -> OutageLine:
        """Sum up an outage that lasts until now; its true end may be later."""
        at, opened, healed = outage.at, outage.record, self.healed
        if healed is not None:
            return self._outage_line(healed, at, healed.seconds, healed.dials, "healed")
        return self._outage_line(opened, at, self.now - at, self.dials_in(opened), "disposed" if self.state == DISPOSING else "")

    def dials_in(self, opened: FlatRecord) -> int:
        """Count the dials in the outage that a record begins, and that is not over."""
        return opened.dials + max(0, self.link - opened.link)

    def _outage_line(self, record: FlatRecord, at: float, seconds: float, dials: int, end: str) -> OutageLine:
        start = record.timestamp - timedelta(seconds=record.seconds)
        within = max(0.0, self.now - max(at, self.life_from))
        return OutageLine(
            start, round(at, 6), round(seconds, 6), record.cause or "unknown", record.planned, dials, self.gap, end,
            round(within, 6),
        )  # fmt: skip

    def prune_send_window(self, t: float) -> None:
        """Forget the frames that have left the window."""
        self.sent[:] = [sent for sent in self.sent if t - sent < WINDOW - ROUNDING]

    def reset_link(self) -> None:
        """Note a link on which nothing has been sent or received."""
        self.sent.clear()
        self.sent_known, self.erred = True, False
        self.closed_until = self.opened_at = MINUS_INFINITY
