"""The two calls that subscribe: `subscribe` gives an iterator, `on` calls a handler. Both return an `AwaitableContext`."""

from __future__ import annotations

import asyncio  # noqa: TC003  (tools read the annotations of a public class)
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from realtime_fsm.callers import warn
from realtime_fsm.client.connection_info import ConnectionInfo
from realtime_fsm.client.listener import Listener
from realtime_fsm.client.subscription import MissingChannelWarning, Subscription, TypedSubscription
from realtime_fsm.errors import BadOption, Disposed
from realtime_fsm.protocol.channel_checks import warn_of
from realtime_fsm.protocol.payloads import payload_decoder
from realtime_fsm.protocol.spec import subscription_spec
from realtime_fsm.runtime.callbacks import Callback
from realtime_fsm.runtime.delivery import BUFFER_BYTES, DeliveryOptions
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType, UnionType

    from realtime_fsm.client.subscription import OnMisfit, SubscribeOptions
    from realtime_fsm.events import A, B, C, D, Event, OneOf
    from realtime_fsm.runtime.delivery import CatchUp, OnGap, SubscriptionDelivery
    from realtime_fsm.runtime.overflow import Overflow

R = TypeVar("R")
T = TypeVar("T")
_BUFFER = 1024
_OVERFLOW: Overflow = "drop_oldest"


class AwaitableContext(Coroutine[Any, Any, R]):
    """A coroutine that is an asynchronous context manager as well.

    As a full coroutine it can become a task, and a forgotten one warns as coroutines do. ``async with`` closes its result, also
    after an exception; a disposed connection has nothing left to close.
    """

    __slots__ = ("_call", "_close_result", "_result")

    def __init__(self, call: Coroutine[Any, Any, R], close_result: Callable[[R], Awaitable[None]]) -> None:
        self._call = call
        self._close_result = close_result
        self._result: R

    def __await__(self) -> Generator[Any, Any, R]:
        return (yield from self._call.__await__())

    async def __aenter__(self) -> R:
        self._result = await self._call
        return self._result

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(Disposed):
            await self._close_result(self._result)

    def send(self, value: Any) -> Any:
        """Resume the coroutine, as every coroutine does."""
        return self._call.send(value)

    def throw(self, *raised: Any) -> Any:
        """Raise in the coroutine, as every coroutine does."""
        return self._call.throw(*raised)

    def close(self) -> None:
        """Close the coroutine, as every coroutine does."""
        self._call.close()


class SubscribingMixin(ConnectionInfo):
    """The part of `Realtime` that subscribes."""

    _listener_tasks: list[asyncio.Task[None]]

    @overload
    def subscribe(self, *channels: str, **options: Unpack[SubscribeOptions]) -> AwaitableContext[Subscription]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: type[T], on_misfit: OnMisfit | None = None, **options: Unpack[SubscribeOptions]
    ) -> AwaitableContext[Subscription[T]]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: OneOf[A, B, C, D], on_misfit: OnMisfit | None = None, **options: Unpack[SubscribeOptions]
    ) -> AwaitableContext[Subscription[A | B | C | D]]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: UnionType, on_misfit: OnMisfit | None = None, **options: Unpack[SubscribeOptions]
    ) -> AwaitableContext[Subscription[Any]]: ...
    def subscribe(
        self, *channels: str, payload: Any = None, on_misfit: OnMisfit | None = None, queries: Iterable[str] = (),
        on_gap: OnGap | None = None, catch_up: CatchUp | None = None, buffer: int = _BUFFER, overflow: Overflow = _OVERFLOW,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> AwaitableContext[Any]:  # fmt: skip
        """Subscribe to channels, and return when the server has acknowledged. Opens the link if it is down.

        Await the call, or enter it: ``async with realtime.subscribe(...) as subscription`` unsubscribes at the end. A cancelled
        call withdraws the subscription. A failed call leaves earlier subscriptions as they are.

        Args:
            channels: the channels: strings such as ``"rows"`` or ``"buckets.avatars.files"``, or values of `Channel`.
            payload: the type of the payloads: a msgspec Struct, a dataclass, a TypedDict, ``dict``, or a pydantic model;
                ``list[...]`` for ``console.tail.{project}``; or a tuple of them, such as ``(Apple, Pear)``. See
                `Event.payload_as`. The consumer decodes the payload when it takes the event. The payload of a deletion is the
                whole deleted row, so it has the same type.
            on_misfit: called, or awaited, with the `PayloadMisfit` of an event that does not fit; then the iteration takes the
                next event. With None the iteration raises the misfit.
            queries: JSON strings of the official SDK's ``Query`` helpers; an event must match all of them.
            on_gap: called, or awaited, with a `Gap` after each outage.
            catch_up: awaited with a `Gap` after each outage; returns the missed events, or their payloads. The consumer gets
                them first, in that order, while live events wait. An event that is also live comes once, by ``$id`` and
                ``$updatedAt``. Deletions cannot be recovered.
            buffer: how many events are kept for a slow consumer; 1,024 by default.
            overflow: what happens to more events: ``"drop_oldest"`` (the default) or ``"drop_newest"``; ``"latest"`` keeps the
                newest event for each `Event.id`, in the place of the older one; ``"error"`` raises `ConsumerTooSlow` from the
                iteration; ``"pause"`` loses nothing, but stops reading the link until half of the buffer is free. During a
                pause the other subscriptions of this connection wait, and a dead link goes unnoticed. Calls that need an answer
                wait, too, and raise `LinkPaused` after ``Timeouts.reply``.
            buffer_bytes: how many bytes of frames are kept at most; 64 MiB by default. One event is always kept. An item of
                ``catch_up`` counts as the bytes of its encoded payload.

        Returns:
            The subscription, ready to be iterated.

        Raises:
            BadOption: for an option that cannot be used: no channel, a channel that is not a non-empty string, a query that
                realtime does not allow, more than fits into a frame, a type that cannot be decoded, ... Its text names the
                option and the remedy.
            ChannelWarning: for a channel that cannot be meant, where a warning filter makes an exception of it.
            SubscriptionRejected: when the server refuses it.
            UnsupportedByServer: for queries, when the server is older than Appwrite 1.9.
            RefusedByServer, RetriesExhausted, CertificateRefused: when the connection gets no link.
            LinkLost: when the link is lost during the call and ``auto_reconnect`` is off.
            LinkPaused: when a full consumer with ``overflow="pause"`` pauses the link for ``Timeouts.reply``.
            Disconnected: when ``disconnect()`` is called during the call.
            Disposed: after ``dispose()``.
        """
        options = DeliveryOptions(buffer, on_gap, catch_up, overflow, buffer_bytes)
        call = self._subscribe(channels, queries, options, payload, on_misfit, lambda _, subscription: subscription)
        return AwaitableContext(call, Subscription.unsubscribe)

    @overload
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event], object], **options: Unpack[SubscribeOptions]
    ) -> AwaitableContext[Listener]: ...
    @overload
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[T]], object], *, payload: type[T],
        on_misfit: OnMisfit | None = None, **options: Unpack[SubscribeOptions],
    ) -> AwaitableContext[Listener]: ...  # fmt: skip
    @overload
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[A | B | C | D]], object], *, payload: OneOf[A, B, C, D],
        on_misfit: OnMisfit | None = None, **options: Unpack[SubscribeOptions],
    ) -> AwaitableContext[Listener]: ...  # fmt: skip
    @overload
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[Any]], object], *, payload: UnionType,
        on_misfit: OnMisfit | None = None, **options: Unpack[SubscribeOptions],
    ) -> AwaitableContext[Listener]: ...  # fmt: skip
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[Any]], object], *, payload: Any = None,
        on_misfit: OnMisfit | None = None, queries: Iterable[str] = (), on_gap: OnGap | None = None,
        catch_up: CatchUp | None = None, buffer: int = _BUFFER, overflow: Overflow = _OVERFLOW,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> AwaitableContext[Listener]:  # fmt: skip
        """Call a handler with each event of some channels. Returns when the server has acknowledged.

        Await the call, or enter it: ``async with realtime.on(...) as listener`` stops the listener at the end.

        Args:
            channels: a channel, or several.
            handler: called, or awaited, with one event at a time. A plain function runs on the event loop: it must not block.
            payload: as for ``subscribe()``.
            on_misfit: as for ``subscribe()``; without it a misfit counts as a failure of the handler.
            queries: as for ``subscribe()``.
            on_gap: as for ``subscribe()``.
            catch_up: as for ``subscribe()``.
            buffer: as for ``subscribe()``.
            buffer_bytes: as for ``subscribe()``.
            overflow: as for ``subscribe()``; with ``"error"``, `ConsumerTooSlow` counts as a failure of the handler.

        Returns:
            The listener. It runs although your program drops it; ``stop()`` and ``dispose()`` end it.

        Raises:
            As ``subscribe()``.
        """
        if not callable(handler):
            raise BadOption("handler", f"{type(handler).__name__} cannot be called; give a function that takes an event")
        names = channels if isinstance(channels, Iterable) and not isinstance(channels, str) else (channels,)
        options = DeliveryOptions(buffer, on_gap, catch_up, overflow, buffer_bytes)

        def listen(delivery: SubscriptionDelivery, subscription: Subscription[Any]) -> Listener:
            self._check_not_disposed()  # a disposal may have come between the acknowledgement and this step
            listener = Listener(self._driver, delivery, subscription, Callback("handler", handler, options.context))
            self._listener_tasks.append(listener.task)
            listener.task.add_done_callback(self._listener_tasks.remove)
            return listener

        return AwaitableContext(self._subscribe(names, queries, options, payload, on_misfit, listen), Listener.stop)

    @sealed
    async def _subscribe(
        self, channels: Iterable[str], queries: Iterable[str], options: DeliveryOptions, payload: Any,
        on_misfit: OnMisfit | None, make_result: Callable[[SubscriptionDelivery, Subscription[Any]], R],
    ) -> R:  # fmt: skip
        spec = subscription_spec(self._driver.calls.next_id(), channels, queries, self._driver.project)
        if payload is None and on_misfit is not None:
            raise BadOption("on_misfit", "without payload= everything fits; give payload= the type of the payloads")
        decoder = None if payload is None else payload_decoder(payload)
        self._check_not_disposed()
        if spec.queries:
            self._driver.calls.require_feature("queries")
        warn_of(spec.channels)  # before the registration: a filter may make an exception of it
        delivery = self._driver.calls.subscribe(spec, options)
        try:
            await self._driver.calls.answer(delivery.granted)
            if decoder is None:
                subscription: Subscription[Any] = Subscription(self._driver, delivery)
            else:
                misfit = None if on_misfit is None else Callback("on_misfit", on_misfit, options.context)
                subscription = TypedSubscription(self._driver, delivery, decoder, misfit)
            subscription._owner = self  # noqa: SLF001  (a subscription that is held keeps its connection alive)
            if missing := subscription.missing_channels:
                warn(f"the server acknowledged the subscription without {', '.join(missing)}", MissingChannelWarning)
            return make_result(delivery, subscription)
        except BaseException:  # a cancellation, or a warning as an exception: the caller gets nothing to unsubscribe with
            self._driver.calls.unsubscribe(delivery)
            raise
