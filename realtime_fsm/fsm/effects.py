"""The effects that the table names. Each takes the seat of the connection that is being stepped.

An effect notes and asks; it never raises, and it never steps the machine again.
"""

from __future__ import annotations

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
from realtime_fsm.fsm.commands import CloseLink, EndStreams, FailWaiters, OpenLink, Restore, RetireLink, SendFrame
from realtime_fsm.fsm.link import DRAIN_SECONDS, LinkState, Phase, PingInFlight
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.policies import POLICY, RATE_LIMIT_WINDOW, Verdict
from realtime_fsm.protocol import frames
from realtime_fsm.protocol.eras import Era

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.fsm.context import ConnectionContext


def reset_attempts(context: ConnectionContext) -> None:
    """Forget earlier failures."""
    context.attempt = context.refusals = 0
    context.error = context.renewal = None
    context.renewed = False


def find_era(context: ConnectionContext) -> None:
    """Choose how the server is asked; one that refused us for good may be of another era by now."""
    if isinstance(context.error, RefusedByServer) and context.error.code == POLICY:
        context.era = context.configured_era
    context.doubtful = context.era is Era.E3 and context.configured_era is None
    _choose_address(context)


def renew_credentials(context: ConnectionContext) -> None:
    """Let the next dial be made only if the callable gives another secret."""
    assert isinstance(context.failure, ServerError)
    context.renewed, context.renewal = True, context.failure


def expect_first_link(context: ConnectionContext) -> None:
    """Count by ``attempts`` until a link has been up: the user asked for one, and is to be told soon if there is none."""
    context.been_up = False


def dial(context: ConnectionContext) -> None:
    """Open a socket, as the next link; when the server has been dialed too often, as soon as there is a place.

    A link that must be closed before is waited for, for as long as a close may take. So is the moment that the server asked for
    in the step under way, where another identity takes the place of the one that it turned away.
    """
    if _least_wait(context) > 0:
        schedule_retry(context)
        return
    if context.awaited and context.now < context.close_by:
        context.attempt_at = context.close_by
        return
    context.awaited = ()
    context.dial_slot = (
        context.pacer.reserve(context.now) if context.dial_slot is None else context.pacer.claim(context.dial_slot, context.now)
    )
    if context.dial_slot > context.now:
        context.attempt_at = context.dial_slot
        return
    context.dial_slot = None
    context.throttled = False
    context.attempt += 1
    context.attempt_at = None
    context.generation += 1
    context.link = LinkState(context.generation, context.now, context.ping.interval, planned=context.subscribes_in_url)
    context.frames_sent = 0
    context.requests.append(
        OpenLink(
            context.generation, context.subscriptions.build_url_plan() if context.subscribes_in_url else None, context.renewal
        )
    )
    context.renewal = None


def use_url_subscriptions(context: ConnectionContext) -> None:
    """Let channels travel in the address. A server that refuses to be asked without them is no E4."""
    context.subscribes_in_url = True
    context.doubtful = False


def schedule_retry(context: ConnectionContext) -> None:
    """Plan the next dial as the retry policy says; a throttled one not before the server's next minute.

    An answer with ``Retry-After`` (429, 503) is a bound, too: the dial waits at least as many seconds, of at most 3,600 that
    count (`RETRY_AFTER_LIMIT`). Both bounds are spread over the policy's `base`, so that a fleet does not come back at once.
    """
    least = _least_wait(context)
    delay = context.retry.delay(context.attempt, context.draw)
    context.refusals = context.refusals + 1 if context.refused else 0
    context.throttled = least > 0
    if context.throttled:
        delay = max(delay, least + context.draw * context.retry.base)
    context.attempt_at = context.now + delay
    _choose_address(context)


def await_greeting(context: ConnectionContext) -> None:
    """From now on the greeting is waited for."""
    _enter(context.require_link, Phase.GREETING, context.now)


def start_live_link(context: ConnectionContext) -> None:
    """The link is up."""
    link = context.require_link
    _enter(link, Phase.LIVE, context.now)
    context.renewed = False
    if context.draining_generation is not None:
        context.requests.append(CloseLink(context.draining_generation, graceful=True))
        context.draining_generation = None
        link.drained_at = context.now + DRAIN_SECONDS
    link.stable_since = None if context.subscriptions.desired and not context.subscriptions.all_acknowledged else context.now
    if link.stable_since is not None:
        context.record_proven(link)
    if context.max_link_age is not None:  # up to a tenth earlier, so that a fleet does not renew at once
        link.renew_at = context.now + context.max_link_age * (1 - context.draw / 10)
    link.handover_wanted_since = context.now if context.subscriptions.needs_handover else None
    schedule_ping(context)
    if link.ping_at is not None:  # anywhere in the first interval: those that came back together need not ping together
        link.ping_at -= context.draw * context.ping.interval


def schedule_ping(context: ConnectionContext) -> None:
    """The next ping goes out one interval from now, or not at all."""
    link = context.require_link
    link.ping_at = context.now + context.ping.interval_after(link.pings) if context.ping_enabled else None


def send_ping(context: ConnectionContext) -> None:
    """Ask for a sign of life. Pings keep their interval; one that is late does not make the next ones hurry."""
    link = context.require_link
    _send(context, frames.PING, ping=True)
    link.pings += 1
    link.ping_in_flight = PingInFlight(context.now, link.frames_received)
    due = context.now if link.ping_at is None else link.ping_at
    link.ping_at = due + context.ping.interval_after(link.pings)
    if link.ping_at <= context.now:
        schedule_ping(context)


def clear_ping(context: ConnectionContext) -> None:
    """The heartbeat is over."""
    context.require_link.ping_in_flight = None


def send_request(context: ConnectionContext) -> None:
    """Send the next control request, if one waits, none is in flight and the budget has room."""
    link = context.require_link
    if context.free_at(link) > context.now:
        return
    request = context.subscriptions.next_request()
    if request is not None:
        link.request_sent_at = context.now
        _send(context, request.data, ping=False)


def send_authentication(context: ConnectionContext) -> None:
    """Change the identity on this link."""
    assert context.session is not None
    context.require_link.request_sent_at = context.now
    _send(context, context.subscriptions.authenticate(context.session).data, ping=False)


def reset_backoff(context: ConnectionContext) -> None:
    """The count of attempts starts anew with the next loss."""
    context.require_link.backoff_reset = True
    context.attempt = 0


def drain_link(context: ConnectionContext) -> None:
    """Let the link deliver, and do nothing else, until another one is up."""
    link = context.require_link
    context.draining_generation = link.generation
    context.end_fault(link, lost=True)
    context.requests.append(RetireLink(link.generation))
    context.link = None
    context.requests += context.subscriptions.end_link()


def abort_link(context: ConnectionContext) -> None:
    """Let go of the socket at once: there is nobody to say goodbye to."""
    _release_link(context, tidy=False)


def close_link(context: ConnectionContext) -> None:
    """Let go of the socket with a closing handshake, and of a place among those who want to dial."""
    if context.dial_slot is not None:
        context.pacer.release(context.dial_slot)
        context.dial_slot = None
    _close_draining(context)
    _release_link(context, tidy=True)


def close_first(context: ConnectionContext) -> None:
    """Let the next dial wait until the links that this step lets go of are closed."""
    context.awaited = tuple(request.generation for request in context.requests if isinstance(request, CloseLink))
    context.close_by = context.now + context.timeouts.close


def restore_identity(context: ConnectionContext) -> None:
    """Go back to the identity that was confirmed last, and tell who wanted the other one."""
    context.trial = False
    context.requests.append(Restore(_final_error(context)))
    context.been_up = context.ever_up


def fail_permanently(context: ConnectionContext) -> None:
    """Keep the typed error and tell everybody who waits."""
    _close_draining(context)
    context.error = _final_error(context)
    _fail_waiters(context, context.error, streams=True)


def notify_link_lost(context: ConnectionContext) -> None:
    """Tell everybody who waits that the link is lost and none will follow by itself."""
    assert context.failure is not None
    _fail_waiters(context, LinkLost(context.failure), streams=True)


def notify_disconnected(context: ConnectionContext) -> None:
    """Tell pending calls that the user disconnected; iterators wait for the next link."""
    context.error = None
    _fail_waiters(context, Disconnected(), streams=False)


def end_streams(context: ConnectionContext) -> None:
    """Nothing follows."""
    context.error = None
    context.requests.append(EndStreams())


def clear_closing(context: ConnectionContext) -> None:
    """The last socket is closed."""
    context.closing_generation = None


def _least_wait(context: ConnectionContext) -> float:
    """Seconds for which the server, or a proxy, wants no dial, as the failure of the step under way says."""
    asked = context.failure.retry_after if isinstance(context.failure, UpgradeRefused) else None
    return max(RATE_LIMIT_WINDOW if context.failure_verdict is Verdict.THROTTLED else 0.0, asked or 0.0)


def _choose_address(context: ConnectionContext) -> None:
    """Forget a guess, and ask an E3 once more without channels in the address: it may be an E4, which greets alike.

    Not in a handover: where the link before still delivers, the next one is to take over what that is asked for.
    """
    doubtful = context.doubtful and context.draining_generation is None
    context.subscribes_in_url = context.era is not None and context.era.subscribes_in_url and not doubtful


def _enter(link: LinkState, phase: Phase, now: float) -> None:
    link.phase = phase
    link.since = now


def _send(context: ConnectionContext, data: bytes, *, ping: bool) -> None:
    link = context.require_link
    link.budget.record_send(context.now, ping=ping)
    context.frames_sent = link.budget.frames_sent
    context.requests.append(SendFrame(link.generation, data))


def _release_link(context: ConnectionContext, *, tidy: bool) -> None:
    context.attempt_at = None
    if context.link is not None:
        context.end_fault(context.link, lost=True)
        context.requests.append(CloseLink(context.link.generation, tidy))
        context.closing_generation = context.link.generation
        context.link = None
        context.requests += context.subscriptions.end_link()


def _close_draining(context: ConnectionContext) -> None:
    if context.draining_generation is not None:
        context.requests.append(CloseLink(context.draining_generation, graceful=True))
        context.closing_generation, context.draining_generation = context.draining_generation, None


def _fail_waiters(context: ConnectionContext, error: RealtimeError, *, streams: bool) -> None:
    context.trial = False  # a call that wants another identity fails, too, and the one before counts
    context.requests.append(FailWaiters(error, context.subscriptions.withdraw_never_acknowledged(), streams))


def _final_error(context: ConnectionContext) -> RealtimeError:
    cause = context.failure
    assert cause is not None
    if context.failure_verdict is not Verdict.FATAL:
        if not isinstance(cause, IdentityUnavailable):
            cause.server = context.server  # of a live link, too: the error stands alone, far from what was dialed
        return RetriesExhausted(context.attempt, cause, "reconnect_attempts" if context.been_up else "attempts")
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
