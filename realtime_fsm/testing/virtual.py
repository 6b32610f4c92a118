"""Virtual time: an event loop whose clock jumps to the next timer when nothing is ready, so an hour takes milliseconds.

Design: the selector never waits; it moves the clock by the timeout instead. While a thread works for the loop
(`asyncio.to_thread`), the clock stands still and the loop waits for the thread. The loop serves no real network: a test in
virtual time uses `realtime_fsm.testing.memory`.
"""

from __future__ import annotations

import asyncio
import selectors
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, TypeVar
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

T = TypeVar("T")

LIMIT = 86_400.0
"""Seconds of virtual time after which a test counts as hanging; `VirtualClock.advance` does not count."""

_BEGIN = 1_000.0
_WITH_A_CLOCK = (
    "auditlog.writer", "client.explanation", "runtime.canary", "runtime.driver", "runtime.gaps", "runtime.handover",
    "runtime.upgrade_refusals",
)  # fmt: skip
"""The modules of the client that read the wall clock, by ``datetime.now``."""


class _JumpingSelector(selectors.SelectSelector):
    """A selector that does not wait: its clock jumps by the timeout."""

    def __init__(self) -> None:
        super().__init__()
        self.now = _BEGIN  # the time of the loop, in seconds
        self.threads = 0  # how many threads work for the loop; the selector waits for them in real time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and self.threads and timeout != 0:
            return super().select(None)
        if not ready:
            if timeout is None:
                raise AssertionError("all tasks wait, and there is no timer: the test hangs")
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time. It never sleeps: when all tasks wait, the clock jumps to the next timer.

    Sockets of the real network are not for this loop: its clock does not wait for their answers.

    Raises:
        AssertionError: out of the running loop, when all tasks wait and there is no timer.
    """

    def __init__(self) -> None:
        self._clock = _JumpingSelector()
        super().__init__(self._clock)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._clock.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Run a function in a thread; the clock stands still until it returns."""
        self._clock.threads += 1
        try:
            future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        except BaseException:
            self._clock.threads -= 1
            raise
        future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109  (asyncio's signature)
        """End the threads of `run_in_executor`; the clock stands still meanwhile."""
        self._clock.threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._clock.threads -= 1

    def _thread_ended(self, _: object) -> None:
        self._clock.threads -= 1


async def eventually(condition: Callable[[], object], *, within: float = 600.0) -> None:
    """Let the time of the loop pass until a condition is true, as `VirtualClock.wait_until`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while not condition():
        assert loop.time() < end, f"the condition is not true within {within} s"
        await asyncio.sleep(0.01)


class VirtualClock:
    """The clock of a test in virtual time.

    Time passes whenever all tasks of the test wait: `asyncio.sleep`, timeouts and the client's delays take no real time. The
    client and the in-memory server read this clock as the wall clock, too; ``time.time()`` in your own code stays real.
    """

    def __init__(self) -> None:
        """Make the clock together with its event loop."""
        self.loop: VirtualLoop = VirtualLoop()
        self._begin = self.loop.time()
        self._began_at = datetime.now(UTC)
        self._limit: asyncio.Timeout | None = None

    def __repr__(self) -> str:
        return f"<VirtualClock {self.elapsed:.6f} s>"

    @property
    def elapsed(self) -> float:
        """The virtual time since the test began, in seconds."""
        return self.loop.time() - self._begin

    def now(self) -> datetime:
        """Return the virtual wall time, with the zone UTC: the real time of the test's begin plus `elapsed`."""
        return self._began_at + timedelta(seconds=self.elapsed)

    async def advance(self, seconds: float) -> None:
        """Let time pass. Everything that is due on the way happens, in its order.

        Args:
            seconds: how long, in seconds; 0 lets what is due now happen.

        Raises:
            ValueError: for a negative length.
        """
        if not seconds >= 0:
            raise ValueError(f"seconds: {seconds!r} is not a length of time; give a number, at least 0")
        if self._limit is not None and (end := self._limit.when()) is not None:
            self._limit.reschedule(end + seconds)
        await asyncio.sleep(seconds)

    async def wait_until(self, condition: Callable[[], object], *, within: float = 600.0) -> None:
        """Let time pass until a condition is true; it is checked every 10 ms of virtual time.

        Args:
            condition: the condition.
            within: the longest wait, in virtual seconds.

        Raises:
            AssertionError: when the condition is not true by then.
        """
        await eventually(condition, within=within)

    def run(self, test: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine function on the loop of this clock, once; then close the loop.

        Raises:
            AssertionError: when all tasks wait without a timer, or after `LIMIT` seconds of virtual time: the test hangs.
        """
        __tracebackhide__ = True

        async def limited() -> T:
            __tracebackhide__ = True
            async with asyncio.timeout(LIMIT) as self._limit:  # a periodic timer hides that the test hangs
                return await test()

        try:
            with self._as_wall_clock(), asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                return runner.run(limited())
        except TimeoutError as late:
            if self._limit is not None and self._limit.expired():
                raise AssertionError(f"the test takes more than {LIMIT:g} s of virtual time: it hangs") from late
            raise

    def close(self) -> None:
        """Close the loop of a clock that ran nothing; a second call does nothing."""
        self.loop.close()

    @contextmanager
    def _as_wall_clock(self) -> Iterator[None]:
        """Let the client read this clock as the wall clock."""
        clock = self

        class VirtualDatetime(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return clock.now().astimezone(tz)

        with ExitStack() as patches:
            for name in _WITH_A_CLOCK:
                patches.enter_context(patch(f"realtime_fsm.{name}.datetime", VirtualDatetime))
            yield
