"""The commands: the I/O and the news that a step of the machine asks of its driver.

Invariant: the machine itself does no I/O. The driver executes the commands of a step in their order.
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
    """Dial a link; with channels in the URL, if there is a plan of them.

    Attributes:
        generation: the number of the link.
        plan: the channels for the URL.
        renewal: why the server refused the credentials of the dial before; without new ones the dial fails for that.
    """

    generation: int
    plan: UrlPlan | None = None
    renewal: ServerError | None = None


class SendFrame(Value, frozen=True):
    """Send one text frame on a link. It may hold a session."""

    _hidden = frozenset({"data"})
    generation: int
    data: bytes


class CloseLink(Value, frozen=True):
    """Close a link's socket, with a closing handshake if `graceful`; abort it if not."""

    generation: int
    graceful: bool


class RetireLink(Value, frozen=True):
    """Begin a handover: let a link's socket deliver events, and nothing else, until another link serves what it serves."""

    generation: int


class ReleaseLink(Value, frozen=True):
    """Complete a handover: the current link serves everything, and the draining one closes after its last events."""

    generation: int


class ResumeLink(Value, frozen=True):
    """Give up a handover: the draining link is the current one again.

    Attributes:
        generation: the number of that link.
        error: the reason why no other link came; the call that wanted one raises it.
        withdrawn: the subscriptions that only another link could have served, and that are desired no more.
    """

    generation: int
    error: RealtimeError
    withdrawn: tuple[str, ...] = ()


class SubscriptionAcknowledged(Value, frozen=True):
    """Tell that a subscription is acknowledged, with the channels that the server named."""

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
    """Tell the user that the server names: the account as JSON text, or ``null`` for a guest."""

    _hidden = frozenset({"user"})
    user: bytes


class AuthenticationRefused(Value, frozen=True):
    """Tell that the server refused an authentication; the link keeps its user."""

    code: Code
    message: str


class Restore(Value, frozen=True):
    """Go back to the identity that was confirmed last: this error refuses a link to the one on trial."""

    error: RealtimeError


class PresenceStored(Value, frozen=True):
    """Tell which presence the server has stored, as JSON text."""

    _hidden = frozenset({"presence"})
    presence: bytes


class PresenceRefused(Value, frozen=True):
    """Tell that the server refused the presence, or that its era has no presences."""

    error: RealtimeError


class CanaryOut(Value, frozen=True):
    """Tell that the event of a canary may come: the server has stored its presence, or the driver is to write it."""


class CanaryRefused(Value, frozen=True):
    """Tell that the server refused the canary, or its hidden subscription, which proves nothing."""

    code: Code


class SubscriptionRemoved(Value, frozen=True):
    """Tell that a subscription is gone from the server, or its link is."""

    id: str


class EndFault(Value, frozen=True):
    """Tell that a server fault is over; or, if `lost`, that its link is.

    Attributes:
        seconds: how long ago the server had last proved that it worked.
        lost: whether the link is gone, or draining.
    """

    seconds: float
    lost: bool


class FailWaiters(Value, frozen=True):
    """Fail all calls that wait for a link: no link follows for now.

    Attributes:
        error: the error that they raise.
        withdrawn: the subscriptions that were never acknowledged, and are desired no more.
        streams: whether iterators fail, too; if not, they go on waiting.
    """

    error: RealtimeError
    withdrawn: tuple[str, ...]
    streams: bool


class EndStreams(Value, frozen=True):
    """End every stream: nothing follows."""


Command = (
    OpenLink | SendFrame | CloseLink | RetireLink | ReleaseLink | ResumeLink | SubscriptionAcknowledged | SubscriptionRefused
    | SubscriptionUnsupported | UserIdentified | AuthenticationRefused | Restore | PresenceStored | PresenceRefused | CanaryOut
    | CanaryRefused | SubscriptionRemoved | EndFault | FailWaiters | EndStreams
)  # fmt: skip


class TransitionTaken(Value, frozen=True):
    """The row that a step took, with its facts for the audit.

    Attributes:
        row: the row.
        dest: the state after it; the row's source when it is internal.
        dwell: seconds since the source state was entered; the initial one is entered with the first step.
        link: the generation of the newest link; 0 before the first dial.
        sends: frames sent on that link so far, those of this step included.
        attempt: how many dials in a row have been made without being forgiven.
        cause: the failure that the step is about: an error frame, an end, something overdue; None on the other rows.
        era: the era of the server, as far as it is known.
        round_trip: seconds from a ping to the answer that the step is about; None on the other rows.
        fault: the server fault that the step begins or ends; None on the other rows.
        lag: seconds since the deadline, if it had passed: the process was busy or asleep.
        at: the moment of the step, in seconds of the clock that the step was given.
        draw: the random number that the step used; None where it used none.
        enabled: whether the step switches pings on; None where it does not switch them.
        heard: whether a frame came since the ping, where a pong is overdue, or since the last error frame, where the link ends;
            None on other steps.
        dial_slot: when a dial that must wait for others may leave, in seconds of that clock; None where no dial must wait.
        delay: seconds from the step to the next dial; None where no dial waits.
    """

    row: Row[State, Trigger]
    dest: State
    dwell: float
    link: int
    sends: int
    attempt: int
    cause: LinkFailure | None
    era: Era | None = None
    round_trip: float | None = None
    fault: FaultNews | None = None
    lag: float = 0.0
    at: float = 0.0
    draw: float | None = None
    enabled: bool | None = None
    heard: bool | None = None
    dial_slot: float | None = None
    delay: float | None = None


class StepResult(Value, frozen=True):
    """The result of a step.

    Attributes:
        transition: the row, or None when the input was ignored on purpose, belonged to an old socket, or came early.
        commands: the commands, in the order in which the driver executes them.
        deadline: when to step with `Deadline` next, in the clock of `now`; None for never.
    """

    transition: TransitionTaken | None
    commands: tuple[Command, ...]
    deadline: float | None
