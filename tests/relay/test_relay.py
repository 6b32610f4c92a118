"""The relay with a sink in memory: order, back-pressure, gaps, catching up, failures and the audit log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from traceback import StackSummary, TracebackException
from typing import Any

import pytest

from realtime_fsm import BadOption, Disposed, Event, Gap, Realtime
from realtime_fsm.relay import CatchUpFailed, Message, Relay, RelayError, StreamFull
from realtime_fsm.testing import InMemoryServer, in_memory
from support.virtual import VirtualLoop, eventually

TABLE = "databases.main.tables.orders.rows"


class MemorySink:
    """A sink that keeps messages, and can be slow or fail."""

    def __init__(self, since: datetime | None = None) -> None:
        self.since = since
        self.messages: list[Message] = []
        self.batches: list[int] = []
        self.free = asyncio.Event()
        self.free.set()
        self.failure: RelayError | None = None
        self.is_open = False

    @asynccontextmanager
    async def open(self, project: str) -> AsyncIterator[datetime | None]:
        self.is_open = True
        try:
            yield self.since
        finally:
            self.is_open = False

    async def publish(self, messages: Sequence[Message]) -> int:
        await self.free.wait()
        if self.failure is not None:
            raise self.failure
        known = {message.id for message in self.messages}
        new = [message for message in messages if message.id not in known]
        self.messages += new
        self.batches.append(len(messages))
        return len(messages) - len(new)

    def subjects(self) -> list[str]:
        return [message.subject.removeprefix("appwrite.demo.") for message in self.messages]

    def rows(self) -> list[str | None]:
        return [json.loads(message.data).get("$id") for message in self.messages]


@asynccontextmanager
async def relaying(sink: MemorySink, **options: Any) -> AsyncIterator[tuple[InMemoryServer, Relay, asyncio.Task[None]]]:
    server = InMemoryServer()
    with in_memory(server):
        async with server, Realtime(server.endpoint, "demo") as realtime:
            relay = Relay(realtime, TABLE, sink=sink, **options)
            task = asyncio.create_task(relay.run())
            await server.wait_for_subscriptions(1)
            yield server, relay, task
            task.cancel()
            await asyncio.wait([task])


def publish(server: InMemoryServer, *rows: str) -> None:
    for row in rows:
        server.publish(f"{TABLE}.{row}.create", TABLE, {"$id": row})


async def test_events_are_stored_in_their_order() -> None:
    sink = MemorySink()
    async with relaying(sink) as (server, relay, _):
        publish(server, "a", "b", "c")
        await eventually(lambda: relay.stored == 3)
        assert sink.rows() == ["a", "b", "c"]
        assert sink.subjects() == [f"{TABLE}.create"] * 3
        assert 0 <= relay.lag < 1
    assert not sink.is_open


async def test_a_slow_sink_pauses_the_link_and_loses_nothing() -> None:
    sink = MemorySink()
    sink.free.clear()
    rows = [f"row{number}" for number in range(100)]
    async with relaying(sink, window=4) as (server, relay, _):
        publish(server, *rows)
        await asyncio.sleep(5)
        assert (relay.stored, sink.messages) == (0, [])
        sink.free.set()
        await eventually(lambda: relay.stored == 100)
    assert sink.rows() == rows
    assert 1 < max(sink.batches) <= 4


async def test_a_second_relay_stores_nothing_twice() -> None:
    sink = MemorySink()
    server = InMemoryServer()
    with in_memory(server):
        async with server, Realtime(server.endpoint, "demo") as one, Realtime(server.endpoint, "demo") as other:
            relays = [Relay(realtime, [TABLE], sink=sink) for realtime in (one, other)]
            tasks = [asyncio.create_task(relay.run()) for relay in relays]
            await server.wait_for_subscriptions(2)
            publish(server, "a", "b")
            await eventually(lambda: sum(relay.stored + relay.duplicates for relay in relays) == 4)
            assert sink.rows() == ["a", "b"]
            assert sum(relay.duplicates for relay in relays) == 2
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)


async def test_a_gap_is_stored_and_then_the_missed_rows() -> None:
    async def missed(gap: Gap) -> list[dict[str, str]]:
        return [{"$id": "missed", "$updatedAt": gap.until.isoformat()}]

    sink = MemorySink()
    async with relaying(sink, catch_up=missed) as (server, relay, _):
        publish(server, "a")
        await eventually(lambda: relay.stored == 1)
        server.drop()
        await server.wait_for_subscriptions(1, timeout=60)
        publish(server, "b")
        await eventually(lambda: relay.stored == 4)
    assert sink.subjects() == [f"{TABLE}.create", "gap", f"{TABLE}.caught_up", f"{TABLE}.create"]


async def test_the_missed_rows_come_in_batches_of_the_window() -> None:
    async def missed(gap: Gap) -> list[dict[str, str]]:
        return [{"$id": f"row{number}", "$updatedAt": gap.until.isoformat()} for number in range(10)]

    sink = MemorySink()
    async with relaying(sink, catch_up=missed, window=4) as (server, relay, _):
        server.drop()
        await eventually(lambda: relay.stored == 11, within=60)
    assert sink.rows() == [None, *(f"row{number}" for number in range(10))]
    assert max(sink.batches) == 4


async def test_a_start_fills_the_time_since_the_newest_message() -> None:
    since, gaps = datetime.now(UTC) - timedelta(hours=1), []

    async def missed(gap: Gap) -> list[Event | dict[str, str]]:
        gaps.append(gap)
        return [{"$id": "x", "$updatedAt": "2026-11-27T12:00:00.000+00:00"}, Event.from_payload({"$id": "y"})]

    sink = MemorySink(since)
    async with relaying(sink, catch_up=missed, window=1) as (_, relay, __):
        await eventually(lambda: relay.stored == 3)
    assert sink.subjects() == ["gap", f"{TABLE}.caught_up", f"{TABLE}.caught_up"]
    assert [(gap.since, gap.attempts) for gap in gaps] == [(since - timedelta(seconds=1), 0)]
    assert 3600 <= gaps[0].outage_seconds < 3700


async def test_a_start_after_a_message_of_a_later_clock_has_a_gap_of_no_length() -> None:
    sink = MemorySink(datetime.now(UTC) + timedelta(hours=1))
    async with relaying(sink) as (_, relay, __):
        await eventually(lambda: relay.stored == 1)
    assert json.loads(sink.messages[0].data)["outage_seconds"] == 0


async def test_a_start_without_catch_up_tells_of_the_gap() -> None:
    sink = MemorySink(datetime.now(UTC))
    async with relaying(sink) as (_, relay, __):
        await eventually(lambda: relay.stored == 1)
    assert sink.subjects() == ["gap"]


@pytest.mark.virtual(reports=None)
async def test_a_catch_up_that_raises_stops_the_relay_before_later_events() -> None:
    failing = False

    async def missed(_: Gap) -> list[dict[str, str]]:
        if failing:
            raise KeyError("secret")
        return []

    sink = MemorySink()
    async with relaying(sink, catch_up=missed) as (server, relay, task):
        publish(server, "a")
        await eventually(lambda: relay.stored == 1)
        failing = True
        server.drop()
        await server.wait_for_subscriptions(1, timeout=60)
        publish(server, "b")
        with pytest.raises(CatchUpFailed, match="KeyError") as caught:
            await task
    assert "secret" not in str(caught.value)
    assert sink.rows()[0] == "a"
    assert "b" not in sink.rows()


async def test_a_catch_up_that_raises_at_the_start_stops_the_relay() -> None:
    async def missed(_: Gap) -> list[dict[str, str]]:
        raise OSError

    sink = MemorySink(datetime.now(UTC))
    async with relaying(sink, catch_up=missed) as (_, __, task):
        with pytest.raises(CatchUpFailed, match="OSError"):
            await task


async def test_a_sink_that_fails_ends_the_relay_with_its_error() -> None:
    sink = MemorySink()
    async with relaying(sink) as (server, _, task):
        sink.failure = StreamFull("APPWRITE", "maximum bytes exceeded")
        publish(server, "a")
        with pytest.raises(StreamFull, match="takes no more messages: maximum bytes exceeded; raise its limits"):
            await task
        await server.wait_for_subscriptions(0)


async def test_no_traceback_shows_a_payload() -> None:
    sink = MemorySink()
    async with relaying(sink) as (server, _, task):
        sink.failure = StreamFull("APPWRITE", "maximum bytes exceeded")
        publish(server, "geheim")
        with pytest.raises(StreamFull) as caught:
            await task
        shown = TracebackException.from_exception(caught.value, capture_locals=True)
    assert "in publish" in "".join(shown.format())
    assert "geheim" not in "".join(StackSummary.from_list(shown.stack[1:]).format())


@pytest.mark.virtual(reports=None)
async def test_a_gap_that_cannot_be_stored_ends_the_relay() -> None:
    sink = MemorySink()
    async with relaying(sink) as (server, _, task):
        sink.failure = StreamFull("APPWRITE", "maximum bytes exceeded")
        server.drop()
        with pytest.raises(StreamFull):
            await task


async def test_a_cancelled_relay_unsubscribes_and_the_connection_stays() -> None:
    sink = MemorySink()
    async with relaying(sink) as (server, relay, task):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.wait_for_subscriptions(0)
        assert server.connections == 1
        again = asyncio.create_task(relay.run())
        await server.wait_for_subscriptions(1)
        publish(server, "a")
        await eventually(lambda: relay.stored == 1)
        again.cancel()
        await asyncio.wait([again])


@pytest.mark.virtual(reports=None)
async def test_a_gap_that_cannot_be_stored_leaves_its_caller_uncancelled() -> None:
    sink = MemorySink()
    left: list[int] = []

    async def call(relay: Relay) -> None:
        with pytest.raises(StreamFull):
            await relay.run()
        task = asyncio.current_task()
        left.append(-1 if task is None else task.cancelling())

    async with relaying(sink) as (server, relay, task):
        task.cancel()
        await asyncio.wait([task])
        await server.wait_for_subscriptions(0)
        caller = asyncio.create_task(call(relay))
        await server.wait_for_subscriptions(1)
        sink.failure = StreamFull("APPWRITE", "maximum bytes exceeded")
        server.drop()
        await caller
    assert left == [0]


@pytest.mark.virtual(reports=None)
async def test_a_gap_that_fails_after_the_end_of_the_relay_is_reported_as_what_it_is() -> None:
    class Late(MemorySink):
        async def publish(self, messages: Sequence[Message]) -> int:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(1)
                raise StreamFull("APPWRITE", "maximum bytes exceeded")

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with relaying(Late()) as (server, _, task):
        server.drop()
        await server.wait_for_subscriptions(1, timeout=60)
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(5)
        assert [type(context["exception"]) for context in loop.reported] == [StreamFull]


@pytest.mark.virtual(reports=None)
async def test_the_cancellation_of_a_caller_wins_over_a_failure() -> None:
    class Full(MemorySink):
        async def publish(self, messages: Sequence[Message]) -> int:
            task.cancel()
            raise StreamFull("APPWRITE", "maximum bytes exceeded")

    async with relaying(Full()) as (server, _, task):
        server.drop()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_disposal_ends_the_relay(records: list[MutableMapping[str, Any]]) -> None:
    sink = MemorySink()
    server = InMemoryServer()
    with in_memory(server):
        async with server:
            async with Realtime(server.endpoint, "demo") as realtime:
                ready = asyncio.Event()
                task = asyncio.create_task(Relay(realtime, TABLE, sink=sink, on_ready=ready.set).run())
                await ready.wait()
                publish(server, "a")
                await eventually(lambda: sink.rows() == ["a"])
            await asyncio.wait_for(task, 1)
            assert not sink.is_open
            assert (relayed(records), records[-1]["event"]) == ([], "realtime.close"), "the log ends with the connection"
            with pytest.raises(Disposed):
                await Relay(realtime, TABLE, sink=sink).run()


async def test_it_tells_when_it_is_ready() -> None:
    ready: list[bool] = []
    sink = MemorySink()
    async with relaying(sink, on_ready=lambda: ready.append(sink.is_open)):
        await eventually(lambda: ready == [True])


async def test_the_audit_log_counts_in_few_records(records: list[MutableMapping[str, Any]]) -> None:
    sink = MemorySink()
    async with relaying(sink) as (server, relay, task):
        for number in range(3):
            publish(server, f"row{number}")
            await eventually(lambda stored=number + 1: relay.stored == stored)  # type: ignore[misc]
        assert relayed(records) == []
        await asyncio.sleep(9.9)
        assert relayed(records) == []
        await asyncio.sleep(0.1)
        assert relayed(records) == [(3, 0)]
        await asyncio.sleep(60)
        publish(server, "more")
        await eventually(lambda: relay.stored == 4)
        task.cancel()
        await asyncio.wait([task])
    assert relayed(records) == [(3, 0), (1, 0)]


@pytest.mark.virtual(reports=None)
async def test_a_relay_runs_again_after_a_failure_and_its_records_begin_anew(records: list[MutableMapping[str, Any]]) -> None:
    sink = MemorySink()
    async with relaying(sink) as (server, relay, task):
        assert (relay.stored, relay.duplicates, relay.lag) == (0, 0, 0.0)
        publish(server, "a")
        await asyncio.sleep(5)
        sink.failure = StreamFull("APPWRITE", "maximum bytes exceeded")
        server.drop()
        with pytest.raises(StreamFull):
            await task
        assert relayed(records) == [(1, 0)]
        sink.failure = None
        again = asyncio.create_task(relay.run())
        await server.wait_for_subscriptions(1)
        publish(server, "b", "c")
        await asyncio.sleep(9.5)
        assert relayed(records) == [(1, 0)]
        await asyncio.sleep(1)
        assert relayed(records) == [(1, 0), (2, 0)]
        sink.failure = StreamFull("APPWRITE", "maximum messages exceeded")
        server.drop()
        with pytest.raises(StreamFull, match="maximum messages exceeded"):
            await again
    assert relayed(records) == [(1, 0), (2, 0)], "a relay that has stored nothing since its last record writes no other"


async def test_a_timeout_of_the_sink_ends_the_relay() -> None:
    class Slow(MemorySink):
        async def publish(self, messages: Sequence[Message]) -> int:
            raise TimeoutError("of the sink")

    async with relaying(Slow()) as (server, _, task):
        publish(server, "a")
        with pytest.raises(TimeoutError, match="of the sink"):
            await task


async def test_duplicates_are_counted_apart_in_each_record(records: list[MutableMapping[str, Any]]) -> None:
    class Known(MemorySink):
        async def publish(self, messages: Sequence[Message]) -> int:
            return len(messages)

    async with relaying(Known()) as (server, relay, _):
        for number in (1, 2):
            publish(server, "a")
            await eventually(lambda number=number: relay.duplicates == number)  # type: ignore[misc]
            await asyncio.sleep(11)
    assert relayed(records) == [(0, 1), (0, 1)]


@pytest.mark.parametrize(("ago", "least", "most"), [(90, 90, 95), (-90, 0, 0)])
async def test_the_lag_is_the_time_since_the_newest_event_and_never_negative(ago: int, least: int, most: int) -> None:
    async with relaying(MemorySink()) as (server, relay, _):
        stamp = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
        server.publish(f"{TABLE}.a.create", TABLE, {"$id": "a"}, timestamp=stamp)
        await eventually(lambda: relay.stored == 1)
        assert least <= relay.lag <= most


@pytest.mark.virtual(reports=None)
async def test_the_first_of_two_failures_is_raised() -> None:
    async def missed(_: Gap) -> list[dict[str, str]]:
        raise KeyError("later")

    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    sink = MemorySink()
    async with relaying(sink, catch_up=missed) as (server, _, task):
        sink.failure = StreamFull("APPWRITE", "maximum bytes exceeded")
        server.drop()
        with pytest.raises(StreamFull):
            await task
        assert [type(context["exception"]) for context in loop.reported] == [StreamFull, KeyError]


def relayed(records: list[MutableMapping[str, Any]]) -> list[tuple[int, int]]:
    return [(each["stored"], each["duplicates"]) for each in records if each["event"] == "realtime.relayed"]


@pytest.mark.parametrize("window", [0, True, 1.5, "8"])
async def test_a_window_that_cannot_be_used_is_refused(window: Any) -> None:
    async with Realtime("http://127.0.0.1/v1", "demo") as realtime:
        with pytest.raises(BadOption, match="is not a whole number above 0"):
            Relay(realtime, TABLE, sink=MemorySink(), window=window)


async def test_a_channel_that_cannot_be_used_is_refused_by_the_run() -> None:
    async with Realtime("http://127.0.0.1/v1", "demo") as realtime:
        with pytest.raises(BadOption, match="channels: int is not a non-empty string"):
            await Relay(realtime, ["rows", 7], sink=MemorySink()).run()  # type: ignore[list-item]
