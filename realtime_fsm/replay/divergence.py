"""The divergence: where the machine parts from the log, and what its guards see there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import describe_row
from realtime_fsm.auditlog.records import TransitionRecord
from realtime_fsm.errors import ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.inputs import Acknowledged, Closed, Deadline, SocketInput
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.replay.inference import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.errors import LinkFailure
    from realtime_fsm.fsm.commands import TransitionTaken
    from realtime_fsm.replay.harness import MachineHarness, ReplayInput
    from realtime_fsm.replay.log_reader import LocatedRecord


class Diverged(Exception):
    """The machine does something else than the log says.

    Attributes:
        told: the record.
        lines: what differs, both rows, and the guards with their values.
    """

    def __init__(self, told: LocatedRecord, what: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"{told.place}: {what}")
        self.located = told
        self.lines = lines


def describe_cause(cause: TransitionRecord | LinkFailure | None) -> str:
    """A cause of failure: its kind and its code; empty where there is none."""
    code: int | str | None = None
    match cause:
        case None:
            return ""
        case TransitionRecord(cause=kind):
            code = next((code for code in (cause.error_code, cause.close_code, cause.status) if code is not None), None)
            return "" if kind is None else kind if code is None else f"{kind} {code}"
        case ServerError():
            code = cause.code
        case StreamEnded():
            code = cause.close_code
        case UpgradeRefused():
            code = cause.status or None
        case _:
            pass
    return cause.kind if code is None else f"{cause.kind} {code}"


def explain_choice(
    harness: MachineHarness, replay_input: ReplayInput, record: TransitionRecord, transition: TransitionTaken | None
) -> Iterator[str]:
    """Tell how the machine came to its choice.

    Args:
        harness: the connection before the step; it is used up.
        replay_input: the input.
        record: what the log says.
        transition: what the machine did.
    """
    yield f"the log:     {describe_row(ROWS[record.row])}"
    yield f"the machine: {_reason(harness, replay_input) if transition is None else describe_row(transition.row)}"
    context = harness.context
    in_flight = context.subscriptions.in_flight
    yield (
        f"it stands:   {harness.state} at {replay_input.at:.6f} s, link {context.generation}, attempt {context.attempt}, "
        f"{len(context.subscriptions.acknowledged)} of {len(context.subscriptions.desired)} subscriptions acknowledged, "
        f"{f'a request in flight ({in_flight.kind})' if in_flight else 'nothing in flight'}"
    )
    cell = TABLE.cells.get((harness.state, replay_input.input_.trigger), ())
    if transition is None or not cell:
        return
    answers = harness.evaluate_guards(replay_input, dict.fromkeys(guard for row in cell for guard in row.guards))
    yield "the guards, in their order:"
    for row in cell:
        asked = ", ".join(f"{guard} {'holds' if answers[guard] else 'fails'}" for guard in row.guards) or "none"
        mark = " <- the machine" * (row is transition.row) + " <- the log" * (row.id == record.row)
        yield f"  {row.id}: {asked}{mark}"


def _reason(harness: MachineHarness, replay_input: ReplayInput) -> str:
    """Why the machine takes no row."""
    context, input_, state = harness.context, replay_input.input_, harness.state
    match input_:
        case Deadline() if context.deadline is None:
            return "no step: it waits for nothing"
        case Deadline() if (due := context.deadline) is not None and replay_input.at < due:
            return f"no step: it waits until {due:.6f} s ({harness.awaited}), and the log's step is at {replay_input.at:.6f} s"
        case Closed():
            return "no step: it waits for no socket to close"
        case SocketInput() if context.link is None:
            return "no step: it has no link"
        case Acknowledged() if context.subscriptions.answerable is None:
            return "no step: nothing was asked"
        case _:
            return f"no step: {TABLE.ignored.get((state, input_.trigger), 'nothing follows the end')}"
