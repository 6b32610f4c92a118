"""The virtual time of this project's tests: `realtime_fsm.testing.virtual`, with checks of what a test leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from realtime_fsm.testing import virtual
from realtime_fsm.testing.virtual import eventually

__all__ = ["Stopwatch", "VirtualLoop", "eventually", "run"]

T = TypeVar("T")
_LIMIT = 50_000.0


class _Due(asyncio.TimerHandle):
    """The handle of a timer that is already due: as on uvloop, it has no `when`."""

    __slots__ = ()

    def when(self) -> float:
        raise AttributeError("'Handle' object has no attribute 'when'")


class VirtualLoop(virtual.VirtualLoop):
    """A loop in virtual time that keeps what it should report."""

    def __init__(self) -> None:
        self.reported: list[dict[str, Any]] = []
        super().__init__()
        self.set_exception_handler(lambda _, context: self.reported.append(context))

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


class Stopwatch:
    """Tells the seconds since its beginning, by the clock of the running loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()

    @property
    def now(self) -> float:
        """The seconds since the beginning, to the microsecond."""
        return round(self.loop.time() - self.began, 6)

    async def until(self, moment: float) -> None:
        """Sleep until so many seconds after the beginning."""
        await asyncio.sleep(self.began + moment - self.loop.time())
