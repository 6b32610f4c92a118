"""An event loop in virtual time: when nothing is ready, the clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
_BEGIN, _LIMIT = 1_000.0, 50_000.0


class _NoWaiting(selectors.SelectSelector):
    """A selector that does not wait: its clock jumps by the timeout."""

    def __init__(self) -> None:
        super().__init__()
        self.now = _BEGIN

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise AssertionError("all tasks wait, and there is no timer: the test hangs")
            self.now += max(0.0, timeout)
        return ready


class _Due(asyncio.TimerHandle):
    """The handle of a timer that is already due: as on uvloop, it has no `when`."""

    __slots__ = ()

    def when(self) -> float:
        raise AttributeError("'Handle' object has no attribute 'when'")


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time. It never sleeps."""

    def __init__(self) -> None:
        self._clock = _NoWaiting()
        self.reported: list[dict[str, Any]] = []
        super().__init__(self._clock)
        self.set_exception_handler(lambda _, context: self.reported.append(context))

    def time(self) -> float:
        return self._clock.now

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        handle = super().call_at(when, callback, *args, context=context)
        if when <= self.time():
            handle.__class__ = _Due
        return handle


def run(main: Callable[[], Coroutine[Any, Any, T]], *, reports: int | None = 0) -> T:
    """Run a test in virtual time; check that it leaves no task behind, and the number of exceptions that the loop reports.

    With ``reports=None``, any number is right.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def supervised() -> T:
            async with asyncio.timeout(_LIMIT):  # a periodic timer hides that the test hangs
                result = await main()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks are left: {left}"
            return result

        result = runner.run(supervised())
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        assert reports in (None, len(loop.reported)), loop.reported
        return result


async def eventually(condition: Callable[[], object], *, within: float = 600.0) -> None:
    """Let virtual time pass until a condition is true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not condition():
        assert loop.time() < end, f"the condition is not true within {within} s"
        await asyncio.sleep(0.01)
