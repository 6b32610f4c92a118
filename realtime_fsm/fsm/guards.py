"""The guards that the table names. Each takes the seat of the connection that is being stepped, and only looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.policies import POLICY, Verdict
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import is_server_fault, is_throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.protocol.frames import Code


def all_acknowledged(context: ConnectionContext) -> bool:
    """All that was desired when it was last looked at is acknowledged on this link, and something is desired."""
    return context.subscriptions.all_acknowledged


def no_subscriptions(context: ConnectionContext) -> bool:
    """Something was desired on this link, and nothing is any more."""
    return context.subscriptions.all_removed


def error_answers_ping(context: ConnectionContext) -> bool:
    """The error frame answers the ping: 1013 or 429 (no room for it) or 1003 (unknown to the oldest servers)."""
    return _error_code(context) == 1003 or rate_limited(context)


def rate_limited(context: ConnectionContext) -> bool:
    """The error frame says that there were too many messages: 1013, or 429 as a proxy may say it."""
    code = _error_code(context)
    return code is not None and is_throttle(code)


def error_precedes_close(context: ConnectionContext) -> bool:
    """The error frame is one that the server ends a live link with (PROTOCOL: "Errors and endings")."""
    return _error_code(context) == POLICY


def server_at_fault(context: ConnectionContext) -> bool:
    """The error frame says that the server cannot work, and not that it refuses something."""
    code = _error_code(context)
    return code is not None and is_server_fault(code)


def repetition_due(context: ConnectionContext) -> bool:
    """A request that met a server fault or a refusal (1008) is to be repeated, and the budget has room for it."""
    return context.again_at is not None and _is_due(context.budget_at, context.now)


def error_answers_request(context: ConnectionContext) -> bool:
    """A control request was in flight, so the error frame is its answer."""
    last = context.require_link.last_error
    return last is not None and last.blamed


def is_fatal(context: ConnectionContext) -> bool:
    """Another attempt would meet the same refusal."""
    return context.failure_verdict is Verdict.FATAL


def server_needs_url_channels(context: ConnectionContext) -> bool:
    """A dial without channels was refused with 1008, which is how older servers ask for them in the address.

    One that is known to take messages means something else by it, unless it says so again.
    """
    unknown = context.configured_era is None and (context.era is not Era.E4 or context.refusals > 0)
    return unknown and not context.require_link.subscribed_in_url and _error_code(context) == POLICY


def new_subscriptions_rejected(context: ConnectionContext) -> bool:
    """The server refused an address, and what had never been acknowledged was taken out of it."""
    return context.rejected_new_subscriptions


def credentials_renewable(context: ConnectionContext) -> bool:
    """The server refuses the credentials after a link has been up, and the callable was not asked again since a greeting."""
    return context.renewable and context.been_up and not context.renewed and _error_code(context) in (401, 403)


def may_retry(context: ConnectionContext) -> bool:
    """The retry policy allows another dial."""
    return context.retry.allows(context.attempt, been_up=context.been_up)


def reconnect_off(context: ConnectionContext) -> bool:
    """The user does not want a lost link to be replaced."""
    return not context.auto_reconnect


def can_dial_early(context: ConnectionContext) -> bool:
    """The next dial is waited for, and not because the server, or a proxy, asked to wait."""
    return context.attempt_at is not None and not context.throttled


def attempt_due(context: ConnectionContext) -> bool:
    """The delay before the next dial is over."""
    return _is_due(context.attempt_at, context.now)


def reply_overdue(context: ConnectionContext) -> bool:
    """The request in flight was not answered in time."""
    return _is_due(context.reply_by, context.now)


def ping_due(context: ConnectionContext) -> bool:
    """A ping is due, wanted and affordable, and no reply is awaited."""
    return _is_due(context.ping_at, context.now)


def may_ping(context: ConnectionContext) -> bool:
    """A ping is wanted and affordable, and no reply is awaited."""
    link = context.require_link
    return context.ping_at is not None and link.budget.available_at(context.now, ping=True) <= context.now


def handover_due(context: ConnectionContext) -> bool:
    """Something is desired that only another address can ask for, and no more has been for a moment."""
    return _is_due(context.handover_at, context.now)


def presence_needs_link(context: ConnectionContext) -> bool:
    """The presence that is wanted has another id than the one that the server keeps for this link."""
    return context.subscriptions.presence.needs_link


def trial_failed(context: ConnectionContext) -> bool:
    """An identity that no greeting has confirmed yet gets no link: it is refused for good, or its attempts are used up."""
    return context.trial and context.failure is not None and (is_fatal(context) or not may_retry(context))


def all_closed(context: ConnectionContext) -> bool:
    """No link is left whose end the next dial waits for."""
    return not context.awaited


def presence_wanted(context: ConnectionContext) -> bool:
    """The user wants to be shown as present."""
    return context.subscriptions.presence.message is not None


def renewal_due(context: ConnectionContext) -> bool:
    """The link is as old as it may grow, and nothing is in flight on it."""
    return _is_due(context.renew_at, context.now)


def can_authenticate_in_band(context: ConnectionContext) -> bool:
    """The identity can be changed on this link, by a message that can go out now.

    With nothing acknowledged the server would forget the project; it would not bind a guest's plain ``account`` anew; the old
    user's presence would stay stored for 30 days (PROTOCOL: "Messages", rules 3 and 11).
    """
    link, subscriptions = context.require_link, context.subscriptions
    return (
        context.session is not None
        and link.ping_in_flight is None
        and subscriptions.in_flight is None
        and subscriptions.all_acknowledged
        and not any("account" in spec.channels for spec in subscriptions.desired.values())
        and not subscriptions.subscribed_in_url
        and subscriptions.presence.message is None
        and subscriptions.presence.on_link is None
        and link.budget.available_at(context.now, ping=False) <= context.now
    )


def idle_due(context: ConnectionContext) -> bool:
    """The link has been without subscriptions for as long as an idle one is kept."""
    return _is_due(context.idle_at, context.now)


def stable_due(context: ConnectionContext) -> bool:
    """The link has lived long enough with everything acknowledged."""
    return _is_due(context.stable_at, context.now)


def ping_enabled(context: ConnectionContext) -> bool:
    """Pings are on."""
    return context.ping_enabled


def heard_since_ping(context: ConnectionContext) -> bool:
    """Some frame came after the ping went out; or one may have, for nothing is read while a consumer makes room."""
    return not context.require_link.no_reply_to_ping


def _error_code(context: ConnectionContext) -> Code | None:
    last = context.require_link.last_error
    return None if last is None else last.cause.code


def _is_due(moment: float | None, now: float) -> bool:
    return moment is not None and moment <= now


GUARDS: dict[str, Callable[[ConnectionContext], bool]] = {
    Guard.ALL_ACKNOWLEDGED: all_acknowledged,
    Guard.NO_SUBSCRIPTIONS: no_subscriptions,
    Guard.SERVER_NEEDS_URL_CHANNELS: server_needs_url_channels,
    Guard.NEW_SUBSCRIPTIONS_REJECTED: new_subscriptions_rejected,
    Guard.CREDENTIALS_RENEWABLE: credentials_renewable,
    Guard.PRESENCE_WANTED: presence_wanted,
    Guard.PRESENCE_NEEDS_LINK: presence_needs_link,
    Guard.TRIAL_FAILED: trial_failed,
    Guard.ALL_CLOSED: all_closed,
    Guard.HANDOVER_DUE: handover_due,
    Guard.ERROR_ANSWERS_PING: error_answers_ping,
    Guard.RATE_LIMITED: rate_limited,
    Guard.ERROR_PRECEDES_CLOSE: error_precedes_close,
    Guard.SERVER_AT_FAULT: server_at_fault,
    Guard.ERROR_ANSWERS_REQUEST: error_answers_request,
    Guard.IS_FATAL: is_fatal,
    Guard.MAY_RETRY: may_retry,
    Guard.RECONNECT_OFF: reconnect_off,
    Guard.CAN_DIAL_EARLY: can_dial_early,
    Guard.ATTEMPT_DUE: attempt_due,
    Guard.REPLY_OVERDUE: reply_overdue,
    Guard.MAY_PING: may_ping,
    Guard.PING_DUE: ping_due,
    Guard.RENEWAL_DUE: renewal_due,
    Guard.CAN_AUTHENTICATE_IN_BAND: can_authenticate_in_band,
    Guard.IDLE_DUE: idle_due,
    Guard.STABLE_DUE: stable_due,
    Guard.REPETITION_DUE: repetition_due,
    Guard.PING_ENABLED: ping_enabled,
    Guard.HEARD_SINCE_PING: heard_since_ping,
}
"""The guards by name."""
