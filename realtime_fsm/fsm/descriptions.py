"""The descriptions: the meaning of each state and trigger for people, and the few words on an arrow of a diagram.

Invariant: nothing here decides anything; behaviour is the table's.

Design: The command line, the diagrams and the generated reference take their words from here, so that each state has one
explanation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from realtime_fsm.fsm.names import Guard
from realtime_fsm.fsm.table import State, Trigger

if TYPE_CHECKING:
    from collections.abc import Mapping


class StateKind(StrEnum):
    """The kind of a state; the diagrams give each kind one colour."""

    REST = "no link wanted"
    UNDERWAY = "getting a link"
    LIVE = "live: the link is up"
    ERROR = "error: no link, no attempt"
    END = "the end"


class TriggerSource(StrEnum):
    """The source of a trigger."""

    USER = "user"
    SOCKET = "socket"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class StateDescription:
    """The meaning of a state.

    Attributes:
        group: the kind of the state.
        brief: a few words, for one line of a log or a picture.
        description: the whole sentence.
        resources: the sockets and deadlines that the connection may hold in it.
        advice: the next step of a user who sees it.
    """

    group: StateKind
    brief: str
    description: str
    resources: str
    advice: str


@dataclass(frozen=True, slots=True)
class TriggerDescription:
    """The meaning of a trigger.

    Attributes:
        side: its source.
        phrase: a word or two, for an arrow; a call of the user is written as a call.
        description: the whole sentence.
    """

    side: TriggerSource
    phrase: str
    description: str


_LINK = "one socket, one deadline"

STATES: Mapping[State, StateDescription] = MappingProxyType(
    {
        State.DISCONNECTED: StateDescription(
            StateKind.REST,
            "no link, and none is wanted",
            "No link, and none is wanted: the beginning, after `disconnect()`, after a loss with `auto_reconnect` off, or after"
            " an idle link was closed.",
            "nothing",
            "Call `subscribe()` or `connect()` when you want a link; subscriptions that you made before are kept.",
        ),
        State.RECONNECTING: StateDescription(
            StateKind.UNDERWAY,
            "getting a link",
            "A link is wanted and not ready: waiting for the next attempt, dialing, or waiting for the server's greeting. The"
            " first connection is attempt 1 of it.",
            _LINK,
            "Wait: the connection dials as the retry policy says. `reconnect()` dials at once.",
        ),
        State.CONNECTED: StateDescription(
            StateKind.LIVE,
            "the link is up",
            "The link is up; nothing is desired yet, or not everything desired is acknowledged on this link.",
            _LINK,
            "Wait for the acknowledgement, or subscribe to something. Events of acknowledged subscriptions flow already.",
        ),
        State.SUBSCRIBED: StateDescription(
            StateKind.LIVE,
            "the link is up and everything is subscribed",
            "The link is up, and everything that was desired when this state was entered is acknowledged on it.",
            _LINK,
            "Nothing: enjoy your events.",
        ),
        State.UNSUBSCRIBED: StateDescription(
            StateKind.LIVE,
            "the link is up and nothing is left to listen for",
            "The link is up and the last subscription has been removed; an idle deadline may close it.",
            _LINK,
            "Call `subscribe()` to go on listening, or `disconnect()` to give the link back.",
        ),
        State.PING: StateDescription(
            StateKind.LIVE,
            "waiting for the answer to a heartbeat",
            "A heartbeat is out and its answer is awaited. Events flow and calls are served as before; the answer leads back to"
            " the live state that fits the subscriptions.",
            _LINK,
            "Nothing: this state is as live as the other three, and lasts no longer than the ping policy's timeout.",
        ),
        State.ERROR: StateDescription(
            StateKind.ERROR,
            "no link, and no attempt will be made",
            "No link, and no automatic attempt will be made: the server refused for good, or the retries are used up. The typed"
            " error is kept in `realtime.error`; the subscriptions are kept too.",
            "nothing",
            "Read `realtime.error`, remove the cause, then call `reconnect()`; a new `subscribe()` leaves it as well.",
        ),
        State.DISPOSING: StateDescription(
            StateKind.END,
            "the end",
            "The end: the socket is being closed, every stream ends, nothing follows.",
            "one socket, until it is closed",
            "Build a new `Realtime` if you want to listen again.",
        ),
    }
)
"""The meaning of every state."""

TRIGGERS: Mapping[Trigger, TriggerDescription] = MappingProxyType(
    {
        Trigger.CONNECT: TriggerDescription(TriggerSource.USER, "connect()", "You want a link."),
        Trigger.SUBSCRIBE: TriggerDescription(TriggerSource.USER, "subscribe()", "You want to listen to some channels."),
        Trigger.UNSUBSCRIBE: TriggerDescription(TriggerSource.USER, "unsubscribe()", "You want to listen to them no more."),
        Trigger.RECONNECT: TriggerDescription(TriggerSource.USER, "reconnect()", "You want a new link now."),
        Trigger.DISCONNECT: TriggerDescription(TriggerSource.USER, "disconnect()", "You want no link, for now."),
        Trigger.DISPOSE: TriggerDescription(TriggerSource.USER, "dispose()", "You are done; so is the end of `async with`."),
        Trigger.AUTHENTICATE: TriggerDescription(
            TriggerSource.USER, "authenticate()", "You want to be another user, or a user at all."
        ),
        Trigger.LOG_OUT: TriggerDescription(
            TriggerSource.USER, "authenticate()", "You want to be a guest: `authenticate(None)`."
        ),
        Trigger.PRESENCE: TriggerDescription(
            TriggerSource.USER, "set_presence()", "You want to be shown as present, or no longer."
        ),
        Trigger.PING_SWITCHED: TriggerDescription(
            TriggerSource.USER, "set_ping_enabled()", "You switch the heartbeat on or off."
        ),
        Trigger.OPENED: TriggerDescription(TriggerSource.SOCKET, "opened", "The upgrade to a WebSocket is done."),
        Trigger.GREETED: TriggerDescription(TriggerSource.SOCKET, "greeted", "The server's `connected` frame came."),
        Trigger.ACKNOWLEDGED: TriggerDescription(TriggerSource.SOCKET, "acknowledged", "The server answered a control request."),
        Trigger.PONG: TriggerDescription(TriggerSource.SOCKET, "pong", "The server answered a heartbeat."),
        Trigger.SERVER_ERROR: TriggerDescription(TriggerSource.SOCKET, "server error", "The server's `error` frame came."),
        Trigger.RECOVERED: TriggerDescription(TriggerSource.SOCKET, "recovered", "An event came, so a server fault is over."),
        Trigger.LOST: TriggerDescription(TriggerSource.SOCKET, "lost", "The stream ended, or broke."),
        Trigger.DIAL_FAILED: TriggerDescription(TriggerSource.SOCKET, "dial failed", "No WebSocket came about."),
        Trigger.CLOSED: TriggerDescription(TriggerSource.SOCKET, "closed", "A socket that the connection dropped is closed."),
        Trigger.DEAF: TriggerDescription(
            TriggerSource.SOCKET, "deaf", "The link's canary did not come back: its events are lost."
        ),
        Trigger.DEADLINE: TriggerDescription(TriggerSource.CLOCK, "overdue", "The moment that the state waits for has come."),
        Trigger.CANARY: TriggerDescription(TriggerSource.CLOCK, "canary due", "The link is to prove that events still arrive."),
        Trigger.WOKEN: TriggerDescription(
            TriggerSource.CLOCK, "woke from sleep", "The process slept, as a suspended machine does."
        ),
    }
)
"""The meaning of every trigger."""

GUARD_LABELS: Mapping[str, str] = MappingProxyType(
    {
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
)
"""The guards that tell more than the trigger. The words of a row's first one go on the arrow instead."""

NEGATED_GUARD_LABELS: Mapping[str, str] = MappingProxyType({Guard.MAY_RETRY: "retries used up"})
"""The guards whose *failing* tells more than the trigger, with the words for the arrow of a row behind them."""

DEADLINES: Mapping[str, str] = MappingProxyType(
    {
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
)
"""The meaning of each deadline, with a place for the time that is left."""
