"""The pending call: what `subscribe` and `on` return, to be awaited, or entered with `async with`."""

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

    It is a coroutine in full, so it can become a task; one that is forgotten warns as a coroutine does. ``async with`` ends what
    it gave, also after an exception; on a connection that was disposed of meanwhile there is nothing left to end.
    """

    __slots__ = ("_begin", "_end", "_result")

    def __init__(self, begin: Coroutine[Any, Any, R], end: Callable[[R], Awaitable[None]]) -> None:
        self._begin = begin
        self._end = end
        self._result: R

    def __await__(self) -> Generator[Any, Any, R]:
        return (yield from self._begin.__await__())

    async def __aenter__(self) -> R:
        self._result = await self._begin
        return self._result

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(Disposed):
            await self._end(self._result)

    def send(self, value: Any) -> Any:
        """As of a coroutine."""
        return self._begin.send(value)

    def throw(self, *raised: Any) -> Any:
        """As of a coroutine."""
        return self._begin.throw(*raised)

    def close(self) -> None:
        """As of a coroutine."""
        self._begin.close()
