"""The waiters: the calls that wait until a link serves them, or until the server names the user or stores a presence."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

from realtime_fsm.errors import Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from realtime_fsm.errors import RealtimeError

T = TypeVar("T")

_DISCONNECTED = Disconnected()  # one for all: each call gets a copy


class Waiters:
    """The futures of the calls that wait.

    Attributes:
        failure: the error that `fail` was given last.
    """

    __slots__ = ("_for_identity", "_for_link", "_for_presence", "failure")

    def __init__(self) -> None:
        self.failure: RealtimeError = _DISCONNECTED
        self._for_link: dict[asyncio.Future[None], tuple[Callable[[], bool], bool]] = {}
        self._for_identity: list[asyncio.Future[None]] = []
        self._for_presence: list[asyncio.Future[dict[str, Any] | None]] = []

    async def until(self, condition: Callable[[], bool], *, survives_disconnect: bool) -> None:
        """Wait until a condition holds that needs a link; `check` asks for it.

        Args:
            condition: the condition.
            survives_disconnect: whether to go on waiting after `disconnect()`.

        Raises:
            RealtimeError: the error that `fail` or `fail_change` is given.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._for_link[future] = condition, survives_disconnect
        try:
            await future
        finally:
            del self._for_link[future]

    def identity(self) -> AbstractContextManager[asyncio.Future[None]]:
        """Give a future that completes when the server has named the user."""
        return _listed(self._for_identity)

    def presence(self) -> AbstractContextManager[asyncio.Future[dict[str, Any] | None]]:
        """Give a future that completes with the presence that the server has stored; None if none is wanted any more."""
        return _listed(self._for_presence)

    def check(self) -> None:
        """Resolve the calls whose condition holds."""
        for future, (condition, _) in self._for_link.items():
            if condition():
                resolve(future, None)

    def resolve_identity(self) -> None:
        """Resolve the calls that wait until the server names the user."""
        for future in self._for_identity:
            resolve(future, None)

    def reject_identity(self, error: RealtimeError) -> None:
        """Fail the calls that wait for another identity."""
        for future in self._for_identity:
            reject(future, error)

    def resolve_presence(self, presence: dict[str, Any] | None) -> None:
        """Resolve the calls that wait until the server has stored a presence."""
        for future in self._for_presence:
            resolve(future, presence)

    def reject_presence(self, error: RealtimeError) -> bool:
        """Fail the calls that wait for a presence, and tell whether there was one."""
        for future in self._for_presence:
            reject(future, error)
        return bool(self._for_presence)

    def fail_change(self, error: RealtimeError) -> None:
        """Fail the calls that want another link or identity: the old link goes on."""
        self._reject_change(error, everyone=False)

    def fail(self, error: RealtimeError, *, everyone: bool) -> None:
        """Fail the calls that wait; those that survive a disconnect only if `everyone` is to fail."""
        self.failure = error
        self._reject_change(error, everyone=everyone)
        self.reject_presence(error)

    def _reject_change(self, error: RealtimeError, *, everyone: bool) -> None:
        for future, (_, survives) in self._for_link.items():
            if everyone or not survives:
                reject(future, error)
        self.reject_identity(error)


@contextmanager
def _listed(futures: list[asyncio.Future[T]]) -> Iterator[asyncio.Future[T]]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    futures.append(future)
    try:
        yield future
    finally:
        futures.remove(future)


def resolve(future: asyncio.Future[T], result: T) -> None:
    """Complete a future, unless it is done already."""
    if not future.done():
        future.set_result(result)


def reject(future: asyncio.Future[Any], error: RealtimeError) -> None:
    """Fail a future with a copy of the error, unless it is done already."""
    if not future.done():
        future.set_exception(copy(error))
        future.exception()  # a caller that is cancelled at this moment does not read it, and asyncio would log that
