"""The machine: one `transitions.Machine`, built once from the table, that serves every connection of the process.

The law: `Connection.step` is the only way in. It notes the input's facts, lets the machine take the first row whose guards
hold, and gives back what is to be done and when to come again. It reads no clock and draws no random number.

`transitions` is used at its cheapest and safest: no model is registered (a registered one has its attributes overwritten and
costs 39 KB; a bare seat costs what it holds), callables are passed instead of names (a misspelled name fails only when it is
fired), cells that are ignored on purpose are filtered first (one without a row would raise), effects run before the state
changes (one that raised after it would leave the state moved), and nothing else of the machine is let out.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from transitions import Machine, Transition

from realtime_fsm.fsm.commands import StepResult, TransitionTaken
from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.inputs import Acknowledged, Closed, Deadline, Deaf, ErrorReceived, LinkClosed, Recovered, SocketInput
from realtime_fsm.fsm.notes import NOTES, apply_notes
from realtime_fsm.fsm.table import TABLE, State, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from transitions import EventData

    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.fsm.tablespec import Row, Table
    from realtime_fsm.protocol.eras import Era


def _quiet_logger(logger: logging.Logger) -> None:
    """With the root logger at DEBUG, `transitions` writes two dozen lines a trigger; the audit log says it in one."""
    if logger.level == logging.NOTSET:  # else the application has said what it wants
        logger.setLevel(logging.WARNING)


_quiet_logger(logging.getLogger("transitions"))


class RowTransition(Transition):
    """A row as `transitions` runs it, without what no row of ours has.

    Those are names to be resolved, callbacks of states, `prepare` and `after`, and a log line about each; they take more than
    half of the time of a trigger (tests/bench/RESULTS.md).
    """

    def execute(self, event_data: EventData) -> bool:
        """Take the row if its guards hold: run its effects, then change the state."""
        context = event_data.model
        for condition in self.conditions:
            if not condition.func(context):  # type: ignore[operator]
                return False
        for effect in self.before:
            effect(context)  # type: ignore[operator]
        if self.dest is not None:
            event_data.machine.set_state(self.dest, context)
        return True


class TableMachine(Machine):
    """The machine of a table."""

    transition_cls = RowTransition


@lru_cache(maxsize=1)
def _shared_machine() -> dict[str, Any]:
    return build(TABLE)


def build(table: Table[State, Trigger], kind: type[Machine] = TableMachine) -> dict[str, Any]:
    """Build the machine of a table.

    Args:
        table: the table.
        kind: the machine; a plain `Machine` does the same, and takes longer.

    Returns:
        The machine's events by trigger.

    Raises:
        BadTable: when the table is not total, has a trap or an unreachable state, or names something that does not exist.
    """
    table.check(NOTES, GUARDS, EFFECTS)
    machine = kind(
        model=None,
        states=[state.value for state in State],
        initial=table.initial.value,
        auto_transitions=False,
        send_event=False,
        queued=False,
    )
    for row in table.rows:
        machine.add_transition(
            row.trigger.value,
            row.source.value,
            None if row.dest is None else row.dest.value,
            conditions=[GUARDS[name] for name in row.guards],
            before=[_record_row(row), *(EFFECTS[name] for name in row.effects)],
        )
    return dict(machine.events)


def _record_row(row: Row[State, Trigger]) -> Callable[[ConnectionContext], None]:
    def mark(context: ConnectionContext) -> None:
        context.row = row

    return mark


class ConnectionMachine:
    """One connection as the table sees it: a seat, and the machine that moves it."""

    __slots__ = ("_context", "_events")

    def __init__(self, context: ConnectionContext) -> None:
        self._events = _shared_machine()
        self._context = context

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State(self._context.state)

    @property
    def error(self) -> RealtimeError | None:
        """Why there is no link and no attempt; None in every state but `error`."""
        return self._context.error

    @property
    def era(self) -> Era | None:
        """What the server speaks, as far as it is known."""
        return self._context.era

    def set_read_paused(self, generation: int, now: float, *, paused: bool) -> float | None:
        """Nothing is read from a link any more, so that a consumer can come after; or it is read again.

        What the peer says meanwhile is not heard, and silence means nothing: what is awaited is awaited anew afterwards.

        Returns:
            When to step with `Deadline` next.
        """
        context, link = self._context, self._context.link
        if link is not None and link.generation == generation:
            link.read_paused = paused
            if not paused:
                link.frames_received += 1
                link.request_sent_at = None if link.request_sent_at is None else now
        return context.deadline

    def step(self, input_: Input, now: float, *, draw: float = 0.5) -> StepResult:
        """Take one step.

        Args:
            input_: what happened.
            now: the moment, in seconds of a clock that never goes back.
            draw: a random number from 0 to 1, for the delay before a dial if this step plans one.

        Returns:
            The row that was taken, what to do, and when to step with `Deadline` next.
        """
        context = self._context
        due = context.deadline  # as it was reported, before anything of this step
        context.reset_step(now, draw)
        source, trigger = State(context.state), input_.trigger
        if self._is_stale_or_early(input_, source, trigger, due):
            return StepResult(None, (), due)
        apply_notes(context, input_)
        if context.finished:
            return StepResult(None, tuple(context.requests), due)
        if (source, trigger) in TABLE.ignored:
            return StepResult(None, tuple(context.requests), context.deadline)
        self._events[trigger.value].trigger(context, context)
        row = context.row
        assert row is not None
        context.session = None
        since = now if context.state_entered_at is None else context.state_entered_at
        context.state_entered_at = since if row.dest is None else now
        transition = TransitionTaken(
            row,
            State(context.state),
            now - since,
            context.generation,
            context.frames_sent,
            context.attempt,
            context.failure,
            context.era,
            context.round_trip,
            context.fault_news,
            lag=0.0 if due is None else max(0.0, now - due),
        )
        return StepResult(transition, tuple(context.requests), context.deadline)

    def _is_stale_or_early(self, input_: Input, source: State, trigger: Trigger, due: float | None) -> bool:
        """Whether an input is a word of an old socket, an answer to nothing that was asked, or a wake-up that came early."""
        context = self._context
        match input_:
            case Closed(generation=generation):
                return (
                    generation not in context.awaited
                    if source is State.RECONNECTING
                    else generation != context.closing_generation
                )
            case Acknowledged(to=to, acknowledged=granted) if not context.subscriptions.matches_in_flight(to, granted):
                return True
            case ErrorReceived(code=1003) if (
                context.subscriptions.subscribed_in_url and context.require_link.ping_in_flight is None
            ):
                return True  # of the oldest servers, to a ping that was settled before: nothing else is sent on such a link
            case Deaf() if context.canary is None:
                return True
            case Recovered() if context.link is None or not context.link.at_fault:
                return True
            case LinkClosed(generation=generation) if generation == context.draining_generation:
                return False
            case SocketInput(generation=generation):
                return context.link is None or generation != context.link.generation
            case Deadline():
                return due is None or context.now < due
            case _:
                return source is TABLE.final and trigger is not Trigger.CLOSED
