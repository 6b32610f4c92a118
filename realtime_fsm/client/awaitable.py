"""The pending call that `subscribe` and `on` return, to be awaited, or entered with ``async with``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from realtime_fsm.errors import Disposed

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

R = TypeVar("R")


class AwaitableContext(Coroutine[Any, Any, R]):
    """A coroutine that is an asynchronous context manager as well.

    As a full coroutine it can become a task, and a forgotten one warns as coroutines do. ``async with`` closes its result, also
    after an exception; a disposed connection has nothing left to close.
    """

    __slots__ = ("_call", "_close_result", "_result")

    def __init__(self, call: Coroutine[Any, Any, R], close_result: Callable[[R], Awaitable[None]]) -> None:
        self._call = call
        self._close_result = close_result
        self._result: R

    def __await__(self) -> Generator[Any, Any, R]:
        return (yield from self._call.__await__())

    async def __aenter__(self) -> R:
        self._result = await self._call
        return self._result

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(Disposed):
            await self._close_result(self._result)

    def send(self, value: Any) -> Any:
        """Resume the coroutine, as every coroutine does."""
        return self._call.send(value)

    def throw(self, *raised: Any) -> Any:
        """Raise in the coroutine, as every coroutine does."""
        return self._call.throw(*raised)

    def close(self) -> None:
        """Close the coroutine, as every coroutine does."""
        self._call.close()
