"""The scenario: the faults of the server behind a log, as a script for the embedded server.

Invariant: a script follows from the steps of a log alone, so it holds no channel, no payload and no text of the server.

Design: the script repeats the acts of the server; a connection with other subscriptions may see other effects. A lost link
becomes a ``drop``. A server that fails dials at once becomes a ``refuse``, and a silent one a ``freeze``, until a dial gets its
greeting or fails in the other way. An overdue pong proves a dead link since the last frame, so the freeze begins there. Events
have no records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from realtime_fsm.errors import CertificateRefused, IdentityUnavailable, Overdue
from realtime_fsm.fsm import commands, inputs
from realtime_fsm.replay.harness import FRAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_fsm.audit.policies import Policies
    from realtime_fsm.replay.replayer import ReplayedStep

_EDGE = 0.001
"""The seconds from a fault to its effect in the log, so that no two moments coincide."""
_SHORTEST = 0.1
"""The least length of a server fault, in seconds."""
_CLIENT_FAILURES = (CertificateRefused, IdentityUnavailable)
"""The failures of a dial that the client causes."""
_NEWEST = "E4"


class Outcome(NamedTuple):
    """The outcome of a scenario, as the connection shows it.

    Attributes:
        outages: the cause of each unplanned outage, in order, such as ``"stream_ended"``.
        is_live: whether the link is up at the end.
        error: the name of the `RealtimeError` that the code raised; None without an error.
    """

    outages: tuple[str, ...]
    is_live: bool
    error: str | None


class Scenario(NamedTuple):
    """The server of a scenario.

    Attributes:
        script: the script of its faults; empty for a log without faults.
        seconds: the length of the log, in seconds.
        era: the name of the server's era.
    """

    script: str
    seconds: float
    era: str


def scenario_of(policies: Policies, played: Sequence[ReplayedStep]) -> Scenario:
    """Make the scenario of a replayed log."""
    finder = _FaultFinder(policies)
    for step in played:
        finder.look(step)
    seconds = round(played[-1].seconds, 3)
    eras = [step.result.transition.era for step in played if step.result.transition is not None]
    era = next((era.value for era in reversed(eras) if era is not None), _NEWEST)
    return Scenario("; ".join(finder.finish(seconds)), seconds, era)


class _FaultFinder:
    """Finds the faults of the server from one step to the next."""

    def __init__(self, policies: Policies) -> None:
        self._ping = policies.ping
        self._steps: list[tuple[float, str, float | None]] = []  # moment, fault, length
        self._heard = self._sent = self._opened = 0.0  # moments: the server's newest frame, the client's, the newest upgrade
        self._away: tuple[str, float, float] | None = None  # the fault of a server that is away, its begin, and its earliest end
        self._left = 0.0  # the moment at which the last link ended, or the newest dial failed
        self._faulty: float | None = None  # the begin of a server fault

    def look(self, step: ReplayedStep) -> None:
        """Take a step into account."""
        at, given, transition = step.seconds, step.input_.input_, step.result.transition
        if isinstance(given, inputs.Opened):
            self._opened = at
        if transition is None:
            if isinstance(given, inputs.LinkClosed):  # of a draining link
                self._steps.append((at, "drop", None))
            return
        if transition.fault is not None and transition.fault.opened:
            self._faulty = max(0.0, self._sent - _EDGE)
        elif transition.fault is not None:
            self._end_fault(self._sent - _EDGE if isinstance(given, inputs.Pong | inputs.Acknowledged) else at)
        if step.source.is_live and not step.state.is_live:
            self._end_link(at, None if transition.cause is None else transition.cause.kind)
        elif transition.cause is not None and not step.state.is_live and not isinstance(transition.cause, _CLIENT_FAILURES):
            self._fail(at, "freeze" if isinstance(transition.cause, Overdue) else "refuse")
        elif step.state.is_live:
            self._end_absence(self._opened)
        if isinstance(given, FRAMES):
            self._heard = at
        if any(isinstance(command, commands.SendFrame) for command in step.result.commands):
            self._sent = at

    def _end_fault(self, at: float) -> None:
        if self._faulty is not None:
            self._steps.append((self._faulty, "fault", max(_SHORTEST, at - self._faulty)))
            self._faulty = None

    def _end_link(self, at: float, cause: str | None) -> None:
        self._end_fault(at)
        self._left = at
        if cause == "pong_overdue":
            begin = self._heard + _EDGE
            self._away = "freeze", begin, begin + self._ping.interval + self._ping.timeout + 1.0
        elif cause == "echo_overdue":
            self._steps.append((self._heard + _EDGE, "deaf", max(_SHORTEST, at - self._heard)))
        elif cause is not None:
            self._steps.append((at, "drop", None))

    def _fail(self, at: float, fault: str) -> None:
        """Note a dial that failed, by a fault that is under way or begins after the newest failure."""
        if self._away is None or self._away[0] != fault:
            self._end_absence(self._left)
            self._away = fault, self._left + _EDGE, 0.0
        self._left = at

    def _end_absence(self, at: float) -> None:
        if self._away is not None:
            fault, begin, earliest = self._away
            self._steps.append((begin, fault, max(earliest, at - _EDGE, begin + _EDGE) - begin))
            self._away = None

    def finish(self, seconds: float) -> list[str]:
        """End the open faults, and return the steps of the script in order."""
        self._end_fault(seconds)
        self._end_absence(seconds)
        written: list[str] = []
        ends: dict[str, float] = {}
        for at, fault, length in sorted(self._steps, key=lambda each: each[0]):
            at = max(at, ends.get(fault, 0.0))  # two faults of one name may not overlap
            ends[fault] = round(at + (length or 0.0) + _EDGE, 3)
            written.append(" ".join([_time(at), fault, *([] if length is None else [_time(length)])]))
        return written


def _time(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
