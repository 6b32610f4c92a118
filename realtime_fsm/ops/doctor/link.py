"""Check a link by the client itself: upgrade, greeting, identity, pings, era, subscriptions, echo, idle cuts and budget."""

from __future__ import annotations

import asyncio
import time
import uuid
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.formats.text_utils import format_duration, pluralize
from realtime_fsm.errors import (
    CertificateRefused,
    DialFailed,
    GreetedAsGuest,
    IdentityUnavailable,
    LinkLost,
    RealtimeError,
    RefusedByServer,
    ServerError,
    SubscriptionRejected,
    UpgradeRefused,
)
from realtime_fsm.fsm.budget import MESSAGES_PER_MINUTE
from realtime_fsm.fsm.canary import CANARY_STATUS
from realtime_fsm.fsm.policies import PingPolicy
from realtime_fsm.ops.doctor.observed import PATIENCE
from realtime_fsm.protocol.channel_checks import NO_EVENT_FOR_GUESTS, doubt_about, is_silent_for, needs_e4
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import is_server_fault, is_throttle
from realtime_fsm.remedies import finding_of

if TYPE_CHECKING:
    from typing import NoReturn

    from realtime_fsm.client.subscription import Subscription
    from realtime_fsm.ops.doctor.observed import Observation, ObservedRealtime
    from realtime_fsm.ops.doctor.report import Checks

_SLOW = 1.0  # seconds of a ping's round trip
_SUBSCRIBED_WITHIN = 5.0
_ECHO_WITHIN = 10.0
_DIALS = 128  # a minute for a path and IP (PROTOCOL: "Connecting")


class LinkExaminer:
    """Examines a connection without a link, whose pings are a second apart; a patient one waits longer for an answer.

    With ``has_headers``, the connection has headers or cookies, which may hold an identity.
    """

    def __init__(self, realtime: ObservedRealtime, patient: ObservedRealtime, checks: Checks, *, has_headers: bool) -> None:
        self._realtime, self._patient = realtime, patient
        self._checks, self._has_headers = checks, has_headers

    @property
    def _observed(self) -> Observation:
        return self._realtime.observation

    # --- the beginning of a link --------------------------------------------------------------------------------------

    async def check_connect(self) -> None:
        """Check upgrade, greeting and identity; end without a link, and with the link of a guest instead of a user."""
        failure: RealtimeError | None = None
        try:
            await self._realtime.connect()
        except RealtimeError as raised:
            failure = raised
        if self._observed.upgrade is not None:
            self._checks.ok("upgrade", f"to WebSocket in {format_duration(self._observed.upgrade)}")
        if self._observed.greeting is not None:
            self._checks.ok("greeting", f"after {format_duration(self._observed.greeting)}")
        if failure is not None:
            self._end_dial(getattr(failure, "cause", failure))
        self._check_identity()

    def _end_dial(self, cause: RealtimeError) -> NoReturn:
        end, finding = self._checks.end, finding_of(cause)
        match cause:
            case UpgradeRefused() | CertificateRefused():
                end("upgrade", cause.reason, finding)
            case DialFailed():
                end("upgrade", cause.reason, "dial")  # the checks of the path have found the port open
            case GreetedAsGuest():
                end("identity", "the server greets a guest: it does not know the session or JWT", finding)
            case RefusedByServer(code=401 | 403) | IdentityUnavailable():
                end("identity", str(cause), finding)
            case RefusedByServer(code=code, message=message):
                end("greeting", f"error {code}: {message}", finding)
            case ServerError(code=code) if is_throttle(code):
                end("budget", f"the server counts too many dials: {cause}", finding)
        unknown = sum(self._realtime.malformed.values())
        strange = f"; the server sent {pluralize(unknown, 'message')} of another protocol" if unknown else ""
        remedy = "upgrade" if self._observed.upgrade is None else "protocol" if unknown else "greeting"
        end("upgrade" if self._observed.upgrade is None else "greeting", f"{cause}{strange}", remedy)

    def _check_identity(self) -> None:
        user = self._realtime.user
        if user is not None:
            self._checks.ok("identity", f"user {user.get('$id')}")
        elif self._has_headers:
            self._checks.warn("identity", "a guest, in spite of the given headers or cookies", "guest_despite")
        else:
            self._checks.warn("identity", "a guest: no session and no JWT is given", "guest")

    # --- pings --------------------------------------------------------------------------------------------------------

    async def check_pings(self, count: int) -> None:
        """Check the round trips of some pings; end where the link does not survive them, or the server does not work."""
        if not await self._await_pings(count):
            self._end_if_throttled()
            missed, lost = len(self._observed.pings) + 1, self._realtime.last_failure
            if self._realtime.is_live or not await self._ping_patiently():
                self._checks.end("ping", f"ping {missed}: {'no answer' if lost is None else lost.error}", "pong")
        worst = max(self._observed.pings)
        faults = [frame for frame in self._observed.errors if is_server_fault(frame.code)]
        times = ", ".join(format_duration(seconds) for seconds in self._observed.pings)
        if faults:
            self._checks.end("ping", f"the server answers with error {faults[0].code}: {faults[0].message}", "fault")
        if worst > _SLOW:
            self._checks.warn("ping", f"slow: {times}", "slow")
        else:
            self._checks.ok("ping", f"answered in {times}")

    async def _ping_patiently(self) -> bool:
        """Ping on another link, and use this link from now on: over a slow network, or in a server fault, answers come late."""
        self._patient.observation.dials = self._observed.dials
        self._realtime = self._patient
        try:
            await self._realtime.connect()
        except RealtimeError:
            return False
        return await self._await_pings(1)

    async def _await_pings(self, count: int) -> bool:
        """Wait until so many pings are answered; tell whether they are.

        The wait for each has a limit of its own: a link on which other frames come stays up without any answer.
        """
        pings, policy, loop = self._observed.pings, self._realtime.ping_policy, asyncio.get_running_loop()

        def limit() -> float:
            return loop.time() + policy.interval_after(len(pings)) + PATIENCE

        try:
            async with asyncio.timeout_at(limit()) as wait:
                async for change in self._realtime.states():
                    if len(pings) >= count or self._observed.throttled or not change.dest.is_live:
                        break
                    wait.reschedule(limit())
        except TimeoutError:
            return False
        return len(pings) >= count

    # --- subscriptions ------------------------------------------------------------------------------------------------

    def check_era(self, channels: tuple[str, ...]) -> None:
        """Check whether the server's era publishes on some channels."""
        era = self._realtime.era
        assert era is not None  # the greeting tells it
        text = f"{era}: Appwrite {era.releases}"
        lacking = [each for each in channels if needs_e4(each)]
        if lacking and era is not Era.E4:
            self._checks.warn("era", f"{text}, which publishes nothing on {', '.join(lacking)}", "era")
        else:
            self._checks.ok("era", text)

    async def check_subscriptions(self, channels: tuple[str, ...]) -> None:
        """Check whether the server accepts a subscription to each channel, and whether events can come there."""
        with warnings.catch_warnings(action="ignore"):  # the report holds them
            if self._realtime.era is Era.E4:
                for index, channel in enumerate(channels):  # one at a time, because one that is refused can end the link
                    if not await self._check_subscription(channel, channels[index + 1 :]):
                        break  # a silent server is silent on the others as well
            else:  # all channels at once, because each change takes another link
                await asyncio.gather(*map(self._check_subscription, channels))

    async def _check_subscription(self, channel: str, others: tuple[str, ...] = ()) -> bool:
        """Check a channel; return False where the server does not reply, and the others are not worth a try."""
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_SUBSCRIBED_WITHIN):
                subscription = await self._subscribe(channel)
        except SubscriptionRejected as rejected:
            self._checks.fail("subscribe", f"{channel}: error {rejected.code}: {rejected.message}", finding_of(rejected))
            return True
        except (RealtimeError, TimeoutError) as failure:
            self._end_if_throttled()
            cause = getattr(failure, "cause", failure)
            if not isinstance(cause, TimeoutError):
                remedy: str | Exception = cause
                if isinstance(cause, ServerError):  # it has ended the link, because of this channel
                    remedy = finding_of(SubscriptionRejected((channel,), (), cause.code, cause.message))
                self._checks.fail("subscribe", f"{channel}: {cause}", remedy)
                return True
            left = f"; not checked: {', '.join(others)}" if others else ""
            self._checks.fail("subscribe", f"{channel}: no reply within {_SUBSCRIBED_WITHIN:g} s{left}", "reply")
            return False
        doubt = doubt_about(channel)
        if doubt is not None:
            self._checks.warn("subscribe", doubt, "channel")
        elif subscription.missing_channels:
            self._checks.warn("subscribe", f"{channel}: the server did not acknowledge it", "channel_missing")
        elif is_silent_for(self._realtime.user, channel):
            self._checks.warn("subscribe", f"{channel}: {NO_EVENT_FOR_GUESTS}", "channel_of_users")
        else:
            self._checks.ok("subscribe", f"{channel}: acknowledged in {format_duration(time.perf_counter() - began)}")
        return True

    async def _subscribe(self, channel: str) -> Subscription:
        try:
            return await self._realtime.subscribe(channel)
        except LinkLost as lost:
            if not isinstance(lost.cause, ServerError):
                raise
            return await self._realtime.subscribe(channel)  # a 1008 to the channel before has ended that link

    # --- options ------------------------------------------------------------------------------------------------------

    async def check_echo(self) -> None:
        """Check whether an event of our own comes back: that of a presence."""
        user = self._realtime.user
        if user is None or self._realtime.era is not Era.E4:
            why = "a guest has no presence" if user is None else f"era {self._realtime.era} has no presences"
            self._checks.warn("echo", f"not possible: {why}", "echo_impossible")
            return
        mine = msgspec.json.encode({"method": "equal", "attribute": "userId", "values": [user["$id"]]}).decode()
        subscription: Subscription | None = None
        try:
            async with asyncio.timeout(_ECHO_WITHIN):
                subscription = await self._realtime.subscribe("presences", queries=[mine])
                await self._realtime.set_presence(CANARY_STATUS, presence_id=uuid.uuid4().hex)
                began = time.perf_counter()
                await anext(subscription)
        except (RealtimeError, TimeoutError) as failure:
            self._end_if_throttled()
            self._checks.fail("echo", str(failure) or f"no event within {_ECHO_WITHIN:g} s", "echo")
        else:
            self._checks.ok("echo", f"an event came back {format_duration(time.perf_counter() - began)} after its cause")
        if subscription is not None:  # its events would be traffic for the check of idleness
            await self._unsubscribe(subscription)

    async def _unsubscribe(self, subscription: Subscription) -> None:
        with suppress(RealtimeError, TimeoutError):  # where the server's budget is spent, this request waits for the next minute
            async with asyncio.timeout(_SUBSCRIBED_WITHIN):
                await subscription.unsubscribe()

    async def check_idle(self, seconds: float) -> None:
        """Check whether a link survives without traffic for some seconds."""
        self._realtime.set_ping_enabled(False)
        problem, answered = "", len(self._observed.pings)
        began = time.perf_counter()
        try:
            async with asyncio.timeout(seconds):
                await self._realtime.connect()  # a refused subscription may have ended the link
                async for change in self._realtime.states():
                    if not change.dest.is_live:
                        break
            problem = f"the link ended after {format_duration(time.perf_counter() - began)} without traffic"
        except RealtimeError as failure:
            problem = str(failure)
        except TimeoutError:
            self._realtime.set_ping_enabled(True)
            if not await self._await_pings(answered + 1):
                problem = f"the link was dead after {format_duration(seconds)} without traffic: no answer to a ping"
        if not problem:
            self._checks.ok("idle", f"the link survives {format_duration(seconds)} without traffic")
        elif time.perf_counter() - began > PingPolicy().interval:
            self._checks.warn("idle", problem, "idle")
        else:
            self._checks.fail("idle", problem, "idle")

    def check_budget(self) -> None:
        """Tell the messages and dials that this examination leaves of the server's budgets."""
        self._end_if_throttled()
        left = MESSAGES_PER_MINUTE - self._observed.sent
        messages = "all messages" if self._realtime.era is Era.E2 else f"{left} of {MESSAGES_PER_MINUTE} messages"
        self._checks.ok("budget", f"{messages} and {_DIALS - self._observed.dials} of {_DIALS} dials a minute are left")

    def _end_if_throttled(self) -> None:
        if self._observed.throttled:
            text = f"the server refuses message {self._observed.sent} of this link with 1013: its budget was spent before"
            self._checks.end("budget", text, "budget")
