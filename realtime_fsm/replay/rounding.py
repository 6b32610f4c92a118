"""Round the moments of a path for readers.

Invariant: the machine takes the same path with the rounded moments.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from realtime_fsm.fsm.inputs import Deadline
from realtime_fsm.replay.harness import MachineHarness, ReplayInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_fsm.audit.policies import Policies
    from realtime_fsm.replay.replayer import ReplayedStep

_DIGITS = (3, 6, 9, 12)


def shortest_moments(policies: Policies, played: Sequence[ReplayedStep]) -> tuple[list[ReplayInput], int | None]:
    """Round the moments, counted from the first step, to the fewest digits that keep the path.

    Returns:
        The inputs and the number of digits; the inputs of the log and None if every rounding changes the path.
    """
    for digits in _DIGITS:
        rounded = _rounded(policies, played, digits)
        if rounded is not None:
            return rounded, digits
    return [step.input_ for step in played], None


def _rounded(policies: Policies, played: Sequence[ReplayedStep], digits: int) -> list[ReplayInput] | None:
    """Round the moments of inputs; return None if the machine then takes another path."""
    harness, began, rounded = MachineHarness(policies.by_name), played[0].input_.at, list[ReplayInput]()
    for step in played:
        near = _near(harness, step.input_, began, rounded[-1].at if rounded else 0.0, digits)
        if harness.reached(harness.feed(near)) != step.reached:
            return None
        rounded.append(near)
    return rounded


def _near(harness: MachineHarness, replay_input: ReplayInput, began: float, now: float, digits: int) -> ReplayInput:
    """Round the moments of an input. No moment precedes `now`, and a passed deadline stays passed. Pause the harness."""
    pauses = tuple((max(now, round(at - began, digits)), paused) for at, paused in replay_input.pauses)
    harness.pause(pauses)
    now, due = max(now, round(replay_input.at - began, digits)), harness.context.deadline
    if isinstance(replay_input.input_, Deadline) and due is not None:
        now = max(now, _round_up(due, digits))
    dial_slot = replay_input.dial_slot
    if dial_slot is not None:
        dial_slot = max(_round_up(dial_slot - began, digits), now + 10.0**-digits)
    return replace(replay_input, at=now, draw=round(replay_input.draw, 6), dial_slot=dial_slot, pauses=pauses)


def _round_up(moment: float, digits: int) -> float:
    up = math.ceil(moment * 10.0**digits) / 10.0**digits
    return up if up >= moment else round(up + 10.0**-digits, digits)
