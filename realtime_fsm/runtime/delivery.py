"""The delivery of one subscription: its buffer, its gaps and its callables."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from realtime_fsm.errors import BadOption, MalformedEvent
from realtime_fsm.events import Event
from realtime_fsm.fsm.change import Gap
from realtime_fsm.protocol.options import check_count
from realtime_fsm.runtime.callbacks import Callback
from realtime_fsm.runtime.catching_up import CatchingUp
from realtime_fsm.runtime.overflow import OVERFLOWS, make_buffer
from realtime_fsm.runtime.timestamps import latest, parse_or_none, timestamp_or_none
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
    from datetime import datetime
    from typing import Any

    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.protocol.spec import SubscriptionSpec
    from realtime_fsm.runtime.callbacks import Report
    from realtime_fsm.runtime.overflow import Overflow, ReadGate
    from realtime_fsm.runtime.stream_buffer import StreamBuffer

    OnGap = Callable[[Gap], object]
    CatchUp = Callable[[Gap], Awaitable[Iterable[Event | Mapping[str, Any]]]]

BUFFER_BYTES = 64 * 1024 * 1024
"""Bytes of frames that a subscription keeps by default: the size of the largest frame that the client accepts."""
_GAPS_KEPT = 100


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """The user's options for one subscription.

    Attributes:
        buffer: the number of events that the buffer keeps for a slow consumer.
        buffer_bytes: the bytes of frames that the buffer keeps at most.
        on_gap: a callable that gets each gap.
        catch_up: a callable that gets each gap, and returns the events to deliver first.
        overflow: the mode of a full buffer.
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
            check_count(name, getattr(self, name))
        if self.overflow not in OVERFLOWS:
            raise BadOption("overflow", f"{self.overflow!r:.40} is not one of {', '.join(OVERFLOWS)}")
        for name in ("on_gap", "catch_up"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise BadOption(name, f"{type(value).__name__} cannot be called; give a function that takes a Gap")


class SubscriptionDelivery:
    """One subscription, as the driver serves it.

    Attributes:
        spec: the id, channels and queries that the server knows.
        buffer: the events for the consumer.
        put: takes an event. Outside of a catch-up, `put` is that of the buffer, so an event takes no further call.
        granted: the future of the first acknowledgement.
        removed: the future of the end.
        acknowledged: the channels that the server acknowledged.
        updating: guards a change of the channels or queries.
        last_timestamp: the server's time of the newest event that had a time, as it came.
        received: how many events links have brought, dropped ones included.
        gaps: the newest gaps.
        failures: how many times a callable of the user raised.
        misfits: how many events did not fit the type of its payloads.
        tasks: the tasks of running callables.
        spared: the task of a callable that ends this subscription, and goes on after that.
    """

    __slots__ = (
        "_audit", "_catching_up", "_failed", "_loop", "_on_gap", "_report", "acknowledged", "buffer", "failures", "gaps",
        "granted", "last_timestamp", "misfits", "put", "received", "removed", "spared", "spec",
        "tasks", "updating",
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
        bounds = options.buffer, options.buffer_bytes
        new_buffer = partial(make_buffer, options.overflow, "this subscription", loop, *bounds, gate)
        self.spec: SubscriptionSpec = spec
        self.buffer: StreamBuffer[Event] = new_buffer(lambda count: audit.dropped(self.spec.id, count))
        self.put: Callable[[Event], bool] = self.buffer.put
        self.granted: asyncio.Future[None] = loop.create_future()
        self.removed: asyncio.Future[None] = loop.create_future()
        self.acknowledged: tuple[str, ...] = ()
        self.updating: asyncio.Lock = asyncio.Lock()
        self.last_timestamp: Any = None
        self.received = 0
        self.gaps: list[Gap] = []
        self.failures = 0
        self.misfits: int = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.spared: asyncio.Task[Any] | None = None
        self._loop = loop
        self._report = report
        self._audit = audit
        self._failed: tuple[Callback, ...] = ()
        on_gap, catch_up, context = options.on_gap, options.catch_up, options.context
        self._on_gap = None if on_gap is None else Callback("on_gap", on_gap, context)
        self._catching_up: CatchingUp | None = None
        if catch_up is not None:
            callback = Callback("catch_up", _collecting(catch_up), context, named=catch_up)
            self._catching_up = CatchingUp(self, callback, loop, new_buffer)

    @property
    def dropped(self) -> int:
        """How many events were dropped because the consumer was too slow."""
        return self.buffer.dropped + (0 if self._catching_up is None else self._catching_up.dropped)

    @property
    def established(self) -> bool:
        """Whether the server has ever acknowledged the subscription."""
        return self.granted.done() and not self.granted.cancelled() and self.granted.exception() is None

    @property
    def seen_until(self) -> datetime | None:
        """The server's time of the newest event that came or was caught up with; a late live event may have come behind it."""
        since = parse_or_none(self.last_timestamp)
        return since if self._catching_up is None else self._catching_up.skip_caught_up(since)

    def listens_to(self, event: Event) -> bool:
        """Tell whether an event is of one of its channels, as the user or the server spells them."""
        with suppress(MalformedEvent):
            return not {*self.spec.channels, *self.acknowledged}.isdisjoint(event.channels)
        return False

    def note_out_of_order(self, event: Event) -> bool:
        """Note the server's time of an event, and tell whether the event is late: a later one has come before.

        An event without a time is not late. Nor is a live event that repeats a catch-up: it does not reach the consumer.
        """
        if event._timestamp is None:  # noqa: SLF001
            return False
        before, when = parse_or_none(self.last_timestamp), timestamp_or_none(event)
        if before is None or latest(before, when) != before:
            self.last_timestamp = event._timestamp  # noqa: SLF001  (as it came: most are never asked for)
            return False
        return when is not None and when < before and not (self._catching_up is not None and self._catching_up.remembers(event))

    def expect_gap(self) -> None:
        """Prepare for a gap that a later call reports: the catch-up must not repeat the events that come before that call."""
        if self._catching_up is not None:
            self._catching_up.expect_gap()

    def end_expectation(self) -> Iterable[tuple[str, str] | None]:
        """Prepare no longer for a gap. Return the versions of the events that have come since `expect_gap`."""
        return () if self._catching_up is None else self._catching_up.end_expectation()

    def record_gap(
        self,
        until: datetime,
        outage_seconds: float,
        attempts: int,
        seen_until: datetime | None,
        had: Iterable[tuple[str, str] | None] = (),
        proof: Any = None,
        *,
        planned: bool = False,
    ) -> None:
        """Report a gap: after an outage, or after a link that may have held undelivered events.

        Args:
            until: the end of the gap.
            outage_seconds: its length.
            attempts: the number of dials in it.
            seen_until: the `seen_until` of the moment at which the gap began.
            had: the versions that have come since, and are not missing.
            proof: the server's time at which its link was last known to work, as it came.
            planned: whether no link failed, as with `disconnect()`.
        """
        since = latest(seen_until, parse_or_none(proof))
        if self._catching_up is not None:
            since = self._catching_up.skip_caught_up(since, late=True)
        gap = Gap(since, until, outage_seconds, attempts)
        self.gaps.append(gap)
        del self.gaps[:-_GAPS_KEPT]
        self._audit.gap(self.spec.id, gap, planned=planned)
        if self._on_gap is not None:
            self.create_task(self._tell_gap(self._on_gap, gap))
        if self._catching_up is not None:
            self._catching_up.begin(gap, had)

    def end(self) -> None:
        """End the delivery: the consumer gets the buffered events, then the end."""
        for task in tuple(self.tasks):
            if task is not self.spared:
                task.cancel()
        for callback in self._failed:
            callback.flush(self._report, self._loop)
        if self._catching_up is not None:
            self._catching_up.end()
        self.buffer.close()

    def spare(self, task: asyncio.Task[Any] | None) -> bool:
        """Let a callable go on that ends the subscription or the connection; tell whether the task runs one of our callables."""
        if task not in self.tasks:
            return False
        self.spared = task
        return True

    async def call_user(self, callback: Callback, argument: object) -> None:
        """Call, or await, one of the user's callables, and record its failure."""
        _, failure = await callback.call(argument)
        if failure is not None:
            self.record_failure(callback, failure)

    async def _tell_gap(self, on_gap: Callback, gap: Gap) -> None:
        await asyncio.sleep(0)  # a task that starts eagerly is inside of the machine's step until here
        await self.call_user(on_gap, gap)

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the task of a callable, which ends with the subscription."""
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
    """Make a callable that also iterates over the answer of `catch_up`, because that runs code of the user, too."""

    async def collect(gap: Gap) -> list[Event]:
        return [*map(_event_of, await catch_up(gap))]

    return collect


@sealed
def _event_of(item: Event | Mapping[str, Any]) -> Event:
    return item if isinstance(item, Event) else Event.from_payload(item)
