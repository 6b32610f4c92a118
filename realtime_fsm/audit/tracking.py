"""The shadow: what the records so far tell of a connection.

The law: the shadow follows the records; it never runs the machine. What the records do not tell is None, and what is None is
not judged: after a hole much is None, and comes back with the records.
"""

from __future__ import annotations

import warnings
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from realtime_fsm.audit.report import OutageLine
from realtime_fsm.audit.row_facts import DISCONNECTED, DISPOSING, PING
from realtime_fsm.audit.rules import ROUNDING
from realtime_fsm.audit.secret_scan import secret_fields
from realtime_fsm.audit.stats import StatsAccumulator
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.policies import PingPolicy, PingPolicyWarning, RetryPolicy
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.report import Finding
    from realtime_fsm.auditlog.records import OpenRecord

LIMIT = 32
"""Frames on a link in any `WINDOW` (PROTOCOL: "Messages", rule 4)."""
WINDOW = 60.0
CONTEXT = 5
"""How many records before a finding are shown."""
MINUS_INFINITY = float("-inf")


UNTOLD_CHANNEL = "canary"
"""What stands for the channel of a canary, which no record tells."""


class Policies:
    """The settings that a connection told when it was opened.

    Raises:
        BadOption, TypeError: for settings that the library does not accept.
    """

    __slots__ = ("auto_reconnect", "canary", "era", "max_link_age", "ping", "retry", "timeouts")

    def __init__(self, opened: OpenRecord | FlatRecord) -> None:
        given: Any = opened
        self.retry = RetryPolicy(**given.retry)
        with warnings.catch_warnings():  # the program that made it was warned
            warnings.simplefilter("ignore", PingPolicyWarning)
            self.ping = PingPolicy(**given.ping)
        self.timeouts = Timeouts(**given.timeouts)
        self.auto_reconnect = opened.auto_reconnect
        self.max_link_age = opened.max_link_age
        self.era = None if opened.protocol is None else Era(opened.protocol)
        self.canary = None if opened.canary is None else _canary(opened.canary)


def _canary(told: dict[str, float | bool]) -> Canary:
    """A canary as it was told; something stands for what is written."""
    given: Any = {name: value for name, value in told.items() if name != "write"}
    return Canary(**given, write=_write, channel=UNTOLD_CHANNEL) if told.get("write") else Canary(**given)


async def _write() -> None:
    """Stand for what the user's callable writes; nothing calls it."""


_KNOWN: dict[bytes, tuple[Policies, tuple[str, ...]]] = {}
_MOST_KNOWN = 256


def parse_settings(opened: FlatRecord) -> tuple[Policies, tuple[str, ...]]:
    """What a record tells of a connection that is opened; most connections tell the same.

    Returns:
        The settings, and the names of what looks like a secret among the versions.

    Raises:
        BadOption, TypeError: for settings that the library does not accept.
    """
    told = (
        opened.retry,
        opened.ping,
        opened.timeouts,
        opened.auto_reconnect,
        opened.max_link_age,
        opened.protocol,
        opened.canary,
    )
    key = msgspec.json.encode((*told, opened.canary, opened.versions))
    known = _KNOWN.get(key)
    if known is None:
        known = Policies(opened), tuple(secret_fields({"versions": opened.versions or {}}))
        if len(_KNOWN) < _MOST_KNOWN:
            _KNOWN[key] = known
    return known


class OpenOutage(NamedTuple):
    """An outage that is not over: its beginning in seconds of the connection, and the record of it."""

    at: float
    record: FlatRecord


class _HotFields:
    """What every record or heartbeat touches: in a class of its own, so that it stands together in memory.

    Attributes:
        seq: the number of its last record.
        last: the moment of its last record.
        link: the number of its link.
        state: where it stands; None where it is not known.
        attempt: dials in a row.
        now: the time of its last step, or of the end of a link that made room.
        entered: when its state was entered.
        sends: how many frames were sent on the link.
        sent: when the newest of them were sent, at most `LIMIT`.
        closed_until: when the next frame may be sent, after a 1013.
        asked: whether a request is in flight.
        asked_at: since when.
        pong_within: how long a ping may be out, in seconds, with what clocks round.
        reply_within: how long a request may be in flight, likewise.
    """

    __slots__ = (
        "asked_at",
        "attempt",
        "closed_until",
        "entered",
        "last",
        "link",
        "now",
        "pong_within",
        "reply_within",
        "request_in_flight",
        "sends",
        "sent",
        "seq",
        "state",
    )  # fmt: skip


class TrackedConnection(_HotFields):
    """One connection, as its records tell it. Times are seconds since its first step, summed up from the dwells.

    Attributes:
        missing: how many numbers up to the last one no record had; records that have none of their own count against it.
        rest: the state that heartbeats come from and go back to.
        holds: whether it has a link.
        by_address: whether the next dial asks for channels by its address.
        planned: whether the newest one did.
        draining: the number of the link that makes room for it, until it is up; None where there is none.
        faulty_since: when the server had last proved that it worked, during a server fault; None where there is none.
        established: the subscriptions that were ever acknowledged.
        covered_from: since when a draining link delivers in `reconnecting`; None where none does, or an outage is under way.
        outage: the outage under way, as far as the records tell.
        lost_by: the cause of the last loss of a link that delivered.
        gap: the longest gap since the last record of an outage, in seconds.
        unwanted: whether a failure led to `disconnected`.
        been_up: whether a link has been up since the user asked for one.
        ever_up: whether any link has.
        proven: whether everything desired has once been acknowledged on this link.
        accepted: whether the server has accepted a subscription on this link.
        refusals: how often in a row the server refused the connection; None where it is not known.
        era: what the server spoke at the last step that tells it.
        doubtful: whether a server that greets like an E3 may be an E4.
        blamed: whether the last error frame of this link was the answer to a request.
        throttled: whether the next dial waits for a moment that the server, or a proxy, asked for.
        awaits: how many links are to be closed before the next dial; None where it is not known.
        put_back: whether a 1013 has put a request back, and none was sent on this link since: a late reply may answer it.
        rejected: how many subscriptions were rejected since the last step.
        told: whether its records tell of all its subscriptions.
        whole: whether all its records have come, and made sense.
        retry: when the next dial was planned, and the least and the longest delay before it.
        recent: the newest lines, each with its number, where they are kept.
        findings: the first of each rule, and how many there are.
    """

    __slots__ = (
        "accepted",
        "acknowledged",
        "awaits",
        "been_up",
        "closed",
        "closed_by_record",
        "complete",
        "connection_id",
        "covered_from",
        "desired",
        "dialed_at",
        "dialed_in_url",
        "doubtful",
        "draining",
        "era",
        "error_answered_request",
        "established",
        "ever_up",
        "faulty_since",
        "findings",
        "first",
        "first_line",
        "gap",
        "has_link",
        "idle_from",
        "life_from",
        "lost_by",
        "missing",
        "next_dial_in_url",
        "opened_at",
        "outage",
        "past_window",
        "policies",
        "proven",
        "put_back",
        "recent",
        "refusals",
        "rejected",
        "retry",
        "state_before_ping",
        "stats",
        "subscriptions_known",
        "throttled",
        "unwanted",
        "up_at",
    )  # fmt: skip

    def __init__(self, connection_id: str, met: int) -> None:
        self.connection_id = connection_id
        self.first_line = met  # the number of the line at which it was met first
        self.seq = self.link = self.attempt = self.sends = self.missing = 0
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.now = self.entered = self.life_from = self.gap = 0.0
        self.has_link: bool | None = False
        self.request_in_flight: bool | None = False
        self.put_back: bool | None = False
        self.been_up: bool | None = False
        self.ever_up: bool | None = False
        self.proven: bool | None = False
        self.accepted: bool | None = False
        self.refusals: int | None = 0
        self.era: str | None = None
        self.doubtful: bool | None = False
        self.error_answered_request: bool | None = False
        self.next_dial_in_url: bool | None = False
        self.dialed_in_url: bool | None = False
        self.draining: int | None = None
        self.covered_from: float | None = None
        self.outage: OpenOutage | None = None
        self.lost_by: str | None = None
        self.rejected = 0
        self.throttled: bool | None = False
        self.awaits: int | None = 0
        self.subscriptions_known = self.closed_by_record = self.closed = self.past_window = self.unwanted = False
        self.complete = True
        self.policies: Policies | None = None
        self.pong_within = self.reply_within = float("inf")
        self.desired: set[str] = set()
        self.acknowledged: set[str] = set()
        self.established: set[str] = set()
        self.faulty_since: float | None = None
        self.retry: tuple[float, float, float] | None = None
        self.recent: deque[tuple[int, bytes]] = deque(maxlen=CONTEXT)
        self.findings: dict[str, tuple[Finding, int]] = {}
        self.stats = StatsAccumulator()
        self.sent: list[float] = []
        self.set_state(TABLE.initial.value, 0.0)
        self._forget_times()

    @property
    def records(self) -> int:
        """How many records there were."""
        return self.seq - self.missing

    def restart_stats(self, at: float) -> None:
        """What was counted and found before a time does not count."""
        self.stats, self.findings, self.life_from = StatsAccumulator(), {}, at
        self.missing = self.seq
        if self.covered_from is not None:
            self.covered_from = at

    def set_state(self, state: str | None, since: float, rest: str | None = None) -> None:
        """It is in a state.

        Args:
            state: which; None where it is not known.
            since: when it was entered.
            rest: in `ping`, where it came from; None where it is not known.
        """
        self.state, self.entered = state, since
        self.state_before_ping = rest if state == PING else state

    def leave_state(self, t: float, *, detail: bool) -> None:
        """Count the time in the state.

        Args:
            t: until when, in seconds of the connection.
            detail: whether to keep it for the timeline.
        """
        if self.state is None:
            return
        since = max(self.life_from, self.entered)
        spent = t - since if t > since else 0.0
        self.stats.states[self.state] += spent
        if self.unwanted and self.state == DISCONNECTED:
            self.stats.unwanted += spent
        if detail:
            self.stats.add_segment(since, spent, self.state)

    def forget_state(self) -> None:
        """Records are missing: forget what depends on them."""
        self.set_state(None, self.entered)
        self.has_link = self.request_in_flight = self.put_back = self.error_answered_request = self.throttled = (
            self.next_dial_in_url
        ) = self.dialed_in_url = None
        self.been_up = self.ever_up = self.proven = self.accepted = self.refusals = self.doubtful = None
        self.subscriptions_known = self.complete = False
        self.desired.clear()
        self.acknowledged.clear()
        self.established.clear()
        self.retry = self.covered_from = self.faulty_since = self.awaits = None
        self.unwanted = False
        self._forget_times()

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
        return self._outage_line(closed, min(closed.seconds, self.now - self.life_from), closed.dials, "healed")

    def cut_outage(self, outage: OpenOutage) -> OutageLine:
        """Sum up an outage that the log does not end."""
        at, opened = max(outage.at, self.life_from), outage.record
        dials = opened.dials + max(0, self.link - opened.link)
        return self._outage_line(opened, self.now - at, dials, "disposed" if self.state == DISPOSING else "")

    def _outage_line(self, record: FlatRecord, seconds: float, dials: int, end: str) -> OutageLine:
        at = self.now - seconds
        start = record.timestamp - timedelta(seconds=record.seconds)
        return OutageLine(start, round(at, 6), round(seconds, 6), record.cause or "unknown", record.planned, dials, self.gap, end)

    def prune_send_window(self, t: float) -> None:
        """Forget the frames that have left the window."""
        self.sent[:] = [sent for sent in self.sent if t - sent < WINDOW - ROUNDING]

    def reset_link(self) -> None:
        """Nothing has been sent and nothing been heard on the link."""
        self.sent.clear()
        self.closed_until = self.opened_at = MINUS_INFINITY

    def _forget_times(self) -> None:
        self.reset_link()
        self.up_at = self.dialed_at = self.asked_at = self.idle_from = MINUS_INFINITY
