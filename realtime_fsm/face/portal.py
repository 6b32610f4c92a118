"""The portal: a thread with an event loop of its own, in which the coroutines of other threads run.

The law: callers' own code never runs on that loop, so a handler that blocks delays nobody but itself; and a process that was
forked has no such thread, whatever its memory says, so it is refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from realtime_fsm.vocabulary.errors import Disposed, Forked, WrongLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

R = TypeVar("R")

_THREADS = 32
"""Callers' callables that run at once at most."""


class Portal:
    """Runs coroutines in a thread of its own, which is started when it is first needed.

    Args:
        what: what to call its owner in an error.

    Attributes:
        closed: whether it has ended, or is about to.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._process = os.getpid()
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None
        self.closed = False
        self._pool = ThreadPoolExecutor(_THREADS, "realtime_fsm callable")

    def call(self, work: Callable[[], Awaitable[R]]) -> R:
        """Run something in the loop, and wait for it. An exception here, such as Ctrl-C, cancels it.

        Raises:
            Disposed: after `close`.
            Forked: in a process that was forked from the one where this was made.
            WrongLoop: from the loop itself, which would wait for itself.
        """
        loop = self._running()
        if threading.current_thread() is self._thread:
            raise WrongLoop(self._what)

        async def run() -> R:
            return await work()

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        try:
            return future.result()
        except CancelledError:  # the loop has ended under it
            raise Disposed from None
        except BaseException:
            future.cancel()
            raise

    def begin(self, work: Callable[[], Awaitable[object]]) -> None:
        """Run something in the loop, and do not wait for it."""

        async def run() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(run(), self._running())

    def apart(self, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """The same callable for the loop: a plain one runs in a thread apart, an async one in the loop."""

        async def call(*given: Any) -> Any:
            if inspect.iscoroutinefunction(function):
                return await function(*given)
            context = contextvars.copy_context()
            return await asyncio.get_running_loop().run_in_executor(self._pool, context.run, function, *given)

        return call

    def close(self, last: Callable[[], Awaitable[object]]) -> None:
        """Run something for the last time, then end the thread. In a forked process there is none, and nothing is done."""
        if self._process != os.getpid():
            return
        with self._starting:
            self.closed = True
            loop, thread, over = self._loop, self._thread, self._over
        if loop is None or thread is None or over is None:
            return

        async def run() -> None:
            try:
                await last()
            finally:
                over.set()

        future = asyncio.run_coroutine_threadsafe(run(), loop)
        if threading.current_thread() is not thread:  # garbage is collected wherever it is found
            future.result()
            thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._process != os.getpid():
            raise Forked(self._what)
        with self._starting:
            if self.closed:
                raise Disposed
            if self._loop is None:
                ready = threading.Event()
                self._thread = threading.Thread(target=self._serve, args=(ready,), name="realtime_fsm loop", daemon=True)
                self._thread.start()
                ready.wait()
            assert self._loop is not None
            return self._loop

    def _serve(self, ready: threading.Event) -> None:
        async def until_over() -> None:
            self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
            ready.set()
            await self._over.wait()

        asyncio.run(until_over())
