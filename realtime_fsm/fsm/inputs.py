"""The inputs: each tells one happening, with its facts.

Invariant: an input belongs to one trigger, and is frozen. Notes alone read its facts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from realtime_fsm.fsm.table import Trigger

if TYPE_CHECKING:
    from realtime_fsm.errors import LinkFailure
    from realtime_fsm.protocol.frames import AcknowledgedSubscription, Code
    from realtime_fsm.protocol.spec import SubscriptionSpec


@dataclass(frozen=True, slots=True)
class Input:
    """Something that happened."""

    trigger: ClassVar[Trigger]


@dataclass(frozen=True, slots=True)
class SocketInput(Input):
    """Something that a socket did. An input of an earlier generation never moves the machine."""

    generation: int


class Connect(Input):
    """The user wants a link."""

    trigger = Trigger.CONNECT


@dataclass(frozen=True, slots=True)
class Subscribe(Input):
    """The user wants a subscription."""

    trigger = Trigger.SUBSCRIBE
    spec: SubscriptionSpec


@dataclass(frozen=True, slots=True)
class Unsubscribe(Input):
    """The user no longer wants a subscription."""

    trigger = Trigger.UNSUBSCRIBE
    id: str


class Reconnect(Input):
    """The user wants a new link at once."""

    trigger = Trigger.RECONNECT


class Disconnect(Input):
    """The user wants no link."""

    trigger = Trigger.DISCONNECT


class Dispose(Input):
    """The user is done."""

    trigger = Trigger.DISPOSE


@dataclass(frozen=True, slots=True)
class Authenticate(Input):
    """The user wants another identity. The next dials carry it, on trial until the server confirms it.

    Attributes:
        session: the session that a message may carry, where one is safe.
    """

    trigger = Trigger.AUTHENTICATE
    session: str | None = field(repr=False)


class LogOut(Input):
    """The user wants to be a guest. The next dials carry no identity, and expect none."""

    trigger = Trigger.LOG_OUT


@dataclass(frozen=True, slots=True)
class SetPresence(Input):
    """The user wants to be shown as present, or no longer.

    Attributes:
        message: the message that shows the user as present, with the id; None for no longer.
        id: the id of the presence; a link takes one only, and the server ignores a second.
    """

    trigger = Trigger.PRESENCE
    message: bytes | None = field(repr=False)
    id: str = ""


@dataclass(frozen=True, slots=True)
class PingEnabledChanged(Input):
    """The user switched the heartbeat on or off."""

    trigger = Trigger.PING_SWITCHED
    enabled: bool


class Opened(SocketInput):
    """The upgrade to WebSocket is done."""

    trigger = Trigger.OPENED


@dataclass(frozen=True, slots=True)
class GreetingReceived(SocketInput):
    """The ``connected`` frame came.

    Attributes:
        user: the account as JSON text.
        unexpected_guest: whether a user was expected, and a guest is greeted.
        channels: the channels that the server named.
        has_subscription_ids: whether the server has ids for subscriptions, which came with E3.
        user_changed: whether the server names another user than on the link before.
    """

    trigger = Trigger.GREETED
    user: bytes = field(default=b"null", repr=False)
    unexpected_guest: bool = False
    channels: tuple[str, ...] = ()
    has_subscription_ids: bool = True
    user_changed: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged(SocketInput):
    """A control request was answered."""

    trigger = Trigger.ACKNOWLEDGED
    to: str
    acknowledged: tuple[AcknowledgedSubscription, ...]
    user: bytes = field(default=b"null", repr=False)
    presence: bytes = field(default=b"null", repr=False)


class Pong(SocketInput):
    """A ping was answered."""

    trigger = Trigger.PONG


class Recovered(SocketInput):
    """An event came during a server fault; events do not pass through the machine."""

    trigger = Trigger.RECOVERED


@dataclass(frozen=True, slots=True)
class ErrorReceived(SocketInput):
    """An ``error`` frame came.

    Attributes:
        renewable: whether a callable gave the credentials of the link, and may give others.
    """

    trigger = Trigger.SERVER_ERROR
    code: Code
    message: str
    renewable: bool = False


@dataclass(frozen=True, slots=True)
class LinkClosed(SocketInput):
    """The stream of an open socket ended; where a cause is given, the client ended it."""

    trigger = Trigger.LOST
    close_code: int = 1006
    cause: LinkFailure | None = None


@dataclass(frozen=True, slots=True)
class DialFailure(SocketInput):
    """The dial came to nothing."""

    trigger = Trigger.DIAL_FAILED
    cause: LinkFailure


class Closed(SocketInput):
    """A socket that the machine dropped is closed."""

    trigger = Trigger.CLOSED


class Deadline(Input):
    """The deadline that the machine reported has passed. The machine ignores one that comes early."""

    trigger = Trigger.DEADLINE


class Deaf(SocketInput):
    """The canary of a link did not come back in time."""

    trigger = Trigger.DEAF


@dataclass(frozen=True, slots=True)
class Probe(Input):
    """A canary is due.

    Attributes:
        spec: the hidden subscription that gets the canary's event.
        presence: a presence for the canary alone, for when the user wants none; None where the driver writes something else.
        id: the id of that presence.
    """

    trigger = Trigger.CANARY
    spec: SubscriptionSpec
    presence: bytes | None = field(default=None, repr=False)
    id: str = ""


class ResumedFromSuspend(Input):
    """The process slept: its clock has jumped."""

    trigger = Trigger.WOKEN
