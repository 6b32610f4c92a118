"""The subscription, which a user holds and iterates over."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypedDict, TypeVar

from realtime_fsm.errors import Disposed
from realtime_fsm.events import PayloadMisfit, T_co, typed_event
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.channel_checks import warn_of
from realtime_fsm.protocol.options import check_count
from realtime_fsm.protocol.spec import subscription_spec
from realtime_fsm.runtime.callbacks import calling_task
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from realtime_fsm.events import Event
    from realtime_fsm.fsm.change import Gap
    from realtime_fsm.protocol.payloads import PayloadDecoder
    from realtime_fsm.runtime.callbacks import Callback
    from realtime_fsm.runtime.delivery import CatchUp, OnGap, SubscriptionDelivery
    from realtime_fsm.runtime.driver import Driver
    from realtime_fsm.runtime.overflow import Overflow
    from realtime_fsm.runtime.stream_buffer import StreamBuffer

    OnMisfit = Callable[[PayloadMisfit], object]

T = TypeVar("T")


class CommonOptions(TypedDict, total=False):
    """Arguments of every `subscribe` that do not depend on the type of the payloads."""

    queries: Iterable[str]
    on_gap: OnGap | None
    buffer: int
    overflow: Overflow
    buffer_bytes: int


class SubscribeOptions(CommonOptions, total=False):
    """The common options, with an async ``catch_up``."""

    catch_up: CatchUp | None


class MissingChannelWarning(UserWarning):
    """The server acknowledged a subscription, and silently left out one of its channels."""


class OwningIterator(Generic[T]):
    """An iterator over a buffer that keeps the owner of the buffer alive: the connection, or an object that holds it.

    Design: a slot holds the buffer's own ``__anext__``. A method that calls it would cost 0.02 us an event.
    """

    __slots__ = ("__anext__", "_buffer", "_owner")
    __anext__: Callable[[], Awaitable[T]]

    def __init__(self, buffer: StreamBuffer[T], owner: object) -> None:
        self._buffer = buffer.__aiter__()
        self._owner = owner
        self.__anext__ = buffer.__anext__

    def __aiter__(self) -> Self:
        self._buffer.__aiter__()
        return self


class SubscriptionInfo:
    """The readable facts of a subscription, for iterators and listeners."""

    __slots__ = ("_delivery", "_driver")
    _kind: ClassVar[str] = "Subscription"

    def __init__(self, driver: Driver, delivery: SubscriptionDelivery) -> None:
        self._driver = driver
        self._delivery = delivery

    @property
    def id(self) -> str:
        """The id under which the server knows the subscription."""
        return self._delivery.spec.id

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of the subscription."""
        return self._delivery.spec.channels

    @property
    def queries(self) -> tuple[str, ...]:
        """The queries of the subscription."""
        return self._delivery.spec.queries

    @property
    def acknowledged_channels(self) -> tuple[str, ...]:
        """The channels that the server acknowledged; ``account`` comes back with ``account.{user}`` beside it."""
        return self._delivery.acknowledged

    @property
    def missing_channels(self) -> tuple[str, ...]:
        """The channels that the server did not acknowledge, such as another user's ``account.{id}``."""
        return tuple(channel for channel in self.channels if not _is_acknowledged(channel, self.acknowledged_channels))

    @property
    def dropped(self) -> int:
        """How many events the buffer dropped for a slow consumer; ``overflow="latest"`` counts replaced events."""
        return self._delivery.dropped

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The spans whose events may have been missed, oldest first; the newest 100 are kept."""
        return tuple(self._delivery.gaps)

    @property
    def failures(self) -> int:
        """How many times a callable of this subscription raised.

        The event loop's exception handler gets each failure with the name of the callable: five at once, later ones together
        every ten seconds.
        """
        return self._delivery.failures

    @property
    def misfits(self) -> int:
        """How many events did not fit the ``payload=`` type."""
        return self._delivery.misfits

    def __repr__(self) -> str:
        return f"<{self._kind} {self.id} to {', '.join(self.channels)}>"


class Subscription(SubscriptionInfo, Generic[T_co]):
    """Events of some channels, as an asynchronous iterator.

    ``async for`` gives events and nothing else, in the order of the server. A ``break`` leaves the subscription alive; iterate
    again to go on. The iteration ends after ``unsubscribe()`` and after ``dispose()``. One consumer at a time.

    While no consumer iterates, the subscription keeps the newest ``buffer`` events (at most ``buffer_bytes``), or those that
    ``overflow=`` selects. ``dropped`` counts the others.

    Raises:
        PayloadMisfit: from the iteration, for an event that does not fit ``payload=``, without ``on_misfit=``. Iterate again to
            go on with the next.
        RealtimeError: from the iteration, after the buffered events: the stored error while the connection is in ``error``
            (``RefusedByServer``, ``RetriesExhausted``, ...), ``LinkLost`` after a loss with ``auto_reconnect=False``,
            ``SubscriptionRejected`` when the server refused to restore the subscription. Iterate again after ``reconnect()``.
        ConsumerTooSlow: from the iteration, with ``overflow="error"``, after the buffered events, when others were dropped.
            Iterate again to go on.
        ConcurrentIteration: when another task already waits on it.
        WrongLoop: when another event loop uses it.
    """

    __slots__ = ("_owner",)
    _owner: object

    def __aiter__(self) -> AsyncIterator[Event[T_co]]:
        return OwningIterator(self._delivery.buffer, self)  # type: ignore[arg-type]  # untyped, T_co is the dict

    def __anext__(self) -> Awaitable[Event[T_co]]:
        return self._delivery.buffer.__aiter__().__anext__()  # type: ignore[return-value]  # untyped, T_co is the dict

    def batches(self, max: int | None = None) -> AsyncIterator[list[Event[T_co]]]:  # noqa: A002  (the public signature)
        """Iterate over the same events in lists: each step takes all buffered events, and waits where the buffer is empty.

        ``async for batch in subscription.batches()`` follows the rules of the iterator, and can take turns with it. With
        ``payload=``, a list ends before an event that does not fit; the next step begins with that event.

        Args:
            max: how many events a list has at most; None for no limit but the buffer.

        Raises:
            BadOption: for a maximum that is not a whole number above 0.
        """
        check_count("max", max, none=True)
        return _Batches(partial(self._take_batch, max))

    async def _take_batch(self, most: int | None) -> list[Event[T_co]]:
        first = await self.__anext__()
        return [first, *self._delivery.buffer.take_nowait(most and most - 1)]  # type: ignore[list-item]  # untyped, T_co is the dict

    @sealed
    async def update(self, *, channels: Iterable[str] | None = None, queries: Iterable[str] | None = None) -> None:
        """Replace the channels or queries. Returns when the server has acknowledged.

        The subscription delivers for the old ones until then, and for the new ones afterwards. It delivers an event that matches
        both once. A call that fails, or is cancelled, changes nothing. (A subscribe message with the same id would only add
        channels; PROTOCOL: "Messages", rule 2.)

        Args:
            channels: the new channels; None keeps the old ones.
            queries: the new queries; None keeps the old ones, an empty list removes them.

        Raises:
            BadOption: as ``subscribe()``.
            SubscriptionRejected: when the server refuses the new ones.
            SubscriptionEnded: when the subscription has ended, before or during the call.
            UnsupportedByServer: when the server is older than Appwrite 1.9.5.
            RefusedByServer, RetriesExhausted, CertificateRefused, LinkLost, Disconnected, Disposed: as ``subscribe()``.
        """
        if self._driver.state is State.DISPOSING:
            raise Disposed
        self._driver.calls.require_feature("update")
        channels_and_queries = self.channels if channels is None else channels, self.queries if queries is None else queries
        spec = subscription_spec(self._driver.calls.next_id(), *channels_and_queries, self._driver.project)
        if channels is not None:
            warn_of(spec.channels)
        async with self._delivery.updating:
            await self._driver.calls.update_subscription(self._delivery, spec)

    async def unsubscribe(self) -> None:
        """End the subscription. Returns when the server has confirmed, or the link is gone; a second call is harmless.

        Its running callables are cancelled, except for one that makes this call.

        Raises:
            LinkPaused: when a full consumer with ``overflow="pause"`` pauses the link for ``Timeouts.reply``; the subscription
                ends all the same.
            Disposed: after ``dispose()``.
        """
        if self._driver.state is State.DISPOSING:
            raise Disposed
        self._delivery.spare(calling_task())
        self._delivery.buffer.close()
        self._driver.calls.unsubscribe(self._delivery)
        await self._driver.calls.wait_removed(self._delivery)


class _Batches(Generic[T]):
    __slots__ = ("__anext__",)
    __anext__: Callable[[], Awaitable[list[Event[T]]]]

    def __init__(self, take_batch: Callable[[], Awaitable[list[Event[T]]]]) -> None:
        self.__anext__ = take_batch

    def __aiter__(self) -> Self:
        return self


class TypedSubscription(Subscription[T_co]):
    """A subscription with ``payload=``, which decodes an event when the consumer takes it."""

    __slots__ = ("_decoder", "_on_misfit")

    def __init__(
        self, driver: Driver, delivery: SubscriptionDelivery, decoder: PayloadDecoder[T_co], on_misfit: Callback | None
    ) -> None:
        super().__init__(driver, delivery)
        self._decoder = decoder
        self._on_misfit = on_misfit

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event[T_co]:
        buffer = self._delivery.buffer
        while True:
            event = await buffer.__aiter__().__anext__()
            try:
                return typed_event(event, self._decoder)
            except PayloadMisfit as found:
                self._delivery.misfits += 1
                if self._on_misfit is None:
                    raise
                misfit = found
            await self._delivery.call_user(self._on_misfit, misfit)

    async def _take_batch(self, most: int | None) -> list[Event[T_co]]:
        buffer = self._delivery.buffer
        batch = [await self.__anext__()]
        with suppress(PayloadMisfit):  # the misfit stays in the buffer, for the next step
            while buffer and len(batch) != most:
                batch.append(typed_event(buffer.peek, self._decoder))
                buffer.pop()
        return batch


def _is_acknowledged(channel: str, acknowledged: tuple[str, ...]) -> bool:
    """Compare loosely: for a user, ``account.update`` is acknowledged as ``account.{user}.update`` (PROTOCOL: "Channels")."""
    if channel in acknowledged:
        return True
    head, _, action = channel.partition(".")
    return head == "account" and any(
        parts[0] == head and parts[2:] == [action] for parts in (other.split(".") for other in acknowledged)
    )
