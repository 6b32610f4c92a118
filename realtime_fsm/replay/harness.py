"""The stage: the real machine on a virtual clock, with the world as the replay sets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from realtime_fsm.fsm import commands as requests
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.inputs import Acknowledged, ErrorReceived, GreetingReceived, Pong, Recovered
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.notes import apply_notes
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.fsm.table import LIVE, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.audit.tracking import Policies
    from realtime_fsm.fsm.canary_policy import Canary
    from realtime_fsm.fsm.commands import Command, StepResult
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
    from realtime_fsm.protocol.eras import Era
    from realtime_fsm.protocol.options import Timeouts

DEFAULT_DRAW = 0.5
"""The random number of a step that needs none."""
FRAMES = (GreetingReceived, Acknowledged, Pong, Recovered, ErrorReceived)
"""The inputs that are frames: each is a sign of life, too."""

ASKS: dict[type[Command], str] = {
    requests.OpenLink: "open",
    requests.SendFrame: "send",
    requests.CloseLink: "drop",
    requests.RetireLink: "drain",
    requests.SubscriptionAcknowledged: "acknowledge",
    requests.SubscriptionRefused: "reject",
    requests.SubscriptionUnsupported: "missing_channels",
    requests.UserIdentified: "identify",
    requests.AuthenticationRefused: "reject_identity",
    requests.Restore: "restore_identity",
    requests.PresenceStored: "presence",
    requests.PresenceRefused: "reject_presence",
    requests.CanaryOut: "canary_sent",
    requests.CanaryRefused: "canary_refused",
    requests.SubscriptionRemoved: "remove",
    requests.EndFault: "end_fault",
    requests.FailWaiters: "fail",
    requests.EndStreams: "end",
}
"""The words for commands in emitted tests. Files of users hold them, so a word stays when its class gets another name."""


def asks(result: StepResult) -> str:
    """Name the commands of a step, in their order, with blanks between the words."""
    return " ".join(ASKS[type(request)] for request in result.commands)


class Settings(NamedTuple):
    """The settings of a connection; `realtime_fsm.Realtime` explains each."""

    retry: RetryPolicy
    ping: PingPolicy
    timeouts: Timeouts
    auto_reconnect: bool
    max_link_age: float | None
    era: Era | None
    canary: Canary | None = None


@dataclass(frozen=True, slots=True)
class ReplayInput:
    """One input, and all that the machine is stepped with.

    Attributes:
        at: the moment, in seconds since the first step.
        happened: what happened.
        draw: the random number.
        place: when a dial of this step has its turn among those of the process; None for at once.
        heard: whether some other frame came since the step before.
        pauses: when the link was read no more since then, and when it was read again (False).
    """

    at: float
    input_: Input
    draw: float = DEFAULT_DRAW
    place: float | None = None
    heard: bool = False
    pauses: tuple[tuple[float, bool], ...] = ()


class ScriptedPacer(Pacer):
    """The queue of those who want to dial, with the places that the log shows."""

    __slots__ = ("place",)

    def __init__(self) -> None:
        super().__init__(None)
        self.place: float | None = None

    def reserve(self, now: float) -> float:
        """When to dial."""
        return now if self.place is None else self.place

    def claim(self, place: float, now: float) -> float:
        """When to dial, for who waited."""
        return self.reserve(now)


class MachineHarness:
    """One connection.

    Attributes:
        context: what it remembers.
    """

    def __init__(self, policies: Policies | Settings, replay_inputs: Iterable[ReplayInput] = ()) -> None:
        self._turnstile = ScriptedPacer()
        self.context = ConnectionContext(
            retry=policies.retry,
            ping=policies.ping,
            timeouts=policies.timeouts,
            auto_reconnect=policies.auto_reconnect,
            max_link_age=policies.max_link_age,
            pacer=self._turnstile,
            era=policies.era,
            canary=policies.canary,
        )
        self._machine = ConnectionMachine(self.context)
        for replay_input in replay_inputs:
            self.feed(replay_input)

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return self._machine.state

    def feed(self, replay_input: ReplayInput) -> StepResult:
        """Step the machine, as the driver does."""
        self._set(replay_input)
        return self._machine.step(replay_input.input_, replay_input.at, draw=replay_input.draw)

    def evaluate_guards(self, replay_input: ReplayInput, guards: Iterable[str]) -> dict[str, bool]:
        """What guards would answer to an input. The stage is used up by it."""
        self._set(replay_input)
        self.context.reset_step(replay_input.at, replay_input.draw)
        apply_notes(self.context, replay_input.input_)
        return {name: GUARDS[name](self.context) for name in guards}

    def read(self, at: float, *, paused: bool) -> None:
        """The link is not read any more, or is read again. Said twice it means the same."""
        self._machine.set_read_paused(self.context.generation, at, paused=paused)

    def _set(self, replay_input: ReplayInput) -> None:
        for at, paused in replay_input.pauses:
            self.read(at, paused=paused)
        self._turnstile.place = replay_input.place
        link = self.context.link
        if link is not None:
            link.frames_received += replay_input.heard
            link.frames_received += isinstance(replay_input.input_, FRAMES) and replay_input.input_.generation == link.generation

    @property
    def awaited(self) -> str:
        """What the deadline is for, in a word; empty if there is none."""
        context, due = self.context, self.context.deadline
        if due is None:
            return ""
        if self.state not in LIVE:
            return "dial" if context.link is None else context.link.phase.value
        if self.state is State.PING:
            return "pong"
        waits = {
            "reply": context.reply_by,
            "idling": context.idle_at if self.state is State.UNSUBSCRIBED else None,
            "renewal": context.renew_at,
            "handover": context.handover_at,
            "ping": context.ping_at,
            "stability": context.stable_at,
            "budget" if context.again_at is None else "repetition": context.budget_at,
        }
        return next(what for what, moment in waits.items() if moment == due)
