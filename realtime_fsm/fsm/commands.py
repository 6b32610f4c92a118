"""The requests: what a step of the machine asks its driver to do. The machine itself does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from realtime_fsm.errors import LinkFailure, RealtimeError, ServerError
    from realtime_fsm.fsm.table import State, Trigger
    from realtime_fsm.fsm.tablespec import Row
    from realtime_fsm.protocol.eras import Era, UrlPlan
    from realtime_fsm.protocol.faults import FaultNews
    from realtime_fsm.protocol.frames import Code


@dataclass(frozen=True, slots=True)
class OpenLink:
    """Dial, as link number `generation`; with channels in the address, if there is a plan of them.

    Attributes:
        renewal: why the server refused the credentials of the dial before; without others the dial fails for that.
    """

    generation: int
    plan: UrlPlan | None = None
    renewal: ServerError | None = None


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Send one text frame on a link. It may hold a session."""

    generation: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Let go of a link's socket; with a closing handshake if `tidy`, at once if not."""

    generation: int
    graceful: bool


@dataclass(frozen=True, slots=True)
class RetireLink:
    """Begin a handover: let a link's socket deliver events, and nothing else, until another link serves what it serves."""

    generation: int


@dataclass(frozen=True, slots=True)
class ReleaseLink:
    """Complete a handover: the current link serves all that the draining one did, which goes when it owes nothing more."""

    generation: int


@dataclass(frozen=True, slots=True)
class ResumeLink:
    """Give up a handover: the draining link is the current one again.

    Attributes:
        generation: the number of that link.
        error: why there is no other link; the call that wanted one raises it.
        withdrawn: the subscriptions that only another link could have served; nobody desires them any more.
    """

    generation: int
    error: RealtimeError
    withdrawn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubscriptionAcknowledged:
    """Tell that a subscription is acknowledged, with the channels that the server named."""

    id: str
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """Tell that the server refused a subscription; it is no longer in the book."""

    id: str
    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class SubscriptionUnsupported:
    """Tell that the server is too old for a subscription with queries; it is no longer in the book."""

    id: str
    era: Era


@dataclass(frozen=True, slots=True)
class UserIdentified:
    """Tell who the server says we are: the account as JSON text, or ``null`` for a guest."""

    user: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuthenticationRefused:
    """Tell that the server refused an authentication; the link lives on, as who it was."""

    code: Code
    message: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Go back to the identity that was confirmed last: the one on trial gets no link, for this error."""

    error: RealtimeError


@dataclass(frozen=True, slots=True)
class PresenceStored:
    """Tell what the server has stored as our presence, as JSON text."""

    presence: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PresenceRefused:
    """Tell that there will be no presence: the server refused it, or is of an era that has none."""

    error: RealtimeError


@dataclass(frozen=True, slots=True)
class CanaryOut:
    """Tell that the event of a canary may come from now on: its presence is stored, or it is to be written."""


@dataclass(frozen=True, slots=True)
class CanaryRefused:
    """Tell that the server refused the canary, or its hidden subscription; nothing is proven."""

    code: Code


@dataclass(frozen=True, slots=True)
class SubscriptionRemoved:
    """Tell that a subscription is gone from the server, or its link is."""

    id: str


@dataclass(frozen=True, slots=True)
class EndFault:
    """Tell that a server fault is over; or, if `lost`, that its link is.

    Attributes:
        seconds: how long ago the server had last proved that it worked.
        lost: whether the link is gone, or draining.
    """

    seconds: float
    lost: bool


@dataclass(frozen=True, slots=True)
class FailWaiters:
    """Tell everybody who waits for a link that there will be none for now.

    Attributes:
        error: what they are told.
        withdrawn: the subscriptions that were never acknowledged; they are no longer in the book.
        streams: whether iterators are told, too; if not, they go on waiting.
    """

    error: RealtimeError
    withdrawn: tuple[str, ...]
    streams: bool


@dataclass(frozen=True, slots=True)
class EndStreams:
    """End every stream: nothing will follow."""


Command = (
    OpenLink
    | SendFrame
    | CloseLink
    | RetireLink
    | ReleaseLink
    | ResumeLink
    | SubscriptionAcknowledged
    | SubscriptionRefused
    | SubscriptionUnsupported
    | UserIdentified
    | AuthenticationRefused
    | Restore
    | PresenceStored
    | PresenceRefused
    | CanaryOut
    | CanaryRefused
    | SubscriptionRemoved
    | EndFault
    | FailWaiters
    | EndStreams
)


@dataclass(frozen=True, slots=True)
class TransitionTaken:
    """The row that a step took, and the facts of it that an auditor needs.

    Attributes:
        row: the row.
        dest: the state after it; the row's source when it is internal.
        dwell: seconds since the source state was entered; the initial one is entered with the first step.
        link: the generation of the newest link; 0 before the first dial.
        sends: frames sent on that link so far, those of this step included.
        attempt: how many dials in a row have been made without being forgiven.
        cause: the failure that the step is about: an error frame, an end, something overdue; None on the other rows.
        era: what the server speaks, as far as it is known.
        round_trip: seconds from a ping to the answer that the step is about; None on the other rows.
        fault: what the step says of a server fault; None where it says nothing.
        lag: seconds since the deadline that was waited for, if it had passed: the process was busy or asleep.
        at: the moment of the step, in seconds of the clock that the step was given.
        draw: the random number that the step used; None where it used none.
        enabled: whether the step switches pings on; None where it does not switch them.
        heard: whether a frame came since the ping, where a pong is overdue, or since the last error frame, where the link ends;
            None on other steps.
        dial_slot: when a dial that must wait for others may leave, in seconds of that clock; None where no dial must wait.
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


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step came to.

    Attributes:
        transition: the row, or None when the input was ignored on purpose, belonged to an old socket, or came early.
        requests: what to do, in this order.
        deadline: when to step with `Deadline` next, in the clock of `now`; None for never.
    """

    transition: TransitionTaken | None
    commands: tuple[Command, ...]
    deadline: float | None
