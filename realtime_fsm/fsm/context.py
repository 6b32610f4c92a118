"""The context: the memory of one connection.

Invariant: notes and effects write the context, guards only read it, and the machine alone writes `state`.

Design: One machine serves every connection of the process, and the context is all that a connection adds. The context reads no
clock: each step brings its `now`. The context computes each deadline from facts, so no code can forget to set or clear one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from realtime_fsm.fsm.canary import CANARY, CanaryTracker
from realtime_fsm.fsm.commands import EndFault, ReleaseLink
from realtime_fsm.fsm.link import DrainingLink, LinkState, Phase
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.step_facts import StepFacts
from realtime_fsm.fsm.subscriptions import SubscriptionTracker
from realtime_fsm.fsm.table import LIVE, TABLE, State
from realtime_fsm.protocol.faults import FaultNews
from realtime_fsm.protocol.options import Timeouts
from realtime_fsm.protocol.spec import SubscriptionSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_fsm.errors import RealtimeError, ServerError
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.protocol.eras import Era


HANDOVER_DEBOUNCE = 0.05
"""Seconds for which a link waits for further subscriptions before a link with another URL replaces it."""

_RETRY, _PING, _TIMEOUTS = RetryPolicy(), PingPolicy(), Timeouts()  # shared by all connections without policies of their own
_NO_STEP = StepFacts()  # shared by all connections before their first step


class ConnectionContext:
    """The memory of one connection.

    Args:
        retry, ping, timeouts, pacer: the policies; by default those without arguments.
        auto_reconnect: whether the connection dials again after the loss of a link.
        max_link_age: the age in seconds at which a new link replaces a link; None for no limit.
        era: the era of the server, where the user has set it.
        canary: the canary policy; None for no canaries.
        server: host and port, for messages of errors.
    """

    __slots__ = (
        "attempt", "attempt_at", "auto_reconnect", "awaited", "been_up", "canary", "close_by", "closing_generation",
        "configured_era", "deaf", "dial_slot", "doubtful", "draining", "era", "error", "ever_up", "frames_sent",
        "generation", "lingering", "link", "max_link_age", "not_before", "now", "pacer", "ping", "ping_enabled",
        "refusals", "renewal", "renewed", "retry", "server", "session", "state", "state_entered_at", "step",
        "subscribes_in_url", "subscriptions", "throttled", "timeouts", "trial",
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
        # the settings
        self.server: str = server
        self.retry: RetryPolicy = retry or _RETRY
        self.pacer: Pacer = pacer or Pacer(self.retry.dials_per_minute)
        self.max_link_age: float | None = max_link_age
        self.ping: PingPolicy = ping or _PING
        self.timeouts: Timeouts = timeouts or _TIMEOUTS
        self.auto_reconnect: bool = auto_reconnect
        self.configured_era: Era | None = era
        self.canary: Canary | None = canary
        self.ping_enabled: bool = self.ping.enabled
        # the state, and the step under way or the newest one
        self.state: str = TABLE.initial.value
        self.state_entered_at: float | None = None  # None before the first step
        self.error: RealtimeError | None = None  # why there is no link and no attempt
        self.now: float = -math.inf  # the moment of the step
        self.step: StepFacts = _NO_STEP
        self.subscriptions: SubscriptionTracker = SubscriptionTracker()
        if canary is not None:
            self.subscriptions.presence.canary = CanaryTracker(
                None if canary.channel is None else SubscriptionSpec(CANARY, (canary.channel,))
            )
        # the server
        self.era: Era | None = era  # as far as it is known
        self.subscribes_in_url: bool = era is not None and era.subscribes_in_url  # whether the URL asks for subscriptions
        self.doubtful: bool = False  # whether a server that greets as an E3 may be an E4
        # the links
        self.generation: int = 0  # of the newest link; 0 before the first dial
        self.frames_sent: int = 0  # on the newest link, which may be gone
        self.link: LinkState | None = None  # the one that is dialed or up
        self.draining: DrainingLink | None = None  # the link that delivers until another one serves what it serves
        self.lingering: DrainingLink | None = None  # the same link from then on, until it is closed
        self.closing_generation: int | None = None  # the link that `disposing` waits for
        self.deaf: bool = False  # whether the event of a canary is missing, and none has come back since
        # the dials
        self.attempt: int = 0  # dials in a row since the connection last forgave failures
        self.refusals: int = 0  # refusals (1008) in a row
        self.been_up: bool = False  # whether a link has been up since the user last asked for one
        self.ever_up: bool = False  # whether any link has
        self.attempt_at: float | None = None  # when the next dial is due
        self.dial_slot: float | None = None  # the slot that the pacer reserved for the next dial
        self.throttled: bool = False  # whether the next dial waits because the server, or a proxy, asked for it
        self.not_before: float = -math.inf  # when the server, or a proxy, allows a dial after a handover that it has refused
        self.awaited: tuple[int, ...] = ()  # the links that must be closed before the next dial
        self.close_by: float  # when the next dial waits for them no longer
        # the identity
        self.trial: bool = False  # whether the next dials carry an identity that the server has not confirmed yet
        self.session: str | None = None  # the session to authenticate with, in the step under way
        self.renewed: bool = False  # whether the callable gave other credentials since the last greeting
        self.renewal: ServerError | None = None  # the refusal for which the next dial needs other credentials

    @property
    def require_link(self) -> LinkState:
        """The current link, for code that runs only while there is one."""
        assert self.link is not None
        return self.link

    def begin_step(self, now: float, draw: float) -> None:
        """Begin a step, without the facts of the step before."""
        self.now, self.step = now, StepFacts(draw)

    @property
    def draining_generation(self) -> int | None:
        """The number of the draining link."""
        return None if self.draining is None else self.draining.generation

    @property
    def counts_reconnects(self) -> bool:
        """Whether ``reconnect_attempts`` limits the dials in a row, instead of ``attempts``."""
        return self.been_up and self.draining is None

    @property
    def desired_on_old_link(self) -> Sequence[str]:
        """The desired subscriptions that the draining link can serve; only another URL could ask it for the others."""
        subscriptions = self.subscriptions
        in_url = self.draining is not None and self.draining.state.subscribed_in_url
        return [one for one in subscriptions.desired if not (in_url and subscriptions.is_new(one))]

    def end_handover(self) -> None:
        """Release the draining link if the link that is up serves everything that the draining one served."""
        old = self.draining
        if old is not None and self.subscriptions.serves(old.served):
            self.step.commands.append(ReleaseLink(old.generation))
            self.draining, self.lingering = None, old

    # --- facts that notes and effects share ---------------------------------------------------------------------------

    def end_fault(self, link: LinkState, *, lost: bool) -> None:
        """End the server fault of a link, if any; `lost` if the link is gone or draining.

        If `lost`, a suspected fault counts as a real one, because nothing can disprove it any more. A link that drains meanwhile
        has the fault, too.
        """
        fault = link.fault
        if fault is not None and fault.is_open:
            self.step.fault_news = FaultNews(opened=False, seconds=self.now - fault.since)
        elif fault is not None and fault.suspected_since is not None and lost:
            fault.open(fault.suspected_since)
        else:
            return
        fault.is_open = lost
        if lost and self.draining is not None:
            self.draining.state.suffer(fault.since)
        self.step.commands.append(EndFault(self.now - fault.since, lost))

    def record_proven(self, link: LinkState) -> None:
        """Keep that everything desired is acknowledged on a link, or nothing is desired."""
        self.been_up = self.ever_up = link.proven = True
        self.refusals = 0

    # --- deadlines ----------------------------------------------------------------------------------------------------

    def is_due(self, moment: float | None) -> bool:
        """Tell whether a moment has come."""
        return moment is not None and moment <= self.now

    @property
    def reply_by(self) -> float | None:
        """When the reply to the request in flight is overdue; None while the driver does not read the link."""
        link = self.link
        return (
            None
            if link is None or link.request_sent_at is None or link.read_paused
            else link.request_sent_at + self.timeouts.reply
        )

    @property
    def ping_at(self) -> float | None:
        """When the next ping is due and the budget has room; None while a request is in flight."""
        link = self.link
        if link is None or link.ping_at is None or not self.ping_enabled or self.subscriptions.in_flight is not None:
            return None
        return max(link.ping_at, link.budget.available_at(self.now, ping=True))

    @property
    def stable_at(self) -> float | None:
        """When the link counts as stable, so that the connection forgives earlier failures."""
        link = self.link
        if link is None or link.backoff_reset or link.stable_since is None or self.deaf:
            return None
        return link.stable_since + self.retry.stable_after

    @property
    def renew_at(self) -> float | None:
        """When a new link is to replace the link, because of its age; None during a request or a handover."""
        link = self.link
        busy = self.subscriptions.in_flight is not None or self.draining is not None or self.lingering is not None
        return None if link is None or busy else link.renew_at

    @property
    def handover_at(self) -> float | None:
        """When a link with other channels in its URL is to replace the link; None during a handover."""
        link = self.link
        if link is None or link.handover_wanted_since is None or self.draining is not None or self.lingering is not None:
            return None
        return link.handover_wanted_since + HANDOVER_DEBOUNCE

    @property
    def idle_at(self) -> float | None:
        """When the connection closes the link, because the user has removed the last subscription."""
        link, idle = self.link, self.timeouts.idle
        return None if link is None or idle is None or link.idle_since is None else link.idle_since + idle

    @property
    def budget_at(self) -> float | None:
        """When the next control request may leave."""
        link = self.link
        return None if link is None or not self.subscriptions.has_pending_request else self.available_at(link)

    def available_at(self, link: LinkState) -> float:
        """Tell when the budget has room for a request, and the wait before a repetition is over."""
        available_at, again_at = link.budget.available_at(self.now, ping=False), self.again_at
        return available_at if again_at is None else max(available_at, again_at)

    @property
    def again_at(self) -> float | None:
        """When the connection repeats a failed request; None where none waits for that, or another request can go first."""
        fault = None if self.link is None else self.link.fault
        subscriptions = self.subscriptions
        if fault is None or not subscriptions.has_pending_request or (subscriptions.queue.has_new and not fault.is_open):
            return None
        return fault.again_at

    @property
    def deadlines(self) -> dict[str, float]:
        """The moments that the state waits for, by name."""
        state, link = self.state, self.link
        moments: dict[str, float | None] = {}
        if state == State.RECONNECTING and link is not None:
            limit = self.timeouts.dial if link.phase is Phase.DIALING else self.timeouts.greeting
            moments[link.phase.value] = link.since + limit
        elif state == State.RECONNECTING:
            moments["dial"] = self.attempt_at
        elif state == State.PING:
            assert link is not None
            assert link.ping_in_flight is not None
            moments["pong"] = link.ping_in_flight.at + self.ping.timeout
        elif state in LIVE:
            moments = {
                "reply": self.reply_by,
                "idling": self.idle_at if state == State.UNSUBSCRIBED else None,
                "renewal": self.renew_at,
                "handover": self.handover_at,
                "ping": self.ping_at,
                "stability": self.stable_at,
                "budget": self.budget_at,
            }
        return {name: moment for name, moment in moments.items() if moment is not None}

    @property
    def deadline(self) -> float | None:
        """The earliest moment that the state waits for; None where it waits for no moment."""
        return min(self.deadlines.values(), default=None)

    @property
    def deadline_name(self) -> str:
        """The name of the deadline, a key of `descriptions.DEADLINES`; empty without a deadline."""
        deadlines = self.deadlines
        name = min(deadlines, key=deadlines.__getitem__, default="")
        return "repetition" if name == "budget" and self.again_at is not None else name
