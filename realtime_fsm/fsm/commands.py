"""The commands: the I/O that a step asks the driver to do, and the facts that it asks the driver to pass on.

Invariant: the machine does no I/O. The driver executes the commands of a step in their order.
"""

from __future__ import annotations

from realtime_fsm.errors import LinkFailure, RealtimeError, ServerError
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.fsm.tablespec import Row
from realtime_fsm.fsm.values import Value
from realtime_fsm.protocol.eras import Era, UrlPlan
from realtime_fsm.protocol.faults import FaultNews
from realtime_fsm.protocol.frames import Code


class OpenLink(Value, frozen=True):
    """Dial a link."""

    generation: int
    plan: UrlPlan | None = None  # the channels for the URL; None for a URL without channels
    # the refusal of the credentials of the dial before; without new credentials the dial fails with this error
    renewal: ServerError | None = None


class SendFrame(Value, frozen=True):
    """Send one text frame on a link. The frame may hold a session."""

    _hidden = frozenset({"data"})
    generation: int
    data: bytes


class CloseLink(Value, frozen=True):
    """Close the socket of a link: with a closing handshake if `graceful`, else at once."""

    generation: int
    graceful: bool


class RetireLink(Value, frozen=True):
    """Begin a handover: the link drains, so that its socket delivers events and does nothing else."""

    generation: int


class ReleaseLink(Value, frozen=True):
    """Complete a handover: the current link serves everything, and the draining link closes after its last events."""

    generation: int


class ResumeLink(Value, frozen=True):
    """Give up a handover: the draining link is the current one again."""

    generation: int
    error: RealtimeError  # why no new link came; the call that wanted one raises this error
    withdrawn: tuple[str, ...] = ()  # the subscriptions that only a new link could have served; they are desired no more


class SubscriptionAcknowledged(Value, frozen=True):
    """Tell that the server acknowledged a subscription, with the channels that it named."""

    id: str
    channels: tuple[str, ...]


class SubscriptionRefused(Value, frozen=True):
    """Tell that the server refused a subscription, which is desired no more."""

    id: str
    code: Code
    message: str


class SubscriptionUnsupported(Value, frozen=True):
    """Tell that the server is too old for a subscription with queries, which is desired no more."""

    id: str
    era: Era


class UserIdentified(Value, frozen=True):
    """Tell which user the server names: the account as JSON text, or ``null`` for a guest."""

    _hidden = frozenset({"user"})
    user: bytes


class AuthenticationRefused(Value, frozen=True):
    """Tell that the server refused an authentication; the link keeps its user."""

    code: Code
    message: str


class Restore(Value, frozen=True):
    """Return to the identity that the server confirmed last. The error tells why the identity on trial got no link."""

    error: RealtimeError


class PresenceStored(Value, frozen=True):
    """Tell which presence the server has stored, as JSON text."""

    _hidden = frozenset({"presence"})
    presence: bytes


class PresenceRefused(Value, frozen=True):
    """Tell that the server refused the presence, or that the era of the server has no presences."""

    error: RealtimeError


class CanaryOut(Value, frozen=True):
    """Tell that the event of a canary may come now: the server has stored the presence, or the driver may call ``write``."""


class CanaryRefused(Value, frozen=True):
    """Tell that the server refused the canary, or its hidden subscription. This proves nothing about the link."""

    code: Code


class SubscriptionRemoved(Value, frozen=True):
    """Tell that a subscription is gone, from the server or with its link."""

    id: str


class EndFault(Value, frozen=True):
    """Tell that a server fault is over, or that its link is."""

    seconds: float  # seconds since the last proof, before the fault, that the server worked
    lost: bool


class FailWaiters(Value, frozen=True):
    """Fail all calls that wait for a link, because no link follows for now."""

    error: RealtimeError
    withdrawn: tuple[str, ...]  # the subscriptions that the server never acknowledged; they are desired no more
    streams: bool  # whether iterators fail, too; else they go on waiting


class EndStreams(Value, frozen=True):
    """End every stream."""


Command = (
    OpenLink | SendFrame | CloseLink | RetireLink | ReleaseLink | ResumeLink | SubscriptionAcknowledged | SubscriptionRefused
    | SubscriptionUnsupported | UserIdentified | AuthenticationRefused | Restore | PresenceStored | PresenceRefused | CanaryOut
    | CanaryRefused | SubscriptionRemoved | EndFault | FailWaiters | EndStreams
)  # fmt: skip


class TransitionTaken(Value, frozen=True):
    """The rule that a step took, with the facts of the step for the audit."""

    row: Row[State, Trigger]
    dest: State  # the state after the step; an internal rule keeps the state
    dwell: float  # seconds since the connection entered the state before the step; it enters the initial one with the first step
    link: int  # the generation of the newest link; 0 before the first dial
    sends: int  # frames sent on that link so far, with those of this step
    attempt: int  # how many dials in a row the connection has made since it last forgave failures
    # the failure that the step is about: an error frame, an end, or an answer that is overdue; else None
    cause: LinkFailure | None
    era: Era | None = None
    round_trip: float | None = None  # seconds from a ping to the answer that the step is about; else None
    fault: FaultNews | None = None  # the server fault that the step begins or ends; else None
    lag: float = 0.0  # seconds since the deadline, if it has passed: the process was busy or asleep
    at: float = 0.0  # the moment of the step, in seconds of the machine's clock
    draw: float | None = None  # the random number, if the step used it
    enabled: bool | None = None  # whether the step switches pings on; None where it does not switch them
    # where a pong is overdue, whether a frame came after the ping; where the link ends, whether one came after the last
    # error frame; else None
    heard: bool | None = None
    # the slot for which a dial waits, in seconds of the machine's clock; None where no dial waits for one
    dial_slot: float | None = None
    delay: float | None = None  # seconds from the step to the next dial; None where no dial waits


class StepResult(Value, frozen=True):
    """The result of a step."""

    transition: TransitionTaken | None  # None if the step took no rule, as for an input from an old socket
    commands: tuple[Command, ...]  # in the order in which the driver executes them
    deadline: float | None  # when to step with `Deadline` next, in seconds of the machine's clock; None for never
