"""The divergence: the first step at which the machine and the log differ, with the answers of the guards there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.finding import describe_row
from realtime_fsm.auditlog.records import TransitionRecord
from realtime_fsm.errors import ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.inputs import Acknowledged, Closed, Deadline, SocketInput
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.replay.inputs import RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.errors import LinkFailure
    from realtime_fsm.fsm.commands import TransitionTaken
    from realtime_fsm.replay.harness import MachineHarness, ReplayInput
    from realtime_fsm.replay.log_reader import LocatedRecord


class Diverged(Exception):
    """The machine takes another step than the log.

    Attributes:
        located: the record of the step, with its place.
        lines: the differences, both transition rules, and the guards with their answers.
    """

    def __init__(self, located: LocatedRecord, difference: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(f"{located.place}: {difference}")
        self.located = located
        self.lines = lines


def kind_and_code(cause: TransitionRecord | LinkFailure | None) -> str:
    """Return the kind and the code of a cause of failure; an empty text without a cause."""
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
    kind = cause.cause if isinstance(cause, TransitionRecord) else cause.kind
    return f"{kind}" if code is None else f"{kind} {code}"


def explain_choice(
    harness: MachineHarness, replay_input: ReplayInput, record: TransitionRecord, transition: TransitionTaken | None, began: float
) -> Iterator[str]:
    """Explain the step that the machine took, with moments since the first step `began`.

    The harness is the connection before the step. The explanation changes the harness, so the caller drops it.
    """
    yield f"the log:     {describe_row(RULES[record.row])}"
    yield f"the machine: {_why_no_step(harness, replay_input, began) if transition is None else describe_row(transition.row)}"
    context = harness.context
    in_flight = context.subscriptions.in_flight
    yield (
        f"its state:   {harness.state} at {replay_input.at - began:.6f} s, link {context.generation}, attempt {context.attempt}, "
        f"{len(context.subscriptions.acknowledged)} of {len(context.subscriptions.desired)} subscriptions acknowledged, "
        f"{f'a request in flight ({in_flight.kind})' if in_flight else 'nothing in flight'}"
    )
    cell = TABLE.cells.get((harness.state, replay_input.input_.trigger), ())
    if transition is None or not cell:
        return
    holds = harness.evaluate_guards(replay_input, dict.fromkeys(guard for rule in cell for guard in rule.guards))
    yield "the guards, in order:"
    for rule in cell:
        guards = ", ".join(f"{guard} {'holds' if holds[guard] else 'fails'}" for guard in rule.guards) or "none"
        mark = " <- the machine" * (rule is transition.row) + " <- the log" * (rule.id == record.row)
        yield f"  {rule.id}: {guards}{mark}"


def _why_no_step(harness: MachineHarness, replay_input: ReplayInput, began: float) -> str:
    context, input_, due = harness.context, replay_input.input_, harness.context.deadline
    match input_:
        case Deadline() if due is not None:
            at, awaited = replay_input.at - began, context.deadline_name
            return f"no step: the deadline is at {due - began:.6f} s ({awaited}), and the log's step is at {at:.6f} s"
        case Deadline():
            return "no step: the machine has no deadline"
        case Closed():
            return "no step: no socket is closing"
        case SocketInput() if context.link is None:
            return "no step: the machine has no link"
        case Acknowledged() if context.subscriptions.answerable is None:
            return "no step: no request is in flight"
        case _:
            return f"no step: {TABLE.ignored.get((harness.state, input_.trigger), 'nothing follows the end')}"
