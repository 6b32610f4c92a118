"""The inputs: each tells the machine that one thing happened, with its facts.

Invariant: an input is frozen and belongs to one trigger. Notes alone read its facts.
"""

from __future__ import annotations

from typing import ClassVar

from realtime_fsm.errors import LinkFailure
from realtime_fsm.fsm.table import Trigger
from realtime_fsm.fsm.values import Value
from realtime_fsm.protocol.frames import AcknowledgedSubscription, Code
from realtime_fsm.protocol.spec import SubscriptionSpec


class Input(Value, frozen=True):
    """Something that happened."""

    trigger: ClassVar[Trigger]


class SocketInput(Input, frozen=True):
    """Something that happened to a socket. An input of an earlier generation never moves the machine."""

    generation: int


class Connect(Input, frozen=True):
    """The user wants a link."""

    trigger = Trigger.CONNECT


class Subscribe(Input, frozen=True):
    """The user wants a subscription."""

    trigger = Trigger.SUBSCRIBE
    spec: SubscriptionSpec


class Unsubscribe(Input, frozen=True):
    """The user no longer wants a subscription."""

    trigger = Trigger.UNSUBSCRIBE
    id: str


class Reconnect(Input, frozen=True):
    """The user wants a new link at once."""

    trigger = Trigger.RECONNECT


class Disconnect(Input, frozen=True):
    """The user wants no link."""

    trigger = Trigger.DISCONNECT


class Dispose(Input, frozen=True):
    """The user is done."""

    trigger = Trigger.DISPOSE


class Authenticate(Input, frozen=True):
    """The user wants another identity. The next dials carry it, on trial until the server confirms it.

    Attributes:
        session: the session for an authentication message; None where only a dial may carry the identity.
    """

    trigger = Trigger.AUTHENTICATE
    _hidden = frozenset({"session"})
    session: str | None


class LogOut(Input, frozen=True):
    """The user wants to be a guest. The next dials carry no identity."""

    trigger = Trigger.LOG_OUT


class SetPresence(Input, frozen=True):
    """The user wants to be shown as present, or no longer.

    Attributes:
        message: the message that shows the user as present; None for no presence.
        id: the id of the presence. The server ignores a second id on a link.
    """

    trigger = Trigger.PRESENCE
    _hidden = frozenset({"message"})
    message: bytes | None
    id: str = ""


class PingEnabledChanged(Input, frozen=True):
    """The user switched the heartbeat on or off."""

    trigger = Trigger.PING_SWITCHED
    enabled: bool


class Opened(SocketInput, frozen=True):
    """The upgrade to WebSocket is done."""

    trigger = Trigger.OPENED


class GreetingReceived(SocketInput, frozen=True):
    """The ``connected`` frame came.

    Attributes:
        user: the account as JSON text.
        unexpected_guest: whether the server greets a guest where the connection expects a user.
        channels: the channels that the server names.
        has_subscription_ids: whether the server has ids for subscriptions, as servers from E3 on have.
        user_changed: whether the server names another user than on the link before.
    """

    trigger = Trigger.GREETED
    _hidden = frozenset({"user"})
    user: bytes = b"null"
    unexpected_guest: bool = False
    channels: tuple[str, ...] = ()
    has_subscription_ids: bool = True
    user_changed: bool = False


class Acknowledged(SocketInput, frozen=True):
    """The server answered a control request.

    Attributes:
        to: the kind of the request.
        acknowledged: the subscriptions that the reply names.
        user: the account as JSON text, in the reply to an authentication.
        presence: the stored presence as JSON text, in the reply to a presence.
    """

    trigger = Trigger.ACKNOWLEDGED
    _hidden = frozenset({"user", "presence"})
    to: str
    acknowledged: tuple[AcknowledgedSubscription, ...]
    user: bytes = b"null"
    presence: bytes = b"null"


class Pong(SocketInput, frozen=True):
    """The server answered a ping."""

    trigger = Trigger.PONG


class Recovered(SocketInput, frozen=True):
    """An event came during a server fault. No other events pass through the machine."""

    trigger = Trigger.RECOVERED


class ErrorReceived(SocketInput, frozen=True):
    """An ``error`` frame came.

    Attributes:
        renewable: whether a callable gave the credentials of the link, so that it may give others.
    """

    trigger = Trigger.SERVER_ERROR
    code: Code
    message: str
    renewable: bool = False


class LinkClosed(SocketInput, frozen=True):
    """The stream of an open socket ended.

    Attributes:
        close_code: the code of the close frame; 1006 where none came.
        cause: why the client ended the stream; None where the server or the network did.
    """

    trigger = Trigger.LOST
    close_code: int = 1006
    cause: LinkFailure | None = None


class DialFailure(SocketInput, frozen=True):
    """The dial ended without a WebSocket."""

    trigger = Trigger.DIAL_FAILED
    cause: LinkFailure


class Closed(SocketInput, frozen=True):
    """A socket that the machine gave up is closed."""

    trigger = Trigger.CLOSED


class Deadline(Input, frozen=True):
    """The deadline that the machine reported has passed. The machine ignores a deadline that comes early."""

    trigger = Trigger.DEADLINE


class Deaf(SocketInput, frozen=True):
    """The event of a canary did not come in time."""

    trigger = Trigger.DEAF


class Probe(Input, frozen=True):
    """A canary is due.

    Attributes:
        spec: the hidden subscription that gets the canary's event.
        presence: a presence for the canary alone, where the user wants none; None where the user's ``write`` causes the event.
        id: the id in `presence`.
    """

    trigger = Trigger.CANARY
    _hidden = frozenset({"presence"})
    spec: SubscriptionSpec
    presence: bytes | None = None
    id: str = ""


class ResumedFromSuspend(Input, frozen=True):
    """The process slept: its clock has jumped."""

    trigger = Trigger.WOKEN
