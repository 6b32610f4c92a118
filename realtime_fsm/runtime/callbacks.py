"""Calls of the user's code.

Invariant: nothing that a callable raises leaves `Callback.call`, but for a cancellation of the task in which the callable runs.
`SystemExit` is a failure like any other. The event loop raises a `KeyboardInterrupt` again, after the step that runs now.

Design: each call runs in a copy of the context in which the user gave the callable. An awaitable is driven step by step in that
copy, inside the task that calls. So `asyncio.timeout` and `Task.cancelling` mean for the callable what they mean for the task.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import types
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from realtime_fsm import hooks
from realtime_fsm.containment import contain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    Report = Callable[[BaseException, str], None]

_BURST = 5
"""Failures of one callable that are reported one by one."""
_INTERVAL = 10.0
"""Seconds after which one more failure of a callable is reported."""


@dataclass(slots=True)
class _Call:
    """One call."""

    task: asyncio.Task[Any] | None
    """The task in which the callable runs; None after its end."""


_running: ContextVar[_Call | None] = ContextVar("realtime_fsm running callable", default=None)


def calling_task() -> asyncio.Task[Any] | None:
    """Return the task in which the calling callable runs; None outside of a callable.

    The callable may call from any task or thread that it has started.
    """
    call = _running.get()
    return None if call is None else call.task


class Callback:
    """A callable of the user's.

    Args:
        kind: the argument by which the user gave it, such as ``"on_gap"``; reports begin with it.
        function: the callable, async or not.
        context: the context in which the user gave it; by default the present one.
        named: the user's callable, if `function` wraps it; reports show its name.
    """

    __slots__ = ("_free_at", "_function", "_kind", "_latest", "_unreported", "context", "name")

    def __init__(
        self, kind: str, function: Callable[..., object], context: Context | None = None, *, named: object = None
    ) -> None:
        self.name: str = _name_of(function if named is None else named)
        self._kind = kind
        self._function = function
        self.context: Context = copy_context() if context is None else context.copy()
        self._free_at = -math.inf
        self._unreported = 0
        self._latest: BaseException | None = None

    async def call(self, *given: Any) -> tuple[Any, BaseException | None]:
        """Call the callable, and await its answer if that is awaitable. Return the answer or else the callable's exception.

        Raises:
            asyncio.CancelledError: when the task in which this runs is cancelled.
        """
        task = asyncio.current_task()
        call, context = _Call(task), self.context.copy()
        context.run(_running.set, call)
        try:
            function = self._function
            if hooks.handlers and self._kind == "handler":
                for wrap in hooks.handlers:
                    function = wrap(self.name, function)
            answer = context.run(function, *given)
            if inspect.isawaitable(answer):
                answer = await _drive(context, answer)
        except BaseException as failure:  # the user's code must not end the link
            if is_asked_for(failure, task):
                raise
            contain(failure)
            return None, failure
        finally:
            call.task = None
        return answer, None

    def report(self, failure: BaseException, report: Report, loop: asyncio.AbstractEventLoop) -> None:
        """Report a failure: the first few at once, later ones together every ten seconds, with their number and the latest."""
        now, room = loop.time(), (_BURST - 1) * _INTERVAL
        if self._latest is None and self._free_at <= now + room:
            self._free_at = max(self._free_at, now) + _INTERVAL
            report(failure, f"{self._kind} failed: {self.name}")
            return
        if self._latest is None:
            loop.call_at(self._free_at - room, self.flush, report, loop)
        self._latest = failure
        self._unreported += 1

    def flush(self, report: Report, loop: asyncio.AbstractEventLoop) -> None:
        """Report the failures that wait for their report."""
        count, failure = self._unreported, self._latest
        self._unreported, self._latest = 0, None
        if failure is not None:
            self._free_at = max(self._free_at, loop.time()) + _INTERVAL
            report(failure, f"{self._kind} failed: {self.name}, {count} more since the last report; this is the latest")


def report_to(loop: asyncio.AbstractEventLoop, failure: BaseException, heading: str) -> None:
    """Report an exception that no task awaits, through the event loop's exception handler.

    The handler is the user's code, too: what it raises goes to the loop's default handler.
    """
    try:
        loop.call_exception_handler({"message": f"realtime_fsm: {heading}", "exception": failure})
    except BaseException as raised:  # noqa: BLE001  (asyncio lets SystemExit and KeyboardInterrupt pass)
        contain(raised)
        loop.default_exception_handler(
            {"message": f"realtime_fsm: the exception handler failed on: {heading}", "exception": raised}
        )


def is_asked_for(failure: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """Tell whether an exception that a task's coroutine has caught is a requested cancellation, or closes the coroutine."""
    if isinstance(failure, asyncio.CancelledError):
        return task is not None and task.cancelling() > 0
    if not isinstance(failure, GeneratorExit):
        return False
    try:
        return asyncio.current_task() is not task  # a running task does not close its own coroutine
    except RuntimeError:  # the garbage collector closes it, while no loop runs
        return True


@types.coroutine
def _drive(context: Context, answer: Awaitable[Any]) -> Generator[Any, Any, Any]:
    """Await in a context. asyncio gives a context to tasks only, and a cancellation of this task would not reach another one."""
    steps = _waiting_for(answer)
    resume = partial(steps.send, None)
    while True:
        try:
            waited = context.run(resume)
        except StopIteration as end:
            return end.value
        try:
            yield waited
        except GeneratorExit:
            context.run(steps.close)
            raise
        except BaseException as thrown:  # noqa: BLE001  (it is thrown on)
            resume = partial(steps.throw, thrown)
        else:
            resume = partial(steps.send, None)


async def _waiting_for(answer: Awaitable[Any]) -> Any:
    return await answer


def _name_of(function: Any) -> str:
    """Name a callable, without its repr, which may show secrets that a partial or an object holds."""
    while isinstance(function, partial):
        function = function.func
    named = function if inspect.isroutine(function) or isinstance(function, type) else type(function)
    return ".".join(part for part in (named.__module__, named.__qualname__) if part)
