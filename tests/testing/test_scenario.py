"""A scenario: code, a client and a server that fails by a script, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from realtime_fsm import Realtime, RetryPolicy
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.replay import Outcome, play


async def follow(realtime: Realtime, _: RealtimeServer) -> None:
    async for _event in await realtime.subscribe("rows"):
        pass


async def only_connect(realtime: Realtime, _: RealtimeServer) -> None:
    await realtime.connect()


async def give_up(realtime: Realtime, _: RealtimeServer) -> None:
    async for _event in await realtime.subscribe("rows"):
        pass
    raise AssertionError


ONCE = RetryPolicy(attempts=1, reconnect_attempts=1)


@pytest.mark.parametrize("code", [follow, only_connect])
@pytest.mark.parametrize(
    ("script", "outages"),
    [
        ("", ()),
        ("5s drop", ("stream_ended",)),
        ("5s drop; 5.001s freeze 3600s", ("stream_ended",)),
        ("5s drop; 5.001s refuse 3600s", ("stream_ended",)),
        ("5s refuse 100s", ()),
        ("5s freeze 42s", ("pong_overdue",)),
        ("5s fault 100s", ()),
    ],
)
def test_an_outage_is_named_by_its_cause(
    script: str, outages: tuple[str, ...], code: Callable[[Realtime, RealtimeServer], Awaitable[None]]
) -> None:
    assert play(script, code, seconds=200.0) == Outcome(outages, is_live=True, error=None)


def test_each_outage_is_named() -> None:
    outcome = play("5s freeze 42s; 120s drop", follow, seconds=200.0)
    assert outcome.outages == ("pong_overdue", "stream_ended")


def test_code_that_ends_with_the_connection_is_named_by_its_error() -> None:
    outcome = play("5s drop; 5.001s freeze 60s", give_up, seconds=10.0, retry=ONCE)
    assert outcome == Outcome(("stream_ended",), is_live=False, error="RetriesExhausted")


def test_other_exceptions_of_the_code_are_raised() -> None:
    async def broken(*_: object) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        play("", broken, seconds=1.0)


@pytest.mark.parametrize(
    ("script", "seconds", "end"),
    [
        ("1s drop", 50.0, 50.0),
        ("5s refuse 1s", 1.0, 6.0),  # the script takes longer
        ("1s drop; 1s refuse", 2.0, 602.0),  # no link comes back
    ],
)
def test_code_is_cancelled_when_the_scenario_is_over(script: str, seconds: float, end: float) -> None:
    seen: list[float] = []

    async def patient(realtime: Realtime, _: RealtimeServer) -> None:
        begin = asyncio.get_running_loop().time()
        try:
            await realtime.connect()
            await asyncio.sleep(3600)
        finally:
            seen.append(asyncio.get_running_loop().time() - begin)

    assert play(script, patient, seconds=seconds).error is None
    assert seen == [pytest.approx(end, abs=0.1)]
