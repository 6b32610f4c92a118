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


def reset_attempts(seat: ConnectionContext) -> None:
    """Forget earlier failures."""
    seat.attempt = seat.refusals = 0
    seat.error = seat.renewal = None
    seat.renewed = False


def find_era(seat: ConnectionContext) -> None:
    """Choose how the server is asked; one that refused us for good may be of another era by now."""
    if isinstance(seat.error, RefusedByServer) and seat.error.code == POLICY:
        seat.era = seat.configured_era
    seat.doubtful = seat.era is Era.E3 and seat.configured_era is None
    _choose_address(seat)


def renew_credentials(seat: ConnectionContext) -> None:
    """Let the next dial be made only if the callable gives another secret."""
    assert isinstance(seat.failure, ServerError)
    seat.renewed, seat.renewal = True, seat.failure


def expect_first_link(seat: ConnectionContext) -> None:
    """Count by ``attempts`` until a link has been up: the user asked for one, and is to be told soon if there is none."""
    seat.been_up = False


def dial(seat: ConnectionContext) -> None:
    """Open a socket, as the next link; when the server has been dialed too often, as soon as there is a place.

    A link that must be closed before is waited for, for as long as a close may take. So is the moment that the server asked for
    in the step under way, where another identity takes the place of the one that it turned away.
    """
    if _least_wait(seat) > 0:
        schedule_retry(seat)
        return
    if seat.awaited and seat.now < seat.close_by:
        seat.attempt_at = seat.close_by
        return
    seat.awaited = ()
    seat.dial_slot = seat.pacer.reserve(seat.now) if seat.dial_slot is None else seat.pacer.claim(seat.dial_slot, seat.now)
    if seat.dial_slot > seat.now:
        seat.attempt_at = seat.dial_slot
        return
    seat.dial_slot = None
    seat.throttled = False
    seat.attempt += 1
    seat.attempt_at = None
    seat.generation += 1
    seat.link = LinkState(seat.generation, seat.now, seat.ping.interval, planned=seat.subscribes_in_url)
    seat.frames_sent = 0
    seat.requests.append(OpenLink(seat.generation, seat.book.build_url_plan() if seat.subscribes_in_url else None, seat.renewal))
    seat.renewal = None


def use_url_subscriptions(seat: ConnectionContext) -> None:
    """Let channels travel in the address. A server that refuses to be asked without them is no E4."""
    seat.subscribes_in_url = True
    seat.doubtful = False


def schedule_retry(seat: ConnectionContext) -> None:
    """Plan the next dial as the retry policy says; a throttled one not before the server's next minute.

    An answer with ``Retry-After`` (429, 503) is a bound, too: the dial waits at least as many seconds, of at most 3,600 that
    count (`RETRY_AFTER_LIMIT`). Both bounds are spread over the policy's `base`, so that a fleet does not come back at once.
    """
    least = _least_wait(seat)
    delay = seat.retry.delay(seat.attempt, seat.draw)
    seat.refusals = seat.refusals + 1 if seat.refused else 0
    seat.throttled = least > 0
    if seat.throttled:
        delay = max(delay, least + seat.draw * seat.retry.base)
    seat.attempt_at = seat.now + delay
    _choose_address(seat)


def await_greeting(seat: ConnectionContext) -> None:
    """From now on the greeting is waited for."""
    _enter(seat.require_link, Phase.GREETING, seat.now)


def start_live_link(seat: ConnectionContext) -> None:
    """The link is up."""
    link = seat.require_link
    _enter(link, Phase.LIVE, seat.now)
    seat.renewed = False
    if seat.draining_generation is not None:
        seat.requests.append(CloseLink(seat.draining_generation, graceful=True))
        seat.draining_generation = None
        link.drained_at = seat.now + DRAIN_SECONDS
    link.stable_since = None if seat.book.desired and not seat.book.all_acknowledged else seat.now
    if link.stable_since is not None:
        seat.note_up(link)
    if seat.max_link_age is not None:  # up to a tenth earlier, so that a fleet does not renew at once
        link.renew_at = seat.now + seat.max_link_age * (1 - seat.draw / 10)
    link.handover_wanted_since = seat.now if seat.book.needs_handover else None
    schedule_ping(seat)
    if link.ping_at is not None:  # anywhere in the first interval: those that came back together need not ping together
        link.ping_at -= seat.draw * seat.ping.interval


def schedule_ping(seat: ConnectionContext) -> None:
    """The next ping goes out one interval from now, or not at all."""
    link = seat.require_link
    link.ping_at = seat.now + seat.ping.interval_after(link.pings) if seat.ping_enabled else None


def send_ping(seat: ConnectionContext) -> None:
    """Ask for a sign of life. Pings keep their interval; one that is late does not make the next ones hurry."""
    link = seat.require_link
    _send(seat, frames.PING, ping=True)
    link.pings += 1
    link.ping_in_flight = PingInFlight(seat.now, link.frames_received)
    due = seat.now if link.ping_at is None else link.ping_at
    link.ping_at = due + seat.ping.interval_after(link.pings)
    if link.ping_at <= seat.now:
        schedule_ping(seat)


def clear_ping(seat: ConnectionContext) -> None:
    """The heartbeat is over."""
    seat.require_link.ping_in_flight = None


def send_request(seat: ConnectionContext) -> None:
    """Send the next control request, if one waits, none is in flight and the budget has room."""
    link = seat.require_link
    if seat.free_at(link) > seat.now:
        return
    request = seat.book.next_request()
    if request is not None:
        link.request_sent_at = seat.now
        _send(seat, request.data, ping=False)


def send_authentication(seat: ConnectionContext) -> None:
    """Change the identity on this link."""
    assert seat.session is not None
    seat.require_link.request_sent_at = seat.now
    _send(seat, seat.book.authenticate(seat.session).data, ping=False)


def reset_backoff(seat: ConnectionContext) -> None:
    """The count of attempts starts anew with the next loss."""
    seat.require_link.backoff_reset = True
    seat.attempt = 0


def drain_link(seat: ConnectionContext) -> None:
    """Let the link deliver, and do nothing else, until another one is up."""
    link = seat.require_link
    seat.draining_generation = link.generation
    seat.end_fault(link, lost=True)
    seat.requests.append(RetireLink(link.generation))
    seat.link = None
    seat.requests += seat.book.end_link()


def abort_link(seat: ConnectionContext) -> None:
    """Let go of the socket at once: there is nobody to say goodbye to."""
    _release_link(seat, tidy=False)


def close_link(seat: ConnectionContext) -> None:
    """Let go of the socket with a closing handshake, and of a place among those who want to dial."""
    if seat.dial_slot is not None:
        seat.pacer.release(seat.dial_slot)
        seat.dial_slot = None
    _close_draining(seat)
    _release_link(seat, tidy=True)


def close_first(seat: ConnectionContext) -> None:
    """Let the next dial wait until the links that this step lets go of are closed."""
    seat.awaited = tuple(request.generation for request in seat.requests if isinstance(request, CloseLink))
    seat.close_by = seat.now + seat.timeouts.close


def restore_identity(seat: ConnectionContext) -> None:
    """Go back to the identity that was confirmed last, and tell who wanted the other one."""
    seat.trial = False
    seat.requests.append(Restore(_final_error(seat)))
    seat.been_up = seat.ever_up


def fail_permanently(seat: ConnectionContext) -> None:
    """Keep the typed error and tell everybody who waits."""
    _close_draining(seat)
    seat.error = _final_error(seat)
    _fail_waiters(seat, seat.error, streams=True)


def notify_link_lost(seat: ConnectionContext) -> None:
    """Tell everybody who waits that the link is lost and none will follow by itself."""
    assert seat.failure is not None
    _fail_waiters(seat, LinkLost(seat.failure), streams=True)


def notify_disconnected(seat: ConnectionContext) -> None:
    """Tell pending calls that the user disconnected; iterators wait for the next link."""
    seat.error = None
    _fail_waiters(seat, Disconnected(), streams=False)


def end_streams(seat: ConnectionContext) -> None:
    """Nothing follows."""
    seat.error = None
    seat.requests.append(EndStreams())


def clear_closing(seat: ConnectionContext) -> None:
    """The last socket is closed."""
    seat.closing_generation = None


def _least_wait(seat: ConnectionContext) -> float:
    """Seconds for which the server, or a proxy, wants no dial, as the failure of the step under way says."""
    asked = seat.failure.retry_after if isinstance(seat.failure, UpgradeRefused) else None
    return max(RATE_LIMIT_WINDOW if seat.failure_verdict is Verdict.THROTTLED else 0.0, asked or 0.0)


def _choose_address(seat: ConnectionContext) -> None:
    """Forget a guess, and ask an E3 once more without channels in the address: it may be an E4, which greets alike.

    Not in a handover: where the link before still delivers, the next one is to take over what that is asked for.
    """
    doubtful = seat.doubtful and seat.draining_generation is None
    seat.subscribes_in_url = seat.era is not None and seat.era.subscribes_in_url and not doubtful


def _enter(link: LinkState, phase: Phase, now: float) -> None:
    link.phase = phase
    link.since = now


def _send(seat: ConnectionContext, data: bytes, *, ping: bool) -> None:
    link = seat.require_link
    link.budget.record_send(seat.now, ping=ping)
    seat.frames_sent = link.budget.frames_sent
    seat.requests.append(SendFrame(link.generation, data))


def _release_link(seat: ConnectionContext, *, tidy: bool) -> None:
    seat.attempt_at = None
    if seat.link is not None:
        seat.end_fault(seat.link, lost=True)
        seat.requests.append(CloseLink(seat.link.generation, tidy))
        seat.closing_generation = seat.link.generation
        seat.link = None
        seat.requests += seat.book.end_link()


def _close_draining(seat: ConnectionContext) -> None:
    if seat.draining_generation is not None:
        seat.requests.append(CloseLink(seat.draining_generation, graceful=True))
        seat.closing_generation, seat.draining_generation = seat.draining_generation, None


def _fail_waiters(seat: ConnectionContext, error: RealtimeError, *, streams: bool) -> None:
    seat.trial = False  # a call that wants another identity fails, too, and the one before counts
    seat.requests.append(FailWaiters(error, seat.book.withdraw_never_acknowledged(), streams))


def _final_error(seat: ConnectionContext) -> RealtimeError:
    cause = seat.failure
    assert cause is not None
    if seat.failure_verdict is not Verdict.FATAL:
        if not isinstance(cause, IdentityUnavailable):
            cause.server = seat.server  # of a live link, too: the error stands alone, far from what was dialed
        return RetriesExhausted(seat.attempt, cause, "reconnect_attempts" if seat.been_up else "attempts")
    match cause:
        case ServerError(code=code, message=message):
            return RefusedByServer(code, message, seat.server)
        case StreamEnded(close_code=code):
            return RefusedByServer(code, "closed without an error frame", seat.server)
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
