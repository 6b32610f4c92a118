"""The seat: everything that one connection remembers, and the facts that each input leaves before guards are asked.

One machine serves every connection of the process; a seat is all that a connection adds to it. No clock is read here: every
moment is a `now` that came in. Deadlines are not set and cleared one by one but computed from the facts, so none can be
forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.errors import GreetedAsGuest, IdentityUnavailable, Overdue, ServerError, StreamEnded
from realtime_fsm.fsm.canary import CANARY, CanaryBook
from realtime_fsm.fsm.commands import AuthenticationRefused, EndFault, UserIdentified
from realtime_fsm.fsm.fault import Fault
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Authenticate,
    Closed,
    Deadline,
    Deaf,
    DialFailure,
    ErrorReceived,
    GreetingReceived,
    Input,
    LinkClosed,
    LogOut,
    PingEnabledChanged,
    Pong,
    Probe,
    Recovered,
    SetPresence,
    Subscribe,
    Unsubscribe,
)
from realtime_fsm.fsm.link import LastError, LinkState, Phase
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.fsm.policies import POLICY, PingPolicy, RetryPolicy, Verdict, verdict
from realtime_fsm.fsm.subscriptions import AUTHENTICATE, GREETING_ACK, SubscriptionTracker
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import FaultNews, is_server_fault, is_throttle
from realtime_fsm.protocol.options import Timeouts
from realtime_fsm.protocol.spec import SubscriptionSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_fsm.errors import LinkFailure, RealtimeError
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.commands import Command
    from realtime_fsm.fsm.tablespec import Row


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
        "drawn",
        "era",
        "error",
        "ever_up",
        "failure",
        "failure_verdict",
        "fault_news",
        "frames_sent",
        "generation",
        "heard",
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
        self.drawn: float | None = None  # the random number, if the step used it
        self.heard: bool | None = None  # whether a frame came since the one that the step asks about, if it asks
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
        self.rejected_new_subscriptions = self.refused = self.renewable = False
        self.drawn = self.heard = None

    def take_draw(self) -> float:
        """Use the random number of the step, and note that."""
        self.drawn = self.draw
        return self.draw

    # --- facts --------------------------------------------------------------------------------------------------------

    def apply_input(self, input_: Input) -> None:
        """Note what an input says. Whether the state moves is the table's business."""
        match input_:
            case Authenticate(session=session):
                self.session, self.trial = session, True
            case LogOut():
                self.trial = False
            case Closed(generation=generation):
                self.awaited = tuple(other for other in self.awaited if other != generation)
            case GreetingReceived() if (
                self.state not in LIVE
            ):  # a second greeting would make the book forget what is acknowledged
                self._apply_greeting(input_)
            case SetPresence(message=message, id=identifier):
                self.subscriptions.set_presence(message, identifier)
            case Probe() if self.state in LIVE:
                self._absorb_probe(input_)
            case Deaf() if self.canary is not None:
                self.deaf = True
                self._fail(Overdue("echo", self.canary.within))
            case Subscribe(spec=spec):
                self.subscriptions.add(spec)
            case Unsubscribe(id=identifier):
                self.requests += self.subscriptions.withdraw(identifier)
            case PingEnabledChanged(enabled=enabled):
                self.ping_enabled = enabled
            case Acknowledged(to=to) if to == GREETING_ACK:
                self._grant(self.subscriptions.acknowledge_url_subscriptions())
            case Acknowledged(to=to, acknowledged=granted, user=user, presence=presence):
                self._prove(self.require_link)
                self.require_link.fault = None
                if to == AUTHENTICATE:
                    self.trial = False
                    self.requests.append(UserIdentified(user))
                self._grant(self.subscriptions.handle_reply(granted, presence))
                self.require_link.request_sent_at = None
            case ErrorReceived():
                self._apply_error_frame(input_)
            case LinkClosed(cause=None, close_code=close_code):
                self._apply_close(close_code)
            case LinkClosed(cause=cause) | DialFailure(cause=cause) if cause is not None:
                self._fail(cause)
            case Deadline() if self.link is not None:
                self._apply_timeout(self.link)
            case Pong() if self.link is not None and self.link.ping_in_flight is not None:
                self.round_trip = self.now - self.link.ping_in_flight.at
                self.era = Era.E2 if self.era is Era.E1 else self.era
                self._prove(self.link)
            case Recovered() if self.link is not None:
                self._prove(self.link)
        self._update_timers()

    def _grant(self, told: Sequence[Command]) -> None:
        self.requests += told
        if self.subscriptions.refusals.accepted:
            self.refusals = 0

    def _fail(self, cause: LinkFailure, *, blamed: bool = False) -> None:
        """Note why an attempt or a link ended; `blamed` if the answer to the request in flight announced it."""
        self.failure = cause
        if self.state not in LIVE and not isinstance(cause, IdentityUnavailable):
            cause.server = self.server
        self.failure_verdict = verdict(cause, live=self.state in LIVE, may_pass=self._may_pass(blamed=blamed))
        code = cause.code if isinstance(cause, ServerError) else cause.close_code if isinstance(cause, StreamEnded) else None
        if code == POLICY:
            self.refused = not (self.subscriptions.refusals.accepted if blamed else self._is_proven)

    @property
    def _is_proven(self) -> bool:
        return self.link is not None and self.link.proven

    def _may_pass(self, *, blamed: bool) -> bool:
        """Whether a refusal may pass: until it has come ``attempts`` times in a row, where another dial can tell more."""
        most = self.retry.attempts
        borne = most is None or self.refusals + 1 < most
        if blamed:
            return borne or not (self.subscriptions.desired and self.subscriptions.refusals.everything)
        return self._is_proven or (self.been_up and borne)

    def _apply_greeting(self, input_: GreetingReceived) -> None:
        if input_.unexpected_guest:
            self._fail(GreetedAsGuest())
            return
        self.trial = False
        self.requests.append(UserIdentified(input_.user))
        self.subscriptions.begin_link()
        if not self.require_link.subscribed_in_url:
            self.era = Era.E4
            return
        if input_.has_subscription_ids:  # as an E4 is, too, that is asked by its address
            if self.era is not Era.E3:
                self.doubtful = self.configured_era is None and self.era is not None
            self.era = Era.E3
        elif self.era is not Era.E1:
            self.era = Era.E2
        assert self.era is not None
        self.subscriptions.link_subscribed_in_url(input_.channels, self.era)

    def _absorb_probe(self, input_: Probe) -> None:
        """A second one on a link shows that the first came back: the link is not deaf, and may be forgiven."""
        link = self.require_link
        self.deaf = self.deaf and not link.probed
        link.probed = True
        self.requests += self.subscriptions.probe(input_.spec, input_.presence, input_.id)

    def _apply_error_frame(self, input_: ErrorReceived) -> None:
        link = self.require_link
        cause = ServerError(input_.code, input_.message)
        self.renewable = input_.renewable
        blamed = self.subscriptions.in_flight is not None
        link.last_error = LastError(cause, link.frames_received, blamed)
        self._fail(cause)
        if (
            link.ping_in_flight is not None and input_.code == 1003
        ):  # the pong of the oldest servers (PROTOCOL: "Four server eras")
            self.round_trip = self.now - link.ping_in_flight.at
            self.era = Era.E1 if self.era is Era.E2 else self.era
            self._prove(link)
        if (
            link.subscribed_in_url
            and link.phase is not Phase.LIVE
            and not (is_throttle(input_.code) or input_.code in (401, 403))
        ):
            rejected = self.subscriptions.reject_new_in_url(input_.code, input_.message)
            self.rejected_new_subscriptions = bool(rejected)
            self.requests += rejected
        if is_throttle(input_.code) and link.phase is Phase.LIVE:
            link.budget.block_for_window(self.now)
            self.requests += self.subscriptions.requeue_in_flight()
        elif link.phase is Phase.LIVE and is_server_fault(input_.code) and (blamed or link.ping_in_flight is not None):
            self._absorb_fault(link, input_)
        else:
            self.requests += self.subscriptions.handle_error(input_.code, input_.message, self.retry.attempts)
            if link.phase is Phase.LIVE and blamed and input_.code == POLICY and self.subscriptions.repeats:
                self._postpone(link)
        if any(isinstance(request, AuthenticationRefused) for request in self.requests):
            self.trial = False
        link.request_sent_at = None

    def _absorb_fault(self, link: LinkState, input_: ErrorReceived) -> None:
        """The server cannot do what was asked, or cannot answer a ping (PROTOCOL: "Messages", rule 10)."""
        fault = link.fault = link.fault or Fault()
        known = (
            self.subscriptions.in_repetition and link.proven_at is not None
        )  # it fails for itself: else the server has worked since
        if not known and not fault.is_open:
            fault.open(link.since if link.proven_at is None else link.proven_at)
            self.fault_news = FaultNews(opened=True, seconds=self.now - fault.since)
        if link.ping_in_flight is not None:
            fault.ping_failed = True
            self.subscriptions.reunite()
            return
        self.requests += self.subscriptions.repeat(input_.code, input_.message, self.retry.attempts, whole=fault.ping_failed)
        self._postpone(link)

    def _postpone(self, link: LinkState) -> None:
        """Let what is to be asked again wait: a server fault met it, or a refusal (1008) of a link that stays up."""
        fault = link.fault = link.fault or Fault()
        fault.again_at = None
        if self.subscriptions.has_pending_request:
            fault.postpone(self.now, self.retry, self.take_draw())

    def _prove(self, link: LinkState) -> None:
        """The server works, which ends a fault."""
        link.proven_at = self.now
        if link.fault is not None:
            link.fault.ping_failed = False
            self.end_fault(link, lost=False)

    def end_fault(self, link: LinkState, *, lost: bool) -> None:
        """A fault that is under way is over; or its link is, if `lost`."""
        if link.fault is not None and link.fault.is_open:
            seconds = self.now - link.fault.since
            link.fault.is_open = lost
            self.fault_news = FaultNews(opened=False, seconds=seconds)
            self.requests.append(EndFault(seconds, lost))

    def overhears(self, input_: ErrorReceived) -> bool:
        """Note an error frame that changes nothing on a live link, however often the server sends it.

        A 1013 or 429 names a message that the server dropped (PROTOCOL: "Messages", rule 4), and none is out. A 1008 announces
        the end of the link, as the one before did.

        Returns:
            Whether it is such a frame.
        """
        link = self.require_link
        if self.state not in LIVE or self.subscriptions.in_flight is not None:
            return False
        last = link.last_error
        again = input_.code == 1008 and last is not None and last.cause.code == 1008
        if again or (is_throttle(input_.code) and link.ping_in_flight is None):
            blamed = again and last is not None and last.blamed
            link.last_error = LastError(ServerError(input_.code, input_.message), link.frames_received, blamed)
            return True
        return False

    def _apply_close(self, close_code: int) -> None:
        """The last error frame is the reason, if nothing was heard after it; else the close code is."""
        link = self.require_link
        last = link.last_error
        self.heard = None if last is None else last.frames_received != link.frames_received
        if last is None or self.heard:
            self._fail(StreamEnded(close_code))
            return
        self._fail(last.cause, blamed=last.blamed)
        if last.blamed and last.cause.code == POLICY and self.subscriptions.refusals.accepted:
            # Our own request ended this link, and the book knows which: the link did not fail, it told us something.
            self.attempt = max(0, self.attempt - 1)

    def _apply_timeout(self, link: LinkState) -> None:
        if link.phase is Phase.DIALING:
            self._fail(Overdue(link.phase.value, self.timeouts.dial))
        elif link.phase is Phase.GREETING:
            self._fail(Overdue(link.phase.value, self.timeouts.greeting))
        elif link.ping_in_flight is not None:
            self.heard = link.frames_received != link.ping_in_flight.frames_received
            if link.no_reply_to_ping:
                self._fail(Overdue("pong", self.ping.timeout))
        elif self.reply_by is not None and self.reply_by <= self.now:
            self._fail(Overdue("reply", self.timeouts.reply))

    def _update_timers(self) -> None:
        link = self.link
        if link is not None and link.phase is Phase.LIVE:
            quiet = self.subscriptions.all_acknowledged or not self.subscriptions.desired
            if quiet:
                self.note_up(link)
            link.stable_since = _since_when(link.stable_since, self.now, holds=quiet)
            link.idle_since = _since_when(link.idle_since, self.now, holds=self.subscriptions.all_removed)
            link.handover_wanted_since = _since_when(
                link.handover_wanted_since, self.now, holds=self.subscriptions.needs_handover
            )

    def note_up(self, link: LinkState) -> None:
        """Note that everything desired is acknowledged on a link, or nothing is desired."""
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


def _since_when(before: float | None, now: float, *, holds: bool) -> float | None:
    """Since when something holds."""
    if not holds:
        return None
    return now if before is None else before
