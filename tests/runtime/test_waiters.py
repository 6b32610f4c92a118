"""The waiters: each call gets its answer or a copy of its error once, and then nothing holds it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_fsm import Disconnected, Disposed, RealtimeError
from realtime_fsm.errors import LinkLost, StreamEnded
from realtime_fsm.runtime.waiters import Waiters


async def started(work: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.ensure_future(work)
    await asyncio.sleep(0)
    return task


async def outcomes(*tasks: asyncio.Task[Any]) -> list[Any]:
    """Return the outcome of each task; "waits" for a task that is not done."""
    for _ in range(3):
        await asyncio.sleep(0)
    return ["waits" if not task.done() else type(task.exception()) if task.exception() else task.result() for task in tasks]


async def test_a_condition_is_asked_for_until_it_holds() -> None:
    waiters, holds = Waiters(), list[int]()
    task = await started(waiters.until(lambda: bool(holds), survives_disconnect=False))
    waiters.check()
    assert await outcomes(task) == ["waits"]
    holds.append(1)
    waiters.check()
    waiters.check()
    assert await outcomes(task) == [None]
    assert waiters._for_link == {}


@pytest.mark.parametrize("everyone", [False, True])
async def test_only_the_end_fails_a_call_that_survives_a_disconnect(everyone: bool) -> None:
    waiters = Waiters()
    error: RealtimeError = Disposed() if everyone else LinkLost(StreamEnded())
    assert type(waiters.failure) is Disconnected
    with waiters.identity() as named, waiters.presence() as stored:
        tasks = [await started(waiters.until(lambda: False, survives_disconnect=survives)) for survives in (False, True)]
        waiters.fail(error, everyone=everyone)
        assert [type(future.exception()) for future in (named, stored)] == [type(error)] * 2
        assert await outcomes(*tasks) == [type(error), type(error) if everyone else "waits"]
        assert waiters.failure is error
        assert named.exception() is not error, "each call gets a copy"
    waiters.fail(Disposed(), everyone=True)
    await outcomes(*tasks)
    assert (waiters._for_link, waiters._for_identity, waiters._for_presence) == ({}, [], [])


async def test_a_failed_change_leaves_a_presence_and_a_surviving_call_alone() -> None:
    waiters = Waiters()
    with waiters.identity() as named, waiters.presence() as stored:
        tasks = [await started(waiters.until(lambda: False, survives_disconnect=survives)) for survives in (False, True)]
        waiters.fail_change(Disconnected())
        assert await outcomes(*tasks) == [Disconnected, "waits"]
        assert (type(named.exception()), stored.done()) == (Disconnected, False)
        waiters.resolve_presence({"$id": "p"})
        waiters.resolve_presence(None)
        waiters.resolve_identity()
        assert stored.result() == {"$id": "p"}
    waiters.fail(Disposed(), everyone=True)
    assert await outcomes(*tasks) == [Disconnected, Disposed]


async def test_an_identity_is_named_once() -> None:
    waiters = Waiters()
    with waiters.identity() as named:
        waiters.resolve_identity()
        waiters.reject_identity(Disconnected())
        assert named.result() is None


async def test_a_rejected_presence_tells_whether_a_call_waits_for_it() -> None:
    waiters = Waiters()
    assert waiters.reject_presence(Disconnected()) is False
    with waiters.presence() as stored:
        assert waiters.reject_presence(Disconnected()) is True
        assert type(stored.exception()) is Disconnected
