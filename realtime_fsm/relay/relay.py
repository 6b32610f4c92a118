"""The relay: take events from a subscription that loses nothing, and hand them to a sink that stores them.

Invariant: the relay takes the next batch when the sink has stored all messages of the one before, in their order.

Design: a batch holds the events that came while the sink stored the batch before. So a slow broker makes larger batches, and a
fast one gets each event at once. A full buffer pauses the link. The relay keeps no state of its own: it asks the sink for the
time of the newest message, and begins with a gap since then.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from realtime_fsm.events import Event
from realtime_fsm.fsm.change import Gap
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.options import check_count
from realtime_fsm.relay.errors import CatchUpFailed
from realtime_fsm.relay.message import MessageMaker
from realtime_fsm.runtime.timestamps import timestamp_or_none
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from realtime_fsm.client.realtime import Realtime
    from realtime_fsm.relay.message import Message
    from realtime_fsm.runtime.delivery import CatchUp

RECORD_EVERY = 10.0
"""Seconds between two records of the audit log, at least."""
_MARGIN = timedelta(seconds=1)
"""A row is written some time before its event goes out, and events of two processes can overtake each other."""


class Sink(Protocol):
    """A place that stores messages, in their order."""

    def open(self, project: str) -> AbstractAsyncContextManager[datetime | None]:
        """Connect for the length of the context; give the ``ce-time`` of the newest stored message of the project, or None.

        Raises:
            RelayError: when the sink cannot be used.
        """
        ...

    async def publish(self, messages: Sequence[Message]) -> int:
        """Store all messages in their order, and return how many of them the sink had already, by their ids.

        Raises:
            RelayError: when a message cannot be stored. The messages before it are stored.
        """
        ...


class Relay:
    """Publish the events of some channels to a sink, at least once, and in their order.

    Args:
        realtime: the connection, which the relay does not dispose of.
        channels: a channel, or several. Relays that share a project and a stream must have the same channels; where they have
            not, `JetStream` warns at the next start with `OtherChannelsWarning`.
        sink: where the messages go: a `JetStream`, or an object of yours.
        catch_up: as for `Realtime.subscribe`; the relay calls it also at the start, with a gap since the newest message of the
            sink. When it raises, the relay stops, because later events would hide the missing rows.
        queries: as for `Realtime.subscribe`.
        window: how many events may wait for their acknowledgement; as many again wait in the buffer before the link pauses.
        on_ready: called when the sink is open and the server has acknowledged the subscription.

    Attributes:
        stored: the messages that the sink stored for this relay.
        duplicates: the messages that the sink had already.
        lag: seconds between the server's time of the newest event and its storing, by the clock of this machine.

    Raises:
        BadOption: for a window that is not a whole number above 0.
    """

    stored: int = 0
    duplicates: int = 0
    lag: float = 0.0

    def __init__(
        self,
        realtime: Realtime,
        channels: str | Iterable[str],
        *,
        sink: Sink,
        catch_up: CatchUp | None = None,
        queries: Iterable[str] = (),
        window: int = 1024,
        on_ready: Callable[[], object] | None = None,
    ) -> None:
        check_count("window", window)
        self._realtime = realtime
        self._channels = (channels,) if isinstance(channels, str) else tuple(channels)
        self._sink = sink
        self._catch_up = catch_up
        self._queries = queries
        self._window = window
        self._on_ready = on_ready
        self._lock = asyncio.Lock()
        self._timeout: asyncio.Timeout | None = None  # of `run`: `_stop` lets it expire
        self._failure: BaseException | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._recorded = 0, 0
        driver = realtime._driver  # noqa: SLF001  (the room below)
        self._project = driver.project
        self._audit = driver.audit
        self._maker = MessageMaker(driver.context.server, self._project, self._channels)

    @sealed
    async def run(self) -> None:
        """Relay until the connection is disposed of, or the call is cancelled.

        Raises:
            RelayError: from the sink, or `CatchUpFailed`. Run again after the remedy.
            RealtimeError: from `Realtime.subscribe` and the iteration of its subscription.
        """
        self._failure = None
        try:
            async with asyncio.timeout(None) as self._timeout, self._sink.open(self._project) as since:
                await self._relay(since)
        except TimeoutError:
            if self._failure is None:
                raise
        finally:
            self._timeout = None
            self._record()
        if self._failure is not None:
            raise self._failure

    async def _relay(self, since: datetime | None) -> None:
        catch_up = None if self._catch_up is None else self._fetch
        async with self._realtime.subscribe(
            *self._channels, queries=self._queries, overflow="pause", buffer=self._window, catch_up=catch_up, on_gap=self._tell
        ) as subscription:
            if self._on_ready is not None:
                self._on_ready()
            if since is not None:
                await self._resume(since)
            async for batch in subscription.batches(max=self._window):
                await self._publish(batch)

    async def _resume(self, since: datetime) -> None:
        """Fill the time since the newest stored message, while the events from now on wait in the subscription."""
        until = datetime.now(UTC)
        gap = Gap(since - _MARGIN, until, max(0.0, (until - since).total_seconds()), 0)
        await self._tell(gap)
        missed = [] if self._catch_up is None else list(await self._fetch(gap))
        for start in range(0, len(missed), self._window):
            batch = missed[start : start + self._window]
            await self._publish([item if isinstance(item, Event) else Event.from_payload(item) for item in batch])

    async def _fetch(self, gap: Gap) -> Iterable[Event | Mapping[str, Any]]:
        assert self._catch_up is not None
        try:
            return await self._catch_up(gap)
        except Exception as failure:
            self._stop(CatchUpFailed(type(failure).__name__))
            raise

    async def _tell(self, gap: Gap) -> None:
        try:
            await self._store([self._maker.of_gap(gap, self._realtime.connection_id)])
        except Exception as failure:
            self._stop(failure)
            raise

    def _stop(self, failure: BaseException) -> None:
        """End `run` with a failure, from any task."""
        if self._failure is None and self._timeout is not None:
            self._failure = failure
            self._timeout.reschedule(asyncio.get_running_loop().time())

    async def _publish(self, events: Sequence[Event]) -> None:
        await self._store([self._maker.of_event(event) for event in events])
        if (newest := timestamp_or_none(events[-1])) is not None:
            self.lag = max(0.0, (datetime.now(UTC) - newest).total_seconds())  # clocks differ

    async def _store(self, messages: Sequence[Message]) -> None:
        async with self._lock:
            duplicates = await self._sink.publish(messages)
        self.stored += len(messages) - duplicates
        self.duplicates += duplicates
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RECORD_EVERY, self._record)

    def _record(self) -> None:
        """Write the counts since the last record into the audit log."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts = self.stored - self._recorded[0], self.duplicates - self._recorded[1]
        if any(counts) and self._realtime.state is not State.DISPOSING:
            self._audit.relayed(*counts, lag=self.lag)
            self._recorded = self.stored, self.duplicates
