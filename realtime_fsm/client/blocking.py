"""The client for code without an event loop: the same names, with calls and iterators that block.

Each `Realtime` of this module has a thread, which runs an asynchronous `Realtime`. Any number of threads can use it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import weakref
from collections import deque
from contextlib import closing, suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from realtime_fsm.client import realtime as client
from realtime_fsm.client import subscription
from realtime_fsm.client.appwrite_sdk import options_from_client
from realtime_fsm.client.connection_info import ConnectionInfo
from realtime_fsm.client.portal import Portal
from realtime_fsm.client.subscription import CommonOptions, SubscriptionInfo
from realtime_fsm.errors import BadOption, Disposed, SubscriptionEnded, WrongLoop
from realtime_fsm.events import T_co
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.options import Timeouts, check_seconds
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
    from types import TracebackType, UnionType

    from realtime_fsm.client import listener
    from realtime_fsm.client.explanation import Explanation
    from realtime_fsm.client.health import Health
    from realtime_fsm.client.subscription import OnMisfit
    from realtime_fsm.events import A, B, C, D, Event, OneOf
    from realtime_fsm.fsm.change import Change, Gap
    from realtime_fsm.runtime.credentials import Secret
    from realtime_fsm.runtime.stream_buffer import StreamBuffer

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_CALLABLES = ("on_gap", "catch_up", "on_misfit", "session", "jwt")
_current_handler: ContextVar[object] = ContextVar("realtime_fsm listener whose handler runs")


class BlockingSubscribeOptions(CommonOptions, total=False):
    """The options of `subscribe`, with ``catch_up`` as a plain callable."""

    catch_up: Callable[[Gap], Iterable[Event | Mapping[str, Any]]] | None


def _same_signature_as(
    _of: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a function the arguments of another one, for type checkers."""
    return lambda function: function


def _blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[[Callable[Concatenate[T, P], R]], Callable[Concatenate[T, P], R]]:
    """Replace a declaration by the blocking form of a coroutine method: the same arguments, answer, errors and documentation."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        answer: R = self._portal.call(lambda: method(self._inner, *args, **kwargs))
        return answer

    return lambda _declaration: sealed(call)


class _Stream(Generic[T]):
    """The items of an asynchronous iterator. The next call gets the item that an interrupted call has taken.

    The stream keeps its owner, the connection, alive. The buffer, where the items wait, outlives the loop of the portal.
    """

    def __init__(self, owner: Realtime, portal: Portal, source: AsyncIterator[T], buffer: StreamBuffer[Any]) -> None:
        self._owner = owner
        self._portal = portal
        self._source = source
        self._buffer = buffer
        self._lock = threading.Lock()
        self._taken: deque[T] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        try:
            return self.take(None)
        except StopAsyncIteration:
            raise StopIteration from None

    def take(self, timeout: float | None) -> T:
        """Take the next item. Raises TimeoutError after ``timeout`` seconds (None: never), StopAsyncIteration at the end."""

        async def take() -> None:
            async with asyncio.timeout(timeout):
                self._taken.append(await anext(self._source))

        with self._lock:
            if not self._taken:
                with suppress(Disposed):
                    self._portal.call(take)
            if not self._taken:  # the loop ends, and the buffer outlives it
                if not self._portal.await_end(timeout) and timeout is not None:
                    raise TimeoutError
                if not self._buffer:
                    raise StopAsyncIteration
                self._buffer.release()
                with closing(Portal("this stream")) as rest:
                    rest.call(take)
            return self._taken.popleft()


class Subscription(SubscriptionInfo, Generic[T_co]):
    """Events of some channels, as an iterator that blocks; otherwise as `realtime_fsm.Subscription`.

    Threads may share it: each event goes to one of them.
    """

    __slots__ = ("_inner", "_owner", "_portal", "_stream")

    def __init__(self, owner: Realtime, portal: Portal, inner: subscription.Subscription[T_co]) -> None:
        super().__init__(inner._driver, inner._delivery)  # noqa: SLF001  (the same subscription)
        self._owner = owner
        self._portal = portal
        self._inner = inner
        self._stream: _Stream[Event[T_co]] = _Stream(owner, portal, inner, self._delivery.buffer)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event[T_co]:
        return next(self._stream)

    def get(self, timeout: float | None = None) -> Event[T_co]:
        """Wait for the next event.

        Args:
            timeout: the longest wait in seconds; None waits without end.

        Raises:
            TimeoutError: when the time is over.
            BadOption: for a timeout that is not a number of seconds.
            SubscriptionEnded: when no event will come.
        """
        if timeout:  # with 0 it does not wait
            check_seconds("timeout", timeout)
        try:
            return self._stream.take(timeout)
        except StopAsyncIteration:
            raise SubscriptionEnded from None

    def batches(self, max: int | None = None) -> Iterator[list[Event[T_co]]]:  # noqa: A002  (the public signature)
        """Iterate over the same events in lists, as `realtime_fsm.Subscription.batches`; each step blocks until there is one.

        Raises:
            BadOption: for a maximum that is not a whole number above 0.
        """
        return _Stream(self._owner, self._portal, self._inner.batches(max), self._delivery.buffer)

    @_blocking(subscription.Subscription.update)
    def update(self, *, channels: Iterable[str] | None = None, queries: Iterable[str] | None = None) -> None:
        """Replace the channels or queries, and return when the server agrees; as `realtime_fsm.Subscription.update`."""

    @_blocking(subscription.Subscription.unsubscribe)
    def unsubscribe(self) -> None:
        """End the subscription, and return when the server has confirmed; as `realtime_fsm.Subscription.unsubscribe`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._driver.state is not State.DISPOSING:
            self.unsubscribe()


class Listener(SubscriptionInfo):
    """A running handler in a thread of its own, so that it may block; otherwise as `realtime_fsm.Listener`."""

    __slots__ = ("_inner", "_mark", "_owner", "_portal")
    _kind = "Listener"

    def __init__(self, owner: Realtime, portal: Portal, inner: listener.Listener, mark: object) -> None:
        super().__init__(inner._driver, inner._delivery)  # noqa: SLF001  (the same subscription)
        self._owner = owner
        self._portal = portal
        self._inner = inner
        self._mark = mark

    def stop(self) -> None:
        """End the listener, and wait for the running call of the handler, unless the handler makes this call."""
        if _current_handler.get(None) is self._mark:
            self._portal.call_soon(self._inner.stop)
        else:
            self._portal.call(self._inner.stop)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the listener has ended, as `realtime_fsm.Listener.wait`; for ``timeout`` seconds at most.

        Raises:
            TimeoutError: when the time is over.
        """

        async def wait() -> None:
            async with asyncio.timeout(timeout):
                await self._inner.wait()

        self._portal.call(wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._driver.state is not State.DISPOSING:
            self.stop()


class Realtime(ConnectionInfo):
    """One connection to Appwrite Realtime for code without an event loop; arguments and errors as `realtime_fsm.Realtime`.

    Your callables run in threads of their own and may block. The connection is disposed of at the end of ``with``, when your
    program holds it no more, and when the program ends. A subscription or stream that is held, and a running listener, keep it
    alive. A forked process cannot use it: make one after the fork.

    Raises:
        BadOption: for ``http=``, too: an aiohttp session belongs to the event loop of the caller.
        Forked: from every call in a forked process.
    """

    @_same_signature_as(client.Realtime.__init__)
    @sealed
    def __init__(self, *args: Any, **options: Any) -> None:
        if options.get("http") is not None:
            raise BadOption("http", "an aiohttp session belongs to one event loop, and this Realtime runs its own; leave it out")
        self._portal = Portal("this Realtime")
        self._inner = client.Realtime(*args, **self._wrap_callables(options))
        super().__init__(self._inner._driver, self._inner.connection_id)  # noqa: SLF001  (the same connection)
        self._portal.last, self._portal.patience = self._inner.dispose, (options.get("timeouts") or Timeouts()).close
        weakref.finalize(self, self._portal.close, wait=False)  # Python may collect it in any thread, which must not wait

    @classmethod
    @sealed
    def from_client(cls, client: object, *, as_user: str | None = None, **options: Any) -> Self:
        """Make a connection from a client of the official SDK, as `realtime_fsm.Realtime.from_client`."""
        return cls(**options_from_client(client, as_user, options))

    @property
    def state(self) -> State:
        """The state of the connection."""
        return State.DISPOSING if self._portal.closed else super().state

    def explain(self) -> Explanation:
        """Explain the state, as `realtime_fsm.Realtime.explain`; from any thread."""
        return self._between_steps(super().explain)

    def health(self) -> Health:
        """Tell whether the connection can go on, and whether it delivers. It waits while the connection's thread is blocked."""
        return self._between_steps(super().health)

    def _between_steps(self, look: Callable[[], T]) -> T:
        """Look in the connection's thread; at once in this thread, or after its end."""
        try:
            return self._portal.call_plain(look)
        except (Disposed, WrongLoop):
            return look()

    def states(self) -> Iterator[Change]:
        """Iterate over the changes of state from now on; each step blocks, and the stream ends after ``dispose()``."""
        buffer = self._portal.call_plain(self._driver.watch_states)
        return _Stream(self, self._portal, buffer, buffer)

    @overload
    def subscribe(self, *channels: str, **options: Unpack[BlockingSubscribeOptions]) -> Subscription[dict[str, Any]]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: type[T], on_misfit: OnMisfit | None = None, **options: Unpack[BlockingSubscribeOptions]
    ) -> Subscription[T]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: OneOf[A, B, C, D], on_misfit: OnMisfit | None = None,
        **options: Unpack[BlockingSubscribeOptions],
    ) -> Subscription[A | B | C | D]: ...  # fmt: skip
    @overload
    def subscribe(
        self, *channels: str, payload: UnionType, on_misfit: OnMisfit | None = None, **options: Unpack[BlockingSubscribeOptions]
    ) -> Subscription[Any]: ...
    @sealed
    def subscribe(self, *channels: str, **options: Any) -> Subscription[Any]:
        """Subscribe to channels, as `realtime_fsm.Realtime.subscribe`. Returns when the server has acknowledged.

        ``with realtime.subscribe(...) as subscription`` unsubscribes at the end.
        """
        wrapped = self._wrap_callables(options)
        return Subscription(self, self._portal, self._portal.call(lambda: self._inner.subscribe(*channels, **wrapped)))

    @sealed
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[Any]], object], *, payload: Any = None, **options: Any
    ) -> Listener:
        """Call a handler with each event of some channels, as `realtime_fsm.Realtime.on`; in its own thread, so it may block."""
        mark = object()
        work = self._wrap_handler(handler, mark) if callable(handler) else handler
        wrapped = self._wrap_callables(options)
        inner = self._portal.call(lambda: self._inner.on(channels, work, payload=payload, **wrapped))
        return Listener(self, self._portal, inner, mark)

    @_blocking(client.Realtime.connect)
    def connect(self) -> None:
        """Open the link, and return when it is up; as `realtime_fsm.Realtime.connect`."""

    @_blocking(client.Realtime.reconnect)
    def reconnect(self) -> None:
        """Open a new link, and return when everything is acknowledged; as `realtime_fsm.Realtime.reconnect`."""

    @_blocking(client.Realtime.wait_connected)
    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait for a link, ``timeout`` seconds at most; as `realtime_fsm.Realtime.wait_connected`."""

    @_blocking(client.Realtime.wait_subscribed)
    def wait_subscribed(self, timeout: float | None = None) -> None:
        """Wait for all acknowledgements, ``timeout`` seconds at most; as `realtime_fsm.Realtime.wait_subscribed`."""

    @_blocking(client.Realtime.set_presence)
    def set_presence(
        self, status: str | None, *, metadata: Mapping[str, Any] | None = None, permissions: Iterable[str] | None = None,
        presence_id: str | None = None,
    ) -> dict[str, Any] | None:  # fmt: skip
        """Show the user as present, or end that; as `realtime_fsm.Realtime.set_presence`."""

    @_blocking(client.Realtime.disconnect)
    def disconnect(self) -> None:
        """Close the link, and keep the subscriptions; as `realtime_fsm.Realtime.disconnect`."""

    @overload
    def authenticate(self, session: Secret) -> dict[str, Any]: ...
    @overload
    def authenticate(self, session: None) -> None: ...
    @sealed
    def authenticate(self, session: Secret | None) -> dict[str, Any] | None:
        """Change the user; with None, log out. As `realtime_fsm.Realtime.authenticate`."""
        secret = self._portal.in_worker_thread(session) if callable(session) else session
        return self._portal.call(lambda: self._inner.authenticate(secret))

    def set_ping_enabled(self, enabled: bool) -> None:
        """Switch the heartbeat on or off, also on the current link."""
        self._portal.call_plain(lambda: self._inner.set_ping_enabled(enabled))

    def dispose(self) -> None:
        """Close the link, end every stream and end the thread, for good. A second call is harmless.

        The call waits ``Timeouts.close`` seconds at most for running handlers and other callables, except for one that makes
        this call. It cancels none of them.
        """
        self._portal.close()

    def _wrap_handler(self, handler: Callable[[Event[Any]], object], mark: object) -> Callable[[Event[Any]], object]:
        """Wrap a handler for the loop; the wrapper holds this connection, so a running listener keeps it alive."""
        if inspect.iscoroutinefunction(handler):

            @functools.wraps(handler)
            async def call_async(event: Event[Any], _owner: Realtime = self) -> object:
                return await handler(event)

            return call_async

        @functools.wraps(handler)
        def call(event: Event[Any], _owner: Realtime = self) -> object:
            _current_handler.set(mark)
            return handler(event)

        return self._portal.in_worker_thread(call)

    def _wrap_callables(self, options: dict[str, Any]) -> dict[str, Any]:
        canary = options.get("canary")
        if isinstance(canary, Canary) and canary.write is not None:
            options = options | {"canary": replace(canary, write=self._portal.in_worker_thread(canary.write))}
        callables = {name: self._portal.in_worker_thread(options[name]) for name in _CALLABLES if callable(options.get(name))}
        return options | callables

    def __enter__(self) -> Self:
        if self.state is State.DISPOSING:
            raise Disposed
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.dispose()

    def __repr__(self) -> str:
        return f"{self._inner!r} in a thread"
