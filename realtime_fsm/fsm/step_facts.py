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
    """The facts of one step.

    Attributes:
        draw: a random number from 0 to 1.
        drawn: the same number, once the step has used it.
        row: the rule that the step takes.
        commands: the commands so far.
        finished: whether a note has finished the step.
        failure: why an attempt or a link ended, if one did.
        verdict: the meaning of the failure for the next attempt.
        refused: whether the failure counts as a refusal.
        heard: whether a frame came after the ping, or after the error frame, that the step is about.
        round_trip: seconds from the ping to its answer.
        fault_news: the server fault that the step begins or ends.
        rejected_new_subscriptions: whether the server refused a URL, and the step rejects the new subscriptions in it.
        renewable: whether a callable gave the credentials that the server refuses.
        user_changed: whether the server greets another user, and the old link still delivers.
    """

    draw: float = 0.0
    drawn: float | None = None
    row: Row[State, Trigger] | None = None
    commands: list[Command] = []
    finished: bool = False
    failure: LinkFailure | None = None
    verdict: Verdict = Verdict.TRANSIENT
    refused: bool = False
    heard: bool | None = None
    round_trip: float | None = None
    fault_news: FaultNews | None = None
    rejected_new_subscriptions: bool = False
    renewable: bool = False
    user_changed: bool = False

    def take_draw(self) -> float:
        """Use the random number, and keep that it was used."""
        self.drawn = self.draw
        return self.draw
