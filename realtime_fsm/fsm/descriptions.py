"""The descriptions: the meaning of each state and trigger for people, and the labels of arrows in diagrams.

Invariant: no behaviour depends on a description.

Design: The command line, the diagrams and the generated reference take their texts from here, so that each state has one
explanation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.table import State, Trigger

if TYPE_CHECKING:
    from collections.abc import Mapping


class StateKind(StrEnum):
    """The kinds of states; diagrams give each kind one colour."""

    REST = "no link wanted"
    UNDERWAY = "getting a link"
    LIVE = "live: the link is up"
    ERROR = "error: no link, no attempt"
    END = "the end"

    @property
    def key(self) -> str:
        """The kind in one word, for JSON and style sheets."""
        return self.name.lower()


class TriggerSource(StrEnum):
    """The sources of triggers."""

    USER = "user"
    SOCKET = "socket"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class StateDescription:
    """The meaning of a state."""

    kind: StateKind
    brief: str  # a few words, for a log or a picture
    description: str  # a sentence or two
    resources: str  # the sockets and deadlines that the connection may hold in this state
    advice: str  # the next step of a user who sees this state


@dataclass(frozen=True, slots=True)
class TriggerDescription:
    """The meaning of a trigger."""

    source: TriggerSource
    phrase: str  # a word or two, for an arrow; the name of the method for a call of the user
    description: str  # a sentence


_LINK = "one socket, one deadline"

STATES: Mapping[State, StateDescription] = {
    State.DISCONNECTED: StateDescription(
        StateKind.REST,
        "no link, and none is wanted",
        "No link is up, and you want no link: at the beginning, after `disconnect()`, after a loss with `auto_reconnect` off,"
        " or after the connection closed an idle link.",
        "nothing",
        "Call `subscribe()` or `connect()` when you want a link; subscriptions that you made before are kept.",
    ),
    State.RECONNECTING: StateDescription(
        StateKind.UNDERWAY,
        "getting a link",
        "You want a link, and it is not ready: the connection waits for the next attempt, dials, or waits for the server's"
        " greeting. The very first dial is attempt 1.",
        _LINK,
        "Wait: the connection dials as the retry policy says. `reconnect()` dials at once.",
    ),
    State.CONNECTED: StateDescription(
        StateKind.LIVE,
        "the link is up",
        "The link is up. Nothing is desired yet, or the server has not acknowledged everything desired on this link.",
        _LINK,
        "Wait for the acknowledgement, or subscribe to something. Events of acknowledged subscriptions flow already.",
    ),
    State.SUBSCRIBED: StateDescription(
        StateKind.LIVE,
        "the link is up and everything is subscribed",
        "The link is up, and the server has acknowledged everything that was desired on entry to this state.",
        _LINK,
        "Nothing: enjoy your events.",
    ),
    State.UNSUBSCRIBED: StateDescription(
        StateKind.LIVE,
        "the link is up and nothing is left to listen for",
        "The link is up, and you have removed the last subscription. The connection closes a link that is idle for too long.",
        _LINK,
        "Call `subscribe()` to go on listening, or `disconnect()` to give the link back.",
    ),
    State.PING: StateDescription(
        StateKind.LIVE,
        "waiting for the answer to a heartbeat",
        "A ping is out, and the connection waits for the answer. Events arrive and calls work as before; the answer leads"
        " back to the live state that fits the subscriptions.",
        _LINK,
        "Nothing: this state is as live as the other three, and lasts no longer than the ping policy's timeout.",
    ),
    State.ERROR: StateDescription(
        StateKind.ERROR,
        "no link, and no attempt will be made",
        "No link is up, and the connection will not dial again: the server refused for good, or no attempt is left. The"
        " connection keeps the typed error in `realtime.error`, and keeps the subscriptions.",
        "nothing",
        "Read `realtime.error`, remove the cause, then call `reconnect()`; a new `subscribe()` leaves it as well.",
    ),
    State.DISPOSING: StateDescription(
        StateKind.END,
        "the end",
        "The end: the connection closes its socket and ends every stream; no other state follows.",
        "one socket, until it is closed",
        "Build a new `Realtime` if you want to listen again.",
    ),
}
"""The meaning of every state."""

_USER, _SOCKET, _CLOCK = TriggerSource

TRIGGERS: Mapping[Trigger, TriggerDescription] = {
    Trigger.CONNECT: TriggerDescription(_USER, "connect()", "You want a link."),
    Trigger.SUBSCRIBE: TriggerDescription(_USER, "subscribe()", "You want to listen to some channels."),
    Trigger.UNSUBSCRIBE: TriggerDescription(_USER, "unsubscribe()", "You want to stop listening to some channels."),
    Trigger.RECONNECT: TriggerDescription(_USER, "reconnect()", "You want a new link now."),
    Trigger.DISCONNECT: TriggerDescription(_USER, "disconnect()", "You want no link, for now."),
    Trigger.DISPOSE: TriggerDescription(_USER, "dispose()", "You are done; the end of `async with` is the same."),
    Trigger.AUTHENTICATE: TriggerDescription(
        _USER, "authenticate()", "You want to be another user, or a user instead of a guest."
    ),
    Trigger.LOG_OUT: TriggerDescription(_USER, "authenticate()", "You want to be a guest: `authenticate(None)`."),
    Trigger.PRESENCE: TriggerDescription(_USER, "set_presence()", "You want to be shown as present, or no longer."),
    Trigger.PING_SWITCHED: TriggerDescription(_USER, "set_ping_enabled()", "You switch pings on or off."),
    Trigger.OPENED: TriggerDescription(_SOCKET, "opened", "The upgrade to a WebSocket is done."),
    Trigger.GREETED: TriggerDescription(_SOCKET, "greeted", "The server's `connected` frame came."),
    Trigger.ACKNOWLEDGED: TriggerDescription(_SOCKET, "acknowledged", "The server answered a control request."),
    Trigger.PONG: TriggerDescription(_SOCKET, "pong", "The server answered a ping."),
    Trigger.SERVER_ERROR: TriggerDescription(_SOCKET, "server error", "The server's `error` frame came."),
    Trigger.RECOVERED: TriggerDescription(_SOCKET, "recovered", "An event came, so a server fault is over."),
    Trigger.LOST: TriggerDescription(_SOCKET, "lost", "The stream ended, or broke."),
    Trigger.DIAL_FAILED: TriggerDescription(_SOCKET, "dial failed", "The dial ended without a WebSocket."),
    Trigger.CLOSED: TriggerDescription(_SOCKET, "closed", "A socket that the connection gave up is closed."),
    Trigger.DEAF: TriggerDescription(_SOCKET, "deaf", "The event of a canary did not come: the link loses events."),
    Trigger.DEADLINE: TriggerDescription(_CLOCK, "overdue", "The deadline of the state has passed."),
    Trigger.CANARY: TriggerDescription(_CLOCK, "canary due", "It is time to test whether events still arrive."),
    Trigger.WOKEN: TriggerDescription(_CLOCK, "woke from sleep", "The process slept, for example with a suspended computer."),
}
"""The meaning of every trigger."""

GUARD_LABELS: Mapping[str, str] = {
    Guard.IS_FATAL: "refused for good",
    Guard.RECONNECT_OFF: "lost with auto-reconnect off",
    Guard.REPLY_OVERDUE: "overdue",
    Guard.IDLE_DUE: "idle too long",
    Guard.RENEWAL_DUE: "link too old",
    Guard.PING_DUE: "ping due",
    Guard.STABLE_DUE: "proven stable",
    Guard.ATTEMPT_DUE: "delay over",
    Guard.HEARD_SINCE_PING: "other frames came",
    Guard.ERROR_ANSWERS_REQUEST: "request refused",
    Guard.ERROR_ANSWERS_PING: "ping refused",
    Guard.RATE_LIMITED: "too many messages",
    Guard.ERROR_PRECEDES_CLOSE: "end announced",
    Guard.SERVER_NEEDS_URL_CHANNELS: "channels wanted",
    Guard.NEW_SUBSCRIPTIONS_REJECTED: "new one refused",
    Guard.TRIAL_FAILED: "identity refused",
    Guard.PRESENCE_NEEDS_LINK: "another presence id",
    Guard.ALL_CLOSED: "old link closed",
    Guard.CREDENTIALS_RENEWABLE: "credentials refused once",
    Guard.HANDOVER_DUE: "other channels",
}
"""The labels of guards that tell more than their trigger. An arrow shows the first of them that its rule has."""

NEGATED_GUARD_LABELS: Mapping[str, str] = {Guard.MAY_RETRY: "retries used up"}
"""The labels of guards that tell more than a trigger where they *fail*. An arrow shows them for a later rule of the cell."""

DEADLINES: Mapping[str, str] = {
    "dial": "the next dial is due in {}",
    "upgrade": "the answer to the dial is awaited for {} more",
    "greeting": "the greeting of the server is awaited for {} more",
    "reply": "the reply to a request is awaited for {} more",
    "pong": "the answer to a ping is awaited for {} more",
    "ping": "the next ping is due in {}",
    "idling": "the link is closed in {}, because nothing is subscribed",
    "renewal": "another link takes the place of this one in {}, because of its age",
    "handover": "a link with the new channels is dialed in {}",
    "stability": "the link counts as stable in {}",
    "budget": "the next request may leave in {}: the send budget is used up",
    "repetition": "the request that failed is repeated in {}",
}
"""The meaning of each deadline; ``{}`` is the place for the time that is left."""
