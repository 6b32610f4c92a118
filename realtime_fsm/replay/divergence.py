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
    stage: MachineHarness, cue: ReplayInput, record: TransitionRecord, taken: TransitionTaken | None
) -> Iterator[str]:
    """Tell how the machine came to its choice.

    Args:
        stage: the connection before the step; it is used up.
        cue: the input.
        record: what the log says.
        taken: what the machine did.
    """
    yield f"the log:     {describe_row(ROWS[record.row])}"
    yield f"the machine: {_reason(stage, cue) if taken is None else describe_row(taken.row)}"
    seat = stage.seat
    yield (
        f"it stands:   {stage.state} at {cue.at:.6f} s, link {seat.generation}, attempt {seat.attempt}, "
        f"{len(seat.book.acknowledged)} of {len(seat.book.desired)} subscriptions acknowledged, "
        f"{f'a request in flight ({seat.book.in_flight.kind})' if seat.book.in_flight else 'nothing in flight'}"
    )
    cell = TABLE.cells.get((stage.state, cue.input_.trigger), ())
    if taken is None or not cell:
        return
    answers = stage.evaluate_guards(cue, dict.fromkeys(guard for row in cell for guard in row.guards))
    yield "the guards, in their order:"
    for row in cell:
        asked = ", ".join(f"{guard} {'holds' if answers[guard] else 'fails'}" for guard in row.guards) or "none"
        mark = " <- the machine" * (row is taken.row) + " <- the log" * (row.id == record.row)
        yield f"  {row.id}: {asked}{mark}"


def _reason(stage: MachineHarness, cue: ReplayInput) -> str:
    """Why the machine takes no row."""
    seat, input_, state = stage.seat, cue.input_, stage.state
    match input_:
        case Deadline() if seat.deadline is None:
            return "no step: it waits for nothing"
        case Deadline() if (due := seat.deadline) is not None and cue.at < due:
            return f"no step: it waits until {due:.6f} s ({stage.awaited}), and the log's step is at {cue.at:.6f} s"
        case Closed():
            return "no step: it waits for no socket to close"
        case SocketInput() if seat.link is None:
            return "no step: it has no link"
        case Acknowledged() if seat.book.answerable is None:
            return "no step: nothing was asked"
        case _:
            return f"no step: {TABLE.ignored.get((state, input_.trigger), 'nothing follows the end')}"
