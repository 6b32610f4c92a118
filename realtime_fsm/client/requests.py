"""The asking: what a client's user listens to, by an iterator or by a handler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from realtime_fsm.callers import warn
from realtime_fsm.client.awaitable import AwaitableContext
from realtime_fsm.client.listener import Listener
from realtime_fsm.client.subscription import MissingChannelWarning, Subscription, make_subscription
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.inputs import Subscribe
from realtime_fsm.protocol.channel_checks import warn_of
from realtime_fsm.protocol.payloads import payload_decoder
from realtime_fsm.protocol.spec import subscription_spec
from realtime_fsm.runtime.callbacks import Callback
from realtime_fsm.runtime.delivery import BUFFER_BYTES, DeliveryOptions
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import UnionType

    from realtime_fsm.client.subscription import OnMisfit, SubscribeOptions
    from realtime_fsm.events import Event
    from realtime_fsm.runtime.delivery import CatchUp, OnGap, SubscriptionDelivery
    from realtime_fsm.runtime.driver import Driver
    from realtime_fsm.runtime.overflow import Overflow

R = TypeVar("R")
T = TypeVar("T")
_BUFFER = 1024
_OVERFLOW: Overflow = "drop_oldest"


class Asking(ABC):
    """The part of `Realtime` that subscribes."""

    _driver: Driver
    _listener_tasks: list[asyncio.Task[None]]

    @abstractmethod
    def _check_not_disposed(self) -> None:
        """Refuse whatever is asked of a connection that was disposed of."""

    @overload
    def subscribe(self, *channels: str, **served: Unpack[SubscribeOptions]) -> AwaitableContext[Subscription]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: type[T], on_misfit: OnMisfit | None = None, **served: Unpack[SubscribeOptions]
    ) -> AwaitableContext[Subscription[T]]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: UnionType, on_misfit: OnMisfit | None = None, **served: Unpack[SubscribeOptions]
    ) -> AwaitableContext[Subscription[Any]]: ...
    def subscribe(
        self, *channels: str, payload: Any = None, on_misfit: OnMisfit | None = None, queries: Iterable[str] = (),
        on_gap: OnGap | None = None, catch_up: CatchUp | None = None, buffer: int = _BUFFER, overflow: Overflow = _OVERFLOW,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> AwaitableContext[Any]:  # fmt: skip
        """Listen to channels. Opens the link if there is none; returns when the server has acknowledged.

        Await it, or enter it: ``async with realtime.subscribe(...) as subscription`` unsubscribes at the end. Cancelling the
        call withdraws the subscription. When the call fails, earlier subscriptions are kept.

        Args:
            channels: the channels: strings such as ``"rows"`` or ``"buckets.avatars.files"``, or what `Channel` spells.
            payload: the type of the payloads: a msgspec Struct, a dataclass, a TypedDict, ``dict``, a union of tagged Structs,
                or a pydantic model; ``list[...]`` for ``console.tail.{project}``; see `Event.payload_as`. They are decoded when
                the consumer takes the event. A deletion's payload is complete, so it fits as well.
            on_misfit: called, or awaited, with the `PayloadMisfit` of an event that does not fit; then the iteration goes on
                with the next. Without it the iteration raises it.
            queries: JSON strings of the official SDK's ``Query`` helpers; all of them must hold.
            on_gap: called, or awaited, with a `Gap` after each outage.
            catch_up: awaited with a `Gap` after each outage; what it returns (events, or payloads) is delivered first, in its
                order, and live events wait meanwhile. An event that is among both is delivered once, by ``$id`` and
                ``$updatedAt``. Deletions cannot be recovered.
            buffer: how many events are kept for a consumer that is slow: 1,024, if nothing is said.
            overflow: what becomes of events when there are more: ``"drop_oldest"``, if nothing is said, or ``"drop_newest"``;
                ``"latest"`` keeps the newest event for each `Event.id`, in the place of the older one; ``"error"`` raises
                `ConsumerTooSlow` from the iteration; ``"pause"`` loses nothing, but reads nothing more from the link until half
                of the buffer is free: meanwhile every other subscription of this connection waits, and so does each call that
                needs an answer (with `LinkPaused` after ``Timeouts.reply``), and a link that has died is not noticed.
            buffer_bytes: how many bytes of frames are kept at most: 64 MiB, if nothing is said. One event is always kept.
                An item of ``catch_up`` counts as the bytes of its encoded payload.

        Returns:
            The subscription, ready to be iterated.

        Raises:
            BadOption: for no channel, or one that is not a non-empty string, for ``console.tail.{project}`` outside project
                ``console``, for a query that realtime does not allow, for more than fits into a frame, for a type that nothing
                can be decoded into, or for a ``buffer``, ``buffer_bytes`` or ``overflow`` that makes no sense.
            ChannelWarning: where a warning filter makes an exception of it, for a channel that cannot be meant.
            SubscriptionRejected: when the server refuses it.
            UnsupportedByServer: for queries, when the server is older than Appwrite 1.9.
            RefusedByServer, RetriesExhausted, CertificateRefused: when no link can be had.
            LinkLost: when the link is lost meanwhile and ``auto_reconnect`` is off.
            LinkPaused: when a consumer with ``overflow="pause"`` stays full meanwhile, for ``Timeouts.reply``.
            Disconnected: when ``disconnect()`` is called meanwhile.
            Disposed: after ``dispose()``.
        """
        options = DeliveryOptions(buffer, on_gap, catch_up, overflow, buffer_bytes)
        begin = self._subscribe(channels, queries, options, payload, on_misfit, lambda _, subscription: subscription)
        return AwaitableContext(begin, Subscription.unsubscribe)

    @overload
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event], object], **served: Unpack[SubscribeOptions]
    ) -> AwaitableContext[Listener]: ...
    @overload
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[T]], object], *, payload: type[T],
        on_misfit: OnMisfit | None = None, **served: Unpack[SubscribeOptions],
    ) -> AwaitableContext[Listener]: ...  # fmt: skip
    @overload
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[Any]], object], *, payload: UnionType,
        on_misfit: OnMisfit | None = None, **served: Unpack[SubscribeOptions],
    ) -> AwaitableContext[Listener]: ...  # fmt: skip
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[Any]], object], *, payload: Any = None,
        on_misfit: OnMisfit | None = None, queries: Iterable[str] = (), on_gap: OnGap | None = None,
        catch_up: CatchUp | None = None, buffer: int = _BUFFER, overflow: Overflow = _OVERFLOW,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> AwaitableContext[Listener]:  # fmt: skip
        """Call a handler with each event of some channels. Returns when the server has acknowledged.

        Await it, or enter it: ``async with realtime.on(...) as listener`` stops it at the end.

        Args:
            channels: a channel, or several.
            handler: called, or awaited, with one event at a time. A plain one runs on the event loop: it must not block.
            payload: as for ``subscribe()``.
            on_misfit: as for ``subscribe()``; without it a misfit counts as a failure of the handler.
            queries: as for ``subscribe()``.
            on_gap: as for ``subscribe()``.
            catch_up: as for ``subscribe()``.
            buffer: how many events are kept while the handler is at work: 1,024, if nothing is said.
            overflow: as for ``subscribe()``; with ``"error"``, `ConsumerTooSlow` counts as a failure of the handler.
            buffer_bytes: as for ``subscribe()``.

        Returns:
            The listener. It works without being held; ``dispose()`` ends it.

        Raises:
            As ``subscribe()``.
        """
        if not callable(handler):
            raise BadOption("handler", f"{type(handler).__name__} cannot be called; give a function that takes an event")
        names = channels if isinstance(channels, Iterable) and not isinstance(channels, str) else (channels,)
        options = DeliveryOptions(buffer, on_gap, catch_up, overflow, buffer_bytes)

        def listen(subscriber: SubscriptionDelivery, subscription: Subscription[Any]) -> Listener:
            self._check_not_disposed()  # it may have been disposed of in the moment between
            listener = Listener(self._driver, subscriber, subscription, Callback("handler", handler, options.context))
            self._listener_tasks.append(listener.task)
            listener.task.add_done_callback(self._listener_tasks.remove)
            return listener

        return AwaitableContext(self._subscribe(names, queries, options, payload, on_misfit, listen), Listener.stop)

    @sealed
    async def _subscribe(
        self, channels: Iterable[str], queries: Iterable[str], options: DeliveryOptions, payload: Any, on_misfit: OnMisfit | None,
        give: Callable[[SubscriptionDelivery, Subscription[Any]], R],
    ) -> R:  # fmt: skip
        spec = subscription_spec(self._driver.next_id(), channels, queries, self._driver.project)
        if payload is None and on_misfit is not None:
            raise BadOption("on_misfit", "without payload= everything fits; give payload= the type of the payloads")
        reader = None if payload is None else payload_decoder(payload)
        self._check_not_disposed()
        if spec.queries:
            self._driver.require_feature("queries")
        warn_of(spec.channels)  # before anything is registered: a filter may make an exception of it
        subscriber = self._driver.register(spec, options)
        self._driver.feed(Subscribe(spec))
        try:
            await self._driver.answer(subscriber.granted)
            misfit = None if on_misfit is None else Callback("on_misfit", on_misfit, options.context)
            subscription = make_subscription(self._driver, subscriber, reader, misfit)
            subscription._owner = self  # noqa: SLF001  (one that is held keeps its connection alive)
            if missing := subscription.missing_channels:
                warn(f"the server acknowledged the subscription without {', '.join(missing)}", MissingChannelWarning)
            return give(subscriber, subscription)
        except BaseException:  # a cancellation, or a warning that a filter raises: the caller gets nothing to end it by
            self._driver.unsubscribe(subscriber)
            raise
