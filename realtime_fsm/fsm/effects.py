"""The effects: each changes the context and adds commands, and the table names the effects of each rule.

Invariant: an effect never raises, and never steps the machine.

Design: The effects of a rule run before the state changes. The generated reference prints the first line of each docstring.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from realtime_fsm.errors import (
    CertificateRefused,
    Disconnected,
    GreetedAsGuest,
    IdentityUnavailable,
    LinkLost,
    RefusedByServer,
    RetriesExhausted,
    ServerError,
    StreamEnded,
    UpgradeRefused,
)
from realtime_fsm.fsm.budget import SendBudget
from realtime_fsm.fsm.commands import (
    CloseLink,
    EndStreams,
    FailWaiters,
    OpenLink,
    Restore,
    ResumeLink,
    RetireLink,
    SendFrame,
)
from realtime_fsm.fsm.guards import may_retry
from realtime_fsm.fsm.link import LinkState, Phase, PingInFlight
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.notes import update_timers
from realtime_fsm.fsm.policies import RATE_LIMIT_WINDOW, Verdict
from realtime_fsm.protocol import frames
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import POLICY, FaultNews

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.fsm.context import ConnectionContext


def reset_attempts(context: ConnectionContext) -> None:
    """Forget earlier failures: the next dial is the first of a full count."""
    context.attempt = context.refusals = 0
    context.error = context.renewal = None
    context.renewed = False
    context.not_before = -math.inf


def find_era(context: ConnectionContext) -> None:
    """Choose by the era of the server whether the next dial has channels in its URL.

    A server that refused the connection for good may be of another era by now, so that its era counts as unknown.
    """
    if isinstance(context.error, RefusedByServer) and context.error.code == POLICY:
        context.era = context.configured_era
    context.doubtful = context.era is Era.E3 and context.configured_era is None
    _choose_url(context, doubtful=context.doubtful)


def renew_credentials(context: ConnectionContext) -> None:
    """Make the next dial ask the callable for another secret."""
    assert isinstance(context.step.failure, ServerError)
    context.renewed, context.renewal = True, context.step.failure


def expect_first_link(context: ConnectionContext) -> None:
    """Limit the dials by ``attempts`` until a link has been up, so that the user learns soon if no link comes."""
    context.been_up = False


def dial(context: ConnectionContext) -> None:
    """Dial the next link now; or plan the dial, where the server, a link that closes, or the pacer makes it wait.

    The dial waits as long as the failure of this step demands. It waits for links that must be closed first, but at most as long
    as a close may take. It waits for a slot of the pacer.
    """
    if _least_wait(context) > 0:
        schedule_retry(context)
        return
    if context.awaited and context.now < context.close_by:
        context.attempt_at = context.close_by
        return
    context.awaited = ()
    slot, pacer = context.dial_slot, context.pacer
    context.dial_slot = pacer.reserve(context.now) if slot is None else pacer.claim(slot, context.now)
    if context.dial_slot > context.now:
        context.attempt_at = context.dial_slot
        return
    context.dial_slot = None
    context.throttled = False
    context.attempt += 1
    context.attempt_at = None
    context.generation += 1
    context.link = LinkState(context.generation, context.now, SendBudget(context.ping.interval), context.subscribes_in_url)
    context.frames_sent = 0
    plan = context.subscriptions.build_url_plan() if context.subscribes_in_url else None
    context.step.commands.append(OpenLink(context.generation, plan, context.renewal))
    context.renewal = None


def use_url_subscriptions(context: ConnectionContext) -> None:
    """Put channels into the URL of the next dials: the server is older than E4."""
    context.subscribes_in_url = True
    context.doubtful = False


def schedule_retry(context: ConnectionContext) -> None:
    """Plan the next dial after the delay of the retry policy; after too many messages, not before the server's next minute.

    After an answer with ``Retry-After`` (429, 503) the dial waits at least as many seconds, but at most 3,600
    (`RETRY_AFTER_LIMIT`). A random part of the policy's `base` is added to both, so that a fleet does not come back at once.
    """
    least = max(_least_wait(context), context.not_before - context.now)
    draw = context.step.take_draw()
    delay = context.retry.delay(context.attempt, draw)
    context.refusals = context.refusals + 1 if context.step.refused else 0
    context.throttled = least > 0
    if context.throttled:
        delay = max(delay, least + draw * context.retry.base)
    context.attempt_at = context.now + delay
    _choose_url(context, doubtful=context.doubtful and context.draining is None)


def await_greeting(context: ConnectionContext) -> None:
    """Wait for the greeting: its time begins now."""
    link = context.require_link
    link.phase, link.since = Phase.GREETING, context.now


def start_live_link(context: ConnectionContext) -> None:
    """Begin to use the link: set its timers, plan its first ping, and end a handover that it completes."""
    link = context.require_link
    link.phase, link.since = Phase.LIVE, context.now
    context.renewed = False
    update_timers(context)
    if context.max_link_age is not None:  # up to a tenth earlier, so that a fleet does not renew at once
        link.renew_at = context.now + context.max_link_age * (1 - context.step.take_draw() / 10)
    schedule_ping(context)
    if link.ping_at is not None:  # anywhere in the first interval, so that a fleet that came back does not ping at once
        link.ping_at -= context.step.take_draw() * context.ping.interval


def schedule_ping(context: ConnectionContext) -> None:
    """Plan the next ping one interval from now; plan none where pings are off."""
    link = context.require_link
    link.ping_at = context.now + context.ping.interval_after(link.pings) if context.ping_enabled else None


def send_ping(context: ConnectionContext) -> None:
    """Send a ping, and plan the next one: an interval after the moment for which this one was planned."""
    link = context.require_link
    _send(context, frames.PING, ping=True)
    link.pings += 1
    link.ping_in_flight = PingInFlight(context.now, link.frames_received)
    due = context.now if link.ping_at is None else link.ping_at
    link.ping_at = due + context.ping.interval_after(link.pings)
    if link.ping_at <= context.now:
        schedule_ping(context)


def clear_ping(context: ConnectionContext) -> None:
    """Stop waiting for a pong."""
    context.require_link.ping_in_flight = None


def send_request(context: ConnectionContext) -> None:
    """Send the next control request if one waits, no other is in flight, and the budget has room."""
    link = context.require_link
    if context.available_at(link) > context.now:
        return
    request = context.subscriptions.next_request()
    if request is not None:
        link.request_sent_at = context.now
        _send(context, request.data, ping=False)


def send_authentication(context: ConnectionContext) -> None:
    """Send the authentication message, which changes the identity of this link."""
    assert context.session is not None
    context.require_link.request_sent_at = context.now
    _send(context, context.subscriptions.authenticate(context.session).data, ping=False)


def reset_backoff(context: ConnectionContext) -> None:
    """Forgive earlier failures: after the next loss the connection has a full count of attempts."""
    context.require_link.backoff_reset = True
    context.attempt = 0


def drain_link(context: ConnectionContext) -> None:
    """Begin a handover: the link delivers, and does nothing else, until another one serves everything that it serves.

    During a handover the draining link goes on to drain, and the connection closes the link that is not complete yet.
    """
    if context.draining is not None:
        _release_link(context, graceful=True)
        return
    link = context.require_link
    context.end_fault(link, lost=True)
    context.step.commands.append(RetireLink(link.generation))
    context.draining = context.subscriptions.drain_link(link, context.era, been_up=context.been_up)
    context.link = context.lingering = None
    context.step.commands += context.subscriptions.end_link()


def close_draining(context: ConnectionContext) -> None:
    """Close the draining link, if there is one, and drop its undelivered events."""
    if context.draining is not None:
        context.step.commands.append(CloseLink(context.draining.generation, graceful=True))
        context.closing_generation, context.draining = context.draining.generation, None


def resume_link(context: ConnectionContext) -> None:
    """Return to the draining link, and fail the calls that wanted another one. Try a renewal again after a tenth of its age."""
    old = context.draining
    assert old is not None
    error, link = _final_error(context), old.state
    kept = set(context.desired_on_old_link)
    new = [one for one in context.subscriptions.desired if one not in kept]
    for identifier in new:
        context.subscriptions.withdraw(identifier)
    context.draining, context.link = None, link
    context.not_before = context.now + _least_wait(context)
    context.subscriptions.resume_link(old)
    context.trial, context.been_up, context.era = False, old.been_up, old.era
    context.attempt, context.attempt_at, context.frames_sent = 0, None, link.budget.frames_sent
    context.subscribes_in_url = link.subscribed_in_url
    link.request_sent_at = link.ping_in_flight = link.stable_since = None
    _resume_fault(context, link)
    if context.max_link_age is not None:
        link.renew_at = max(context.now + context.max_link_age / 10, context.not_before)
    schedule_ping(context)
    link.idle_since = link.handover_wanted_since = None
    update_timers(context)
    context.step.commands.append(ResumeLink(link.generation, error, tuple(new)))


def _resume_fault(context: ConnectionContext, link: LinkState) -> None:
    """Go on with a server fault: the next proof that the server works ends it, and its gap tells of the losses."""
    fault, news, link.fault = link.fault, context.step.fault_news, None
    if fault is None or not fault.is_open:
        return
    # The fault of the new link, which ends in this step, goes on as that of the old one.
    link.suffer(fault.since if news is None else context.now - news.seconds)
    context.step.fault_news = FaultNews(opened=True, seconds=context.now - fault.since) if news is None else None


def abort_link(context: ConnectionContext) -> None:
    """Abort the socket, without a closing handshake."""
    _release_link(context, graceful=False)


def close_link(context: ConnectionContext) -> None:
    """Close all sockets with a closing handshake, and give a reserved dial slot back."""
    if context.dial_slot is not None:
        context.pacer.release(context.dial_slot)
        context.dial_slot = None
    close_draining(context)
    _release_link(context, graceful=True)


def close_first(context: ConnectionContext) -> None:
    """Make the next dial wait until the links that this step closes are closed."""
    context.awaited = tuple(command.generation for command in context.step.commands if isinstance(command, CloseLink))
    context.close_by = context.now + context.timeouts.close


def restore_identity(context: ConnectionContext) -> None:
    """Return to the identity that the server confirmed last, and fail the call that wanted another one."""
    context.trial = False
    context.step.commands.append(Restore(_final_error(context)))
    context.been_up = context.ever_up


def fail_permanently(context: ConnectionContext) -> None:
    """Keep the error as the reason of the state, and fail all waiting calls and iterators with it."""
    close_draining(context)
    context.error = _final_error(context)
    _fail_waiters(context, context.error, streams=True)


def notify_link_lost(context: ConnectionContext) -> None:
    """Fail all waiting calls and iterators with `LinkLost`."""
    assert context.step.failure is not None
    _fail_waiters(context, LinkLost(context.step.failure), streams=True)


def notify_disconnected(context: ConnectionContext) -> None:
    """Fail waiting calls with `Disconnected`; iterators wait for the next link."""
    context.error = None
    _fail_waiters(context, Disconnected(), streams=False)


def end_streams(context: ConnectionContext) -> None:
    """End every stream."""
    context.error = None
    context.step.commands.append(EndStreams())


def clear_closing(context: ConnectionContext) -> None:
    """Forget the last socket, which is closed."""
    context.closing_generation = None


def _least_wait(context: ConnectionContext) -> float:
    """Tell for how many seconds the server, or a proxy, wants no dial, by the failure of this step."""
    asked = context.step.failure.retry_after if isinstance(context.step.failure, UpgradeRefused) else None
    return max(RATE_LIMIT_WINDOW if context.step.verdict is Verdict.THROTTLED else 0.0, asked or 0.0)


def _choose_url(context: ConnectionContext, *, doubtful: bool) -> None:
    """Put channels into the URL if the era needs that. A doubtful E3 may be an E4, and gets one dial without channels."""
    context.subscribes_in_url = context.era is not None and context.era.subscribes_in_url and not doubtful


def _send(context: ConnectionContext, data: bytes, *, ping: bool) -> None:
    link = context.require_link
    link.budget.record_send(context.now, ping=ping)
    context.frames_sent = link.budget.frames_sent
    context.step.commands.append(SendFrame(link.generation, data))


def _release_link(context: ConnectionContext, *, graceful: bool) -> None:
    context.attempt_at = context.lingering = None
    if context.link is not None:
        context.end_fault(context.link, lost=True)
        context.step.commands.append(CloseLink(context.link.generation, graceful))
        context.closing_generation = context.link.generation
        context.link = None
        context.step.commands += context.subscriptions.end_link()


def _fail_waiters(context: ConnectionContext, error: RealtimeError, *, streams: bool) -> None:
    context.trial = False  # a call that waits for another identity fails, too
    context.step.commands.append(FailWaiters(error, context.subscriptions.withdraw_never_acknowledged(), streams))


def _final_error(context: ConnectionContext) -> RealtimeError:
    cause = context.step.failure
    assert cause is not None
    if context.step.verdict is not Verdict.FATAL:
        if not isinstance(cause, IdentityUnavailable):
            cause.server = context.server  # an error of a live link names its server only here
        if may_retry(context):
            return LinkLost(cause)
        return RetriesExhausted(context.attempt, cause, "reconnect_attempts" if context.counts_reconnects else "attempts")
    match cause:
        case ServerError(code=code, message=message):
            return RefusedByServer(code, message, context.server)
        case StreamEnded(close_code=code):
            return RefusedByServer(code, "closed without an error frame", context.server)
        case _:
            assert isinstance(cause, CertificateRefused | GreetedAsGuest)
            return cause


EFFECTS: dict[str, Callable[[ConnectionContext], None]] = {
    Effect.RESET_ATTEMPTS: reset_attempts,
    Effect.EXPECT_FIRST_LINK: expect_first_link,
    Effect.FIND_ERA: find_era,
    Effect.RENEW_CREDENTIALS: renew_credentials,
    Effect.DIAL: dial,
    Effect.USE_URL_SUBSCRIPTIONS: use_url_subscriptions,
    Effect.DRAIN_LINK: drain_link,
    Effect.CLOSE_DRAINING: close_draining,
    Effect.RESUME_LINK: resume_link,
    Effect.SCHEDULE_RETRY: schedule_retry,
    Effect.AWAIT_GREETING: await_greeting,
    Effect.START_LIVE_LINK: start_live_link,
    Effect.SCHEDULE_PING: schedule_ping,
    Effect.SEND_PING: send_ping,
    Effect.CLEAR_PING: clear_ping,
    Effect.SEND_REQUEST: send_request,
    Effect.SEND_AUTHENTICATION: send_authentication,
    Effect.RESET_BACKOFF: reset_backoff,
    Effect.ABORT_LINK: abort_link,
    Effect.CLOSE_LINK: close_link,
    Effect.CLOSE_FIRST: close_first,
    Effect.RESTORE_IDENTITY: restore_identity,
    Effect.FAIL_PERMANENTLY: fail_permanently,
    Effect.NOTIFY_LINK_LOST: notify_link_lost,
    Effect.NOTIFY_DISCONNECTED: notify_disconnected,
    Effect.END_STREAMS: end_streams,
    Effect.CLEAR_CLOSING: clear_closing,
}
"""The effects by name."""
