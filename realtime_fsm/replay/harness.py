"""The harness: the machine on a virtual clock, without a driver. The replay decides every fact outside of the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from realtime_fsm.fsm import commands
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.inputs import Acknowledged, ErrorReceived, GreetingReceived, Pong, Recovered
from realtime_fsm.fsm.machine import ConnectionMachine
from realtime_fsm.fsm.notes import apply_notes
from realtime_fsm.fsm.pacer import Pacer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from realtime_fsm.fsm.commands import Command, StepResult
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.fsm.table import State

DEFAULT_DRAW = 0.5
"""The random number for a step that needs none."""
FRAMES = (GreetingReceived, Acknowledged, Pong, Recovered, ErrorReceived)
"""The inputs that stand for frames. The link counts its frames."""

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
"""The words for commands in emitted tests. Users keep such tests, so a word stays when its class gets another name."""


@dataclass(frozen=True, slots=True)
class ReplayInput:
    """One input, with all facts on which its step depends.

    Attributes:
        at: the moment, in seconds of the machine's clock.
        input_: the input.
        draw: the random number, from 0 to 1.
        dial_slot: the moment of a dial by the rate limit of the process; None for a dial at once.
        heard: whether a frame without a record came since the step before.
        pauses: the moments since the step before at which the client stopped reading (True) or continued (False).
    """

    at: float
    input_: Input
    draw: float = DEFAULT_DRAW
    dial_slot: float | None = None
    heard: bool = False
    pauses: tuple[tuple[float, bool], ...] = ()


class Reached(NamedTuple):
    """The rule of a step, None for no rule, and the state, the counts and the words for the commands after it."""

    rule: str | None
    state: State
    link: int
    attempt: int
    sends: int
    asks: str


class ScriptedPacer(Pacer):
    """A pacer that takes its dial slots from the log.

    Attributes:
        dial_slot: the moment of the next dial; None for a dial at once.
    """

    __slots__ = ("dial_slot",)

    def __init__(self) -> None:
        super().__init__(None)
        self.dial_slot: float | None = None

    def reserve(self, now: float) -> float:
        """Return the moment of the dial."""
        return now if self.dial_slot is None else self.dial_slot

    def claim(self, place: float, now: float) -> float:
        """Return the moment of a dial that has waited."""
        return self.reserve(now)


class MachineHarness:
    """One connection, without a driver.

    Args:
        settings: the settings, by the names of the parameters of `ConnectionContext`.
        replay_inputs: the inputs to feed at once.

    Attributes:
        context: the context of the machine.
    """

    def __init__(self, settings: Mapping[str, Any], replay_inputs: Iterable[ReplayInput] = ()) -> None:
        self._pacer = ScriptedPacer()
        self.context: ConnectionContext = ConnectionContext(**settings, pacer=self._pacer)
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

    def reached(self, result: StepResult) -> Reached:
        """Sum up the newest step, from its result."""
        rule, context = None if result.transition is None else result.transition.row.id, self.context
        asks = " ".join(_WORDS[type(command)] for command in result.commands)
        return Reached(rule, self.state, context.generation, context.attempt, context.frames_sent, asks)

    def evaluate_guards(self, replay_input: ReplayInput, guards: Iterable[str]) -> dict[str, bool]:
        """Evaluate guards on an input. The call changes the context, so the caller drops the harness."""
        self._prepare(replay_input)
        self.context.begin_step(replay_input.at, replay_input.draw)
        apply_notes(self.context, replay_input.input_)
        return {name: GUARDS[name](self.context) for name in guards}

    def pause(self, pauses: Iterable[tuple[float, bool]]) -> None:
        """Stop and continue reading from the link. A repeated pause changes nothing."""
        for at, paused in pauses:
            self._machine.set_read_paused(self.context.generation, at, paused=paused)

    def _prepare(self, replay_input: ReplayInput) -> None:
        self.pause(replay_input.pauses)
        self._pacer.dial_slot = replay_input.dial_slot
        link, input_ = self.context.link, replay_input.input_
        if link is not None:
            link.frames_received += replay_input.heard
            link.frames_received += isinstance(input_, FRAMES) and input_.generation == link.generation
