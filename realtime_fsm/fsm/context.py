"""The seat: everything that one connection remembers, and the facts that each input leaves before guards are asked.

One machine serves every connection of the process; a seat is all that a connection adds to it. No clock is read here: every
moment is a `now` that came in. Deadlines are not set and cleared one by one but computed from the facts, so none can be
forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.fsm.canary import CANARY, CanaryBook
from realtime_fsm.fsm.commands import EndFault
from realtime_fsm.fsm.link import LinkState, Phase
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy, Verdict
from realtime_fsm.fsm.subscriptions import SubscriptionTracker
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger
from realtime_fsm.protocol.faults import FaultNews
from realtime_fsm.protocol.options import Timeouts
from realtime_fsm.protocol.spec import SubscriptionSpec

if TYPE_CHECKING:
    from realtime_fsm.errors import LinkFailure, RealtimeError, ServerError
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.commands import Command
    from realtime_fsm.fsm.tablespec import Row
    from realtime_fsm.protocol.eras import Era


HANDOVER_DEBOUNCE = 0.05
"""Seconds for which what else is desired is waited for, before a link makes room for one with other channels in its address."""

_RETRY, _PING, _TIMEOUTS = RetryPolicy(), PingPolicy(), Timeouts()  # what all share who say nothing else


class ConnectionContext:
    """What one connection remembers."""

    __slots__ = (
        "attempt",
        "attempt_at",
        "auto_reconnect",
        "awaited",
        "been_up",
        "canary",
        "close_by",
        "closing_generation",
        "configured_era",
        "deaf",
        "dial_slot",
        "doubtful",
        "draining_generation",
        "draw",
        "era",
        "error",
        "ever_up",
        "failure",
        "failure_verdict",
        "fault_news",
        "finished",
        "frames_sent",
        "generation",
        "link",
        "max_link_age",
        "now",
        "pacer",
        "ping",
        "ping_enabled",
        "refusals",
        "refused",
        "rejected_new_subscriptions",
        "renewable",
        "renewal",
        "renewed",
        "requests",
        "retry",
        "round_trip",
        "row",
        "server",
        "session",
        "state",
        "state_entered_at",
        "subscribes_in_url",
        "subscriptions",
        "throttled",
        "timeouts",
        "trial",
    )  # fmt: skip

    def __init__(
        self,
        *,
        retry: RetryPolicy | None = None,
        ping: PingPolicy | None = None,
        timeouts: Timeouts | None = None,
        auto_reconnect: bool = True,
        max_link_age: float | None = None,
        pacer: Pacer | None = None,
        era: Era | None = None,
        canary: Canary | None = None,
        server: str = "",
    ) -> None:
        self.server = server  # host and port, for the texts of errors
        self.retry = retry or _RETRY
        self.pacer = pacer or Pacer(self.retry.dials_per_minute)
        self.max_link_age = max_link_age
        self.ping = ping or _PING
        self.timeouts = timeouts or _TIMEOUTS
        self.auto_reconnect = auto_reconnect
        self.ping_enabled = self.ping.enabled
        self.canary = canary
        self.deaf = False  # whether a canary was missed, and none has come back since
        self.subscriptions = SubscriptionTracker()
        if canary is not None:
            self.subscriptions.canary = CanaryBook(
                None if canary.channel is None else SubscriptionSpec(CANARY, (canary.channel,))
            )
        self.state: str = TABLE.initial.value  # the machine's; nothing else writes it
        self.state_entered_at: float | None = None  # when the state was entered; the first step says it of the initial one
        self.configured_era = era
        self.era = era  # what the server speaks, as far as it is known
        self.subscribes_in_url = era is not None and era.subscribes_in_url  # whether it is asked by the address that is dialed
        self.doubtful = False  # whether a server that greets like an E3 may be an E4
        self.generation = 0
        self.link: LinkState | None = None
        self.draining_generation: int | None = None  # the link that delivers until the one in its place is up
        self.closing_generation: int | None = None  # the socket that `disposing` waits for
        self.awaited: tuple[int, ...] = ()  # the links that must be closed before the next dial
        self.close_by = 0.0  # when that is no longer waited for
        self.trial = False  # whether the next dials carry an identity that the server has not confirmed yet
        self.attempt = 0  # dials in a row, not forgiven
        self.refusals = 0  # how often in a row the server refused us (1008)
        self.been_up = False  # whether a link has been up since the user asked for one
        self.ever_up = False  # whether any link has
        self.attempt_at: float | None = None  # when the next dial is due
        self.throttled = False  # whether it waits because the server, or a proxy, asked for it
        self.dial_slot: float | None = None  # in the queue of those who want to dial the same server
        self.session: str | None = None  # of the authentication that the step under way asks for
        self.error: RealtimeError | None = None  # why there is no link and no attempt
        self.frames_sent = 0  # frames sent on the newest link, when it is gone
        # of the step under way
        self.now = 0.0
        self.draw = 0.0
        self.row: Row[State, Trigger] | None = None
        self.requests: list[Command] = []
        self.failure: LinkFailure | None = None
        self.failure_verdict = Verdict.TRANSIENT
        self.rejected_new_subscriptions = False
        self.renewable = False  # whether a callable gave the credentials that were refused
        self.renewed = False  # whether it was asked again since the last greeting
        self.renewal: ServerError | None = None  # why the next dial is to be made with other credentials, or not at all
        self.refused = False  # whether the failure counts as a refusal
        self.fault_news: FaultNews | None = None
        self.finished = False  # whether a note has finished the step
        self.round_trip: float | None = None  # seconds from the ping to its answer

    @property
    def require_link(self) -> LinkState:
        """The link of a live state; guards and effects of rows that leave one may count on it."""
        assert self.link is not None
        return self.link

    def reset_step(self, now: float, draw: float) -> None:
        """Forget what belonged to the step before."""
        self.now, self.draw, self.row, self.requests = now, draw, None, []
        self.failure, self.failure_verdict, self.round_trip, self.fault_news = None, Verdict.TRANSIENT, None, None
        self.rejected_new_subscriptions = self.refused = self.renewable = self.finished = False

    # --- facts that notes and effects share ---------------------------------------------------------------------------

    def end_fault(self, link: LinkState, *, lost: bool) -> None:
        """End the server fault that is open on a link; `lost` if its link is gone, or draining."""
        if link.fault is not None and link.fault.is_open:
            seconds = self.now - link.fault.since
            link.fault.is_open = lost
            self.fault_news = FaultNews(opened=False, seconds=seconds)
            self.requests.append(EndFault(seconds, lost))

    def record_proven(self, link: LinkState) -> None:
        """Keep that everything desired is acknowledged on a link, or nothing is desired."""
        self.been_up = self.ever_up = link.proven = True
        self.refusals = 0

    # --- deadlines ----------------------------------------------------------------------------------------------------

    @property
    def reply_by(self) -> float | None:
        """When the request in flight must be answered: not while nothing is read."""
        link = self.link
        return (
            None
            if link is None or link.request_sent_at is None or link.read_paused
            else link.request_sent_at + self.timeouts.reply
        )

    @property
    def ping_at(self) -> float | None:
        """When the next ping is due: not while a reply is awaited, and not without room in the budget."""
        link = self.link
        if link is None or link.ping_at is None or not self.ping_enabled or self.subscriptions.in_flight is not None:
            return None
        return max(link.ping_at, link.budget.available_at(self.now, ping=True))

    @property
    def stable_at(self) -> float | None:
        """When the link will have proven itself."""
        link = self.link
        if link is None or link.backoff_reset or link.stable_since is None or self.deaf:
            return None
        return link.stable_since + self.retry.stable_after

    @property
    def renew_at(self) -> float | None:
        """When the link is to be replaced: not in the middle of a request."""
        link = self.link
        return None if link is None or self.subscriptions.in_flight is not None else link.renew_at

    @property
    def handover_at(self) -> float | None:
        """When the link makes room for one with other channels in its address."""
        link = self.link
        return (
            None
            if link is None or link.handover_wanted_since is None
            else max(link.handover_wanted_since + HANDOVER_DEBOUNCE, link.drained_at)
        )

    @property
    def idle_at(self) -> float | None:
        """When a link without any subscription left is closed."""
        link, idle = self.link, self.timeouts.idle
        return None if link is None or idle is None or link.idle_since is None else link.idle_since + idle

    @property
    def budget_at(self) -> float | None:
        """When the next control request may leave."""
        link = self.link
        return None if link is None or not self.subscriptions.has_pending_request else self.free_at(link)

    def free_at(self, link: LinkState) -> float:
        """When the budget has room for a request, and the wait before a repetition is over."""
        free_at, again_at = link.budget.available_at(self.now, ping=False), self.again_at
        return free_at if again_at is None else max(free_at, again_at)

    @property
    def again_at(self) -> float | None:
        """When the next request is to be repeated; None where there is none, or something else can be asked first."""
        fault = None if self.link is None else self.link.fault
        if fault is None or not self.subscriptions.has_pending_request or (self.subscriptions.has_news and not fault.is_open):
            return None
        return fault.again_at

    @property
    def deadline(self) -> float | None:
        """The earliest of what the state waits for; None when it waits for nothing."""
        state, link = State(self.state), self.link
        if state is State.RECONNECTING and link is not None:
            return link.since + (self.timeouts.dial if link.phase is Phase.DIALING else self.timeouts.greeting)
        if state is State.RECONNECTING:
            return self.attempt_at
        if state is State.PING:
            assert link is not None
            assert link.ping_in_flight is not None
            return link.ping_in_flight.at + self.ping.timeout
        if state not in LIVE:
            return None
        due = [self.reply_by, self.renew_at, self.handover_at, self.ping_at, self.stable_at, self.budget_at]
        if state is State.UNSUBSCRIBED:
            due.append(self.idle_at)
        return min((moment for moment in due if moment is not None), default=None)
