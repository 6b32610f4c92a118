"""Raise from a user's callable, in every way, and continue a run after each interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from traceback import walk_tb
from typing import Any

import pytest

from support.virtual import VirtualLoop


class Own(BaseException):
    """A `BaseException` beside `Exception`, such as `pytest.fail()` raises."""


Kind = type[BaseException]
CONTAINED: list[Kind] = [LookupError, asyncio.CancelledError, SystemExit, GeneratorExit, Own]
KINDS: list[Kind] = [*CONTAINED, KeyboardInterrupt]

Raise = Callable[[Kind], object]


def at_once(kind: Kind) -> object:
    """Raise from a plain callable."""
    raise kind("of a callable")


async def awaited(kind: Kind) -> None:
    """Raise from a coroutine before its first await."""
    raise kind("of a callable")


async def later(kind: Kind) -> None:
    """Raise from a coroutine after an await."""
    await asyncio.sleep(1)
    raise kind("of a callable")


async def shared(kind: Kind) -> None:
    """Raise the exception of another task, such as its cancellation."""
    result: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if kind is asyncio.CancelledError:
        result.cancel()
    else:
        result.set_exception(kind("of a callable"))
    await result


WAYS: list[Raise] = [at_once, awaited, later, shared]


def survive(main: Callable[[], Coroutine[Any, Any, None]], kind: Kind, *, raised: int = 1) -> list[str]:
    """Run a test in virtual time, and continue after each `KeyboardInterrupt`, which must leave the loop.

    Args:
        main: the test.
        kind: the exception of its callables.
        raised: the number of exceptions.

    Returns:
        The messages of the reported failures.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)

        async def bounded() -> None:
            async with asyncio.timeout(5_000):
                await main()

        task = loop.create_task(bounded())
        for _ in range(raised if kind is KeyboardInterrupt else 0):
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(task)
        loop.run_until_complete(task)
        assert not asyncio.all_tasks(loop), "tasks are left"
        return [context["message"] for context in loop.reported]


def hiding(error: BaseException) -> list[str]:
    """Return the functions that pytest leaves out of the traceback of an exception."""
    return [frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__) if frame.f_locals.get("__tracebackhide__")]
