"""The threads of users' callables, so that a blocking callable delays neither the event loop nor another callable.

Design: asyncio accepts a `ThreadPoolExecutor` only, and the threads of that class do not fit. They refuse all work as soon as the
main thread has ended, though other threads still use the connection; and a blocked one keeps the process from ending. So
`DaemonThreads` has the type of that class only: it has methods of its own, and does not call the constructor of its base.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class DaemonThreads(ThreadPoolExecutor):
    """Runs each job at once, in an idle thread or a new one. No job waits for another job."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._changed = threading.Condition()
        self._started: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Run a function in a thread; refuse it after `shutdown`."""
        future: Future[R] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the threads for callables have ended")
            if self._idle:
                self._idle -= 1
            else:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                thread.start()
                self._started.add(thread)
            self._jobs.put((future, partial(fn, *args, **kwargs)))
        return future

    def wait(self, seconds: float) -> bool:
        """Wait until no job runs, except for the one that makes this call; return False when the time is over."""
        own = threading.current_thread() in self._started
        with self._changed:
            return self._changed.wait_for(lambda: len(self._started) - self._idle <= own, seconds)

    def shutdown(self, *ignored: object, **options: object) -> None:
        """End every thread after its job. Ignores its arguments, and does not wait: see `wait`."""
        with self._changed:
            self._closed = True
            for _ in self._started:
                self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _run(*job)
            del job  # an idle thread keeps nothing alive
            with self._changed:
                self._idle += 1
                self._changed.notify_all()


def _run(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except (StopIteration, GeneratorExit) as failure:  # a waiting coroutine can catch neither of them
        stopped = RuntimeError(f"a callable raised {type(failure).__name__}")
        stopped.__cause__ = failure
        future.set_exception(stopped)
    except BaseException as failure:  # noqa: BLE001  (the waiting caller gets it)
        future.set_exception(failure)
    else:
        future.set_result(result)
    finally:
        del future, work  # the traceback holds this frame
