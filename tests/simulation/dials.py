"""The dials as the watcher has them: when one may be made that no user asked for, and what its address must say.

It counts the dials in a row itself, and knows from its own model of the links which of them has been up, and for how long.
"""

from __future__ import annotations

from collections.abc import Callable

from realtime_fsm.errors import RefusedByServer, RetriesExhausted
from realtime_fsm.fsm.commands import OpenLink
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.inputs import ErrorReceived, Input, LinkClosed
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.fsm.tablespec import Row
from realtime_fsm.protocol.faults import POLICY

_WINDOW = 60.0
_DUST = 1e-6  # what floating point leaves of a moment
_NEVER = -1e9
_GUESS, _WITHOUT_NEWCOMERS, _HURRY = "rec94", "rec97", "rec76"
_RENEWED, _NOW = "rec130", "rec11"
_RESTORED = {f"rec{number}" for number in range(155, 160)}  # the old identity is dialed in place of one worth nothing
_PROMPT = {_GUESS, _WITHOUT_NEWCOMERS, _HURRY, _RENEWED, _NOW, *_RESTORED, "con73", "sub73", "uns73", "con96", "sub96"}
_UNASKED = {_GUESS, _WITHOUT_NEWCOMERS, _RENEWED, _NOW}


class Dials:
    """The dials of one connection.

    Attributes:
        newest: the generation of the newest link.
    """

    def __init__(self, context: ConnectionContext, must: Callable[[object, str], None]) -> None:
        self.newest = 0
        self._context = context
        self._must = must
        self._dropped_at = self._throttled_at = _NEVER
        self._draining: int | None = None
        self._been_up_before = False  # when that link began to drain
        self._planned_most: int | None = 0  # what was allowed when the next one was planned
        self._prompt = False  # whether the next one need not wait, though no user asked for it
        self._beyond = 0  # how many the policy was not asked for
        self._row = self._ended = 0  # dials in a row, and how many of their links a request of our own may have ended
        self._been_up = self._ever_up = False
        self._quiet_since: float | None = None  # since when everything desired is acknowledged on the link that is up
        self._by_address = context.configured_era is not None and context.configured_era.subscribes_in_url
        self._wants_address = False  # whether the last server that greeted takes channels in the URL alone
        self._refused = False  # whether the last error is a refusal, after which the server may be another one

    def look_at_row(self, row: Row[State, Trigger], now: float) -> None:
        """A row was taken; it may lead to a dial."""
        self._prompt |= row.id in _PROMPT
        self._beyond += row.id in _UNASKED
        if Effect.FIND_ERA in row.effects and self._refused:
            self._wants_address = self._refused = False
        # A dial that a throttle delays is planned as a retry is.
        delayed = Effect.DIAL in row.effects and self._context.throttled
        if delayed or {Effect.FIND_ERA, Effect.SCHEDULE_RETRY, Effect.RESUME_LINK}.intersection(row.effects):
            self._by_address = self._context.subscribes_in_url
        if Effect.SCHEDULE_RETRY in row.effects:
            self._planned_most = self._most
        if Effect.RESET_ATTEMPTS in row.effects:
            self._beyond = self._row = self._ended = 0
        if Effect.DRAIN_LINK in row.effects and self._context.draining_generation != self._draining:
            self._draining, self._been_up_before = self._context.draining_generation, self._been_up
        if Effect.EXPECT_FIRST_LINK in row.effects:
            self._been_up = False
        if Effect.RESTORE_IDENTITY in row.effects:
            self._been_up = self._ever_up
        if Effect.RESET_ATTEMPTS in row.effects or row.id == _NOW:
            self._throttled_at = _NEVER  # the user takes it on himself
        if Effect.RESET_BACKOFF in row.effects:
            since = self._quiet_since
            proven = since is not None and now >= since + self._context.retry.stable_after - _DUST
            self._must(proven, "a link is forgiven that has proven nothing")
            self._beyond = self._row = self._ended = 0
        if row.id == _GUESS:
            self._must(self._context.configured_era is None, "a guess, though the protocol was said")
            self._by_address = True

    def look_at_end(self, row: Row[State, Trigger], input_: Input) -> None:
        """A refusal ends an attempt; before a link has been up, no dial follows that the policy plans."""
        code = input_.code if isinstance(input_, ErrorReceived) else None
        code = input_.close_code if isinstance(input_, LinkClosed) else code
        planned = row.source is State.RECONNECTING and Effect.SCHEDULE_RETRY in row.effects
        self._must(not (planned and code == POLICY) or self._been_up, "a refusal passes on the way to the first link")

    def greeted(self, *, by_address: bool, numbered: bool) -> None:
        """The server shows how it is asked. One that numbers its subscriptions may take messages, too."""
        self._wants_address = by_address and not numbered

    def failed(self, error: Exception) -> None:
        """Nothing is dialed any more."""
        self._refused = isinstance(error, RefusedByServer) and error.code == POLICY

    def look_at_link(self, now: float, *, quiet: bool) -> None:
        """Everything desired is acknowledged on the link that is up; or not, or none is."""
        self._quiet_since = (now if self._quiet_since is None else self._quiet_since) if quiet else None
        self._been_up |= quiet
        self._ever_up |= quiet

    def refused(self) -> None:
        """The server may end the link because of a request of ours."""
        self._ended += 1

    def resume(self, error: Exception) -> None:
        """Restart the count: the new link fails, and the draining link is the current link again."""
        if isinstance(error, RetriesExhausted):
            self.given_up(error, handover=True)
        self._beyond = self._row = self._ended = 0
        self._been_up, self._draining = self._been_up_before, None

    def given_up(self, error: RetriesExhausted, *, handover: bool = False) -> None:
        """Check the option whose attempts are used up: during a handover it is `attempts`."""
        option = "reconnect_attempts" if self._been_up and not handover else "attempts"
        most = getattr(self._context.retry, option)
        self._must(error.option == option, f"{error.option} are used up, and {option} should be")
        self._must(most is not None and self._row >= most, f"gives up after {self._row} dials, and {option} is {most}")

    def dropped(self, now: float) -> None:
        """Note when the machine releases the current link."""
        self._dropped_at = now

    def throttled(self, now: float) -> None:
        """The server said that there were too many."""
        self._throttled_at = now

    def open(self, request: OpenLink, now: float, *, automatic: bool) -> None:
        """One is made."""
        self._must(request.generation > self.newest, "a generation that was used before")
        asked = request.plan is not None
        self._must(asked == self._by_address, "subscribes in the URL instead of by message, or the other way round")
        blind = self._wants_address and not asked and not self._context.doubtful
        self._must(not blind, "the URL names no channels, though the server takes no messages")
        if automatic:
            self._look(now)
        self.newest = request.generation
        self._row += 1
        self._throttled_at, self._prompt = _NEVER, False

    def _look(self, now: float) -> None:
        retry, made = self._context.retry, self._row - self._ended
        self._must(now >= self._throttled_at + _WINDOW - _DUST, "a throttled dial does not wait for the server's next minute")
        late = made < 1 or now >= self._dropped_at + retry.delay(made, 0.0) - _DUST
        self._must(late or self._prompt, f"dial {made + 1} in a row comes {now - self._dropped_at:.3f} s after the one before")
        # The policy decides when an attempt fails. A dial that it planned while the old link delivered leaves under the limit of
        # then, though that link has ended since: to take the dial back would cost the user an attempt that the policy allowed.
        allowed = any(most is None or made < most + self._beyond for most in (self._most, self._planned_most))
        self._must(allowed, "more dials than the policy allows")

    @property
    def _most(self) -> int | None:
        later = self._been_up and self._context.draining is None
        return self._context.retry.reconnect_attempts if later else self._context.retry.attempts
