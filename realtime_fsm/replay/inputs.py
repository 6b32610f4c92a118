"""Rebuilding: the input that a record stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.errors import DialFailed, ServerError, StreamEnded
from realtime_fsm.fsm import inputs
from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.control import SUBSCRIBE
from realtime_fsm.fsm.names import Effect, Guard
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.protocol import frames
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.frames import AcknowledgedSubscription, subscribe_item
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.replay.inference import PLACEHOLDER, ROWS, cause_of

if TYPE_CHECKING:
    from realtime_fsm.auditlog.records import TransitionRecord
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.replay.inference import HiddenInputSolver

CHANNEL = "channel"
"""What stands for the channels, which are in no record."""
_PLAIN: dict[str, type[Input]] = {
    kind.trigger.value: kind
    for kind in (
        inputs.Connect,
        inputs.Reconnect,
        inputs.Disconnect,
        inputs.Dispose,
        inputs.LogOut,
        inputs.Deadline,
        inputs.ResumedFromSuspend,
    )
}


def spec(identifier: str, size: int = 0, *, filtered: bool = False) -> SubscriptionSpec:
    """A subscription that takes so many bytes in a request, of a channel that stands for its own; with a query, if `filtered`."""
    if filtered:
        return SubscriptionSpec(identifier, (CHANNEL,), (PLACEHOLDER,))
    bare = len(subscribe_item(identifier, ("",), ()))
    return SubscriptionSpec(identifier, (CHANNEL[: max(1, size - bare)].ljust(size - bare, "-") if size else CHANNEL,))


def granted(*identifiers: str) -> tuple[AcknowledgedSubscription, ...]:
    """What a server acknowledges."""
    return tuple(AcknowledgedSubscription(identifier) for identifier in identifiers)


def presence(change: str) -> inputs.SetPresence:
    """What the user says of a presence; a message stands for his own."""
    return inputs.SetPresence(frames.presence(PLACEHOLDER, None, None) if change == "desired" else None)


def input_of(record: TransitionRecord, context: ConnectionContext, spoken: inputs.Input | None) -> Input | None:
    """The input that a step stands for; None if the log does not tell which subscription it is about.

    Args:
        record: the record of the step.
        context: the connection before the step.
        spoken: what the user has said of a subscription or a presence since the step before.
    """
    link, row = context.generation if context.link is None else context.link.generation, ROWS[record.row]
    if record.trigger in _PLAIN:
        return _PLAIN[record.trigger]()
    match record.trigger:
        case Trigger.SUBSCRIBE:
            return spoken
        case Trigger.PRESENCE:
            return _with_id(spoken, context, another=Guard.PRESENCE_NEEDS_LINK in row.guards)
        case Trigger.UNSUBSCRIBE:  # a second word about one that is gone already has no record
            return inputs.Unsubscribe(PLACEHOLDER) if spoken is None else spoken
        case Trigger.AUTHENTICATE:  # a message goes out where one is safe and there is a session for it
            return inputs.Authenticate(PLACEHOLDER if Effect.SEND_AUTHENTICATION in row.effects else None)
        case Trigger.OPENED:
            return inputs.Opened(link)
        case Trigger.GREETED:
            return inputs.GreetingReceived(
                link,
                unexpected_guest=Effect.ABORT_LINK in row.effects,
                has_subscription_ids=record.era not in (Era.E1, Era.E2),
                user_changed=Guard.USER_CHANGED in row.guards,
            )
        case Trigger.ACKNOWLEDGED:
            if context.subscriptions.subscribed_in_url:
                return inputs.Acknowledged(link, GREETING_ACK, ())
            asked = context.subscriptions.answerable
            return inputs.Acknowledged(link, SUBSCRIBE, ()) if asked is None else _answer(link, asked.kind, asked.ids)
        case Trigger.PONG:
            return inputs.Pong(link)
        case Trigger.RECOVERED:
            return inputs.Recovered(link)
        case Trigger.SERVER_ERROR:
            cause = cause_of(record)
            code = cause.code if isinstance(cause, ServerError) else 0
            return inputs.ErrorReceived(link, code, PLACEHOLDER, Guard.CREDENTIALS_RENEWABLE in row.guards)
        case Trigger.LOST:
            return _end(link, record)
        case Trigger.DIAL_FAILED:
            return inputs.DialFailure(link, cause_of(record) or DialFailed(PLACEHOLDER))
        case Trigger.DEAF:
            return inputs.Deaf(link)
        case Trigger.CANARY:
            written = context.canary is not None and context.canary.write is not None
            hidden = SubscriptionSpec(CANARY, (CHANNEL,))
            return inputs.Probe(hidden) if written else inputs.Probe(hidden, frames.presence(PLACEHOLDER, None, None), CANARY)
        case Trigger.CLOSED:
            old = context.closing_generation if context.lingering is None else context.lingering.generation
            closing = context.awaited[0] if context.awaited else old
            return inputs.Closed(link if closing is None else closing)
        case _:
            return None


def _with_id(spoken: inputs.Input | None, context: ConnectionContext, *, another: bool) -> inputs.Input | None:
    """A presence under the id that the link has, or under another one: no id is in a record."""
    if not isinstance(spoken, inputs.SetPresence):
        return spoken
    transition = context.subscriptions.presence.taken_id
    own = PLACEHOLDER if transition is None else transition
    return inputs.SetPresence(spoken.message, f"{own}, another" if another else own)


def ping_enabled_input(record: TransitionRecord, index: int, foresight: HiddenInputSolver) -> Input:
    """The switch of the pings: the rows of `ping` tell which way, all others tell it later."""
    at_once = Guard.PING_ENABLED in ROWS[record.row].guards
    return inputs.PingEnabledChanged(at_once if record.source == State.PING else foresight.solve_ping_enabled(index))


def _answer(link: int, kind: str, ids: tuple[str, ...]) -> Input:
    return inputs.Acknowledged(link, kind, granted(*ids))


def _end(link: int, record: TransitionRecord) -> Input:
    """An end has its cause with it, unless the machine is to find it in the last error frame."""
    cause = cause_of(record)
    match cause:
        case StreamEnded(close_code=code):
            return inputs.LinkClosed(link, code)
        case ServerError() | None:
            return inputs.LinkClosed(link)
        case _:
            return inputs.LinkClosed(link, cause=cause)


def frame_received_before(record: TransitionRecord, context: ConnectionContext) -> bool:
    """Whether some frame must have come since the step before, for the machine to do what the log says."""
    link = context.link
    if link is None:
        return False
    if record.trigger == Trigger.DEADLINE and link.ping_in_flight is not None:
        return Guard.HEARD_SINCE_PING in ROWS[record.row].guards and link.frames_received == link.ping_in_flight.frames_received
    last = link.last_error
    return (
        record.trigger == Trigger.LOST
        and record.cause != "error_frame"
        and last is not None
        and last.frames_received == link.frames_received
    )
