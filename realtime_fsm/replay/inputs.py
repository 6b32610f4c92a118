"""Make the inputs of the machine from the records of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm import errors
from realtime_fsm.errors import DialFailed, ServerError, StreamEnded
from realtime_fsm.fsm import inputs
from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.control import SUBSCRIBE
from realtime_fsm.fsm.names import Effect, Guard
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.fsm.table import TABLE, State, Trigger
from realtime_fsm.identity import TokenUnavailable
from realtime_fsm.protocol import frames
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.frames import AcknowledgedSubscription, subscribe_item
from realtime_fsm.protocol.spec import SubscriptionSpec

if TYPE_CHECKING:
    from realtime_fsm.auditlog.records import TransitionRecord
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.fsm.tablespec import Row

RULES: dict[str, Row[State, Trigger]] = {rule.id: rule for rule in TABLE.rows}
"""The transition rules by their ids."""
CHANNEL = "channel"
"""The placeholder for channels, which no record holds."""
PLACEHOLDER = "not in the log"
"""The placeholder for a text that no record holds."""
PRESENCE = frames.presence(PLACEHOLDER, None, None)
"""The placeholder for the message of a presence."""
_PLAIN = {kind.trigger.value: kind for kind in inputs.Input.__subclasses__() if not kind.__struct_fields__}
_ABOUT_LINK: dict[str, type[inputs.SocketInput]] = {
    kind.trigger.value: kind for kind in (inputs.Opened, inputs.Pong, inputs.Recovered, inputs.Deaf)
}
_TEXT_FAILURES: dict[str | None, type[DialFailed | errors.CertificateRefused | errors.IdentityUnavailable]] = {
    kind.kind: kind
    for kind in (DialFailed, errors.NameNotResolved, errors.CertificateRefused, errors.IdentityUnavailable, TokenUnavailable)
}


def cause_of(record: TransitionRecord) -> errors.LinkFailure | None:
    """Make the failure of a step, without its texts; None if the step has no failure, or the machine itself finds the failure."""
    match record.cause:
        case "error_frame":
            return ServerError(0 if record.error_code is None else record.error_code, PLACEHOLDER)
        case "stream_ended":
            return StreamEnded(record.close_code or 1006)
        case "upgrade_refused":
            return errors.UpgradeRefused(record.status or 0, retry_after=record.retry_after)
        case "frame_too_large":
            return errors.FrameTooLarge(0)
        case kind if kind in _TEXT_FAILURES:
            return _TEXT_FAILURES[kind](PLACEHOLDER)
        case _:
            return None


def spec(identifier: str, size: int = 0, *, filtered: bool = False) -> SubscriptionSpec:
    """Make a subscription to a placeholder channel, with a query if `filtered`; a `size` above 0 sets the bytes of its item."""
    if filtered:
        return SubscriptionSpec(identifier, (CHANNEL,), (PLACEHOLDER,))
    bare = len(subscribe_item(identifier, ("",), ()))
    return SubscriptionSpec(identifier, (CHANNEL[: max(1, size - bare)].ljust(size - bare, "-") if size else CHANNEL,))


def input_of(record: TransitionRecord, context: ConnectionContext, user_input: Input | None) -> Input | None:
    """Make the input of a step; None if the log does not tell the arguments of the user's call.

    `user_input` is the user's call about a subscription or a presence since the step before; None without such a call.
    """
    link, rule = context.generation if context.link is None else context.link.generation, RULES[record.row]
    if record.trigger in _PLAIN:
        return _PLAIN[record.trigger]()
    if record.trigger in _ABOUT_LINK:
        return _ABOUT_LINK[record.trigger](link)
    match record.trigger:
        case Trigger.SUBSCRIBE:
            return user_input
        case Trigger.PRESENCE:
            return _with_id(user_input, context, another=Guard.PRESENCE_NEEDS_LINK in rule.guards)
        case Trigger.UNSUBSCRIBE:  # a second call about one subscription has no record
            return inputs.Unsubscribe(PLACEHOLDER) if user_input is None else user_input
        case Trigger.AUTHENTICATE:  # the input holds a session only where the machine sends one
            return inputs.Authenticate(PLACEHOLDER if Effect.SEND_AUTHENTICATION in rule.effects else None)
        case Trigger.PING_SWITCHED:
            return inputs.PingEnabledChanged(record.enabled) if isinstance(record.enabled, bool) else None
        case Trigger.GREETED:
            return inputs.GreetingReceived(
                link,
                unexpected_guest=Effect.ABORT_LINK in rule.effects,
                has_subscription_ids=record.era not in (Era.E1, Era.E2),
                user_changed=Guard.USER_CHANGED in rule.guards,
            )
        case Trigger.ACKNOWLEDGED:
            if context.subscriptions.subscribed_in_url:
                return inputs.Acknowledged(link, GREETING_ACK, ())
            request = context.subscriptions.answerable
            kind, ids = (SUBSCRIBE, ()) if request is None else (request.kind, request.ids)
            return inputs.Acknowledged(link, kind, tuple(map(AcknowledgedSubscription, ids)))
        case Trigger.SERVER_ERROR:
            cause = cause_of(record)
            code = cause.code if isinstance(cause, ServerError) else 0
            return inputs.ErrorReceived(link, code, PLACEHOLDER, Guard.CREDENTIALS_RENEWABLE in rule.guards)
        case Trigger.LOST:
            cause = cause_of(record)
            if isinstance(cause, StreamEnded):
                return inputs.LinkClosed(link, cause.close_code)
            return inputs.LinkClosed(link, cause=None if isinstance(cause, ServerError) else cause)  # the machine knows the frame
        case Trigger.DIAL_FAILED:
            return inputs.DialFailure(link, cause_of(record) or DialFailed(PLACEHOLDER))
        case Trigger.CANARY:
            written = context.canary is not None and context.canary.write is not None
            hidden = SubscriptionSpec(CANARY, (CHANNEL,))
            return inputs.Probe(hidden) if written else inputs.Probe(hidden, PRESENCE, CANARY)
        case Trigger.CLOSED:
            old = context.closing_generation if context.lingering is None else context.lingering.generation
            closing = context.awaited[0] if context.awaited else old
            return inputs.Closed(link if closing is None else closing)
        case _:
            return None


def frame_received_before(record: TransitionRecord, context: ConnectionContext) -> bool:
    """Tell whether a frame without a record came before a step: the record says so, and no input of the replay was this frame."""
    link = context.link
    if link is None or record.heard is not True:
        return False
    since = link.ping_in_flight if record.trigger == Trigger.DEADLINE else link.last_error
    return since is not None and since.frames_received == link.frames_received


def _with_id(user_input: Input | None, context: ConnectionContext, *, another: bool) -> Input | None:
    """Give a presence the id that the link has, or `another` id, because no record holds an id."""
    if not isinstance(user_input, inputs.SetPresence):
        return user_input
    own = context.subscriptions.presence.taken_id or PLACEHOLDER
    return inputs.SetPresence(user_input.message, f"{own}, another" if another else own)
