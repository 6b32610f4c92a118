"""The base of the embedded server's parts: their common state, and calls that are safe from any thread.

Design: the server belongs to the event loop on which it was started last. A call from another thread runs there, and the caller
waits for the answer; so the parts below know one thread only.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine  # noqa: TC003
from typing import Concatenate, ParamSpec, TypeVar

# All of these are for tools that read annotations.
from realtime_fsm.testing.backend import Backend  # noqa: TC001
from realtime_fsm.testing.dispatcher import ConnectionDispatcher  # noqa: TC001
from realtime_fsm.testing.listener import Listener  # noqa: TC001

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="ServerParts")


class ServerParts(ABC):
    """The state that the parts of a server share."""

    _backend: Backend
    _dispatcher: ConnectionDispatcher
    _listener: Listener
    _clock: Callable[[], float]
    _home: tuple[asyncio.AbstractEventLoop, int] | None = None  # the loop of the server, and its thread

    @property
    @abstractmethod
    def endpoint(self) -> str:
        """The endpoint to give to a client."""

    @abstractmethod
    async def start(self) -> None:
        """Listen."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop."""

    def _settle(self) -> None:
        """Belong to the running loop from now on."""
        self._home = asyncio.get_running_loop(), threading.get_ident()

    def _foreign_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop of the server, where another thread makes this call; None where the call may run at once."""
        if self._home is None or self._home[1] == threading.get_ident() or not self._home[0].is_running():
            return None
        return self._home[0]


def threadsafe(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Make a method safe to call from any thread."""

    @functools.wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        loop = self._foreign_loop()
        if loop is None:
            return method(self, *args, **kwargs)

        async def run() -> R:
            return method(self, *args, **kwargs)

        return asyncio.run_coroutine_threadsafe(run(), loop).result()

    return call


def loopsafe(
    method: Callable[Concatenate[S, P], Coroutine[None, None, R]],
) -> Callable[Concatenate[S, P], Coroutine[None, None, R]]:
    """Make a coroutine method safe to await on any event loop."""

    @functools.wraps(method)
    async def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        loop = self._foreign_loop()
        if loop is None:
            return await method(self, *args, **kwargs)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(method(self, *args, **kwargs), loop))

    return call
