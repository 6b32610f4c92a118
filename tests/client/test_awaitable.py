"""The pending call of `subscribe` and `on` is a coroutine, and passes each step on to an inner one."""

from __future__ import annotations

import inspect
import types
from collections.abc import Generator
from typing import Any

import pytest

from realtime_fsm.client.subscribing import AwaitableContext
from realtime_fsm.errors import Disposed


@types.coroutine
def steps() -> Generator[str, object, object]:
    try:
        given = yield "first"
    except ValueError:
        given = yield "second"
    return given


async def call() -> object:
    return await steps()


async def nothing(result: object) -> None:
    """Close nothing."""


def test_a_pending_call_takes_each_step_of_its_coroutine() -> None:
    pending = AwaitableContext(call(), nothing)
    assert pending.send(None) == "first"
    assert pending.throw(ValueError()) == "second"
    with pytest.raises(StopIteration) as end:
        pending.send("answer")
    assert end.value.value == "answer"


def test_closing_a_pending_call_closes_its_coroutine() -> None:
    inner = call()
    AwaitableContext(inner, nothing).close()
    assert inspect.getcoroutinestate(inner) == inspect.CORO_CLOSED


@pytest.mark.parametrize("raised", [None, KeyError, Disposed])
async def test_the_end_of_the_block_closes_the_result(raised: type[Exception] | None) -> None:
    closed: list[Any] = []

    async def subscribe() -> str:
        return "subscription"

    async def close(result: str) -> None:
        closed.append(result)
        if raised is not None:
            raise raised

    async def use() -> None:
        async with AwaitableContext(subscribe(), close) as result:
            assert (result, closed) == ("subscription", [])

    if raised is KeyError:
        with pytest.raises(KeyError):
            await use()
    else:
        await use()  # a disposed connection has nothing left to close
    assert closed == ["subscription"]
