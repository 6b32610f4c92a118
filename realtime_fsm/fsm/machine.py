"""The machine: one `transitions.Machine`, built once from the table, serves every connection of the process.

Invariant: every input enters by `ConnectionMachine.step`. A step runs the notes of its trigger and takes the first rule whose
guards all hold. It returns the commands and the next deadline. It reads no clock and draws no random number.

Design: The machine uses the parts of `transitions` that are cheap and safe.

- It registers no model: `transitions` overwrites the attributes of a registered model, which also takes 39 KB more.
- It passes callables instead of names: `transitions` finds a misspelled name only when the transition fires.
- It handles ignored cells itself: `transitions` raises for a cell without a rule.
- It runs the effects before the state changes: an effect that raised afterwards would leave a changed state.
"""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from transitions import Machine

from realtime_fsm.fsm.commands import StepResult, TransitionTaken
from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Closed,
    Deadline,
    Deaf,
    ErrorReceived,
    LinkClosed,
    PingEnabledChanged,
    Recovered,
    SocketInput,
)
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.notes import NOTES, apply_notes
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.fsm.context import ConnectionContext
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.fsm.tablespec import Row, Table


def _quiet_logger(logger: logging.Logger) -> None:
    """Keep the logger of `transitions` at WARNING: at DEBUG it writes two dozen lines a trigger."""
    if logger.level == logging.NOTSET:  # else the application has chosen a level
        logger.setLevel(logging.WARNING)


_quiet_logger(logging.getLogger("transitions"))


@lru_cache(maxsize=1)
def _shared_machine() -> dict[str, Any]:
    return build(TABLE)


def build(table: Table[State, Trigger]) -> dict[str, Any]:
    """Build the machine of a table.

    Returns:
        The machine's events by trigger.

    Raises:
        BadTable: when a cell is incomplete, a state cannot be reached or left, or the table names something that does not exist.
    """
    table.check(NOTES, GUARDS, EFFECTS)
    machine = Machine(
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
            before=_taking(row),
        )
    return dict(machine.events)


def _taking(row: Row[State, Trigger]) -> Callable[[ConnectionContext], None]:
    """Make one callback of all effects of a rule: `transitions` takes a microsecond for each callback."""
    effects = [EFFECTS[name] for name in row.effects]

    def take(context: ConnectionContext) -> None:
        context.step.row = row
        for effect in effects:
            effect(context)

    return take


class ConnectionMachine:
    """One connection: its context, and the machine that all connections share."""

    __slots__ = ("_context", "_events")

    def __init__(self, context: ConnectionContext) -> None:
        self._events = _shared_machine()
        self._context = context

    @property
    def state(self) -> State:
        """The state of the connection."""
        return State(self._context.state)

    def set_read_paused(self, generation: int, now: float, *, paused: bool) -> float | None:
        """Keep that the driver stops reading a link, so that a slow consumer can catch up; or that it reads the link again.

        While the driver does not read, silence proves nothing. So each wait for an answer begins anew afterwards.

        Returns:
            When to step with `Deadline` next.
        """
        context, old = self._context, self._context.draining
        for link in (context.link, None if old is None else old.state):
            if link is None or link.generation != generation:
                continue
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
            draw: a random number from 0 to 1, for the moments that this step plans.

        Returns:
            The rule that the step took, the commands, and the moment of the next `Deadline`.
        """
        context = self._context
        due = context.deadline  # as the step before reported it
        context.begin_step(now, draw)
        source, trigger = State(context.state), input_.trigger
        if self._is_stale_or_early(input_, source, trigger, due):
            return StepResult(None, (), due)
        apply_notes(context, input_)
        facts = context.step
        if facts.finished or (source, trigger) in TABLE.ignored:
            return StepResult(None, tuple(facts.commands), context.deadline)
        self._events[trigger].trigger(context, context)
        row = facts.row
        assert row is not None
        context.session = None
        since = now if context.state_entered_at is None else context.state_entered_at
        context.state_entered_at = since if row.dest is None else now
        transition = TransitionTaken(
            row,
            source if row.dest is None else row.dest,
            now - since,
            context.generation,
            context.frames_sent,
            context.attempt,
            facts.failure,
            context.era,
            facts.round_trip,
            facts.fault_news,
            lag=0.0 if due is None else max(0.0, now - due),
            at=now,
            draw=facts.drawn,
            enabled=input_.enabled if isinstance(input_, PingEnabledChanged) else None,
            heard=facts.heard,
            dial_slot=context.dial_slot if Effect.DIAL in row.effects else None,
            delay=None if context.attempt_at is None else max(0.0, context.attempt_at - now),
        )
        return StepResult(transition, tuple(facts.commands), context.deadline)

    def _is_stale_or_early(self, input_: Input, source: State, trigger: Trigger, due: float | None) -> bool:
        """Tell whether an input changes nothing: it is of an old socket, answers nothing, or is a deadline that came early."""
        context = self._context
        match input_:
            case Closed(generation=generation):
                if source is State.RECONNECTING:
                    return generation not in context.awaited
                if source in LIVE:
                    return context.lingering is None or generation != context.lingering.generation
                return generation != context.closing_generation
            case Acknowledged(to=to, acknowledged=items) if not context.subscriptions.matches_in_flight(to, items):
                return True
            case ErrorReceived(code=1003) if context.subscriptions.subscribed_in_url and not context.require_link.ping_in_flight:
                return True  # the late pong of an E1 server: the connection sends nothing but pings on such a link
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
