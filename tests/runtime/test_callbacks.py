"""Failures of a callable are reported one by one while they are few, and together while they are many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from realtime_fsm import hooks
from realtime_fsm.runtime.callbacks import Callback, calling_task, is_asked_for
from support.some import some

SHORTENED = {
    "handler failed: builtins.print": "one",
    **{f"handler failed: builtins.print, {n} more since the last report; this is the latest": f"{n} more" for n in range(20)},
}


async def test_five_failures_are_reported_at_once_and_later_ones_together_every_ten_seconds() -> None:
    loop, callback, reports = asyncio.get_running_loop(), Callback("handler", print), list[tuple[float, str, str]]()
    began = loop.time()

    def report(failure: BaseException, heading: str) -> None:
        reports.append((round(loop.time() - began, 3), SHORTENED[heading], str(failure)))

    failures = iter(range(100))
    for at, count in ((0, 9), (3, 1), (12, 2), (19, 1), (30, 2), (45, 1), (100, 7)):
        await asyncio.sleep(began + at - loop.time())
        for _ in range(count):
            callback.report(ValueError(next(failures)), report, loop)
    await asyncio.sleep(100)

    assert reports == [
        *((0, "one", str(n)) for n in range(5)),
        (10, "5 more", "9"),
        (20, "3 more", "12"),
        (30, "one", "13"),
        (40, "1 more", "14"),
        (50, "1 more", "15"),
        *((100, "one", str(n)) for n in range(16, 21)),
        (110, "2 more", "22"),
    ]


async def test_a_flush_reports_what_waits_and_nothing_twice() -> None:
    loop, callback, reports = asyncio.get_running_loop(), Callback("handler", print), list[str]()

    def report(_: BaseException, heading: str) -> None:
        reports.append(SHORTENED[heading])

    for number in range(7):
        callback.report(ValueError(number), report, loop)
    for _ in range(2):
        callback.flush(report, loop)
    await asyncio.sleep(100)
    assert reports == ["one"] * 5 + ["2 more"]


async def test_a_task_knows_the_call_that_started_it_until_the_call_ends() -> None:
    seen: list[Any] = []

    async def later() -> None:
        seen.append(calling_task())
        await over.wait()
        seen.append(calling_task())

    async def handle() -> None:
        started.append(asyncio.create_task(later()))
        await asyncio.sleep(0)

    over, started = asyncio.Event(), list[asyncio.Task[None]]()
    assert calling_task() is None
    assert await Callback("handler", handle).call() == (None, None)
    over.set()
    await asyncio.gather(*started)
    assert seen == [asyncio.current_task(), None]


async def test_a_hook_wraps_handlers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrap(name: str, handler: Callable[..., object]) -> Callable[..., object]:
        return lambda *given: (name, handler(*given))

    monkeypatch.setattr(hooks, "handlers", [wrap])
    assert await Callback("handler", len).call("abc") == (("builtins.len", 3), None)
    assert await Callback("on_gap", len).call("abc") == (3, None)


def test_a_callable_is_named_without_what_it_holds() -> None:
    names: dict[object, str] = {
        print: "builtins.print",
        partial(partial(print, "secret"), "secret"): "builtins.print",
        dict: "builtins.dict",
        ["secret"].append: "list.append",
        asyncio.Event(): "asyncio.locks.Event",
        Callback.call: "realtime_fsm.runtime.callbacks.Callback.call",
    }
    for function, name in some(names.items()):
        assert Callback("handler", function).name == name  # type: ignore[arg-type]
    assert Callback("handler", print, named=len).name == "builtins.len"


async def test_a_cancellation_counts_as_asked_for_if_a_caller_requested_it() -> None:
    task = asyncio.create_task(asyncio.sleep(10))
    failures = (asyncio.CancelledError(), LookupError(), SystemExit())
    assert [is_asked_for(failure, task) for failure in failures] == [False] * 3
    task.cancel()
    assert [is_asked_for(failure, task) for failure in failures] == [True, False, False]
    assert is_asked_for(asyncio.CancelledError(), None) is False
    await asyncio.wait([task])


def test_the_end_of_a_coroutine_by_the_garbage_collector_counts_as_asked_for() -> None:
    assert is_asked_for(GeneratorExit(), None) is True, "no event loop is running"
