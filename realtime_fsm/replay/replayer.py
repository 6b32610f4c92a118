"""The player: it steps the machine with what the records tell, and compares each step with its record."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from realtime_fsm.auditlog.records import PauseRecord, PresenceRecord, RetiredRecord, SubscriptionRecord, TransitionRecord
from realtime_fsm.fsm.commands import (
    FailWaiters,
    PresenceRefused,
    PresenceStored,
    ResumeLink,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.inputs import Closed, ErrorReceived, LinkClosed, SetPresence, Subscribe, Unsubscribe
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.replay.divergence import Diverged, describe_cause, explain_choice
from realtime_fsm.replay.harness import MachineHarness, ReplayInput
from realtime_fsm.replay.inference import DEADLINE_TOLERANCE, PLACEHOLDER, ROWS, HiddenInputSolver
from realtime_fsm.replay.inputs import frame_received_before, input_of, ping_enabled_input, presence, spec
from realtime_fsm.replay.log_reader import IncompleteLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.fsm.commands import Command, StepResult
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.replay.log_reader import ConnectionLog, LocatedRecord

ROUNDED = 2e-6
"""Seconds by which moments may differ because records are rounded to a microsecond."""


@dataclass(frozen=True, slots=True)
class ReplayedStep:
    """A step that the machine took as the log says, or an input that it only noted.

    Attributes:
        seq: the number of the record that tells of it.
        replay_input: the input.
        source: the state before it.
        result: what the machine did.
        state: the state after it.
        link: the number of the newest link.
        attempt: dials in a row that have not been forgiven.
        sends: frames sent on the newest link.
        awaited: what the next deadline is for.
        lag: by how many seconds the deadline had been missed.
    """

    seq: int
    input_: ReplayInput
    source: State
    result: StepResult
    state: State
    link: int
    attempt: int
    sends: int
    awaited: str
    lag: float = 0.0


class Replayer:
    """Replays a story.

    Args:
        log: what the log tells.
    """

    def __init__(self, log: ConnectionLog) -> None:
        self._log = log
        self._steps = tuple(_known(log.records))
        self._foresight = HiddenInputSolver(self._steps, log.policies)
        self._harness = MachineHarness(log.policies)
        self._replay_inputs: list[ReplayInput] = []
        self._now = 0.0
        self._index = 0
        self._pending_user_input: Input | None = (
            None  # what the user has said of a subscription or a presence since the last step
        )
        self._unsupported_ids = {  # what only a server that is too old for queries refuses, without a code
            told.record.subscription
            for told in log.records
            if isinstance(told.record, SubscriptionRecord) and told.record.change == "rejected" and told.record.error_code is None
        }
        self._logged_outcomes: list[str] = []  # what became of subscriptions since then, as the log says
        self._early_outcomes: deque[str] = deque()  # the same, as the machine said when no step was told of it
        self._sizes = True
        self._pauses: tuple[tuple[float, bool], ...] = ()  # since the last step

    def play(self, until: int | None = None) -> Iterator[ReplayedStep]:
        """Take the steps.

        Args:
            until: the number of the last record to look at.

        Raises:
            Diverged: when the machine does something else than the log says.
            Untold: when the log does not tell what happened.
        """
        for told in self._log.records:
            record = told.record
            if until is not None and record.seq > until:
                return
            if isinstance(record, TransitionRecord):
                overheard = self._overhear(record)
                if overheard is not None:
                    yield overheard
                yield from self._close_unrecorded(record)
                played = self._step(told, record)
            elif isinstance(record, SubscriptionRecord | PresenceRecord):
                noted = self._note(told, record)
                if noted is None:
                    continue
                played = noted
            elif isinstance(record, RetiredRecord):
                played = self._replay_retired(told, record)
            elif isinstance(record, PauseRecord):
                self._pause(record)
                continue
            else:
                continue
            yield played

    # --- the records --------------------------------------------------------------------------------------------------

    def _note(self, told: LocatedRecord, record: SubscriptionRecord | PresenceRecord) -> ReplayedStep | None:
        """What the user says comes before its step; of a subscription it has none while a pong is awaited."""
        if record.change not in ("desired", "withdrawn"):
            what = _said(record)
            if self._early_outcomes and self._early_outcomes[0] == what:
                self._early_outcomes.popleft()
            else:
                self._logged_outcomes.append(what)
            return None
        input_ = self._happened(record)
        if self._harness.state is not State.PING or isinstance(input_, SetPresence):
            self._pending_user_input = input_
            return None
        return self._replay_without_transition(record, input_)

    def _replay_retired(self, told: LocatedRecord, record: RetiredRecord) -> ReplayedStep:
        draining = self._harness.context.draining_generation
        if draining != record.retired:
            own = "none" if draining is None else f"link {draining}"
            raise Diverged(told, f"the end of link {record.retired}, which made room, and {own} makes room in the machine")
        return self._replay_without_transition(record, LinkClosed(record.retired))

    def _overhear(self, record: TransitionRecord) -> ReplayedStep | None:
        """An error frame that changes nothing has no record; where the link then ends, the cause of that tells of it."""
        link, code = self._harness.context.link, record.error_code
        if link is None or code is None or record.trigger != Trigger.LOST or record.cause != "error_frame":
            return None
        last = link.last_error
        if last is not None and last.frames_received == link.frames_received and last.cause.code == code:
            return None
        source, input_ = self._harness.state, ErrorReceived(link.generation, code, PLACEHOLDER)
        replay_input = ReplayInput(self._moment(record), input_, pauses=self._pauses)
        result = self._harness.feed(replay_input)
        if result.transition is not None:
            self._harness = MachineHarness(self._log.policies, self._replay_inputs)
            return None
        return self._played(record.seq, replay_input, source, result)

    def _close_unrecorded(self, record: TransitionRecord) -> Iterator[ReplayedStep]:
        """The end of a link for which no state waits has no record; a dial that goes at once tells of it."""
        context, source, row = self._harness.context, self._harness.state, ROWS.get(record.row)
        if row is None or Effect.DIAL not in row.effects or source is State.RECONNECTING or record.link != context.generation + 1:
            return
        for generation in context.awaited:
            replay_input = ReplayInput(self._moment(record), Closed(generation), pauses=self._pauses)
            yield self._played(record.seq, replay_input, source, self._harness.feed(replay_input))

    def _pause(self, record: PauseRecord) -> None:
        """What is awaited waits; the next step tells of it. On a link that makes room it changes nothing."""
        if record.paused == self._harness.context.generation:
            at, paused = max(self._now, self._entered() + record.dwell), record.change == "opened"
            self._harness.read(at, paused=paused)
            self._pauses = (*self._pauses, (at, paused))

    def _replay_without_transition(
        self, record: SubscriptionRecord | PresenceRecord | RetiredRecord, input_: Input
    ) -> ReplayedStep:
        """What is noted, and moves nothing."""
        source, at = self._harness.state, max(self._now, self._entered() + record.dwell)
        replay_input = ReplayInput(at, input_, pauses=self._pauses)
        result = self._harness.feed(replay_input)
        self._early_outcomes.extend(_subscription_outcomes(result.commands))
        return self._played(record.seq, replay_input, source, result)

    def _happened(self, record: SubscriptionRecord | PresenceRecord) -> Input:
        if isinstance(record, PresenceRecord):
            return presence(record.change)
        if record.change == "withdrawn":
            return Unsubscribe(record.subscription)
        self._sizes = self._sizes and record.size > 0
        return Subscribe(spec(record.subscription, record.size, filtered=record.subscription in self._unsupported_ids))

    def _step(self, told: LocatedRecord, record: TransitionRecord) -> ReplayedStep:
        row = ROWS.get(record.row)
        if row is None or row.trigger != record.trigger:
            raise Diverged(told, "the table has no such row" if row is None else f"{row.id} is a row of {row.trigger}")
        source, at = self._harness.state, self._moment(record)
        replay_input = self._make_input(told, record, at)
        result = self._harness.feed(replay_input)
        wrong, transition = self._differences(record, source, result), result.transition
        for nudge in (-ROUNDED, ROUNDED) if wrong else ():  # at the very moment at which something falls due
            nudged = replace(replay_input, at=max(self._now, replay_input.at + nudge))
            self._harness = MachineHarness(self._log.policies, self._replay_inputs)
            result = self._harness.feed(nudged)
            if not self._differences(record, source, result):
                replay_input, wrong = nudged, []
                break
        if wrong:
            if not self._sizes and record.trigger == Trigger.ACKNOWLEDGED:
                raise IncompleteLog(
                    f"{told.place}: how many subscriptions fit into a frame depends on their size, which is not told"
                )
            before = MachineHarness(self._log.policies, self._replay_inputs)
            lines = (*wrong, *explain_choice(before, replay_input, record, transition))
            raise Diverged(told, "the machine does something else", lines)
        self._index += 1
        self._pending_user_input = None
        self._logged_outcomes.clear()
        return self._played(record.seq, replay_input, source, result, record.lag)

    def _played(self, seq: int, replay_input: ReplayInput, source: State, result: StepResult, lag: float = 0.0) -> ReplayedStep:
        self._replay_inputs.append(replay_input)
        self._pauses = ()
        self._now = replay_input.at
        harness, context = self._harness, self._harness.context
        return ReplayedStep(
            seq,
            replay_input,
            source,
            result,
            harness.state,
            context.generation,
            context.attempt,
            context.frames_sent,
            harness.awaited,
            lag,
        )

    # --- the input ----------------------------------------------------------------------------------------------------

    def _entered(self) -> float:
        entered = self._harness.context.state_entered_at
        return self._now if entered is None else entered

    def _moment(self, record: TransitionRecord) -> float:
        """When a step was: what its dwell says, and its deadline more exactly where that is near."""
        at, due = self._entered() + record.dwell, self._harness.context.deadline
        if due is not None:
            exact = due + record.lag
            near = DEADLINE_TOLERANCE if record.trigger == Trigger.DEADLINE else ROUNDED
            missed = record.trigger == Trigger.DEADLINE or record.lag > 0 or at > due
            if missed and abs(at - exact) <= near:
                at = exact
        return max(self._now, at)

    def _make_input(self, told: LocatedRecord, record: TransitionRecord, at: float) -> ReplayInput:
        context, index, row = self._harness.context, self._index, ROWS[record.row]
        entered = self._entered() if row.dest is None else at
        spoken = self._pending_user_input
        if spoken is not None and record.trigger != spoken.trigger:
            raise Diverged(told, f"the user called {spoken.trigger}, and no step says so")
        input_: Input | None
        if record.trigger == Trigger.PING_SWITCHED:
            input_ = ping_enabled_input(record, index, self._foresight)
        else:
            input_ = input_of(record, context, spoken)
        if input_ is None:
            raise IncompleteLog(f"{told.place}: the log does not tell what is subscribed to, or shown")
        fault = None if context.link is None else context.link.fault
        waits = Effect.DIAL in row.effects and record.link == context.generation
        return ReplayInput(
            at,
            input_,
            self._foresight.solve_draw(index, at, entered, 0 if fault is None else fault.repetitions),
            self._foresight.solve_dial_slot(index, at, entered, context.attempt_at) if waits else None,
            frame_received_before(record, context),
            self._pauses,
        )

    # --- the comparison -----------------------------------------------------------------------------------------------

    def _differences(self, record: TransitionRecord, source: State, result: StepResult) -> list[str]:
        """In which ways a step differs from its record."""
        transition, context = result.transition, self._harness.context
        if transition is None:
            return [f"row: {record.row} in the log, none of the machine"]
        pairs = (
            ("row", record.row, transition.row.id),
            ("source", record.source, source.value),
            ("dest", record.dest, self._harness.state.value),
            ("link", record.link, context.generation),
            ("attempt", record.attempt, context.attempt),
            ("sends", record.sends, context.frames_sent),
            ("cause", describe_cause(record), describe_cause(transition.cause)),
            ("subscriptions", ", ".join(self._logged_outcomes), ", ".join(_subscription_outcomes(result.commands))),
        )
        differ = [
            f"{name}: {logged or 'none'} in the log, {own or 'none'} of the machine"
            for name, logged, own in pairs
            if logged != own
        ]
        alone = record.trigger == Trigger.DEADLINE and record.source in (State.RECONNECTING, State.PING)
        if alone and abs(record.lag - transition.lag) > DEADLINE_TOLERANCE:  # where one thing is waited for, its moment shows
            differ.append(f"deadline: missed by {record.lag:.6f} s in the log, by {transition.lag:.6f} s of the machine")
        return differ


def _known(records: Iterable[LocatedRecord]) -> Iterator[TransitionRecord]:
    """The steps, as far as the table has their rows."""
    for told in records:
        if isinstance(told.record, TransitionRecord):
            if told.record.row not in ROWS:
                return
            yield told.record


def _said(record: SubscriptionRecord | PresenceRecord) -> str:
    return f"{'presence' if isinstance(record, PresenceRecord) else record.subscription} {record.change}"


def _subscription_outcomes(requests: Iterable[Command]) -> list[str]:
    """What the requests of a step make of subscriptions, in the words of the log."""
    told: list[str] = []
    for request in requests:
        match request:
            case SubscriptionAcknowledged(id=identifier):
                told.append(f"{identifier} acknowledged")
            case SubscriptionRefused(id=identifier) | SubscriptionUnsupported(id=identifier):
                told.append(f"{identifier} rejected")
            case PresenceStored():
                told.append("presence stored")
            case PresenceRefused():
                told.append("presence rejected")
            case SubscriptionRemoved(id=identifier):
                told.append(f"{identifier} removed")
            case FailWaiters(withdrawn=withdrawn) | ResumeLink(withdrawn=withdrawn):
                told += [f"{identifier} removed" for identifier in withdrawn]
    return told
