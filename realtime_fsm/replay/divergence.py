"""The divergence: where the machine parts from the log, and how its guards answer there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import describe_row
from realtime_fsm.auditlog.records import TransitionRecord
from realtime_fsm.errors import ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.inputs import Acknowledged, Closed, Deadline, SocketInput
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.replay.inputs import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.errors import LinkFailure
    from realtime_fsm.fsm.commands import TransitionTaken
    from realtime_fsm.replay.harness import MachineHarness, ReplayInput
    from realtime_fsm.replay.log_reader import LocatedRecord


class Diverged(Exception):
    """The machine does something else than the log says.

    Attributes:
        located: the record.
        lines: the differences, both rows, and the guards with their answers.
    """

    def __init__(self, located: LocatedRecord, difference: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"{located.place}: {difference}")
        self.located = located
        self.lines = lines


def describe_cause(cause: TransitionRecord | LinkFailure | None) -> str:
    """Tell a cause of failure by its kind and its code; empty without a cause."""
    code: int | str | None = None
    match cause:
        case None | TransitionRecord(cause=None):
            return ""
        case TransitionRecord():
            code = next((code for code in (cause.error_code, cause.close_code, cause.status) if code is not None), None)
        case ServerError():
            code = cause.code
        case StreamEnded():
            code = cause.close_code
        case UpgradeRefused():
            code = cause.status or None
        case _:
            pass
    kind = cause.cause if isinstance(cause, TransitionRecord) else cause.kind
    return f"{kind}" if code is None else f"{kind} {code}"


def explain_choice(
    harness: MachineHarness, replay_input: ReplayInput, record: TransitionRecord, transition: TransitionTaken | None, began: float
) -> Iterator[str]:
    """Explain how the machine came to its choice.

    Args:
        harness: the connection before the step; it cannot be used afterwards.
        replay_input: the input.
        record: the record of the step.
        transition: the row that the machine took.
        began: the moment of the first step.
    """
    yield f"the log:     {describe_row(ROWS[record.row])}"
    yield f"the machine: {_why_no_row(harness, replay_input, began) if transition is None else describe_row(transition.row)}"
    context = harness.context
    in_flight = context.subscriptions.in_flight
    yield (
        f"it stands:   {harness.state} at {replay_input.at - began:.6f} s, link {context.generation}, attempt {context.attempt}, "
        f"{len(context.subscriptions.acknowledged)} of {len(context.subscriptions.desired)} subscriptions acknowledged, "
        f"{f'a request in flight ({in_flight.kind})' if in_flight else 'nothing in flight'}"
    )
    cell = TABLE.cells.get((harness.state, replay_input.input_.trigger), ())
    if transition is None or not cell:
        return
    holds = harness.evaluate_guards(replay_input, dict.fromkeys(guard for row in cell for guard in row.guards))
    yield "the guards, in their order:"
    for row in cell:
        guards = ", ".join(f"{guard} {'holds' if holds[guard] else 'fails'}" for guard in row.guards) or "none"
        mark = " <- the machine" * (row is transition.row) + " <- the log" * (row.id == record.row)
        yield f"  {row.id}: {guards}{mark}"


def _why_no_row(harness: MachineHarness, replay_input: ReplayInput, began: float) -> str:
    context, input_, due = harness.context, replay_input.input_, harness.context.deadline
    match input_:
        case Deadline() if due is None:
            return "no step: it waits for nothing"
        case Deadline() if due is not None and replay_input.at < due:
            at = replay_input.at - began
            return f"no step: it waits until {due - began:.6f} s ({harness.awaited}), and the log's step is at {at:.6f} s"
        case Closed():
            return "no step: it waits for no socket to close"
        case SocketInput() if context.link is None:
            return "no step: it has no link"
        case Acknowledged() if context.subscriptions.answerable is None:
            return "no step: nothing was asked"
        case _:
            return f"no step: {TABLE.ignored.get((harness.state, input_.trigger), 'nothing follows the end')}"
