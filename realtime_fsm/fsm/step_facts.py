"""The facts of one step: its input has left them, and its guards and effects read them.

Invariant: each step begins with new facts, so that no fact of an earlier step can decide a later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from realtime_fsm.fsm.policies import Verdict

if TYPE_CHECKING:
    from realtime_fsm.errors import LinkFailure
    from realtime_fsm.fsm.commands import Command
    from realtime_fsm.fsm.table import State, Trigger
    from realtime_fsm.fsm.tablespec import Row
    from realtime_fsm.protocol.faults import FaultNews


class StepFacts(Struct):
    """The facts of one step."""

    draw: float = 0.0  # a random number from 0 to 1
    drawn: float | None = None  # `draw`, once the step has used it
    row: Row[State, Trigger] | None = None  # the rule that the step takes
    commands: list[Command] = []  # the commands so far
    finished: bool = False  # whether a note has finished the step
    failure: LinkFailure | None = None  # why an attempt or a link ended, if one did
    verdict: Verdict = Verdict.TRANSIENT  # the meaning of the failure for the next attempt
    refused: bool = False  # whether the failure counts as a refusal
    heard: bool | None = None  # whether a frame came after the ping, or after the error frame, that the step is about
    round_trip: float | None = None  # seconds from the ping to its answer
    fault_news: FaultNews | None = None  # the server fault that the step begins or ends
    rejected_new_subscriptions: bool = False  # whether the server refused a URL, and the step rejects the new subscriptions in it
    renewable: bool = False  # whether a callable gave the credentials that the server refuses
    user_changed: bool = False  # whether the server greets another user, and the old link still delivers

    def take_draw(self) -> float:
        """Use the random number, and keep that it was used."""
        self.drawn = self.draw
        return self.draw
