"""The core of the embedded server: its parts, the event loop to which it belongs, and calls that are safe from any thread.

Design: the server belongs to the event loop on which it was started last. A call from another thread runs there, and the caller
waits for the answer. So the parts know one thread only.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from realtime_fsm.testing.backend import Backend
    from realtime_fsm.testing.dispatcher import ConnectionDispatcher
    from realtime_fsm.testing.listener import Listener


@dataclass(slots=True, eq=False)
class ServerCore:
    """The parts of a server."""

    backend: Backend  # the state that the connections share
    dispatcher: ConnectionDispatcher
    listener: Listener[Any]  # the place where links begin
    clock: Callable[[], float]  # tells the time, in seconds since the epoch
    scripts: set[asyncio.Task[None]] = field(default_factory=set)  # the scripts that run
    _recovery: asyncio.TimerHandle | None = None
    _home: tuple[asyncio.AbstractEventLoop, int] | None = None  # the loop of the server, and its thread

    async def start(self) -> None:
        """Listen, and belong to the running loop from now on."""
        self._home = asyncio.get_running_loop(), threading.get_ident()
        await self.listener.start()

    async def stop(self) -> None:
        """End every script, a server fault and every link, and listen no more."""
        for script in self.scripts:
            script.cancel()
        self._end_fault()
        await self.listener.stop()
        self.backend.restart()

    def begin_fault(self, seconds: float) -> None:
        """Begin a server fault in place of an earlier one; with 0 seconds, end it."""
        self._end_fault()
        if seconds:
            self.backend.faulty = True
            self._recovery = asyncio.get_running_loop().call_later(seconds, self._end_fault)

    def _end_fault(self) -> None:
        self.backend.faulty = False
        if self._recovery is not None:
            self._recovery.cancel()

    def foreign_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop of the server, if another thread makes this call; None if the call may run at once."""
        if self._home is None or self._home[1] == threading.get_ident() or not self._home[0].is_running():
            return None
        return self._home[0]


P = ParamSpec("P")
R = TypeVar("R")


def threadsafe(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Make a method safe to call from any thread."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        loop: asyncio.AbstractEventLoop | None = self._core.foreign_loop()
        if loop is None:
            return method(self, *args, **kwargs)

        async def run() -> R:
            return method(self, *args, **kwargs)

        return asyncio.run_coroutine_threadsafe(run(), loop).result()

    return call


def loopsafe(
    method: Callable[Concatenate[Any, P], Coroutine[None, None, None]],
) -> Callable[Concatenate[Any, P], Coroutine[None, None, None]]:
    """Make a coroutine method safe to await on any event loop."""

    @functools.wraps(method)
    async def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> None:
        loop: asyncio.AbstractEventLoop | None = self._core.foreign_loop()
        if loop is None:
            await method(self, *args, **kwargs)
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(method(self, *args, **kwargs), loop))

    return call
