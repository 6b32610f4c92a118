"""The effects that the table names. Each takes the seat of the connection that is being stepped.

An effect notes and asks; it never raises, and it never steps the machine again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.core.link import LINGER, Heartbeat, Link, Phase
from realtime_fsm.vocabulary import frames
from realtime_fsm.vocabulary.eras import Era
from realtime_fsm.vocabulary.errors import (
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
from realtime_fsm.vocabulary.names import Effect
from realtime_fsm.vocabulary.policies import POLICY, THROTTLE_WINDOW, Verdict
from realtime_fsm.vocabulary.requests import Drop, End, Fail, Open, Restore, Retire, Send

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.core.seat import Seat
    from realtime_fsm.vocabulary.errors import RealtimeError


def reset_attempts(seat: Seat) -> None:
    """Forget earlier failures."""
    seat.attempt = seat.refusals = 0
    seat.error = seat.renewal = None
    seat.renewed = False


def find_era(seat: Seat) -> None:
    """Choose how the server is asked; one that refused us for good may be of another era by now."""
    if isinstance(seat.error, RefusedByServer) and seat.error.code == POLICY:
        seat.era = seat.protocol
    seat.doubtful = seat.era is Era.E3 and seat.protocol is None
    _choose_address(seat)


def renew_credentials(seat: Seat) -> None:
    """Let the next dial be made only if the callable gives another secret."""
    assert isinstance(seat.failure, ServerError)
    seat.renewed, seat.renewal = True, seat.failure


def expect_first_link(seat: Seat) -> None:
    """Count by ``attempts`` until a link has been up: the user asked for one, and is to be told soon if there is none."""
    seat.been_up = False


def dial(seat: Seat) -> None:
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
    seat.place = seat.pacer.take(seat.now) if seat.place is None else seat.pacer.come(seat.place, seat.now)
    if seat.place > seat.now:
        seat.attempt_at = seat.place
        return
    seat.place = None
    seat.throttled = False
    seat.attempt += 1
    seat.attempt_at = None
    seat.generation += 1
    seat.link = Link(seat.generation, seat.now, seat.ping.interval, planned=seat.by_address)
    seat.last_sends = 0
    seat.requests.append(Open(seat.generation, seat.book.plan() if seat.by_address else None, seat.renewal))
    seat.renewal = None


def use_url_subscriptions(seat: Seat) -> None:
    """Let channels travel in the address. A server that refuses to be asked without them is no E4."""
    seat.by_address = True
    seat.doubtful = False


def schedule_retry(seat: Seat) -> None:
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


def await_greeting(seat: Seat) -> None:
    """From now on the greeting is waited for."""
    _enter(seat.live_link, Phase.GREETING, seat.now)


def start_live_link(seat: Seat) -> None:
    """The link is up."""
    link = seat.live_link
    _enter(link, Phase.LIVE, seat.now)
    seat.renewed = False
    if seat.retiring is not None:
        seat.requests.append(Drop(seat.retiring, tidy=True))
        seat.retiring = None
        link.alone_at = seat.now + LINGER
    link.stable_since = None if seat.book.desired and not seat.book.settled else seat.now
    if link.stable_since is not None:
        seat.note_up(link)
    if seat.max_link_age is not None:  # up to a tenth earlier, so that a fleet does not renew at once
        link.renew_at = seat.now + seat.max_link_age * (1 - seat.draw / 10)
    link.wanting_since = seat.now if seat.book.wants_handover else None
    schedule_ping(seat)
    if link.ping_at is not None:  # anywhere in the first interval: those that came back together need not ping together
        link.ping_at -= seat.draw * seat.ping.interval


def schedule_ping(seat: Seat) -> None:
    """The next ping goes out one interval from now, or not at all."""
    link = seat.live_link
    link.ping_at = seat.now + seat.ping.interval_after(link.pings) if seat.ping_enabled else None


def send_ping(seat: Seat) -> None:
    """Ask for a sign of life. Pings keep their interval; one that is late does not make the next ones hurry."""
    link = seat.live_link
    _send(seat, frames.PING, ping=True)
    link.pings += 1
    link.pinged = Heartbeat(seat.now, link.heard)
    due = seat.now if link.ping_at is None else link.ping_at
    link.ping_at = due + seat.ping.interval_after(link.pings)
    if link.ping_at <= seat.now:
        schedule_ping(seat)


def clear_ping(seat: Seat) -> None:
    """The heartbeat is over."""
    seat.live_link.pinged = None


def send_request(seat: Seat) -> None:
    """Send the next control request, if one waits, none is in flight and the budget has room."""
    link = seat.live_link
    if seat.free_at(link) > seat.now:
        return
    request = seat.book.next_request()
    if request is not None:
        link.asked_at = seat.now
        _send(seat, request.data, ping=False)


def send_authentication(seat: Seat) -> None:
    """Change the identity on this link."""
    assert seat.session is not None
    seat.live_link.asked_at = seat.now
    _send(seat, seat.book.authenticate(seat.session).data, ping=False)


def reset_backoff(seat: Seat) -> None:
    """The count of attempts starts anew with the next loss."""
    seat.live_link.forgiven = True
    seat.attempt = 0


def drain_link(seat: Seat) -> None:
    """Let the link deliver, and do nothing else, until another one is up."""
    link = seat.live_link
    seat.retiring = link.generation
    seat.end_fault(link, lost=True)
    seat.requests.append(Retire(link.generation))
    seat.link = None
    seat.requests += seat.book.end_link()


def abort_link(seat: Seat) -> None:
    """Let go of the socket at once: there is nobody to say goodbye to."""
    _let_go(seat, tidy=False)


def close_link(seat: Seat) -> None:
    """Let go of the socket with a closing handshake, and of a place among those who want to dial."""
    if seat.place is not None:
        seat.pacer.give_back(seat.place)
        seat.place = None
    _end_retiring(seat)
    _let_go(seat, tidy=True)


def close_first(seat: Seat) -> None:
    """Let the next dial wait until the links that this step lets go of are closed."""
    seat.awaited = tuple(request.generation for request in seat.requests if isinstance(request, Drop))
    seat.close_by = seat.now + seat.timeouts.close


def restore_identity(seat: Seat) -> None:
    """Go back to the identity that was confirmed last, and tell who wanted the other one."""
    seat.trial = False
    seat.requests.append(Restore(_final_error(seat)))
    seat.been_up = seat.ever_up


def fail_permanently(seat: Seat) -> None:
    """Keep the typed error and tell everybody who waits."""
    _end_retiring(seat)
    seat.error = _final_error(seat)
    _tell(seat, seat.error, streams=True)


def notify_link_lost(seat: Seat) -> None:
    """Tell everybody who waits that the link is lost and none will follow by itself."""
    assert seat.failure is not None
    _tell(seat, LinkLost(seat.failure), streams=True)


def notify_disconnected(seat: Seat) -> None:
    """Tell pending calls that the user disconnected; iterators wait for the next link."""
    seat.error = None
    _tell(seat, Disconnected(), streams=False)


def end_streams(seat: Seat) -> None:
    """Nothing follows."""
    seat.error = None
    seat.requests.append(End())


def clear_closing(seat: Seat) -> None:
    """The last socket is closed."""
    seat.closing = None


def _least_wait(seat: Seat) -> float:
    """Seconds for which the server, or a proxy, wants no dial, as the failure of the step under way says."""
    asked = seat.failure.retry_after if isinstance(seat.failure, UpgradeRefused) else None
    return max(THROTTLE_WINDOW if seat.judged is Verdict.THROTTLED else 0.0, asked or 0.0)


def _choose_address(seat: Seat) -> None:
    """Forget a guess, and ask an E3 once more without channels in the address: it may be an E4, which greets alike.

    Not in a handover: where the link before still delivers, the next one is to take over what that is asked for.
    """
    doubtful = seat.doubtful and seat.retiring is None
    seat.by_address = seat.era is not None and seat.era.in_url and not doubtful


def _enter(link: Link, phase: Phase, now: float) -> None:
    link.phase = phase
    link.since = now


def _send(seat: Seat, data: bytes, *, ping: bool) -> None:
    link = seat.live_link
    link.budget.note_send(seat.now, ping=ping)
    seat.last_sends = link.budget.total
    seat.requests.append(Send(link.generation, data))


def _let_go(seat: Seat, *, tidy: bool) -> None:
    seat.attempt_at = None
    if seat.link is not None:
        seat.end_fault(seat.link, lost=True)
        seat.requests.append(Drop(seat.link.generation, tidy))
        seat.closing = seat.link.generation
        seat.link = None
        seat.requests += seat.book.end_link()


def _end_retiring(seat: Seat) -> None:
    if seat.retiring is not None:
        seat.requests.append(Drop(seat.retiring, tidy=True))
        seat.closing, seat.retiring = seat.retiring, None


def _tell(seat: Seat, error: RealtimeError, *, streams: bool) -> None:
    seat.trial = False  # a call that wants another identity fails, too, and the one before counts
    seat.requests.append(Fail(error, seat.book.withdraw_unestablished(), streams))


def _final_error(seat: Seat) -> RealtimeError:
    cause = seat.failure
    assert cause is not None
    if seat.judged is not Verdict.FATAL:
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


EFFECTS: dict[str, Callable[[Seat], None]] = {
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
