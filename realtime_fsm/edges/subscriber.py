"""The subscriber: one subscription as the driver serves it, with its inbox, its gaps and its catching up."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from realtime_fsm.edges.overflow import OVERFLOWS, inbox_for
from realtime_fsm.vocabulary.change import Gap
from realtime_fsm.vocabulary.errors import BadOption, MalformedEvent
from realtime_fsm.vocabulary.events import Event, moment_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime
    from typing import Any

    from realtime_fsm.edges.audit import Audit
    from realtime_fsm.edges.inbox import Inbox
    from realtime_fsm.edges.overflow import Gate, Overflow
    from realtime_fsm.vocabulary.inputs import Wish

    OnGap = Callable[[Gap], object]
    CatchUp = Callable[[Gap], Awaitable[Iterable[Event | Mapping[str, Any]]]]

T = TypeVar("T")
_GAPS_KEPT = 100
_REMEMBERED = 60.0
"""Seconds for which events that catching up has delivered are known, so that their live twins are not delivered again."""
_PUNCTUAL = 1.0
"""Seconds by which a timer may be late on a busy loop; one that is later has slept."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a subscription is served.

    Attributes:
        buffer: how many events are kept for a consumer that is slow.
        on_gap: called with each gap.
        catch_up: asked, for each gap, for the events to deliver first.
        overflow: what becomes of events when there are more.

    Raises:
        BadOption: for a buffer that is no whole number above 0, an overflow that is none, or a callable that is none.
    """

    buffer: int = 1024
    on_gap: OnGap | None = None
    catch_up: CatchUp | None = None
    overflow: Overflow = "drop_oldest"

    def __post_init__(self) -> None:
        if isinstance(self.buffer, bool) or not isinstance(self.buffer, int) or self.buffer < 1:
            raise BadOption("buffer", f"{self.buffer!r:.40} is not a whole number above 0")
        if self.overflow not in OVERFLOWS:
            raise BadOption("overflow", f"{self.overflow!r:.40} is none of {', '.join(OVERFLOWS)}")
        for name in ("on_gap", "catch_up"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise BadOption(name, f"{type(value).__name__} cannot be called; give a function that takes a Gap")


class Subscriber:
    """One subscription.

    Attributes:
        put: where an event goes. It is the inbox itself but for the times of catching up, so the hot path pays nothing.
        stamp: the server's time of the last event, as it came.
        failures: how many of the user's callables raised.
        misfits: how many events did not fit the type of its payloads.
    """

    __slots__ = (
        "_audit", "_before_gap", "_catching", "_caught_up_to", "_gate", "_had", "_held", "_loop", "_memories",
        "_missed_since", "_options", "_report", "acknowledged", "established", "failures", "gaps", "granted", "inbox",
        "misfits", "put", "removed", "resumed", "stamp", "tasks", "updating", "wish",
    )  # fmt: skip

    def __init__(
        self,
        wish: Wish,
        options: Options,
        loop: asyncio.AbstractEventLoop,
        report: Callable[[BaseException], None],
        audit: Audit,
        gate: Gate,
    ) -> None:
        self.wish = wish
        self._gate = gate
        self._options = options
        self._loop = loop
        self.inbox = self._new_inbox(lambda count: audit.dropped(self.wish.id, count))
        self.put: Callable[[Event], bool] = self.inbox.put
        self.granted: asyncio.Future[None] = loop.create_future()
        self.removed: asyncio.Future[None] = loop.create_future()
        self.acknowledged: tuple[str, ...] = ()
        self.established = False
        self.resumed: tuple[float, int] | None = None  # the last outage that ended for it, and which of its losses
        self.updating = asyncio.Lock()  # one change of what it listens to at a time
        self.stamp: Any = None
        self.gaps: list[Gap] = []
        self.failures = 0
        self.misfits = 0
        self.tasks: list[asyncio.Task[None]] = []
        self._report = report
        self._audit = audit
        self._catching: asyncio.Task[None] | None = None
        self._before_gap: list[Event] = []
        self._missed_since: datetime | None = None
        self._caught_up_to: datetime | None = None
        self._held: Inbox[Event] | None = None  # what comes while it catches up
        self._had: frozenset[tuple[str, str] | None] = frozenset()  # what came before it, and may be among what is missed
        self._memories: list[set[tuple[str, str]]] = []  # what each catching up has delivered within the last minute

    def _new_inbox(self, on_drops: Callable[[int], None] | None = None) -> Inbox[Event]:
        options = self._options
        return inbox_for(options.overflow, "this subscription", self._loop, options.buffer, self._gate, on_drops)

    @property
    def dropped(self) -> int:
        """How many events were dropped because the consumer was too slow."""
        return self.inbox.dropped + (0 if self._held is None else self._held.dropped)

    def note_late(self, event: Event) -> None:
        """Note the server's time of an event, unless something came that happened after it."""
        before = _moment(self.stamp)
        if before is None or _latest(before, _when(event)) != before:
            self.stamp = event._timestamp  # noqa: SLF001  (as it came: most are never asked for)

    def expect_gap(self) -> None:
        """Remember what comes until its gap is told, so that catching up does not repeat it."""
        if self._options.catch_up is not None and self.put == self.inbox.put:
            self._before_gap = []
            self.put = self._put_before_gap

    def _put_before_gap(self, event: Event) -> bool:
        self._before_gap.append(event)
        return self.inbox.put(event)

    def met_gap(self) -> list[Event]:
        """What has come since it was acknowledged again."""
        had, self._before_gap = self._before_gap, []
        if self.put == self._put_before_gap:
            self.put = self.inbox.put
        return had

    def resume(
        self,
        until: datetime,
        outage_seconds: float,
        attempts: int,
        stamp: Any,
        had: Iterable[Event] = (),
        proof: Any = None,
    ) -> None:
        """It is acknowledged again, after an outage; or nobody knows what the link owed that it was acknowledged on.

        Args:
            until: the moment of the acknowledgement.
            outage_seconds: how long the outage was.
            attempts: how many dials were made in it.
            stamp: the server's time of the last event before, as it came.
            had: what has come since the acknowledgement, and is not missing.
            proof: the server's time at which its link was last known to work, as it came.
        """
        # What was caught up with is not missing the next time, though a late live event may have come behind it.
        gap = Gap(_latest(_moment(stamp), _moment(proof), self._caught_up_to), until, outage_seconds, attempts)
        self.gaps.append(gap)
        del self.gaps[:-_GAPS_KEPT]
        self._audit.gap(self.wish.id, gap)
        if self._options.on_gap is not None:
            self._start(self.tell(self._options.on_gap, gap))
        if self._options.catch_up is not None:
            self._had = self._had.union(map(self._version, had))
            self._begin_catching_up(self._options.catch_up, gap)

    def end(self) -> None:
        """Nothing more comes."""
        for task in tuple(self.tasks):
            task.cancel()
        if self._catching is not None:
            self._catching = None
            self._deliver(())
        self.inbox.end()

    async def tell(self, callback: Callable[[T], object], news: T) -> None:
        """Call, or await, one of the user's callables. What it raises is noted."""
        try:
            result = callback(news)
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError as failure:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self.note(failure)  # of something that the callable waited for
        except Exception as failure:  # noqa: BLE001  (the user's own code; it must not hurt the link)
            self.note(failure)

    # --- catching up --------------------------------------------------------------------------------------------------

    def _begin_catching_up(self, catch_up: CatchUp, gap: Gap) -> None:
        if self._catching is not None:  # the link was lost again before it was done: what it missed is still missing
            self._catching.cancel()
            gap = Gap(self._missed_since, gap.until, gap.outage_seconds, gap.attempts)
        self._missed_since = gap.since
        if self._held is None:
            self._held = self._new_inbox()
        self.put = self._held.put
        self._catching = self._start(self._catch_up(catch_up, gap))

    async def _catch_up(self, catch_up: CatchUp, gap: Gap) -> None:
        missed: list[Event] = []
        try:
            missed = [event if isinstance(event, Event) else Event.restored(event) for event in await catch_up(gap)]
        except Exception as failure:  # noqa: BLE001  (the user's own code; live events go on all the same)
            self.note(failure)
        self._catching = None
        self._deliver([event for event in missed if (version := self._version(event)) is None or version not in self._had])
        self._had = frozenset()
        self._caught_up_to = _latest(self._caught_up_to, *map(_when, missed))

    def _deliver(self, missed: Iterable[Event]) -> None:
        """First what was missed, then what came meanwhile; each version of each thing once."""
        seen: set[tuple[str, str]] = set()
        self.inbox.put_all([event for event in missed if self._is_new(event, seen)])
        if self._held is not None:
            known = seen.union(*self._memories)
            self.inbox.take_over(self._held, lambda event: self._is_new(event, known))
            self._held = None
        if seen:
            self._memories.append(seen)
            self._forget_later(seen)
        self.put = self._put_if_new if self._memories else self.inbox.put

    def _put_if_new(self, event: Event) -> bool:
        version = self._version(event)
        return not any(version in seen for seen in self._memories) and self.inbox.put(event)

    def _is_new(self, event: Event, seen: set[tuple[str, str]]) -> bool:
        version = self._version(event)
        if version is None:
            return True
        if version in seen:
            return False
        seen.add(version)
        return True

    @staticmethod
    def _version(event: Event) -> tuple[str, str] | None:
        try:
            return event.version
        except MalformedEvent:
            return None  # the consumer is told when it touches the payload

    def _forget_later(self, seen: set[tuple[str, str]]) -> None:
        self._loop.call_later(_REMEMBERED, self._forget, seen, self._loop.time() + _REMEMBERED)

    def _forget(self, seen: set[tuple[str, str]], due: float) -> None:
        if self._loop.time() > due + _PUNCTUAL:
            self._forget_later(seen)  # the process slept, and the stream's backlog is still to be read
            return
        self._memories.remove(seen)
        if not self._memories and self._catching is None:
            self.put = self.inbox.put

    # --- the user's code ----------------------------------------------------------------------------------------------

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._loop.create_task(work, name=f"realtime_fsm subscription {self.wish.id}")
        self.tasks.append(task)
        task.add_done_callback(self.tasks.remove)
        return task

    def note(self, failure: BaseException) -> None:
        """Counted, and told once."""
        self.failures += 1
        if self.failures == 1:
            self._report(failure)


def _latest(*moments: datetime | None) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _when(event: Event) -> datetime | None:
    with suppress(MalformedEvent):
        return event.timestamp
    return None


def _moment(stamp: Any) -> datetime | None:
    with suppress(MalformedEvent):
        return moment_of(stamp)
    return None
