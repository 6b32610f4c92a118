"""The replayer: it steps the machine with the facts of each record, and compares the step with the record.

Invariant: a step is reproduced if row, states, counts, cause, times and subscriptions are those of the record.

Design: `at` of each record sets the clock, so sums of moments come out to the last bit. A call of the user that takes no row
while a pong is awaited, a pause and the end of a draining link have no `at`. Their moment follows from `dwell`, which is rounded,
so the replay takes the microsecond before: a deadline is then never later than that of the log.

An error frame that changes nothing has no record. It matters only where the link ends next, and the record of that end names it.
Such a frame finds no request in flight, so it came before the request that is in flight at the end; its moment does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import UNSET

from realtime_fsm.auditlog.records import (
    OutageRecord,
    PauseRecord,
    PresenceRecord,
    RetiredRecord,
    SubscriptionRecord,
    TransitionRecord,
)
from realtime_fsm.fsm import commands
from realtime_fsm.fsm.inputs import Closed, ErrorReceived, LinkClosed, SetPresence, Subscribe, Unsubscribe
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.protocol.frames import MAX_CLIENT_PAYLOAD
from realtime_fsm.replay.divergence import Diverged, describe_cause, explain_choice
from realtime_fsm.replay.harness import DEFAULT_DRAW, MachineHarness, ReplayInput
from realtime_fsm.replay.inputs import PLACEHOLDER, ROWS, frame_received_before, input_of, presence, spec
from realtime_fsm.replay.log_reader import IncompleteLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.auditlog.records import AnyRecord
    from realtime_fsm.fsm.commands import Command, StepResult, TransitionTaken
    from realtime_fsm.fsm.inputs import Input
    from realtime_fsm.protocol.frames import Code
    from realtime_fsm.replay.log_reader import ConnectionLog, LocatedRecord

MICROSECOND = 1e-6
"""Seconds by which times of a record may differ from the machine's, because they are rounded."""
_FACTS = ("draw", "enabled", "heard", "dial_slot")
"""The fields that hold what a step depended on, beside `at`; records of older versions lack them all."""
_FRAMES = {Trigger.GREETED, Trigger.ACKNOWLEDGED, Trigger.PONG, Trigger.SERVER_ERROR, Trigger.RECOVERED}
"""The triggers that are frames of the server."""


@dataclass(frozen=True, slots=True)
class ReplayedStep:
    """A step that the machine took as the log says, or an input that took no row.

    Attributes:
        seq: the number of the record that tells of it.
        input_: the input.
        seconds: since the first step.
        source: the state before it.
        result: the row, the commands and the deadline.
        state: the state after it.
        link: the number of the newest link.
        attempt: dials in a row that have not been forgiven.
        sends: frames sent on the newest link.
        awaited: what the next deadline is for.
        lag: by how many seconds the deadline had been missed.
        outage: the outage that begins or ends with the step, by its record; None for most steps.
    """

    seq: int
    input_: ReplayInput
    seconds: float
    source: State
    result: StepResult
    state: State
    link: int
    attempt: int
    sends: int
    awaited: str
    lag: float
    outage: OutageRecord | None = None


class Replayer:
    """Replays the log of one connection.

    Args:
        log: the records.
    """

    def __init__(self, log: ConnectionLog) -> None:
        self._log = log
        self._harness = MachineHarness(log.policies)
        self._replay_inputs: list[ReplayInput] = []
        self._now = 0.0
        self._user_input: Input | None = None  # the call about a subscription or a presence, until its step
        subscriptions = [located.record for located in log.records if isinstance(located.record, SubscriptionRecord)]
        self._unsupported_ids = {  # only a server that is too old for queries refuses without a code
            record.subscription for record in subscriptions if record.change == "rejected" and record.error_code is None
        }
        sizes = sum(record.size for record in subscriptions)
        self._pads = sizes > MAX_CLIENT_PAYLOAD / 2  # else all subscriptions fit into one frame, whatever their sizes
        self._logged_outcomes: list[str] = []  # of subscriptions since the last transition, in the log
        self._own_outcomes: list[str] = []  # and of the machine
        self._pauses: tuple[tuple[float, bool], ...] = ()  # since the last step
        self._rounded_link = 0  # the newest link with an input whose moment is rounded
        self._errors = _errors_before_requests(located.record for located in log.records)
        self._outages = _outages_by_step(located.record for located in log.records)

    def play(self, until: int | None = None) -> Iterator[ReplayedStep]:
        """Take the steps.

        Args:
            until: the number of the last record to look at.

        Raises:
            Diverged: when the machine does something else than the log says.
            IncompleteLog: when the log does not tell what a step depended on.
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
                    input_ = self._user_call(record)
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
                        raise Diverged(located, f"the end of draining link {generation}, and {own} is draining in the machine")
                    yield self._feed_rounded(record, LinkClosed(generation))
                case PauseRecord() if record.paused == self._harness.context.generation:
                    self._pauses = (*self._pauses, (self._rounded_moment(record.dwell), record.change == "opened"))
                case _:
                    pass

    # --- inputs without a row -----------------------------------------------------------------------------------------

    def _user_call(self, record: SubscriptionRecord | PresenceRecord) -> Input:
        if isinstance(record, PresenceRecord):
            return presence(record.change)
        if record.change == "withdrawn":
            return Unsubscribe(record.subscription)
        size, filtered = record.size * self._pads, record.subscription in self._unsupported_ids
        return Subscribe(spec(record.subscription, size, filtered=filtered))

    def _rounded_moment(self, dwell: float) -> float:
        """Tell the moment of a record that holds a rounded dwell and no `at`."""
        self._rounded_link = self._harness.context.generation
        return max(self._now, self._entered_at + dwell - MICROSECOND)

    def _feed_rounded(self, record: SubscriptionRecord | PresenceRecord | RetiredRecord, input_: Input) -> ReplayedStep:
        replay_input = ReplayInput(self._rounded_moment(record.dwell), input_, pauses=self._pauses)
        return self._feed(record.seq, replay_input, outage=self._outages.get(record.seq))

    def _feed_unrecorded(self, located: LocatedRecord, record: TransitionRecord) -> Iterator[ReplayedStep]:
        """Feed the inputs without a record of which a transition tells.

        An error frame that changes nothing is the cause when the link ends. A link that no state waits for has ended when a dial
        leaves at once.
        """
        context, row, at = self._harness.context, ROWS.get(record.row), self._moment(record)
        link, code = context.link, _code_of_end(record) or self._errors.get(record.seq)
        if link is not None and code is not None:
            last = link.last_error
            is_newest = last is not None and last.frames_received == link.frames_received and last.cause.code == code
            if not is_newest or record.heard is True:  # a frame before an overdue pong is this one
                error = ReplayInput(at, ErrorReceived(link.generation, code, PLACEHOLDER), pauses=self._pauses)
                step = self._feed(record.seq, error)
                if step.result.transition is not None:
                    raise Diverged(located, f"an error frame {code} before it takes a row of the machine, and has no record")
                yield step
        leaves = row is not None and Effect.DIAL in row.effects and record.link == context.generation + 1
        if leaves and self._harness.state is not State.RECONNECTING:
            for generation in context.awaited:
                yield self._feed(record.seq, ReplayInput(at, Closed(generation), pauses=self._pauses))

    # --- transitions --------------------------------------------------------------------------------------------------

    @property
    def _entered_at(self) -> float:
        entered = self._harness.context.state_entered_at
        return self._now if entered is None else entered

    def _moment(self, record: TransitionRecord) -> float:
        """Tell when a step was; records of older versions have the rounded dwell alone."""
        return record.at if isinstance(record.at, float) else self._entered_at + record.dwell

    def _replay_transition(self, located: LocatedRecord, record: TransitionRecord) -> ReplayedStep:
        row, context = ROWS.get(record.row), self._harness.context
        if row is None or row.trigger != record.trigger:
            raise Diverged(located, "the table has no such row" if row is None else f"{row.id} is a row of {row.trigger}")
        if self._user_input is not None and record.trigger != self._user_input.trigger:
            raise Diverged(located, f"the user called {self._user_input.trigger}, and no step says so")
        input_ = input_of(record, context, self._user_input)
        if input_ is None:
            raise IncompleteLog(f"{located.place}: the log does not tell what is subscribed to, shown or switched")
        replay_input = ReplayInput(
            self._moment(record),
            input_,
            record.draw if isinstance(record.draw, float) else DEFAULT_DRAW,
            record.dial_slot if isinstance(record.dial_slot, float) else None,
            frame_received_before(record, context),
            self._pauses,
        )
        exact = context.generation != self._rounded_link
        step = self._feed(record.seq, replay_input, record.lag, self._outages.get(record.seq))
        wrong = self._differences(record, step, exact=exact)
        if wrong and record.at is UNSET:
            raise IncompleteLog(f"{located.place}: an older version wrote the record, without all that the step depended on")
        if wrong:
            before = MachineHarness(self._log.policies, self._replay_inputs[:-1])
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
        context, seconds = harness.context, replay_input.at - self._replay_inputs[0].at
        counts = (context.generation, context.attempt, context.frames_sent)
        return ReplayedStep(seq, replay_input, seconds, source, result, harness.state, *counts, harness.awaited, lag, outage)

    def _differences(self, record: TransitionRecord, step: ReplayedStep, *, exact: bool) -> list[str]:
        """Tell in which ways a step differs from its record; without `exact`, its deadline may be off."""
        transition = step.result.transition
        if transition is None:
            return [f"row: {record.row} in the log, none of the machine"]
        pairs: list[tuple[str, object, object]] = [
            ("row", record.row, transition.row.id),
            ("source", record.source, step.source.value),
            ("dest", record.dest, step.state.value),
            ("link", record.link, step.link),
            ("attempt", record.attempt, step.attempt),
            ("sends", record.sends, step.sends),
            ("cause", describe_cause(record), describe_cause(transition.cause)),
            ("subscriptions", ", ".join(self._logged_outcomes), ", ".join(self._own_outcomes)),
            *((name, _fact(record, name), _fact(transition, name)) for name in _FACTS),
        ]
        differ = [
            f"{name}: {'none' if logged == '' else logged} in the log, {'none' if own == '' else own} of the machine"
            for name, logged, own in pairs
            if logged != own
        ]
        if abs(record.dwell - transition.dwell) > MICROSECOND:
            differ.append(f"dwell: {record.dwell:.6f} s in the log, {transition.dwell:.6f} s of the machine")
        exact = exact or step.source in (State.RECONNECTING, State.PING)  # their deadlines come from steps alone
        if exact and abs(record.lag - transition.lag) > MICROSECOND:
            differ.append(f"deadline: missed by {record.lag:.6f} s in the log, by {transition.lag:.6f} s of the machine")
        return differ


def _code_of_end(record: TransitionRecord) -> Code | None:
    """Tell the code of the error frame that explains the end of a link; None on other steps."""
    return record.error_code if record.trigger == Trigger.LOST and record.cause == "error_frame" else None


def _errors_before_requests(records: Iterable[AnyRecord]) -> dict[int, Code]:
    """Find the frames after which a link ends by an error frame, and no frame of the server comes between.

    Returns:
        The codes of the error frames, by the numbers of the records whose steps sent those frames.
    """
    found: dict[int, Code] = {}
    asked: int | None = None
    link = sends = 0
    for record in records:
        if not isinstance(record, TransitionRecord):
            continue
        code = _code_of_end(record)
        if asked is not None and code is not None:
            found[asked] = code
        row = ROWS.get(record.row)
        resumes = row is not None and Effect.RESUME_LINK in row.effects  # the number of frames is that of the old link
        if record.link != link or record.trigger in _FRAMES or resumes:
            asked = None
        elif record.sends > sends:
            asked = record.seq
        link, sends = record.link, record.sends
    return found


def _outages_by_step(records: Iterable[AnyRecord]) -> dict[int, OutageRecord]:
    """Find the records of outages by the numbers of the records of the steps that begin or end them."""
    found: dict[int, OutageRecord] = {}
    step = 0
    for record in records:
        if isinstance(record, TransitionRecord | RetiredRecord):
            step = record.seq
        elif isinstance(record, OutageRecord):
            found[step] = record
    return found


def _fact(holder: TransitionRecord | TransitionTaken, name: str) -> str:
    """Tell a fact of a step as text; empty if the step has none."""
    value = getattr(holder, name)
    if (
        name == "heard"
        and (holder.trigger if isinstance(holder, TransitionRecord) else holder.row.trigger) == Trigger.LOST
        and value is True
    ):
        return ""  # an error frame without a record came first, and a later frame has made it irrelevant
    return "" if value is None or value is UNSET else repr(value)


def _outcomes(given: Iterable[Command]) -> list[str]:
    """Tell what commands make of subscriptions and the presence, in the words of the log."""
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
