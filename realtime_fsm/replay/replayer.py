"""The replayer: step the machine with the facts of each record, and compare the step with the record.

Invariant: the replay reproduces a step only if transition rule, states, counts, cause, times and subscriptions equal the record.

Design: `at` of each record sets the clock, so sums of times are exact. Three records have no `at`: a call during a ping, a pause,
and the end of a draining link. Their moment follows from `dwell`, which is rounded. The replay takes the microsecond before, so
that no deadline comes later than in the log.

An error frame that changes nothing has no record. It matters only if the link ends next, and then the record of the end names the
code. Such a frame found no request in flight, so it came before any request that the end found. Its moment does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import UNSET

from realtime_fsm.auditlog.records import (
    FACTS,
    OutageRecord,
    PauseRecord,
    PresenceRecord,
    RetiredRecord,
    SubscriptionRecord,
    TransitionRecord,
)
from realtime_fsm.fsm import commands
from realtime_fsm.fsm.inputs import Closed, ErrorReceived, LinkClosed, SetPresence
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.replay.divergence import Diverged, explain_choice, kind_and_code
from realtime_fsm.replay.harness import DEFAULT_DRAW, MachineHarness, Reached, ReplayInput
from realtime_fsm.replay.inputs import PLACEHOLDER, RULES, frame_received_before, input_of
from realtime_fsm.replay.log_facts import LogFacts, code_of_end
from realtime_fsm.replay.log_reader import IncompleteLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.fsm.commands import Command, StepResult, TransitionTaken
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.replay.log_reader import ConnectionLog, LocatedRecord

MICROSECOND = 1e-6
"""The largest difference between a rounded time of a record and the machine's time, in seconds."""


@dataclass(frozen=True, slots=True)
class ReplayedStep:
    """A step that the machine took like the log, or an input that moved nothing.

    Attributes:
        seq: the number of the record that proves the step.
        input_: the input.
        seconds: the seconds since the first step.
        source: the state before the step.
        result: the transition, the commands and the deadline.
        reached: the rule of the step, and the state, the counts and the commands after it.
        awaited: the name of the next deadline.
        lag: the seconds between the deadline and the step.
        outage: the record of the outage that begins or ends with the step; None for most steps.
    """

    seq: int
    input_: ReplayInput
    seconds: float
    source: State
    result: StepResult
    reached: Reached
    awaited: str
    lag: float
    outage: OutageRecord | None = None

    @property
    def state(self) -> State:
        """The state after the step."""
        return self.reached.state


class Replayer:
    """Replays the log of one connection."""

    def __init__(self, log: ConnectionLog) -> None:
        self._log = log
        self._facts = LogFacts([located.record for located in log.records])
        self._harness = MachineHarness(log.policies.by_name)
        self._replay_inputs: list[ReplayInput] = []
        self._now = 0.0
        self._user_input: Input | None = None  # the call about a subscription or a presence, until its step
        self._logged_outcomes: list[str] = []  # the log's outcomes of subscriptions since the last transition
        self._own_outcomes: list[str] = []  # the machine's outcomes since then
        self._pauses: tuple[tuple[float, bool], ...] = ()  # since the last step
        self._rounded_link = 0  # the newest link with an input whose moment is rounded

    def play(self, until: int | None = None) -> Iterator[ReplayedStep]:
        """Take the steps, up to the record with the number `until`.

        Raises:
            Diverged: when the machine takes another step than the log.
            IncompleteLog: when the log lacks a fact on which a step depended.
        """
        for located in self._log.records:
            record = located.record
            if until is not None and record.seq > until:
                return
            match record:
                case TransitionRecord():
                    yield from self._feed_unrecorded(located, record)
                    yield self._replay_transition(located, record)
                case SubscriptionRecord(change="desired" | "withdrawn") | PresenceRecord(change="desired" | "withdrawn"):
                    input_ = self._facts.user_call(record)
                    if self._harness.state is not State.PING or isinstance(input_, SetPresence):
                        self._user_input = input_
                    else:
                        yield self._feed_rounded(record, input_)
                case SubscriptionRecord(subscription=identifier, change=change):
                    self._logged_outcomes.append(f"{identifier} {change}")
                case PresenceRecord(change=change):
                    self._logged_outcomes.append(f"presence {change}")
                case RetiredRecord(retired=generation):
                    draining = self._harness.context.draining_generation
                    if draining != generation:
                        own = "no link" if draining is None else f"link {draining}"
                        raise Diverged(located, f"the draining link {generation} ends, and in the machine {own} is draining")
                    yield self._feed_rounded(record, LinkClosed(generation))
                case PauseRecord() if record.paused == self._harness.context.generation:
                    self._pauses = (*self._pauses, (self._take_rounded_moment(record.dwell), record.change == "opened"))

    # --- inputs without a transition --------------------------------------------------------------------------------------

    def _take_rounded_moment(self, dwell: float) -> float:
        """Return the moment of a record without `at`, and note that its link has a rounded moment."""
        self._rounded_link = self._harness.context.generation
        return max(self._now, self._entered_at + dwell - MICROSECOND)

    def _feed_rounded(self, record: SubscriptionRecord | PresenceRecord | RetiredRecord, input_: Input) -> ReplayedStep:
        replay_input = ReplayInput(self._take_rounded_moment(record.dwell), input_, pauses=self._pauses)
        return self._feed(record.seq, replay_input, outage=self._facts.outages.get(record.seq))

    def _feed_unrecorded(self, located: LocatedRecord, record: TransitionRecord) -> Iterator[ReplayedStep]:
        """Feed the inputs that have no record, and that a transition proves.

        An end by an error frame proves the frame. A dial outside of `reconnecting` proves that the old sockets have closed.
        """
        context, rule, at = self._harness.context, RULES.get(record.row), self._moment(record)
        link, code = context.link, code_of_end(record) or self._facts.errors.get(record.seq)
        if link is not None and code is not None:
            last = link.last_error
            is_newest = last is not None and last.frames_received == link.frames_received and last.cause.code == code
            if not is_newest or record.heard is True:  # this error is the frame before an overdue pong
                error = ReplayInput(at, ErrorReceived(link.generation, code, PLACEHOLDER), pauses=self._pauses)
                step = self._feed(record.seq, error)
                if step.result.transition is not None:
                    raise Diverged(located, f"an error frame {code} before this record moves the machine, without a record")
                yield step
        dials = rule is not None and Effect.DIAL in rule.effects and record.link == context.generation + 1
        if dials and self._harness.state is not State.RECONNECTING:
            for generation in context.awaited:
                yield self._feed(record.seq, ReplayInput(at, Closed(generation), pauses=self._pauses))

    # --- transitions --------------------------------------------------------------------------------------------------

    @property
    def _entered_at(self) -> float:
        entered = self._harness.context.state_entered_at
        return self._now if entered is None else entered

    def _moment(self, record: TransitionRecord) -> float:
        """Return the moment of a step. A record of an older version holds only the rounded dwell."""
        return record.at if isinstance(record.at, float) else self._entered_at + record.dwell

    def _replay_transition(self, located: LocatedRecord, record: TransitionRecord) -> ReplayedStep:
        rule, context = RULES.get(record.row), self._harness.context
        if rule is None or rule.trigger != record.trigger:
            problem = "the table has no such transition rule" if rule is None else f"{rule.id} is a rule for {rule.trigger}"
            raise Diverged(located, problem)
        if self._user_input is not None and record.trigger != self._user_input.trigger:
            raise Diverged(located, f"the user called {self._user_input.trigger}, and the log has no step of this call")
        input_ = input_of(record, context, self._user_input)
        if input_ is None:
            raise IncompleteLog(f"{located.place}: the log does not tell the user's subscription, presence or ping setting")
        replay_input = ReplayInput(
            self._moment(record),
            input_,
            record.draw if isinstance(record.draw, float) else DEFAULT_DRAW,
            record.dial_slot if isinstance(record.dial_slot, float) else None,
            frame_received_before(record, context),
            self._pauses,
        )
        exact = context.generation != self._rounded_link
        step = self._feed(record.seq, replay_input, record.lag, self._facts.outages.get(record.seq))
        wrong = self._differences(record, step, exact=exact)
        if wrong and record.at is UNSET:
            raise IncompleteLog(f"{located.place}: an older version wrote the record, without all facts of the step")
        if wrong:
            before = MachineHarness(self._log.policies.by_name, self._replay_inputs[:-1])
            began = self._replay_inputs[0].at
            lines = (*wrong, *explain_choice(before, replay_input, record, step.result.transition, began))
            raise Diverged(located, "the machine does something else", lines)
        self._user_input = None
        self._logged_outcomes.clear()
        self._own_outcomes.clear()
        return step

    def _feed(self, seq: int, replay_input: ReplayInput, lag: float = 0.0, outage: OutageRecord | None = None) -> ReplayedStep:
        harness, source = self._harness, self._harness.state
        result = harness.feed(replay_input)
        self._replay_inputs.append(replay_input)
        self._own_outcomes += _outcomes(result.commands)
        self._pauses, self._now = (), replay_input.at
        seconds, reached = replay_input.at - self._replay_inputs[0].at, harness.reached(result)
        return ReplayedStep(seq, replay_input, seconds, source, result, reached, harness.context.deadline_name, lag, outage)

    def _differences(self, record: TransitionRecord, step: ReplayedStep, *, exact: bool) -> list[str]:
        """Describe the differences between a step and its record; without `exact`, the deadline may differ."""
        transition, reached = step.result.transition, step.reached
        if transition is None:
            return [f"row: {record.row} in the log, none in the machine"]
        pairs: list[tuple[str, object, object]] = [
            ("row", record.row, transition.row.id),
            ("source", record.source, step.source.value),
            ("dest", record.dest, reached.state.value),
            ("link", record.link, reached.link),
            ("attempt", record.attempt, reached.attempt),
            ("sends", record.sends, reached.sends),
            ("cause", kind_and_code(record), kind_and_code(transition.cause)),
            ("subscriptions", ", ".join(self._logged_outcomes), ", ".join(self._own_outcomes)),
            *((name, _fact(record, name), _fact(transition, name)) for name in FACTS),
        ]
        differ = [
            f"{name}: {'none' if logged == '' else logged} in the log, {'none' if own == '' else own} in the machine"
            for name, logged, own in pairs
            if logged != own
        ]
        if abs(record.dwell - transition.dwell) > MICROSECOND:
            differ.append(f"dwell: {record.dwell:.6f} s in the log, {transition.dwell:.6f} s in the machine")
        exact = exact or step.source in (State.RECONNECTING, State.PING)  # their deadlines come from steps alone
        if exact and abs(record.lag - transition.lag) > MICROSECOND:
            differ.append(f"deadline: missed by {record.lag:.6f} s in the log, by {transition.lag:.6f} s in the machine")
        return differ


def _fact(holder: TransitionRecord | TransitionTaken, name: str) -> str:
    """Return a fact of a step as text; an empty text if the step lacks the fact."""
    value = getattr(holder, name)
    trigger = holder.trigger if isinstance(holder, TransitionRecord) else holder.row.trigger
    if name == "heard" and trigger == Trigger.LOST and value is True:
        return ""  # a later frame has made the error frame without a record irrelevant
    return "" if value is None or value is UNSET else repr(value)


def _outcomes(given: Iterable[Command]) -> list[str]:
    """Return the outcomes of subscriptions and presences by commands, in the words of the log."""
    outcomes: list[str] = []
    for command in given:
        match command:
            case commands.SubscriptionAcknowledged(id=identifier):
                outcomes.append(f"{identifier} acknowledged")
            case commands.SubscriptionRefused(id=identifier) | commands.SubscriptionUnsupported(id=identifier):
                outcomes.append(f"{identifier} rejected")
            case commands.SubscriptionRemoved(id=identifier):
                outcomes.append(f"{identifier} removed")
            case commands.FailWaiters(withdrawn=identifiers) | commands.ResumeLink(withdrawn=identifiers):
                outcomes += [f"{identifier} removed" for identifier in identifiers]
            case commands.PresenceStored():
                outcomes.append("presence stored")
            case commands.PresenceRefused():
                outcomes.append("presence rejected")
    return outcomes
