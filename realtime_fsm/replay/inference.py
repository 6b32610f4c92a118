"""Foresight: what a record does not tell is told by those after it.

A delay's random number shows in the moment of the next dial, a link's in the moment of its renewal, a place in the queue of those
who dial in the moment at which it was taken, and whether pings were switched on or off in whether any was sent.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from realtime_fsm import errors
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.fsm.effects import schedule_retry, start_live_link
from realtime_fsm.fsm.fault import pause_before
from realtime_fsm.fsm.link import LinkState
from realtime_fsm.fsm.names import Effect, Guard
from realtime_fsm.fsm.policies import POLICY, verdict
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger
from realtime_fsm.protocol.faults import is_server_fault
from realtime_fsm.replay.harness import DEFAULT_DRAW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from realtime_fsm.audit.tracking import Policies
    from realtime_fsm.auditlog.records import TransitionRecord
    from realtime_fsm.fsm.tablespec import Row

ROWS: dict[str, Row[State, Trigger]] = {row.id: row for row in TABLE.rows}
_HALVINGS = 60
DEADLINE_TOLERANCE = 1e-3
"""Seconds by which a deadline of the log may differ from the machine's, after many rounded steps; then it is the machine's."""
PLACEHOLDER = "not in the log"
"""What stands for a text that is in no record."""


def cause_of(record: TransitionRecord) -> errors.LinkFailure | None:
    """The failure that a step is about, without its texts; None where there is none, or the machine finds it out itself."""
    match record.cause:
        case "error_frame":
            return errors.ServerError(0 if record.error_code is None else record.error_code, PLACEHOLDER)
        case "stream_ended":
            return errors.StreamEnded(1006 if record.close_code is None else record.close_code)
        case "dial_failed":
            return errors.DialFailed(PLACEHOLDER)
        case "name_not_resolved":
            return errors.NameNotResolved(PLACEHOLDER)
        case "upgrade_refused":
            return errors.UpgradeRefused(record.status or 0, retry_after=record.retry_after)
        case "certificate_refused":
            return errors.CertificateRefused(PLACEHOLDER)
        case "identity_unavailable":
            return errors.IdentityUnavailable(PLACEHOLDER)
        case "frame_too_large":
            return errors.FrameTooLarge(0)
        case _:
            return None


class HiddenInputSolver:
    """The steps of a connection, as its records tell them.

    Args:
        steps: the records, without a hole.
        policies: the settings.
    """

    def __init__(self, steps: Sequence[TransitionRecord], policies: Policies) -> None:
        self._steps = steps
        self._policies = policies

    def solve_draw(self, index: int, now: float, entered: float, repetitions: int = 0) -> float:
        """The random number of a step.

        Args:
            index: which one.
            now: its moment.
            entered: when the state in which it ends was entered.
            repetitions: how many were planned before on this link.
        """
        record = self._steps[index]
        effects = ROWS[record.row].effects
        moment = self._delayed(record, now)
        if Effect.SCHEDULE_RETRY in effects or (
            Effect.RESTORE_IDENTITY in effects and moment(0.0) > now
        ):  # the server asked to wait
            due, least = self._dial(index, entered)
            if due is None and moment(DEFAULT_DRAW) >= least:
                return DEFAULT_DRAW
            return _solve(moment, least if due is None else due)
        if _meets_fault(record):
            retry, due = self._policies.retry, self._repetition(index, entered)
            return 1.0 if due is None else _solve(lambda draw: now + pause_before(repetitions, retry, draw), due)
        if Effect.START_LIVE_LINK in effects:
            return self._solve_greeting(index, now)
        return DEFAULT_DRAW

    def solve_dial_slot(self, index: int, now: float, entered: float, before: float | None) -> float:
        """When a dial had its turn that had none at the moment of a step; as before, if nothing tells."""
        due, least = self._dial(index, entered)
        if due is not None:
            return max(due, now + 1e-6)
        return before if before is not None and before > max(least, now) else max(least, now) + 1.0

    def solve_ping_enabled(self, index: int) -> bool:
        """Whether a step switched pings on: if it switched them off, none was sent before the next such step.

        Where none was sent although they were on, none was due either, and off will do.
        """
        for record in self._steps[index + 1 :]:
            if Effect.SEND_PING in ROWS[record.row].effects:
                return True
            if record.trigger == Trigger.PING_SWITCHED:
                break
        return False

    # --- looking ahead ------------------------------------------------------------------------------------------------

    def _after(self, index: int, entered: float) -> Iterator[tuple[TransitionRecord, float]]:
        """The later steps with their moments, as the dwells say."""
        for record in self._steps[index + 1 :]:
            at = entered + record.dwell
            yield record, at
            if record.dest != record.source:
                entered = at

    def _dial(self, index: int, entered: float) -> tuple[float | None, float]:
        """When the dial that a step planned was due, if that shows, and else before which moment it was not."""
        least = -inf
        for record, at in self._after(index, entered):
            if record.trigger == Trigger.DEADLINE or record.lag > 0:
                return at - record.lag, least
            least = at
            effects = ROWS[record.row].effects
            if record.dest != State.RECONNECTING or Effect.DIAL in effects:
                break
        return None, least

    def _repetition(self, index: int, entered: float) -> float | None:
        """When the request was repeated that met a server fault in a step; None if it was not."""
        sends, link, sent_at = self._steps[index].sends, self._steps[index].link, None
        for record, at in self._after(index, entered):
            if record.link != link or _meets_fault(record):
                break
            row = ROWS[record.row]
            if Guard.REPETITION_DUE in row.guards:
                return at - record.lag
            if record.sends > sends and Effect.SEND_PING not in row.effects and sent_at is None:
                sent_at = at
            sends = record.sends
        return sent_at

    def _solve_greeting(self, index: int, now: float) -> float:
        """The random number of a greeting. Where pings do not tell it because each was held up, the renewal does."""
        ping, renewal = self._first_ping(index, now), self._renewal(index, now)
        renewed = self._welcomed("renew_at", now)
        if ping is not None:
            draw = _solve(self._welcomed("ping_at", now), ping)
            if renewal is None or renewal[0] - DEADLINE_TOLERANCE <= renewed(draw) <= renewal[1] + DEADLINE_TOLERANCE:
                return draw
        return 0.0 if renewal is None else _solve(renewed, renewal[0])

    def _renewal(self, index: int, now: float) -> tuple[float, float] | None:
        """Between which moments the link that a step welcomed was due for renewal; None if it did not come to that."""
        link, least = self._steps[index].link, -inf
        for record, at in self._after(index, now):
            guards = ROWS[record.row].guards
            if Guard.RENEWAL_DUE in guards:
                return max(at - record.lag, least), at
            if record.link != link or record.dest not in LIVE:
                break
            if Guard.PING_DUE in guards:  # a link that was due for renewal was renewed instead
                least = at + 1e-6
        return None

    def _first_ping(self, index: int, now: float) -> float | None:
        """When the first ping was due on the link that a step welcomed; None if none was sent.

        Any of them may have waited for a reply, and none was ever sent before it was due; so one in time tells for all. Where
        even so it is later than it can have been, it was overdue for an interval, and the next ones were planned anew.
        """
        link, interval, sent, later = self._steps[index].link, self._policies.ping.interval, 0, 0.0
        dues: list[float] = []
        for record, at in self._after(index, now):
            if record.link != link or record.dest not in LIVE or record.trigger == Trigger.PING_SWITCHED:
                break
            if Effect.SEND_PING in ROWS[record.row].effects:
                if record.trigger == Trigger.DEADLINE:
                    dues.append(at - record.lag - later)
                sent += 1
                later += self._policies.ping.interval_after(sent)
        first = min(dues, default=None)
        if first is not None and first > now + interval + DEADLINE_TOLERANCE and dues[0] <= first + DEADLINE_TOLERANCE:
            return dues[0] - interval - 1e-6
        return first

    # --- what a random number leads to --------------------------------------------------------------------------------

    def _delayed(self, record: TransitionRecord, now: float) -> Callable[[float], float]:
        """When the next dial is due, by the random number."""
        context = ConnectionContext(retry=self._policies.retry)
        context.now, context.attempt = now, record.attempt
        cause = context.failure = cause_of(record)
        if cause is not None:
            context.failure_verdict = verdict(cause, live=record.source in LIVE)

        def moment(draw: float) -> float:
            context.draw = draw
            schedule_retry(context)
            assert context.attempt_at is not None
            return context.attempt_at

        return moment

    def _welcomed(self, what: str, now: float) -> Callable[[float], float]:
        """When something is due on a link that is welcomed, by the random number."""
        context = ConnectionContext(ping=self._policies.ping, max_link_age=self._policies.max_link_age)
        context.ping_enabled = True
        context.now = now

        def moment(draw: float) -> float:
            context.draw = draw
            context.link = LinkState(1, now, self._policies.ping.interval, planned=False)
            start_live_link(context)
            due: float = getattr(context.link, what)
            return due

        return moment


def _meets_fault(record: TransitionRecord) -> bool:
    """Whether a step is about a request that meets a server fault or a refusal (1008), and may be repeated on the same link."""
    answered = record.trigger == Trigger.SERVER_ERROR and record.source in LIVE and record.source != State.PING
    code = record.error_code
    return answered and record.dest in LIVE and code is not None and (code == POLICY or is_server_fault(code))


def _solve(moment: Callable[[float], float], due: float) -> float:
    """The random number that leads to a moment, or as near to it as any does."""
    low, high = 0.0, 1.0
    rises = moment(low) < moment(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (moment(middle) < due) is rises:
            low = middle
        else:
            high = middle
    return high
