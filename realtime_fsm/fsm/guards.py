"""The guards: each asks one question about the context, and the table names the guards of each rule.

Invariant: a guard changes nothing.

Design: The generated reference prints the first line of each docstring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.policies import Verdict
from realtime_fsm.fsm.table import LIVE
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import POLICY, is_server_fault, is_throttle

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.protocol.frames import Code


def all_acknowledged(context: ConnectionContext) -> bool:
    """Ask whether everything desired was acknowledged on this link at some moment, and something still is desired."""
    return context.subscriptions.all_acknowledged


def no_subscriptions(context: ConnectionContext) -> bool:
    """Ask whether the last subscription of this link has been removed."""
    return context.subscriptions.all_removed


def error_answers_ping(context: ConnectionContext) -> bool:
    """Ask whether the error frame answers the ping: 1013 or 429 (too many messages) or 1003 (unknown to the oldest servers)."""
    return _error_code(context) == 1003 or rate_limited(context)


def rate_limited(context: ConnectionContext) -> bool:
    """Ask whether the error frame tells of too many messages: 1013, or 429 from a proxy."""
    code = _error_code(context)
    return code is not None and is_throttle(code)


def error_precedes_close(context: ConnectionContext) -> bool:
    """Ask whether the error frame (1008) announces the end of a live link (PROTOCOL: "Errors and endings")."""
    return _error_code(context) == POLICY


def server_at_fault(context: ConnectionContext) -> bool:
    """Ask whether the error frame tells of a server fault, and not of a refusal."""
    code = _error_code(context)
    return code is not None and is_server_fault(code)


def repetition_due(context: ConnectionContext) -> bool:
    """Ask whether a request that met a server fault or a refusal (1008) is to be repeated now, and the budget has room."""
    return context.again_at is not None and context.is_due(context.budget_at)


def error_answers_request(context: ConnectionContext) -> bool:
    """Ask whether the error frame answers a control request: one was in flight."""
    last = context.require_link.last_error
    return last is not None and last.answered_request


def is_fatal(context: ConnectionContext) -> bool:
    """Ask whether another attempt would fail for the same reason."""
    return context.step.verdict is Verdict.FATAL


def server_needs_url_channels(context: ConnectionContext) -> bool:
    """Ask whether the server refused a dial without channels with 1008, as older servers do, which want channels in the URL.

    A server that is known as an E4 takes messages, so its first refusal has another reason. A second one in a row may come from
    an older server in its place.
    """
    unknown = context.configured_era is None and (context.era is not Era.E4 or context.refusals > 0)
    return unknown and not context.require_link.subscribed_in_url and _error_code(context) == POLICY


def new_subscriptions_rejected(context: ConnectionContext) -> bool:
    """Ask whether the server refused a URL, and this step rejects the subscriptions in it that are new."""
    return context.step.rejected_new_subscriptions


def credentials_renewable(context: ConnectionContext) -> bool:
    """Ask whether the callable may give new credentials: a link has been up, and the server refuses these the first time."""
    return context.step.renewable and context.been_up and not context.renewed and _error_code(context) in (401, 403)


def may_retry(context: ConnectionContext) -> bool:
    """Ask whether the retry policy allows another dial; while an old link delivers, ``attempts`` is the limit."""
    return context.retry.allows(context.attempt, been_up=context.counts_reconnects)


def reconnect_off(context: ConnectionContext) -> bool:
    """Ask whether `auto_reconnect` is off."""
    return not context.auto_reconnect


def can_dial_early(context: ConnectionContext) -> bool:
    """Ask whether the next dial waits, but neither the server nor a proxy asked for the delay."""
    return context.attempt_at is not None and not context.throttled


def attempt_due(context: ConnectionContext) -> bool:
    """Ask whether the delay before the next dial is over."""
    return context.is_due(context.attempt_at)


def reply_overdue(context: ConnectionContext) -> bool:
    """Ask whether the reply to the request in flight is overdue."""
    return context.is_due(context.reply_by)


def ping_due(context: ConnectionContext) -> bool:
    """Ask whether the next ping is due: the budget has room, and no request is in flight."""
    return context.is_due(context.ping_at)


def may_ping(context: ConnectionContext) -> bool:
    """Ask whether a ping may go out now: pings are on, the budget has room, and no request is in flight."""
    link = context.require_link
    return context.ping_at is not None and link.budget.available_at(context.now, ping=True) <= context.now


def handover_due(context: ConnectionContext) -> bool:
    """Ask whether only another URL can ask for a desired subscription, and the short wait for further ones is over."""
    return context.is_due(context.handover_at)


def presence_needs_link(context: ConnectionContext) -> bool:
    """Ask whether the wanted presence has another id than the one that the server keeps for this link."""
    return context.subscriptions.presence.needs_link


def trial_failed(context: ConnectionContext) -> bool:
    """Ask whether an identity on trial gets no link: the server refuses it for good, or no attempt is left."""
    return context.trial and context.step.failure is not None and (is_fatal(context) or not may_retry(context))


def all_closed(context: ConnectionContext) -> bool:
    """Ask whether all links that the next dial waited for are closed."""
    return not context.awaited


def user_changed(context: ConnectionContext) -> bool:
    """Ask whether the server greets another user than that of the old link, which still delivers."""
    return context.step.user_changed


def can_resume(context: ConnectionContext) -> bool:
    """Ask whether the new link of a handover failed for good, and the old link still delivers."""
    if context.draining is None or context.step.failure is None:
        return False
    return is_fatal(context) or not may_retry(context) or (context.state in LIVE and reconnect_off(context))


def old_link_complete(context: ConnectionContext) -> bool:
    """Ask whether the draining link serves everything that it can serve, and something is desired on it."""
    wanted = context.desired_on_old_link
    return context.draining is not None and bool(wanted) and all(one in context.draining.served for one in wanted)


def old_link_empty(context: ConnectionContext) -> bool:
    """Ask whether the last subscription of the draining link has been removed."""
    return context.draining is not None and context.draining.used and not context.desired_on_old_link


def presence_wanted(context: ConnectionContext) -> bool:
    """Ask whether the user wants to be shown as present."""
    return context.subscriptions.presence.message is not None


def renewal_due(context: ConnectionContext) -> bool:
    """Ask whether the link has reached its greatest age, and no request is in flight."""
    return context.is_due(context.renew_at)


def can_authenticate_in_band(context: ConnectionContext) -> bool:
    """Ask whether a message can change the identity on this link, safely and now.

    Without an acknowledged subscription the server would forget the project. A guest's ``account`` channel would not follow the
    login. The server would keep the old user's presence for 30 days (PROTOCOL: "Messages", rules 3 and 11).
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
    """Ask whether the link has had no subscriptions for `Timeouts.idle` seconds."""
    return context.is_due(context.idle_at)


def stable_due(context: ConnectionContext) -> bool:
    """Ask whether everything desired has been acknowledged on the link for `RetryPolicy.stable_after` seconds."""
    return context.is_due(context.stable_at)


def ping_enabled(context: ConnectionContext) -> bool:
    """Ask whether pings are on."""
    return context.ping_enabled


def heard_since_ping(context: ConnectionContext) -> bool:
    """Ask whether a frame came after the ping, or may wait unread because the driver waits for a slow consumer."""
    return not context.require_link.no_reply_to_ping


def _error_code(context: ConnectionContext) -> Code | None:
    last = context.require_link.last_error
    return None if last is None else last.cause.code


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
    Guard.USER_CHANGED: user_changed,
    Guard.CAN_RESUME: can_resume,
    Guard.OLD_LINK_COMPLETE: old_link_complete,
    Guard.OLD_LINK_EMPTY: old_link_empty,
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
