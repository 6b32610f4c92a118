"""The delivery: one subscription as the driver serves it, with its buffer, its gaps and its catching up."""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from realtime_fsm.errors import BadOption
from realtime_fsm.events import Event
from realtime_fsm.fsm.change import Gap
from realtime_fsm.runtime.callbacks import Callback
from realtime_fsm.runtime.overflow import OVERFLOWS, make_buffer
from realtime_fsm.runtime.timestamps import latest, parse_or_none, timestamp_or_none, version_or_none
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
    from datetime import datetime
    from typing import Any

    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.protocol.spec import SubscriptionSpec
    from realtime_fsm.runtime.callbacks import Report
    from realtime_fsm.runtime.outages import Outage
    from realtime_fsm.runtime.overflow import Overflow, ReadGate
    from realtime_fsm.runtime.stream_buffer import StreamBuffer

    OnGap = Callable[[Gap], object]
    CatchUp = Callable[[Gap], Awaitable[Iterable[Event | Mapping[str, Any]]]]

BUFFER_BYTES = 64 * 1024 * 1024
"""Bytes of frames that a subscription keeps by default: as many as the largest frame that is taken."""
_GAPS_KEPT = 100
_NO_VERSIONS: frozenset[tuple[str, str] | None] = frozenset()  # one for all: CPython makes a new one of 0.2 KB at each call
_DEDUP_SECONDS = 60.0
"""Seconds for which a subscription knows the events that catching up has delivered, and drops their live duplicates."""
_LATENESS_TOLERANCE = 1.0
"""Seconds by which a timer may be late on a busy loop; one that is later has slept."""


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How a subscription is served.

    Attributes:
        buffer: how many events are kept for a consumer that is slow.
        buffer_bytes: how many bytes of frames are kept for it at most.
        on_gap: called with each gap.
        catch_up: asked, for each gap, for the events to deliver first.
        overflow: what becomes of events when there are more.
        context: the context in which the user gave the callables.

    Raises:
        BadOption: for a buffer or buffer_bytes that is not a whole number above 0, an unknown overflow, or an on_gap or
            catch_up that is not callable.
    """

    buffer: int = 1024
    on_gap: OnGap | None = None
    catch_up: CatchUp | None = None
    overflow: Overflow = "drop_oldest"
    buffer_bytes: int = BUFFER_BYTES
    context: Context = field(default_factory=copy_context, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("buffer", "buffer_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadOption(name, f"{value!r:.40} is not a whole number above 0")
        if self.overflow not in OVERFLOWS:
            raise BadOption("overflow", f"{self.overflow!r:.40} is not one of {', '.join(OVERFLOWS)}")
        for name in ("on_gap", "catch_up"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise BadOption(name, f"{type(value).__name__} cannot be called; give a function that takes a Gap")


class SubscriptionDelivery:
    """One subscription.

    Attributes:
        put: takes an event. Outside of catching up it is the `put` of the buffer, so the hot path pays nothing.
        last_timestamp: the server's time of the last event that had one, as it came.
        received: how many events links have brought, dropped ones included.
        failures: how many of the user's callables raised.
        misfits: how many events did not fit the type of its payloads.
        spared: the task of a callable that ends this subscription, and goes on after that.
    """

    __slots__ = (
        "_already_delivered", "_audit", "_backlog", "_before_gap", "_catch_up", "_catch_up_since", "_catch_up_task",
        "_caught_up_to", "_expects_gap", "_failed", "_gate", "_loop", "_on_gap", "_options", "_recent_versions",
        "_report", "_usual_put", "acknowledged", "buffer", "failures", "gaps", "granted", "last_reported_outage",
        "last_timestamp", "misfits", "put", "received", "removed", "spared", "spec", "tasks", "updating",
    )  # fmt: skip

    failures: int
    received: int

    def __init__(
        self,
        spec: SubscriptionSpec,
        options: DeliveryOptions,
        loop: asyncio.AbstractEventLoop,
        report: Report,
        audit: AuditWriter,
        gate: ReadGate,
    ) -> None:
        self.spec: SubscriptionSpec = spec
        self._gate = gate
        self._options = options
        self._loop = loop
        self.buffer: StreamBuffer[Event] = self._new_buffer(lambda count: audit.dropped(self.spec.id, count))
        self.put: Callable[[Event], bool] = self.buffer.put
        self._usual_put: Callable[[Event], bool] = self.put  # where events go, but for the times in which a gap is expected
        self._expects_gap = False
        self.granted: asyncio.Future[None] = loop.create_future()
        self.removed: asyncio.Future[None] = loop.create_future()
        self.acknowledged: tuple[str, ...] = ()
        self.last_reported_outage: tuple[Outage, int] | None = None  # the last outage that ended for it, and which of its losses
        self.updating: asyncio.Lock = asyncio.Lock()  # one change of what it listens to at a time
        self.last_timestamp: Any = None
        self.received = 0
        self.gaps: list[Gap] = []
        self.failures = 0
        self.misfits: int = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.spared: asyncio.Task[Any] | None = None
        on_gap, catch_up, context = options.on_gap, options.catch_up, options.context
        self._on_gap = None if on_gap is None else Callback("on_gap", on_gap, context)
        self._catch_up = None if catch_up is None else Callback("catch_up", _collecting(catch_up), context, named=catch_up)
        self._failed: tuple[Callback, ...] = ()
        self._report = report
        self._audit = audit
        self._catch_up_task: asyncio.Task[None] | None = None
        self._before_gap: list[tuple[str, str] | None] = []
        self._catch_up_since: datetime | None = None
        self._caught_up_to: datetime | None = None
        self._backlog: StreamBuffer[Event] | None = None  # what comes while it catches up
        self._already_delivered = _NO_VERSIONS  # what came before it, and may be among what is missed
        self._recent_versions: list[set[tuple[str, str]]] = []  # what each catching up has delivered within the last minute

    def _new_buffer(self, on_drops: Callable[[int], None] | None = None) -> StreamBuffer[Event]:
        options = self._options
        return make_buffer(
            options.overflow, "this subscription", self._loop, options.buffer, options.buffer_bytes, self._gate, on_drops
        )

    @property
    def dropped(self) -> int:
        """How many events were dropped because the consumer was too slow."""
        return self.buffer.dropped + (0 if self._backlog is None else self._backlog.dropped)

    @property
    def established(self) -> bool:
        """Whether the server has ever acknowledged it."""
        return self.granted.done() and not self.granted.cancelled() and self.granted.exception() is None

    def note_out_of_order(self, event: Event) -> bool:
        """Note the server's time of an event, unless it has none, or something came that happened after it.

        Returns:
            Whether a later event came before. A live duplicate of a caught-up event is not late, and does not reach the consumer.
        """
        if event._timestamp is None:  # noqa: SLF001
            return False
        before, when = parse_or_none(self.last_timestamp), timestamp_or_none(event)
        if before is None or latest(before, when) != before:
            self.last_timestamp = event._timestamp  # noqa: SLF001  (as it came: most are never asked for)
            return False
        return when is not None and when < before and not self._remembers(event)

    def expect_gap(self) -> None:
        """Remember the events before its gap, so that a catch-up does not repeat them."""
        if self._options.catch_up is not None and not self._expects_gap:
            self._expects_gap = True
            self._choose_put()

    def _put_before_gap(self, event: Event) -> bool:
        self._before_gap.append(version_or_none(event))
        return self._usual_put(event)

    def _choose_put(self) -> None:
        """Choose where the next events go."""
        usual: Callable[[Event], bool] = self.buffer.put
        if self._backlog is not None:
            usual = self._backlog.put
        elif self._recent_versions:
            usual = self._put_if_new
        self._usual_put = usual
        self.put = self._put_before_gap if self._expects_gap else usual

    def met_gap(self) -> list[tuple[str, str] | None]:
        """Take the versions of the events that have come since the server acknowledged the subscription again."""
        had, self._before_gap = self._before_gap, []
        if self._expects_gap:
            self._expects_gap = False
            self._choose_put()
        return had

    def record_gap(
        self,
        until: datetime,
        outage_seconds: float,
        attempts: int,
        last_timestamp: Any,
        had: Iterable[tuple[str, str] | None] = (),
        proof: Any = None,
    ) -> None:
        """Report a gap: after an outage, or after a link that may have held undelivered events.

        Args:
            until: the moment of the acknowledgement.
            outage_seconds: how long the outage was.
            attempts: how many dials were made in it.
            last_timestamp: the server's time of the last event before, as it came.
            had: the versions of what has come since the acknowledgement, and is not missing.
            proof: the server's time at which its link was last known to work, as it came.
        """
        # The next gap does not include caught-up events, though a late live event may have come behind them.
        gap = Gap(
            latest(parse_or_none(last_timestamp), parse_or_none(proof), self._caught_up_to), until, outage_seconds, attempts
        )
        self.gaps.append(gap)
        del self.gaps[:-_GAPS_KEPT]
        self._audit.gap(self.spec.id, gap)
        if self._on_gap is not None:
            self._create_task(self._tell_gap(self._on_gap, gap))
        if self._catch_up is not None:
            self._already_delivered = self._already_delivered.union(had)
            self._begin_catching_up(self._catch_up, gap)

    def end(self) -> None:
        """Nothing more comes."""
        for task in tuple(self.tasks):
            if task is not self.spared:
                task.cancel()
        for callback in self._failed:
            callback.flush(self._report, self._loop)
        if self._catch_up_task is not None:
            self._catch_up_task = None
            self._deliver(())
        self.buffer.close()

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let the callable go on that ends the subscription, or the connection; tell whether the task is that of a callable."""
        if task not in self.tasks:
            return False
        self.spared = task
        return True

    async def call_user(self, callback: Callback, argument: object) -> None:
        """Call, or await, one of the user's callables. Its failure is noted."""
        _, failure = await callback.call(argument)
        if failure is not None:
            self.record_failure(callback, failure)

    async def _tell_gap(self, on_gap: Callback, gap: Gap) -> None:
        await asyncio.sleep(0)  # a task that starts eagerly is inside of the machine's step until here
        await self.call_user(on_gap, gap)

    # --- catching up --------------------------------------------------------------------------------------------------

    def _begin_catching_up(self, catch_up: Callback, gap: Gap) -> None:
        if self._catch_up_task is not None:  # the link was lost again before it was done: what it missed is still missing
            self._catch_up_task.cancel()
            gap = Gap(self._catch_up_since, gap.until, gap.outage_seconds, gap.attempts)
        self._catch_up_since = gap.since
        if self._backlog is None:
            self._backlog = self._new_buffer()
        self._choose_put()
        self._catch_up_task = self._create_task(self._ask_for_missed(catch_up, gap))

    async def _ask_for_missed(self, catch_up: Callback, gap: Gap) -> None:
        await asyncio.sleep(0)  # a task that starts eagerly is inside of the machine's step until here
        missed: list[Event] = []
        try:
            found, failure = await catch_up.call(gap)
            if failure is None:
                missed = found
            else:
                self.record_failure(catch_up, failure)
        finally:  # live events go on, whatever has ended this
            if self._catch_up_task is asyncio.current_task():
                self._catch_up_task = None
                self._deliver_missed(missed)

    def _deliver_missed(self, missed: list[Event]) -> None:
        self._deliver(
            [event for event in missed if (version := version_or_none(event)) is None or version not in self._already_delivered]
        )
        self._already_delivered = _NO_VERSIONS
        self._caught_up_to = latest(self._caught_up_to, *map(timestamp_or_none, missed))

    def _deliver(self, missed: Iterable[Event]) -> None:
        """First what was missed, then what came meanwhile; each version of each thing once."""
        seen: set[tuple[str, str]] = set()
        self.buffer.put_all([event for event in missed if self._is_new(event, seen)])
        if self._backlog is not None:
            known = seen.union(*self._recent_versions)
            self.buffer.merge_from(self._backlog, lambda event: self._is_new(event, known))
            self._backlog = None
        if seen:
            self._recent_versions.append(seen)
            self._forget_later(seen)
        self._choose_put()

    def _put_if_new(self, event: Event) -> bool:
        return not self._remembers(event) and self.buffer.put(event)

    def _remembers(self, event: Event) -> bool:
        version = version_or_none(event)
        return any(version in seen for seen in self._recent_versions)

    def _is_new(self, event: Event, seen: set[tuple[str, str]]) -> bool:
        version = version_or_none(event)
        if version is None:
            return True
        if version in seen:
            return False
        seen.add(version)
        return True

    def _forget_later(self, seen: set[tuple[str, str]]) -> None:
        self._loop.call_later(_DEDUP_SECONDS, self._forget, seen, self._loop.time() + _DEDUP_SECONDS)

    def _forget(self, seen: set[tuple[str, str]], due: float) -> None:
        if self._loop.time() > due + _LATENESS_TOLERANCE:
            self._forget_later(seen)  # the process slept, and the stream's backlog is still to be read
            return
        self._recent_versions.remove(seen)
        if not self._recent_versions:
            self._choose_put()

    # --- the user's code ----------------------------------------------------------------------------------------------

    def _create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(work, name=f"realtime_fsm subscription {self.spec.id}")
        self.tasks.append(task)
        task.add_done_callback(self.tasks.remove)
        return task

    def record_failure(self, callback: Callback, failure: BaseException) -> None:
        """Count a failure of a callable, and report it."""
        self.failures += 1
        if callback not in self._failed:
            self._failed += (callback,)
        callback.report(failure, self._report, self._loop)


def _collecting(catch_up: CatchUp) -> Callable[[Gap], Awaitable[list[Event]]]:
    """Ask `catch_up`, and take its answer apart: the answer is the user's own, and to iterate it may fail as well."""

    async def collect(gap: Gap) -> list[Event]:
        return [*map(_event_of, await catch_up(gap))]

    return collect


@sealed
def _event_of(item: Event | Mapping[str, Any]) -> Event:
    return item if isinstance(item, Event) else Event.from_payload(item)
