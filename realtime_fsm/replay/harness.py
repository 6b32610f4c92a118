"""The harness: the machine on a virtual clock, with the world as the replay sets it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.fsm import commands
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.inputs import Acknowledged, ErrorReceived, GreetingReceived, Pong, Recovered
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.notes import apply_notes
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.fsm.table import LIVE, State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import SimpleNamespace

    from realtime_fsm.audit.tracking import Policies
    from realtime_fsm.fsm.commands import Command, StepResult
    from realtime_fsm.fsm.inputs import Input

DEFAULT_DRAW = 0.5
"""The random number of a step that uses none."""
_FRAMES = (GreetingReceived, Acknowledged, Pong, Recovered, ErrorReceived)
"""The inputs that are frames: the link counts each."""

_WORDS: dict[type[Command], str] = {
    commands.OpenLink: "open",
    commands.SendFrame: "send",
    commands.CloseLink: "drop",
    commands.RetireLink: "drain",
    commands.ReleaseLink: "release",
    commands.ResumeLink: "resume",
    commands.SubscriptionAcknowledged: "acknowledge",
    commands.SubscriptionRefused: "reject",
    commands.SubscriptionUnsupported: "missing_channels",
    commands.UserIdentified: "identify",
    commands.AuthenticationRefused: "reject_identity",
    commands.Restore: "restore_identity",
    commands.PresenceStored: "presence",
    commands.PresenceRefused: "reject_presence",
    commands.CanaryOut: "canary_sent",
    commands.CanaryRefused: "canary_refused",
    commands.SubscriptionRemoved: "remove",
    commands.EndFault: "end_fault",
    commands.FailWaiters: "fail",
    commands.EndStreams: "end",
}
"""The words for commands in emitted tests. Files of users hold them, so a word stays when its class gets another name."""


def command_words(result: StepResult) -> str:
    """Name the commands of a step, in their order, with blanks between the words."""
    return " ".join(_WORDS[type(command)] for command in result.commands)


@dataclass(frozen=True, slots=True)
class ReplayInput:
    """One input, and all that the step depends on.

    Attributes:
        at: the moment, in seconds of the machine's clock.
        input_: the input.
        draw: the random number.
        dial_slot: when the rate limit of the process lets a dial of this step leave; None for at once.
        heard: whether a frame without a record came since the step before.
        pauses: when reading from the link stopped since then (True), and when it went on (False).
    """

    at: float
    input_: Input
    draw: float = DEFAULT_DRAW
    dial_slot: float | None = None
    heard: bool = False
    pauses: tuple[tuple[float, bool], ...] = ()


class ScriptedPacer(Pacer):
    """A pacer whose dial slots are those of the log.

    Attributes:
        dial_slot: the slot of the next dial; None for at once.
    """

    __slots__ = ("dial_slot",)

    def __init__(self) -> None:
        super().__init__(None)
        self.dial_slot: float | None = None

    def reserve(self, now: float) -> float:
        """Tell when to dial."""
        return now if self.dial_slot is None else self.dial_slot

    def claim(self, place: float, now: float) -> float:
        """Tell when to dial, for a dial that has waited."""
        return self.reserve(now)


class MachineHarness:
    """One connection, without a driver.

    Args:
        policies: the settings, as attributes with the names of the parameters of `ConnectionContext`.
        replay_inputs: inputs to take at once.

    Attributes:
        context: the memory of the connection.
    """

    def __init__(self, policies: Policies | SimpleNamespace, replay_inputs: Iterable[ReplayInput] = ()) -> None:
        self._pacer = ScriptedPacer()
        self.context: ConnectionContext = ConnectionContext(
            retry=policies.retry,
            ping=policies.ping,
            timeouts=policies.timeouts,
            auto_reconnect=policies.auto_reconnect,
            max_link_age=policies.max_link_age,
            pacer=self._pacer,
            era=policies.era,
            canary=policies.canary,
        )
        self._machine = ConnectionMachine(self.context)
        for replay_input in replay_inputs:
            self.feed(replay_input)

    @property
    def state(self) -> State:
        """The state of the connection."""
        return self._machine.state

    def feed(self, replay_input: ReplayInput) -> StepResult:
        """Step the machine, as the driver does."""
        self._prepare(replay_input)
        return self._machine.step(replay_input.input_, replay_input.at, draw=replay_input.draw)

    def evaluate_guards(self, replay_input: ReplayInput, guards: Iterable[str]) -> dict[str, bool]:
        """Evaluate guards on an input. The harness cannot be used afterwards."""
        self._prepare(replay_input)
        self.context.reset_step(replay_input.at, replay_input.draw)
        apply_notes(self.context, replay_input.input_)
        return {name: GUARDS[name](self.context) for name in guards}

    def pause(self, pauses: Iterable[tuple[float, bool]]) -> None:
        """Stop reading from the link, or go on. The same pause may come twice."""
        for at, paused in pauses:
            self._machine.set_read_paused(self.context.generation, at, paused=paused)

    def _prepare(self, replay_input: ReplayInput) -> None:
        self.pause(replay_input.pauses)
        self._pacer.dial_slot = replay_input.dial_slot
        link, input_ = self.context.link, replay_input.input_
        if link is not None:
            link.frames_received += replay_input.heard
            link.frames_received += isinstance(input_, _FRAMES) and input_.generation == link.generation

    @property
    def awaited(self) -> str:
        """The name of the deadline; empty without a deadline."""
        context, due = self.context, self.context.deadline
        if due is None:
            return ""
        if self.state not in LIVE:
            return "dial" if context.link is None else context.link.phase.value
        if self.state is State.PING:
            return "pong"
        deadlines = {
            "reply": context.reply_by,
            "idling": context.idle_at if self.state is State.UNSUBSCRIBED else None,
            "renewal": context.renew_at,
            "handover": context.handover_at,
            "ping": context.ping_at,
            "stability": context.stable_at,
            "budget" if context.again_at is None else "repetition": context.budget_at,
        }
        return next(name for name, moment in deadlines.items() if moment == due)
