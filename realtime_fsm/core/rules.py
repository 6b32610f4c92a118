"""The guards and effects that the table names. Each takes the seat of the connection that is being stepped.

A guard only looks. An effect notes and asks; it never raises, and it never steps the machine again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.core.seat import Heartbeat, Link, Phase
from realtime_fsm.vocabulary import frames
from realtime_fsm.vocabulary.errors import (
    CertificateRefused,
    Disconnected,
    LinkLost,
    RefusedByServer,
    RetriesExhausted,
    ServerError,
    StreamEnded,
)
from realtime_fsm.vocabulary.policies import THROTTLE_WINDOW, Verdict
from realtime_fsm.vocabulary.requests import Drop, End, Fail, Open, Send

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.core.seat import Seat
    from realtime_fsm.vocabulary.errors import LinkFailure, RealtimeError


def _passed(moment: float | None, now: float) -> bool:
    return moment is not None and moment <= now


# --- guards -----------------------------------------------------------------------------------------------------------


def all_acknowledged(seat: Seat) -> bool:
    """All that was desired when it was last looked at is acknowledged on this link, and something is desired."""
    return seat.book.settled


def none_left(seat: Seat) -> bool:
    """Something was desired on this link, and nothing is any more."""
    return seat.book.emptied


def answers_ping(seat: Seat) -> bool:
    """The error frame answers the ping: 1013 (no room for it) or 1003 (unknown to the oldest servers)."""
    return _error_code(seat) in (1003, 1013)


def over_budget(seat: Seat) -> bool:
    """The error frame says that there were too many messages."""
    return _error_code(seat) == 1013


def ends_link(seat: Seat) -> bool:
    """The error frame is one that the server ends a live link with (PROTOCOL: "Errors and endings")."""
    return _error_code(seat) == 1008


def request_blamed(seat: Seat) -> bool:
    """A control request was in flight, so the error frame is its answer."""
    last = seat.live_link.last_error
    return last is not None and last.blamed


def is_fatal(seat: Seat) -> bool:
    """Another attempt would meet the same refusal."""
    return seat.judged is Verdict.FATAL


def may_retry(seat: Seat) -> bool:
    """The retry policy allows another dial."""
    return seat.retry.allows(seat.attempt)


def reconnect_off(seat: Seat) -> bool:
    """The user does not want a lost link to be replaced."""
    return not seat.auto_reconnect


def attempt_due(seat: Seat) -> bool:
    """The delay before the next dial is over."""
    return _passed(seat.attempt_at, seat.now)


def reply_overdue(seat: Seat) -> bool:
    """The request in flight was not answered in time."""
    return _passed(seat.reply_by, seat.now)


def ping_due(seat: Seat) -> bool:
    """A ping is due, wanted and affordable, and no reply is awaited."""
    return _passed(seat.ping_at, seat.now)


def idle_due(seat: Seat) -> bool:
    """The link has been without subscriptions for as long as an idle one is kept."""
    return _passed(seat.idle_at, seat.now)


def stable_due(seat: Seat) -> bool:
    """The link has lived long enough with everything acknowledged."""
    return _passed(seat.stable_at, seat.now)


def ping_enabled(seat: Seat) -> bool:
    """Pings are on."""
    return seat.ping_enabled


def heard_since_ping(seat: Seat) -> bool:
    """Some frame came after the ping went out."""
    link = seat.live_link
    return link.pinged is not None and link.heard > link.pinged.heard


def _error_code(seat: Seat) -> frames.Code | None:
    last = seat.live_link.last_error
    return None if last is None else last.cause.code


# --- effects ----------------------------------------------------------------------------------------------------------


def start_afresh(seat: Seat) -> None:
    """Forget earlier failures."""
    seat.attempt = 0
    seat.error = None


def dial(seat: Seat) -> None:
    """Open a socket, as the next link."""
    seat.attempt += 1
    seat.attempt_at = None
    seat.generation += 1
    seat.link = Link(seat.generation, seat.now, seat.ping.interval)
    seat.last_sends = 0
    seat.requests.append(Open(seat.generation))


def schedule_retry(seat: Seat) -> None:
    """Plan the next dial as the retry policy says; a throttled one not before the server's next minute."""
    delay = seat.retry.delay(seat.attempt, seat.draw)
    if seat.judged is Verdict.THROTTLED:
        delay = max(delay, THROTTLE_WINDOW + seat.draw * seat.retry.base)
    seat.attempt_at = seat.now + delay


def await_greeting(seat: Seat) -> None:
    """From now on the greeting is waited for."""
    _enter(seat.live_link, Phase.GREETING, seat.now)


def welcome(seat: Seat) -> None:
    """The link is up."""
    link = seat.live_link
    _enter(link, Phase.LIVE, seat.now)
    seat.book.begin_link()
    link.stable_since = None if seat.book.desired else seat.now
    plan_ping(seat)


def plan_ping(seat: Seat) -> None:
    """The next ping goes out one interval from now, or not at all."""
    seat.live_link.ping_at = seat.now + seat.ping.interval if seat.ping_enabled else None


def send_ping(seat: Seat) -> None:
    """Ask for a sign of life. Pings keep their interval; one that is late does not make the next ones hurry."""
    link = seat.live_link
    _send(seat, frames.PING, ping=True)
    link.pinged = Heartbeat(seat.now, link.heard)
    due = seat.now if link.ping_at is None else link.ping_at
    link.ping_at = due + seat.ping.interval
    if link.ping_at <= seat.now:
        plan_ping(seat)


def stop_awaiting_pong(seat: Seat) -> None:
    """The heartbeat is over."""
    seat.live_link.pinged = None


def send_request(seat: Seat) -> None:
    """Send the next control request, if one waits, none is in flight and the budget has room."""
    link = seat.live_link
    if link.budget.free_at(seat.now, ping=False) > seat.now:
        return
    request = seat.book.next_request()
    if request is not None:
        link.asked_at = seat.now
        _send(seat, request.data, ping=False)


def forgive(seat: Seat) -> None:
    """The count of attempts starts anew with the next loss."""
    seat.live_link.forgiven = True
    seat.attempt = 0


def drop_link(seat: Seat) -> None:
    """Let go of the socket at once: there is nobody to say goodbye to."""
    _let_go(seat, tidy=False)


def hang_up(seat: Seat) -> None:
    """Let go of the socket with a closing handshake."""
    _let_go(seat, tidy=True)


def give_up(seat: Seat) -> None:
    """Keep the typed error and tell everybody who waits."""
    assert seat.failure is not None
    seat.error = _final_error(seat.failure, seat.judged, seat.attempt)
    _tell(seat, seat.error, streams=True)


def tell_loss(seat: Seat) -> None:
    """Tell everybody who waits that the link is lost and none will follow by itself."""
    assert seat.failure is not None
    _tell(seat, LinkLost(seat.failure), streams=True)


def tell_disconnect(seat: Seat) -> None:
    """Tell pending calls that the user disconnected; iterators wait for the next link."""
    seat.error = None
    _tell(seat, Disconnected(), streams=False)


def end_streams(seat: Seat) -> None:
    """Nothing follows."""
    seat.error = None
    seat.requests.append(End())


def forget_socket(seat: Seat) -> None:
    """The last socket is closed."""
    seat.closing = None


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
        seat.requests.append(Drop(seat.link.generation, tidy))
        seat.closing = seat.link.generation
        seat.link = None
        seat.requests += seat.book.end_link()


def _tell(seat: Seat, error: RealtimeError, *, streams: bool) -> None:
    seat.requests.append(Fail(error, seat.book.withdraw_unestablished(), streams))


def _final_error(cause: LinkFailure, judged: Verdict, attempts: int) -> RealtimeError:
    if judged is not Verdict.FATAL:
        return RetriesExhausted(attempts, cause)
    match cause:
        case ServerError(code=code, message=message):
            return RefusedByServer(code, message)
        case StreamEnded(close_code=code):
            return RefusedByServer(code, "closed without an error frame")
        case _:
            assert isinstance(cause, CertificateRefused)
            return cause


GUARDS: dict[str, Callable[[Seat], bool]] = {
    guard.__name__: guard
    for guard in (
        all_acknowledged, none_left, answers_ping, over_budget, ends_link, request_blamed, is_fatal, may_retry, reconnect_off,
        attempt_due, reply_overdue, ping_due, idle_due, stable_due, ping_enabled, heard_since_ping,
    )
}  # fmt: skip
"""The guards by name."""

EFFECTS: dict[str, Callable[[Seat], None]] = {
    effect.__name__: effect
    for effect in (
        start_afresh, dial, schedule_retry, await_greeting, welcome, plan_ping, send_ping, stop_awaiting_pong, send_request,
        forgive, drop_link, hang_up, give_up, tell_loss, tell_disconnect, end_streams, forget_socket,
    )
}  # fmt: skip
"""The effects by name."""
