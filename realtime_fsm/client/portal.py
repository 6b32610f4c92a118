"""The portal: a thread with an event loop of its own, which runs the coroutines of other threads.

Invariant: the loop runs until `Portal.close`. A `SystemExit` that reaches the loop is reported, not obeyed: every waiting thread
would wait without end. User code never runs on the loop unless it is async, so a blocking handler delays only itself.

Design: a forked process inherits the object but not the thread, so every call refuses it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import inspect
import os
import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, TypeVar

from realtime_fsm import hooks
from realtime_fsm.callers import on_behalf
from realtime_fsm.client.threads import DaemonThreads
from realtime_fsm.errors import Disposed, Forked, WrongLoop
from realtime_fsm.protocol.options import Timeouts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

R = TypeVar("R")

_GRACE = 1.0
"""Seconds that `Portal.close` waits for the thread, beyond its patience."""


class Portal:
    """Runs coroutines in a thread, which the first call starts.

    Args:
        owner: the name of its owner in errors.

    Attributes:
        last: a coroutine function to run in the loop before it ends.
        patience: how many seconds `close` waits for running callables.
        closed: whether it has ended, or is about to.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self.last: Callable[[], Awaitable[object]] | None = None
        self.patience: float = Timeouts().close
        self._process = os.getpid()
        self._starting = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._callables = DaemonThreads("realtime_fsm callable")
        self._stopped = False
        self.closed: bool = False

    def call(self, work: Callable[[], Awaitable[R]]) -> R:
        """Run a coroutine function in the loop, and wait for its result.

        An exception in the waiting thread, such as Ctrl-C, cancels the coroutine.

        Raises:
            Disposed: after `close`.
            Forked: in a forked process.
            WrongLoop: from the thread of the loop, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            raise WrongLoop(self._owner)
        with on_behalf():
            future = self.call_soon(work)
            try:
                return future.result()
            except CancelledError:  # the loop has ended during the call
                raise Disposed from None
            except BaseException:
                future.cancel()
                raise

    def call_plain(self, function: Callable[[], R]) -> R:
        """Run a plain function in the loop, as `call`."""

        async def run() -> R:
            return function()

        return self.call(run)

    def call_soon(self, work: Callable[[], Awaitable[R]]) -> Future[R]:
        """Run a coroutine function in the loop, without waiting for its result."""
        if self._process != os.getpid():
            raise Forked(self._owner)
        with self._starting:  # so `close` finds and cancels a call that was not too late
            if self.closed:
                raise Disposed
            return asyncio.run_coroutine_threadsafe(_awaited(work), self._running())

    def in_worker_thread(self, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Wrap a callable for the loop: an async one runs there, a plain one in a thread, in a copy of the present context."""
        context = contextvars.copy_context()

        @functools.wraps(function)
        async def call(*args: Any) -> Any:
            if inspect.iscoroutinefunction(function):
                return await function(*args)
            own = context.copy()
            for carrier in hooks.carriers:
                own.run(carrier())
            threads = None if self._stopped else self._callables  # another loop may call it when this one has ended
            result = await asyncio.get_running_loop().run_in_executor(threads, own.run, function, *args)
            return await result if inspect.isawaitable(result) else result

        return call

    def close(self, *, wait: bool = True) -> None:
        """Run `last`, then end the thread. A forked process has no thread to end. A second call is harmless.

        Args:
            wait: whether to wait `patience` seconds for the running callables, except for one that makes this call, and a second
                more for the thread.
        """
        if self._process != os.getpid():
            return
        deadline = time.monotonic() + self.patience
        with self._starting:
            first, self.closed = not self.closed, True
            if first and self._loop is not None:
                asyncio.run_coroutine_threadsafe(self._finish(self._loop), self._loop)
        atexit.unregister(self.close)
        if wait and self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join(self.patience + _GRACE)
            self._callables.wait(max(0.0, deadline - time.monotonic()))

    def await_end(self, timeout: float | None) -> bool:
        """Wait until the thread has ended after `close`: for ``timeout`` seconds, or as long as `close` does. Tell if it has."""
        if self._thread is None:
            return True
        longest = self.patience + _GRACE
        self._thread.join(longest if timeout is None else min(timeout, longest))
        return not self._thread.is_alive()

    async def _finish(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            if self.last is not None:
                await self.last()
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others)
            await loop.shutdown_asyncgens()
        finally:
            self._stopped = True
            loop.stop()

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            # For the resolver: asyncio's own executor starts a thread to end, and no thread can start at exit.
            loop.set_default_executor(DaemonThreads("realtime_fsm resolver"))
            thread = threading.Thread(target=self._serve, args=(loop,), name="realtime_fsm loop", daemon=True)
            thread.start()
            self._loop, self._thread = loop, thread
            atexit.register(self.close)
        return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while not self._stopped:
                try:
                    loop.run_forever()
                except (SystemExit, KeyboardInterrupt) as failure:
                    message = f"realtime_fsm: {type(failure).__name__} in a callable is reported, and not obeyed"
                    loop.call_exception_handler({"message": message, "exception": failure})
        finally:
            loop.close()
            self._callables.shutdown()


async def _awaited(work: Callable[[], Awaitable[R]]) -> R:
    return await work()
