"""Failures of a callable are reported one by one while they are few, and together while they are many."""

from __future__ import annotations

import asyncio

from realtime_fsm.runtime.callbacks import Callback

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
