"""The explanation of a connection: the answer to "I get nothing", in sentences and as data.

Invariant: an explanation holds no secret and no payload. The meaning of a state, a transition rule, a deadline and an error comes
from the one place that describes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from realtime_fsm.client.health import Health, current_failure, delivering, faulty_since, health_of, is_deaf, named
from realtime_fsm.client.subscription import SubscriptionInfo
from realtime_fsm.errors import RealtimeError  # noqa: TC001  (for tools that read annotations, as are those below)
from realtime_fsm.fsm.change import Failure  # noqa: TC001
from realtime_fsm.fsm.descriptions import DEADLINES, STATES
from realtime_fsm.fsm.table import State  # noqa: TC001
from realtime_fsm.protocol.channel_checks import doubt_about, is_silent_for, needs_e4
from realtime_fsm.protocol.eras import Era
from realtime_fsm.remedies import remedy_of
from realtime_fsm.runtime.timestamps import parse_or_none

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.runtime.delivery import SubscriptionDelivery
    from realtime_fsm.runtime.driver import Driver

_PHASES = {"upgrade": "is being dialed", "greeting": "is open, and not greeted yet"}
_SHORT = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class ExplainedSubscription:
    """One subscription in an `Explanation`.

    Attributes:
        id: its id.
        channels: its channels.
        acknowledged: whether a link serves it now, the old link of a handover included.
        missing_channels: the channels that the server did not acknowledge.
        received: how many events links have brought for it, dropped ones included.
        dropped: how many events were dropped because the consumer was too slow.
        waiting: how many events wait for the consumer.
        last_event: the time of its last event by the server's clock, aware, in UTC; None before the first.
    """

    id: str
    channels: tuple[str, ...]
    acknowledged: bool
    missing_channels: tuple[str, ...]
    received: int
    dropped: int
    waiting: int
    last_event: datetime | None

    def __str__(self) -> str:
        served = "acknowledged" if self.acknowledged else "not acknowledged"
        without = f", but for {', '.join(self.missing_channels)}" if self.missing_channels else ""
        events = f"events: {self.received} received, {self.dropped} dropped, {self.waiting} waiting for the consumer"
        last = "" if self.last_event is None else f"; the last one is of {_time(self.last_event)}, by the server's clock"
        return f"{self.id} to {', '.join(self.channels)}: {served}{without}; {events}{last}."


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a connection is in its state, and what follows. ``str()`` gives the text.

    Attributes:
        connection_id: the name of the connection in the audit log.
        at: the moment of the explanation, aware, in UTC.
        server: host and port of the server.
        project: the id of the project.
        state: the state.
        since: when the state was entered, aware, in UTC; None before the first use.
        rule: the id of the transition rule that led to the state; None in the state of the beginning.
        why: the sentence of that rule; empty without one.
        link: the number of the current link, a dial included; None without a link.
        draining: the number of the link that still delivers during a handover; None without one.
        attempt: how many dials in a row were made, without those that a stable link has forgiven.
        attempts: how many dials in a row may fail now; None for no limit.
        awaited: the name of the next deadline, such as ``"dial"``, ``"greeting"``, ``"reply"``, ``"pong"`` or ``"ping"``; empty
            without a deadline.
        due: the moment of that deadline, aware, in UTC; None without a deadline.
        era: the era of the server, as far as it is known.
        greeted: whether a server has told who the user is.
        user: the id of the user whom the server named; None for a guest, and before that.
        subscriptions: the subscriptions that are desired.
        notes: a sentence on each unusual fact, such as a pause or a server fault.
        error: the reason why no attempt follows, in state ``error``.
        last_failure: the newest failed attempt or lost link.
        remedy: the remedy for the last failure, while it explains the state, and for the error; empty without them.
        advice: the next step for a user in this state.
        health: the health at that moment.
    """

    connection_id: str
    at: datetime
    server: str
    project: str
    state: State
    since: datetime | None
    rule: str | None
    why: str
    link: int | None
    draining: int | None
    attempt: int
    attempts: int | None
    awaited: str
    due: datetime | None
    era: Era | None
    greeted: bool
    user: str | None
    subscriptions: tuple[ExplainedSubscription, ...]
    notes: tuple[str, ...]
    error: RealtimeError | None
    last_failure: Failure | None
    remedy: str
    advice: str
    health: Health

    def __str__(self) -> str:
        return "\n".join(line if line.isprintable() else repr(line)[1:-1] for line in self._lines())

    def _lines(self) -> Iterator[str]:
        lasts = "" if self.since is None else f" for {_span(self.at - self.since)}, since {_time(self.since)}"
        yield f"State: {self.state}{lasts}: {STATES[self.state].brief}."
        if self.rule is not None:
            yield f"Why: {self.why} (Transition rule {self.rule}.)"
        yield f"Next: {self._next()}"
        if self.link is not None:
            yield f"Link: {self.link} {_PHASES.get(self.awaited, 'is up')}."
        if self.draining is not None:
            yield f"Old link: {self.draining} delivers until another one serves everything."
        era = "not known yet" if self.era is None else f"{self.era} (Appwrite {self.era.releases})"
        yield f"Server: {self.server}, project {self.project}, era {era}."
        if self.greeted:
            yield f"Identity: {'a guest, who receives only what guests may read' if self.user is None else f'user {self.user}'}."
        served = sum(one.acknowledged for one in self.subscriptions)
        yield f"Subscriptions: {len(self.subscriptions)} desired, {served} acknowledged."
        yield from (f"  {one}" for one in self.subscriptions)
        yield from (f"Note: {note}" for note in self.notes)
        if self.error is not None:
            yield f"Error: {_sentence(self.error)}"
        elif self.last_failure is not None:
            yield f"Last failure: at {_time(self.last_failure.at)}, {_sentence(self.last_failure.error)}"
        if self.remedy:
            yield f"Remedy: {self.remedy}"
        if not (self.state.is_live and self.notes):  # a note tells more than "enjoy your events"
            yield f"Advice: {self.advice}"

    def _next(self) -> str:
        if self.due is None:
            return "nothing, without a call." if self.link is None else "an event or a call; no deadline is set."
        left = DEADLINES[self.awaited].format(_span(max(timedelta(), self.due - self.at)))
        limit = "without a limit" if self.attempts is None else f"at most {self.attempts}"
        return f"{left}." if self.state.is_live else f"{left}; dials in a row so far: {self.attempt}, {limit}."


def explanation_of(driver: Driver, state: State, connection_id: str) -> Explanation:
    """Explain a connection in a state. The call does not bind a connection to an event loop that has not been used on one."""
    context, loop, at = driver.context, driver.bound_loop, datetime.now(UTC)
    now = context.now if loop is None or loop.is_closed() else loop.time()

    def moment(seconds: float) -> datetime:
        return at + timedelta(seconds=seconds - now)

    failure, due, error, account = driver.failures.last, context.deadline, context.error, driver.identity.user
    user = None if account is None else account.get("$id")
    entered, entered_by, served = context.state_entered_at, driver.entered_by, delivering(driver, state)
    cause = current_failure(driver, state)
    if error is not None and getattr(error, "cause", None) is not cause:
        cause = None  # the error alone tells more
    deliveries = [one for one in (*driver.registry.deliveries.values(),) if one.spec.id in context.subscriptions.desired]
    return Explanation(
        connection_id=connection_id,
        at=at,
        server=context.server,
        project=driver.project,
        state=state,
        since=None if entered is None else moment(entered),
        rule=None if entered_by is None else entered_by.id,
        why="" if entered_by is None else entered_by.why,
        link=None if context.link is None else context.link.generation,
        draining=context.draining_generation,
        attempt=context.attempt,
        attempts=context.retry.reconnect_attempts if context.counts_reconnects else context.retry.attempts,
        awaited=context.deadline_name,
        due=None if due is None else moment(due),
        era=context.era,
        greeted=context.ever_up or state.is_live,
        user=user if isinstance(user, str) else None,
        subscriptions=tuple(_explained(driver, one, acknowledged=one.spec.id in served) for one in deliveries),
        notes=(*_notes(driver, now), *_silence(driver, [one for one in deliveries if one.spec.id in served])),
        error=error,
        last_failure=failure,
        remedy=" ".join(remedy_of(one) for one in (cause, error) if one is not None),
        advice=STATES[state].advice,
        health=health_of(driver, state),
    )


def _explained(driver: Driver, one: SubscriptionDelivery, *, acknowledged: bool) -> ExplainedSubscription:
    info = SubscriptionInfo(driver, one)
    missing = info.missing_channels if one.established else ()
    last = parse_or_none(one.last_timestamp)
    return ExplainedSubscription(info.id, info.channels, acknowledged, missing, one.received, one.dropped, len(one.buffer), last)


def _notes(driver: Driver, now: float) -> Iterator[str]:
    """Tell what is unusual: why a dial waits, and what keeps events away."""
    context, current = driver.context, driver.links.current
    if context.awaited:
        yield "The dial waits until the link before is closed."
    elif context.attempt_at is not None and context.throttled:
        yield "The dial waits as long as the server, or a proxy, asked."
    elif context.attempt_at is not None and context.attempt_at == context.dial_slot:
        yield f"The dial waits for its slot: {context.retry.dials_per_minute} dials a minute may leave for one server."
    if current is not None and current.paused_since is not None:
        paused = _span(timedelta(seconds=now - current.paused_since))
        yield f'The link has not been read for {paused}, because a consumer with overflow="pause" is full.'
    if (since := faulty_since(driver)) is not None:
        yield f"The server is at fault: it answers, and has not worked for {_span(timedelta(seconds=now - since))}."
    if is_deaf(driver):
        yield "A canary did not come back: the events of the server are lost."
    for kind, count in tuple(driver.malformed.items()):
        yield f"Messages of the server that the client could not use: {count} ({kind})."


def _silence(driver: Driver, served: list[SubscriptionDelivery]) -> Iterator[str]:
    """Tell why subscriptions that are served may give nothing."""
    if waiting := [one.spec.id for one in served if len(one.buffer)]:
        yield f"Events wait for the consumer of {named(waiting)}: iterate over it, or consume faster."
    for channel in dict.fromkeys(channel for one in served for channel in one.spec.channels):
        if doubt := doubt_about(channel):
            yield f"{doubt[0].upper()}{doubt[1:]}."
        elif is_silent_for(driver.identity.user, channel):
            yield f"A guest receives no event on channel {channel!r}."
        elif driver.context.era is not Era.E4 and needs_e4(channel):  # a link that serves knows the era
            yield f"A server of era {driver.context.era} publishes nothing on channel {channel!r}."
    if silent := [one.spec.id for one in served if not one.received]:
        yield (
            f"No event has come for {named(silent)}. Check the channels, the queries, and who may read the rows;"
            " `realtime-fsm doctor` helps."
        )


def _sentence(failure: Exception) -> str:
    return f"{str(failure).rstrip('.')}."


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds:.1f} s" if span < _SHORT else f"{timedelta(seconds=round(seconds))} h"


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
