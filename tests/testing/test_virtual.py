"""Virtual time: a clock that jumps, that waits for threads, and that notices a test that hangs."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.runtime import driver
from realtime_fsm.testing import VirtualClock
from realtime_fsm.testing.virtual import _WITH_A_CLOCK, LIMIT, VirtualLoop, eventually
from support.raising import hiding


def test_a_week_takes_no_time() -> None:
    begun = time.monotonic()
    clock = VirtualClock()

    async def test() -> str:
        await clock.advance(7 * 86_400)
        return "done"

    assert clock.run(test) == "done"
    assert repr(clock) == "<VirtualClock 604800.000000 s>"
    assert time.monotonic() - begun < 5.0
    clock.close()


def test_what_is_due_on_the_way_happens_in_its_order() -> None:
    clock, seen = VirtualClock(), list[tuple[str, float]]()

    def note(name: str) -> None:
        seen.append((name, clock.elapsed))

    async def test() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(2, note, "second")
        loop.call_later(1, note, "first")
        loop.call_later(4, note, "too late")
        await clock.advance(3)

    clock.run(test)
    assert seen == [("first", 1), ("second", 2)]


def test_a_wait_ends_when_its_condition_is_true_or_its_time_is_over() -> None:
    clock, done = VirtualClock(), list[int]()

    async def test() -> None:
        asyncio.get_running_loop().call_later(5, done.append, 1)
        await clock.wait_until(lambda: done)
        assert clock.elapsed == pytest.approx(5, abs=0.02)
        with pytest.raises(AssertionError, match=r"the condition is not true within 1.0 s"):
            await clock.wait_until(lambda: False, within=1.0)
        await eventually(lambda: True)
        with pytest.raises(ValueError, match=r"seconds: -1 is not a length of time; give a number, at least 0"):
            await clock.advance(-1)

    clock.run(test)


def test_a_wait_checks_its_condition_at_its_last_moment_and_not_after_it() -> None:
    clock = VirtualClock()

    async def test() -> None:
        with pytest.raises(AssertionError):
            await clock.wait_until(lambda: False, within=0)
        assert clock.elapsed == 0
        for wait in (clock.wait_until, eventually):
            began = clock.elapsed
            with pytest.raises(AssertionError, match=r"within 600.0 s"):
                await wait(lambda: False)
            assert clock.elapsed - began == pytest.approx(600, abs=0.02)
        await clock.advance(0)

    clock.run(test)


def test_the_loop_of_a_clock_that_ran_nothing_can_be_closed() -> None:
    clock = VirtualClock()
    assert clock.loop.time() == 1_000, "a moment of 0 is before the begin"
    clock.close()
    assert clock.loop.is_closed()


async def test_the_clock_goes_on_after_the_end_of_the_threads() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert await asyncio.to_thread(int, "7") == 7
    await loop.shutdown_default_executor()
    assert loop._clock.threads == 0
    with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
        await asyncio.to_thread(int, "7")
    assert loop._clock.threads == 0


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


def test_a_test_that_waits_for_nothing_hangs() -> None:
    hang = pytest.raises(AssertionError, match=r"all tasks wait, and there is no timer: the test hangs")
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, hang:
        runner.run(_forever())


def test_a_test_that_waits_for_too_long_hangs() -> None:
    with pytest.raises(AssertionError, match=r"the test takes more than 86400 s of virtual time: it hangs"):
        VirtualClock().run(_forever)
    assert LIMIT == 86_400


def test_a_traceback_in_pytest_leaves_the_clock_out() -> None:
    async def broken() -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        VirtualClock().run(broken)
    assert hiding(caught.value) == ["run", "limited"]


def test_a_timeout_of_the_test_itself_is_its_own() -> None:
    async def test() -> None:
        async with asyncio.timeout(1):
            await _forever()

    with pytest.raises(TimeoutError):
        VirtualClock().run(test)


def test_the_clock_stands_still_while_a_thread_works() -> None:
    clock, go_on = VirtualClock(), threading.Event()
    seen: list[float] = []

    def work() -> str:
        assert go_on.wait(20)
        return "worked"

    async def test() -> str:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(0.5, seen.append, 1)
        working = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.sleep(0)
        real = threading.Timer(0.05, go_on.set)
        real.start()
        answer = await working
        assert (clock.elapsed, seen) == (0, [])
        timer.cancel()
        return answer

    assert clock.run(test) == "worked"


async def test_a_thread_that_cannot_start_does_not_stop_the_clock() -> None:
    ended = ThreadPoolExecutor(1)
    ended.shutdown()
    loop = asyncio.get_running_loop()
    with pytest.raises(RuntimeError, match=r"cannot schedule new futures after shutdown"):
        await loop.run_in_executor(ended, print)
    await asyncio.sleep(1)


def test_the_client_reads_the_same_clock_as_the_wall() -> None:
    clock = VirtualClock()
    begun = clock.now()
    assert abs(begun - datetime.now(UTC)) < timedelta(seconds=20)

    async def test() -> tuple[Any, Any]:
        await clock.advance(3600)
        return vars(driver)["datetime"].now(UTC), clock.now()

    seen, now = clock.run(test)
    assert seen == now == begun + timedelta(hours=1)
    assert vars(driver)["datetime"] is datetime


def test_the_clock_moves_each_module_of_a_connection_that_reads_the_time_of_day() -> None:
    package = Path(driver.__file__).parents[1]
    modules = [path for room in ("auditlog", "client", "runtime") for path in (package / room).glob("*.py")]
    readers = [f"{path.parent.name}.{path.stem}" for path in modules if "datetime.now(" in path.read_text()]
    assert sorted(readers) == list(_WITH_A_CLOCK)
