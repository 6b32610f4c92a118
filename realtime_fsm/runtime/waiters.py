"""The waiters: the calls that wait until the link is up, or until the server names the user or stores a presence."""

from __future__ import annotations

import asyncio
from copy import copy
from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import Disconnected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from realtime_fsm.errors import RealtimeError


_DISCONNECTED = Disconnected()  # one for all: each call gets a copy


class Waiters:
    """Futures by what they wait for.

    Args:
        answer: waits for an answer of the server.

    Attributes:
        failure: what `fail` was given last.
    """

    __slots__ = ("_answer", "_for_identity", "_for_link", "_for_presence", "failure")

    def __init__(self, answer: Callable[[asyncio.Future[Any]], Awaitable[Any]]) -> None:
        self._answer = answer
        self.failure: RealtimeError = _DISCONNECTED
        self._for_link: dict[asyncio.Future[None], tuple[Callable[[], bool], bool]] = {}
        self._for_identity: list[asyncio.Future[None]] = []
        self._for_presence: list[asyncio.Future[dict[str, Any] | None]] = []

    async def until(self, condition: Callable[[], bool], *, survives_disconnect: bool) -> None:
        """Wait until something holds that needs a link; `check` asks whether it does.

        Args:
            condition: what to wait for.
            survives_disconnect: whether to go on waiting after `disconnect()`.

        Raises:
            RealtimeError: what `fail` is given.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._for_link[future] = condition, survives_disconnect
        try:
            await future
        finally:
            del self._for_link[future]

    async def wait_identity(self, begin: Callable[[], None]) -> None:
        """Begin something and wait until the server has said who we are.

        Raises:
            RealtimeError: what `fail` or `reject_identity` is given.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._for_identity.append(future)
        try:
            begin()
            await self._answer(future)
        finally:
            self._for_identity.remove(future)

    async def wait_presence(self, begin: Callable[[], None]) -> dict[str, Any] | None:
        """Begin something and wait until the server has stored a presence; None if none is wanted any more.

        Raises:
            RealtimeError: what `fail` or `reject_presence` is given.
        """
        future: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        self._for_presence.append(future)
        try:
            begin()
            presence: dict[str, Any] | None = await self._answer(future)
            return presence
        finally:
            self._for_presence.remove(future)

    def check(self) -> None:
        """Resolve the calls whose condition holds."""
        for future, (condition, _) in self._for_link.items():
            if condition():
                resolve(future)

    def resolve_identity(self) -> None:
        """Resolve the calls that wait until the server names the user."""
        for future in self._for_identity:
            resolve(future)

    def reject_identity(self, error: RealtimeError) -> None:
        """Fail the calls that wait for another identity."""
        for future in self._for_identity:
            reject(future, error)

    def resolve_presence(self, presence: dict[str, Any] | None) -> None:
        """Resolve the calls that wait until the server has stored a presence."""
        for future in self._for_presence:
            if not future.done():
                future.set_result(presence)

    def reject_presence(self, error: RealtimeError) -> bool:
        """Fail the calls that wait for a presence, and tell whether any did."""
        for future in self._for_presence:
            reject(future, error)
        return bool(self._for_presence)

    def fail_change(self, error: RealtimeError) -> None:
        """Fail the calls that want another link, or another identity: the old link goes on."""
        for future, (_, survives) in self._for_link.items():
            if not survives:
                reject(future, error)
        self.reject_identity(error)

    def fail(self, error: RealtimeError, *, everyone: bool) -> None:
        """Fail the calls that wait; those that survive a disconnect only if `everyone` is to fail."""
        self.failure = error
        for future, (_, survives) in self._for_link.items():
            if everyone or not survives:
                reject(future, error)
        self.reject_identity(error)
        self.reject_presence(error)


def resolve(future: asyncio.Future[None]) -> None:
    """Complete a future, unless it is done already."""
    if not future.done():
        future.set_result(None)


def reject(future: asyncio.Future[Any], error: RealtimeError) -> None:
    """Fail a future with a copy of the error, unless it is done already."""
    if not future.done():
        future.set_exception(copy(error))
