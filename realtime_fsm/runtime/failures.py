"""The failures of a connection: the newest failed attempt or lost link, with the time of the next dial."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from realtime_fsm.fsm.change import Failure
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from realtime_fsm.fsm.commands import TransitionTaken
    from realtime_fsm.fsm.context import ConnectionContext


class Failures:
    """The failures of one connection.

    Attributes:
        last: the newest failure; None before the first.
        noted_at: the moment of that failure, in seconds of the machine's clock; not set before the first.
        on_failure: called with each failed attempt; it must not raise.
    """

    __slots__ = ("_context", "last", "noted_at", "on_failure")

    def __init__(self, context: ConnectionContext) -> None:
        self._context = context
        self.last: Failure | None = None
        self.noted_at: float
        self.on_failure: Callable[[Failure], object] | None = None

    def note(self, transition: TransitionTaken, at: datetime, now: float) -> None:
        """Keep the failure of a transition, if it has one: at a moment in UTC, and `now` in seconds of the machine's clock."""
        effects = transition.row.effects
        only_asks_for_era = Effect.USE_URL_SUBSCRIPTIONS in effects
        if transition.cause is not None and Effect.ABORT_LINK in effects and not only_asks_for_era:
            self.last, self.noted_at = Failure(transition.cause, at, self._next_dial(at, now)), now
            if transition.row.source is State.RECONNECTING and self.on_failure is not None:
                self.on_failure(self.last)
        elif self.last is not None and Effect.DIAL in effects and self._context.link is None:  # the dial waits for its slot
            self.last = replace(self.last, next_dial=self._next_dial(at, now))

    def _next_dial(self, at: datetime, now: float) -> datetime | None:
        due = self._context.attempt_at
        if due is not None:
            return at + timedelta(seconds=max(0.0, due - now))
        return None if self._context.link is None else at  # the dial is under way
