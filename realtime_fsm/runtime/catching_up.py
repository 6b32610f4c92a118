"""Catching up: a subscription first delivers the events that it missed, then the events that came meanwhile.

Invariant: a catch-up repeats no version that came since the outage. For a minute, no live event repeats a version that a catch-up
has delivered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from realtime_fsm.fsm.change import Gap
from realtime_fsm.runtime.timestamps import latest, timestamp_or_none, version_or_none

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from datetime import datetime
    from typing import Any

    from realtime_fsm.events import Event
    from realtime_fsm.runtime.callbacks import Callback
    from realtime_fsm.runtime.stream_buffer import StreamBuffer

    Version = tuple[str, str] | None

_DEDUP_SECONDS = 60.0
"""Seconds for which a subscription remembers the events of a catch-up, and drops live events that repeat them."""
_LATENESS_TOLERANCE = 1.0
"""Seconds by which a timer may be late on a busy loop; a process whose timer is later has slept."""
_NO_VERSIONS: frozenset[Version] = frozenset()


class Owner(Protocol):
    """The delivery whose gaps are caught up with.

    Attributes:
        buffer: the buffer of the consumer.
        put: takes the next events.
    """

    buffer: StreamBuffer[Event]
    put: Callable[[Event], bool]

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that ends with the delivery."""

    def record_failure(self, callback: Callback, failure: BaseException) -> None:
        """Count and report a failure of a callable."""


class CatchingUp:
    """Ask a callable of the user for the missed events of each gap, and put them before the events that come meanwhile.

    Args:
        owner: the delivery.
        callback: the callable; it returns a list of events.
        loop: the event loop.
        new_backlog: makes a buffer for the events that come meanwhile.

    """

    __slots__ = (
        "_already_delivered", "_backlog", "_before_gap", "_callback", "_caught_up", "_expects_gap", "_gap", "_loop",
        "_new_backlog", "_owner", "_recent_versions", "_task",
    )  # fmt: skip

    def __init__(
        self, owner: Owner, callback: Callback, loop: asyncio.AbstractEventLoop, new_backlog: Callable[[], StreamBuffer[Event]]
    ) -> None:
        self._owner = owner
        self._callback = callback
        self._loop = loop
        self._new_backlog = new_backlog
        self._task: asyncio.Task[None] | None = None
        self._gap: Gap  # the one for whose events the task asks
        self._caught_up: tuple[datetime | None, datetime] | None = None  # the span, by the server's clock, that is caught up with
        self._backlog: StreamBuffer[Event] | None = None  # the events that come while the callable runs
        self._expects_gap = False
        self._before_gap: list[Version] = []  # the versions that come while a gap is expected
        self._already_delivered = _NO_VERSIONS  # the versions that came before the gap was told
        self._recent_versions: list[set[tuple[str, str]]] = []  # for each catch-up of the last minute, the delivered versions

    @property
    def dropped(self) -> int:
        """How many events were dropped while the callable ran."""
        return 0 if self._backlog is None else self._backlog.dropped

    def remembers(self, event: Event) -> bool:
        """Tell whether a catch-up of the last minute has delivered the version of an event."""
        version = version_or_none(event)
        return any(version in seen for seen in self._recent_versions)

    def skip_caught_up(self, since: datetime | None, *, late: bool = False) -> datetime | None:
        """Return the beginning of a gap without the events that a catch-up has brought already, or is to bring.

        Args:
            since: the server's time of the last event before the gap.
            late: whether other gaps may have been told meanwhile. A catch-up for those has not covered an earlier beginning.
        """
        if self._task is not None and not late:  # the catch-up that is under way goes on with the gap
            since = latest(since, self._gap.since)
        if self._caught_up is None:
            return since
        begin, end = self._caught_up
        return since if late and not _is_within(since, begin) else latest(since, end)

    def expect_gap(self) -> None:
        """Remember the versions that come from now on, so that the catch-up does not repeat them."""
        self._expects_gap = True
        self._choose_put()

    def end_expectation(self) -> list[Version]:
        """Return the versions that have come since `expect_gap`; the caller gives them to `begin`."""
        before, self._before_gap, self._expects_gap = self._before_gap, [], False
        return before

    def begin(self, gap: Gap, had: Iterable[Version]) -> None:
        """Ask for the missed events of a gap.

        Args:
            gap: the gap.
            had: the versions that have come since the end of the gap.
        """
        self._already_delivered = self._already_delivered.union(had)
        if self._task is not None:  # the link was lost again: the events of the earlier gap are still missing
            self._task.cancel()
            earlier = self._gap
            since = None if earlier.since is None or gap.since is None else min(earlier.since, gap.since)
            gap = Gap(since, max(earlier.until, gap.until), gap.outage_seconds, gap.attempts)
        self._gap = gap
        if self._backlog is None:
            self._backlog = self._new_backlog()
        self._choose_put()
        self._task = self._owner.create_task(self._ask(gap))

    def end(self) -> None:
        """Deliver the events that came meanwhile: the subscription ends before the callable has answered."""
        if self._task is not None:
            self._task = None
            self._deliver(())

    async def _ask(self, gap: Gap) -> None:
        await asyncio.sleep(0)  # a task that starts eagerly is inside of the machine's step until here
        missed: list[Event] = []
        try:
            found, failure = await self._callback.call(gap)
            if failure is None:
                missed = found
            else:
                self._owner.record_failure(self._callback, failure)
        finally:  # live events go on, whatever has ended this
            if self._task is asyncio.current_task():
                self._task = None
                self._deliver_missed(gap, missed)

    def _deliver_missed(self, gap: Gap, missed: list[Event]) -> None:
        # A gap that comes late may reach back behind another one, whose events a catch-up has delivered already.
        self._deliver([event for event in missed if not self._came_already(event) and not self.remembers(event)])
        self._already_delivered = _NO_VERSIONS
        if (newest := latest(*map(timestamp_or_none, missed))) is not None:
            begin, end = self._caught_up or (gap.since, newest)
            goes_on = gap.since is not None and gap.since <= end and _is_within(gap.since, begin)
            self._caught_up = begin if goes_on else gap.since, max(newest, end)

    def _came_already(self, event: Event) -> bool:
        version = version_or_none(event)
        return version is not None and version in self._already_delivered

    def _deliver(self, missed: Iterable[Event]) -> None:
        """Put the missed events into the buffer, then the events that came meanwhile; each version once."""
        buffer, seen = self._owner.buffer, set[tuple[str, str]]()
        buffer.put_all([event for event in missed if self._is_new(event, seen)])
        if self._backlog is not None:
            known = seen.union(*self._recent_versions)
            buffer.merge_from(self._backlog, lambda event: self._is_new(event, known))
            self._backlog = None
        if seen:
            if self._expects_gap:
                self._before_gap.extend(seen)
            self._recent_versions.append(seen)
            self._forget_later(seen)
        self._choose_put()

    def _is_new(self, event: Event, seen: set[tuple[str, str]]) -> bool:
        version = version_or_none(event)
        if version is None:
            return True
        if version in seen:
            return False
        seen.add(version)
        return True

    # --- the live events ------------------------------------------------------------------------------------------------

    def _choose_put(self) -> None:
        """Choose where the next events go."""
        self._owner.put = self._put_before_gap if self._expects_gap else self._usual_put

    @property
    def _usual_put(self) -> Callable[[Event], bool]:
        if self._backlog is not None:
            return self._backlog.put
        return self._put_if_new if self._recent_versions else self._owner.buffer.put

    def _put_before_gap(self, event: Event) -> bool:
        self._before_gap.append(version_or_none(event))
        return self._usual_put(event)

    def _put_if_new(self, event: Event) -> bool:
        return not self.remembers(event) and self._owner.buffer.put(event)

    def _forget_later(self, seen: set[tuple[str, str]]) -> None:
        self._loop.call_later(_DEDUP_SECONDS, self._forget, seen, self._loop.time() + _DEDUP_SECONDS)

    def _forget(self, seen: set[tuple[str, str]], due: float) -> None:
        if self._loop.time() > due + _LATENESS_TOLERANCE:
            self._forget_later(seen)  # the process slept, and the link still holds events of the time before
            return
        self._recent_versions.remove(seen)
        if not self._recent_versions:
            self._choose_put()


def _is_within(since: datetime | None, begin: datetime | None) -> bool:
    """Tell whether a gap begins within a span that has `begin`; None stands for the time before the first event."""
    return begin is None or (since is not None and since >= begin)
