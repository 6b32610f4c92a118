"""Calls from within: log processors that call the client, and tasks that start eagerly. Each input is taken whole, in order."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import structlog

from realtime_fsm import Disposed, Event, Gap, Realtime, RetriesExhausted, RetryPolicy, State, UnsupportedByServer
from realtime_fsm.fsm.inputs import Dispose, PingEnabledChanged
from support.brokenlogs import Record, audited, lines_of
from support.network import Network
from support.virtual import eventually, run

needs_eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has eager tasks since Python 3.12")


def started(work: Callable[[], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any]:
    """Start a task eagerly where Python can, which is the case to test; else later."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(work(), loop=loop, eager_start=True)
    return loop.create_task(work())


@contextmanager
def processor(process: Callable[[Record], object]) -> Iterator[list[Record]]:
    """Let a log processor see each record, and keep them in the order in which they leave it."""
    written: list[Record] = []

    def take(_: object, level: str, record: Any) -> Any:
        process(record)
        written.append({**record, "level": level})
        raise structlog.DropEvent

    structlog.configure(processors=[take], cache_logger_on_first_use=False)
    try:
        yield written
    finally:
        structlog.reset_defaults()


def in_order(written: list[Record]) -> None:
    assert [record["seq"] for record in written] == list(range(1, len(written) + 1))
    report = audited(lines_of(written))
    assert report.verdict == "conformant", report.first


# --- log processors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["realtime.open", "realtime.transition", "realtime.subscription"])
async def test_a_log_processor_that_switches_pings_at_each_record(event: str) -> None:
    network = Network()
    realtime = network.realtime()
    calls = 0

    def process(record: Record) -> None:
        nonlocal calls
        if record["event"] == event and calls < 10:  # else the clock of the test would stand still
            calls += 1
            realtime.set_ping_enabled(calls % 2 == 0)

    with processor(process) as written:
        async with realtime:
            rows = await realtime.subscribe("rows")
            network.socket.cut()
            await eventually(lambda: len(network.sockets) == 2 and realtime.state is State.SUBSCRIBED)
            network.publish("rows", payload={"n": 1})
            assert (await anext(rows)).payload == {"n": 1}
        in_order(written)
    assert calls > 0


@pytest.mark.parametrize("begin", ["within a step", "before a step"])
async def test_a_log_processor_in_a_circle_does_not_block_the_loop(begin: str) -> None:
    network = Network()
    realtime = network.realtime()
    calls, circling = 0, False

    def process(_: Record) -> None:
        nonlocal calls
        if circling and calls < 1000:
            calls += 1
            realtime.set_ping_enabled(calls % 2 == 0)

    with processor(process) as written:
        async with realtime:
            await realtime.connect()
            circling = True
            if begin == "within a step":
                realtime.set_ping_enabled(True)
            else:
                rows = asyncio.ensure_future(realtime.subscribe("rows"))
            for _ in range(20):
                await asyncio.sleep(0)
            circling = False
            assert 10 < calls < 200, "the loop serves others in between"
            assert realtime.state is State.CONNECTED
            if begin == "before a step":
                await rows
        in_order(written)


@pytest.mark.parametrize("row", ["dis2", "rec21", "rec22", "con40"])
async def test_a_log_processor_that_disposes(row: str) -> None:
    network = Network()
    realtime = network.realtime()
    ends: list[asyncio.Task[None]] = []

    def process(record: Record) -> None:
        if record.get("row") == row:
            ends.extend([started(realtime.dispose), started(realtime.dispose)])

    with processor(process) as written:
        if row == "con40":  # it is acknowledged, and the call returns
            await realtime.subscribe("rows")
        else:
            with pytest.raises(Disposed):
                await realtime.subscribe("rows")
        await asyncio.gather(*ends)
        assert (len(ends), realtime.state, network.released) == (2, State.DISPOSING, True)
        in_order(written)
        assert [record["event"] for record in written].count("realtime.close") == 1
        assert written[-1]["event"] == "realtime.close"


async def test_a_log_processor_that_asks_for_all_things_at_once() -> None:
    network = Network()
    realtime = network.realtime()
    calls: list[asyncio.Task[Any]] = []

    def process(record: Record) -> None:
        if record.get("row") == "rec22" and not calls:
            calls.append(started(lambda: realtime.subscribe("files")))
            calls.append(started(realtime.reconnect))
            calls.append(started(realtime.connect))
            calls.append(started(lambda: realtime.set_presence("online")))
            calls.append(started(realtime.wait_connected))

    with processor(process) as written:
        async with realtime:
            rows = await realtime.subscribe("rows")
            files, *others = await asyncio.gather(*calls, return_exceptions=True)
            assert not isinstance(files, BaseException)
            assert [type(other).__name__ for other in others] == ["NoneType", "NoneType", "PresenceRejected", "NoneType"]
            await eventually(lambda: network.listening == {"rows", "files"})
            assert (realtime.state, rows.id, files.id) == (State.SUBSCRIBED, "s1", "s2")
        in_order(written)


@pytest.mark.parametrize(
    ("event", "change"), [("realtime.transition", None), ("realtime.subscription", "acknowledged"), ("realtime.gap", None)]
)
async def test_a_call_from_within_a_step_is_told_when_the_machine_takes_it(event: str, change: str | None) -> None:
    """Its time in the state is that of the state after the step, and no record of the step comes behind it."""
    network = Network()
    realtime = network.realtime()
    calls: list[Coroutine[Any, Any, Any]] = []

    def process(record: Record) -> None:
        if (record["event"], record.get("change")) == (event, change) and len(calls) < 6:
            call = realtime.subscribe(f"files{len(calls)}") if len(calls) % 2 == 0 else realtime.set_presence(None)
            calls.append(call)
            with suppress(StopIteration, UnsupportedByServer):
                call.send(None)  # as a task that starts eagerly
            realtime.set_ping_enabled(len(calls) % 3 == 0)

    with processor(process) as written:
        async with realtime:
            await realtime.subscribe("rows")
            await asyncio.sleep(1)
            network.socket.cut()
            await eventually(lambda: len(network.sockets) == 2 and realtime.state is State.SUBSCRIBED)
        in_order(written)
        for call in calls:
            call.close()
    changes = [(record["change"], record.get("subscription")) for record in written if "change" in record]
    assert ("desired", "s2") in changes
    assert len(calls) > 0


async def test_connect_after_a_dispose_that_waits_for_its_turn_is_refused() -> None:
    network = Network()
    realtime = network.realtime()
    calls: list[asyncio.Task[Any]] = []

    def process(record: Record) -> None:
        if record.get("row") == "con40":
            realtime._driver.feed(Dispose())
            calls.append(started(realtime.connect))

    with processor(process) as written:
        await realtime.subscribe("rows")
        with pytest.raises(Disposed):
            await calls[0]
        await realtime.dispose()
        in_order(written)


async def test_an_input_that_fails_does_not_hold_up_those_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    realtime = network.realtime()
    driver = realtime._driver
    step, broken = driver._machine.step, PingEnabledChanged(enabled=False)

    def stepping(input_: Any, now: float, *, draw: float) -> Any:
        if input_ is broken:
            driver.feed(PingEnabledChanged(enabled=True))
            raise ZeroDivisionError("a defect of ours")
        return step(input_, now, draw=draw)

    monkeypatch.setattr(type(driver._machine), "step", lambda _, *given, **more: stepping(*given, **more))
    async with realtime:
        await realtime.connect()
        with pytest.raises(ZeroDivisionError):
            driver.feed(broken)
        await eventually(lambda: not driver._inputs)
        await realtime.subscribe("rows")


# --- eager tasks ------------------------------------------------------------------------------------------------------


def eagerly(main: Callable[[], Coroutine[Any, Any, None]], *, reports: int = 0) -> None:
    """Run a test in virtual time, in which every task starts eagerly."""

    async def eager() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  (not in 3.11)
        await main()

    run(eager, reports=reports)


@needs_eager
def test_a_callable_that_fails_without_waiting_fails_at_once() -> None:
    async def main() -> None:
        network = Network()

        def broken() -> str:
            raise RuntimeError("the token service is down")

        with processor(lambda _: None) as written:
            async with network.realtime(jwt=broken, retry=RetryPolicy(attempts=2, base=0.05, cap=0.1)) as realtime:
                began = network.wall()
                with pytest.raises(RetriesExhausted):
                    await realtime.subscribe("rows")
                assert network.wall() - began < 1
            in_order(written)

    eagerly(main)


@needs_eager
def test_a_catch_up_that_does_not_wait_is_asked_from_where_the_last_one_ended() -> None:
    async def main() -> None:
        network = Network()
        asked: list[int] = []

        async def catch_up(gap: Gap) -> list[Event]:
            assert gap.since is not None
            asked.append(gap.since.minute)
            return []

        async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
            rows = await realtime.subscribe("rows", catch_up=catch_up)
            for minute in range(3):
                network.publish("rows", payload={"n": minute}, timestamp=f"2026-01-01T00:0{minute}:00.000+00:00")
                assert (await anext(rows)).payload == {"n": minute}
                links = len(network.sockets)
                network.socket.cut()
                await eventually(lambda: len(network.sockets) > links and realtime.state is State.SUBSCRIBED)  # noqa: B023
                await eventually(lambda: len(asked) > minute)  # noqa: B023
        assert asked == [0, 1, 2]

    eagerly(main)


@needs_eager
def test_callables_do_not_run_within_a_step() -> None:
    async def main() -> None:
        network = Network()
        within: list[bool] = []
        realtime: Realtime = network.realtime()

        def look(_: object) -> None:
            within.append(realtime._driver._inputs.is_stepping)

        async with realtime:
            listener = await realtime.on("rows", look, on_gap=look)
            network.socket.cut()
            await eventually(lambda: len(network.sockets) == 2 and realtime.state is State.SUBSCRIBED)
            network.publish("rows")
            await eventually(lambda: len(within) == 2)
            assert (within, listener.failures) == ([False, False], 0)

    eagerly(main)


@needs_eager
def test_the_whole_life_of_a_connection() -> None:
    async def main() -> None:
        network = Network()
        session = network.backend.add_user("alice")
        handled: list[int] = []
        with processor(lambda _: None) as written:
            async with network.realtime() as realtime:
                await realtime.on("rows", lambda event: handled.append(event.payload["n"]))
                files = await realtime.subscribe("files")
                assert (await realtime.authenticate(session))["$id"] == "alice"
                await realtime.reconnect()
                await eventually(lambda: realtime.state is State.SUBSCRIBED)
                network.publish("rows", payload={"n": 1})
                await eventually(lambda: handled == [1])
                await files.update(channels=["buckets.a.files"])
                await realtime.disconnect()
                assert all(socket.closed for socket in network.sockets)
                await realtime.connect()
                await files.unsubscribe()
            in_order(written)

    eagerly(main)
