"""The subscription: what a user holds and iterates."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from realtime_fsm.vocabulary.errors import Disposed
from realtime_fsm.vocabulary.table import State

if TYPE_CHECKING:
    from realtime_fsm.edges.driver import Driver
    from realtime_fsm.edges.subscriber import Subscriber
    from realtime_fsm.vocabulary.change import Gap
    from realtime_fsm.vocabulary.events import Event


class MissingChannelWarning(UserWarning):
    """The server acknowledged a subscription without a channel that was asked for, and without a word about it."""


class Subscription:
    """Events of some channels, as an asynchronous iterator.

    ``async for`` gives events and nothing else, in the order of the server. A ``break`` leaves the subscription alive; iterate
    again to go on. It ends after ``unsubscribe()`` and after ``dispose()``. One consumer at a time.

    While nobody iterates, events are kept: the newest ``buffer`` of them; what has to make room is counted in ``dropped``.

    Raises:
        RealtimeError: from the iteration, after the events that are held: the stored error while the connection is in ``error``
            (``RefusedByServer``, ``RetriesExhausted``, ...), ``LinkLost`` after a loss with ``auto_reconnect=False``,
            ``SubscriptionRejected`` when the server refused to restore it. After ``reconnect()`` it can be iterated again.
        ConcurrentIteration: when another task is waiting on it.
        WrongLoop: when it is used from another event loop.
    """

    __slots__ = ("_driver", "_subscriber")

    def __init__(self, driver: Driver, subscriber: Subscriber) -> None:
        self._driver = driver
        self._subscriber = subscriber

    @property
    def id(self) -> str:
        """The id under which the server knows it."""
        return self._subscriber.wish.id

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that were asked for."""
        return self._subscriber.wish.channels

    @property
    def queries(self) -> tuple[str, ...]:
        """The queries that were asked for."""
        return self._subscriber.wish.queries

    @property
    def acknowledged_channels(self) -> tuple[str, ...]:
        """The channels that the server named; ``account`` comes back with ``account.{user}`` beside it."""
        return self._subscriber.acknowledged

    @property
    def missing_channels(self) -> tuple[str, ...]:
        """The channels that were asked for and not acknowledged, such as another user's ``account.{id}``."""
        return tuple(channel for channel in self.channels if not _among(channel, self.acknowledged_channels))

    @property
    def dropped(self) -> int:
        """How many events had to make room because the consumer was too slow."""
        return self._subscriber.inbox.dropped

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The spans in which events may have been missed, oldest first; the newest 100 are kept."""
        return tuple(self._subscriber.gaps)

    @property
    def failures(self) -> int:
        """How many times ``on_gap`` or ``catch_up`` raised. The first is told through the event loop's exception handler."""
        return self._subscriber.failures

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._subscriber.inbox.__anext__()

    async def unsubscribe(self) -> None:
        """End it. Returns when the server has confirmed, or the link is gone; a second call is harmless.

        Raises:
            Disposed: after ``dispose()``.
        """
        if self._driver.state is State.DISPOSING:
            raise Disposed
        self._subscriber.inbox.end()
        self._driver.withdraw(self._subscriber)
        await asyncio.shield(self._subscriber.removed)  # a caller that is cancelled must not cancel it for another

    def __repr__(self) -> str:
        return f"<Subscription {self.id} to {', '.join(self.channels)}>"


def _among(channel: str, acknowledged: tuple[str, ...]) -> bool:
    """Compare loosely: for a user, ``account.update`` is acknowledged as ``account.{user}.update`` (PROTOCOL: "Channels")."""
    if channel in acknowledged:
        return True
    head, _, action = channel.partition(".")
    return head == "account" and any(
        parts[0] == head and parts[2:] == [action] for parts in (other.split(".") for other in acknowledged)
    )
