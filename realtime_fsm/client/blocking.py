"""The client for code without an event loop: the same names, with calls and iterators that block.

Each `Realtime` here has a thread of its own, in which the asynchronous one lives. It can be used from any number of threads.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import weakref
from collections import deque
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

from realtime_fsm.client import realtime as client
from realtime_fsm.client.appwrite_sdk import options_from_client
from realtime_fsm.client.portal import Portal
from realtime_fsm.client.subscription import SubscriptionInfo
from realtime_fsm.diagram import NotebookDisplay
from realtime_fsm.errors import BadOption, Disposed, SubscriptionEnded
from realtime_fsm.events import T_co
from realtime_fsm.fsm.canary_policy import Canary
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.options import Timeouts, check_seconds
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
    from types import TracebackType, UnionType

    from realtime_fsm.client import listener, subscription
    from realtime_fsm.client.subscription import OnMisfit
    from realtime_fsm.errors import RealtimeError
    from realtime_fsm.events import Event
    from realtime_fsm.fsm.change import Change, Failure, Gap
    from realtime_fsm.protocol.eras import Era
    from realtime_fsm.runtime.credentials import Secret
    from realtime_fsm.runtime.delivery import OnGap
    from realtime_fsm.runtime.overflow import Overflow
    from realtime_fsm.runtime.stream_buffer import StreamBuffer

P = ParamSpec("P")
T = TypeVar("T")

_CALLABLES = ("on_gap", "catch_up", "on_misfit", "session", "jwt")
_current_handler: ContextVar[object] = ContextVar("realtime_fsm listener whose handler runs")


class BlockingSubscribeOptions(TypedDict, total=False):
    """As `realtime_fsm.client.subscription.Served`, with ``catch_up`` as a plain callable."""

    queries: Iterable[str]
    on_gap: OnGap | None
    catch_up: Callable[[Gap], Iterable[Event | Mapping[str, Any]]] | None
    buffer: int
    overflow: Overflow
    buffer_bytes: int


def _same_signature_as(
    of: Callable[Concatenate[Any, P], None],
) -> Callable[[Callable[..., None]], Callable[Concatenate[Any, P], None]]:
    """Give a function the arguments of another one, for type checkers."""

    def give(function: Callable[..., None]) -> Callable[Concatenate[Any, P], None]:
        return function

    return give


class _Stream(Generic[T]):
    """Takes from an asynchronous iterator. What was taken for a call that was interrupted is given to the next.

    Args:
        owner: the connection, which lives for as long as a stream of it is held.
        portal: its loop.
        source: the iterator.
        buffer: where its items wait, also when the loop has ended.
    """

    def __init__(self, owner: Realtime, portal: Portal, source: AsyncIterator[T], buffer: StreamBuffer[Any]) -> None:
        self._owner = owner
        self._portal = portal
        self._source = source
        self._buffer = buffer
        self._lock = threading.Lock()
        self._taken: deque[T] = deque()

    def next(self, timeout: float | None) -> T:
        async def take() -> None:
            async with asyncio.timeout(timeout):
                self._taken.append(await anext(self._source))

        with self._lock:
            if not self._taken:
                with suppress(Disposed):
                    self._portal.call(take)
            if not self._taken:  # the loop ends, and what the inbox still holds outlives it
                if not self._portal.await_end(timeout) and timeout is not None:
                    raise TimeoutError
                if not self._buffer:
                    raise StopAsyncIteration
                self._buffer.release()
                heir = Portal("this stream")
                try:
                    heir.call(take)
                finally:
                    heir.close()
            return self._taken.popleft()


def _steps(stream: _Stream[T]) -> Iterator[T]:
    """Iterate over a stream, by steps that block."""
    while True:
        try:
            yield stream.next(None)
        except StopAsyncIteration:
            return


class Subscription(SubscriptionInfo, Generic[T_co]):
    """Events of some channels, as an iterator that blocks; otherwise as `realtime_fsm.Subscription`.

    Threads may share it: each event goes to one of them.
    """

    __slots__ = ("_inner", "_owner", "_portal", "_stream")

    def __init__(self, owner: Realtime, portal: Portal, inner: subscription.Subscription[T_co]) -> None:
        super().__init__(inner._driver, inner._subscriber)  # noqa: SLF001  (the same, seen from another thread)
        self._owner = owner
        self._portal = portal
        self._inner = inner
        self._stream: _Stream[Event[T_co]] = _Stream(owner, portal, inner, inner._subscriber.buffer)  # noqa: SLF001

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event[T_co]:
        try:
            return self._stream.next(None)
        except StopAsyncIteration:
            raise StopIteration from None

    def get(self, timeout: float | None = None) -> Event[T_co]:
        """The next event.

        Args:
            timeout: for how many seconds to wait; None for no end.

        Raises:
            TimeoutError: when the time is over.
            BadOption: for a timeout that is no number of seconds.
            SubscriptionEnded: when nothing will come.
        """
        if timeout:  # with 0 it does not wait
            check_seconds("timeout", timeout)
        try:
            return self._stream.next(timeout)
        except StopAsyncIteration:
            raise SubscriptionEnded from None

    def batches(self, max: int | None = None) -> Iterator[list[Event[T_co]]]:  # noqa: A002  (the public signature)
        """The same events in lists, as `realtime_fsm.Subscription.batches`; each step blocks until there is one.

        Raises:
            BadOption: for a maximum that is no whole number above 0.
        """
        return _steps(_Stream(self._owner, self._portal, self._inner.batches(max), self._inner._subscriber.buffer))  # noqa: SLF001

    @sealed
    def update(self, *, channels: Iterable[str] | None = None, queries: Iterable[str] | None = None) -> None:
        """Listen to something else instead, as `realtime_fsm.Subscription.update`."""
        self._portal.call(lambda: self._inner.update(channels=channels, queries=queries))

    def unsubscribe(self) -> None:
        """End it, as `realtime_fsm.Subscription.unsubscribe`."""
        self._portal.call(self._inner.unsubscribe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._driver.state is not State.DISPOSING:
            self.unsubscribe()


class Listener(SubscriptionInfo):
    """A handler at work in a thread apart, so that it may block; otherwise as `realtime_fsm.Listener`."""

    __slots__ = ("_inner", "_mark", "_owner", "_portal")
    _kind = "Listener"

    def __init__(self, owner: Realtime, portal: Portal, inner: listener.Listener, mark: object) -> None:
        super().__init__(inner._driver, inner._subscriber)  # noqa: SLF001  (the same, seen from another thread)
        self._owner = owner
        self._portal = portal
        self._inner = inner
        self._mark = mark

    def stop(self) -> None:
        """End it. What the handler is doing is waited for, unless it is the handler that stops it."""
        if _current_handler.get(None) is self._mark:
            self._portal.call_soon(self._inner.stop)
        else:
            self._portal.call(self._inner.stop)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it has ended, as `realtime_fsm.Listener.wait`; for so many seconds at most.

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


class Realtime(NotebookDisplay):
    """One connection to Appwrite Realtime for code without an event loop; arguments and errors as `realtime_fsm.Realtime`.

    Callables of yours run in threads apart and may block. It is disposed of at the end of ``with``, when it is forgotten, and
    when the program ends. A subscription or stream that is held, and a listener at work, keep it alive. A process that is forked
    cannot use it: make one after the fork.

    Raises:
        BadOption: for ``http=``, too: an aiohttp session belongs to the event loop of the caller.
        Forked: from every call in a process that was forked.
    """

    @_same_signature_as(client.Realtime.__init__)
    @sealed
    def __init__(self, *args: Any, **options: Any) -> None:
        if options.get("http") is not None:
            raise BadOption("http", "an aiohttp session belongs to one event loop, and this Realtime runs its own; leave it out")
        self._portal = Portal("this Realtime")
        self._inner = client.Realtime(*args, **self._wrap_callables(options))
        self._portal.last, self._portal.patience = self._inner.dispose, (options.get("timeouts") or Timeouts()).close
        weakref.finalize(self, self._portal.close, wait=False).atexit = False  # garbage is collected in any thread

    @classmethod
    @sealed
    def from_client(cls, sdk: object, **options: Any) -> Self:
        """As `realtime_fsm.Realtime.from_client`."""
        return cls(**(options_from_client(sdk) | options))

    # --- looking ------------------------------------------------------------------------------------------------------

    @property
    def connection_id(self) -> str:
        """The name of this connection in the audit log."""
        return self._inner.connection_id

    @property
    def state(self) -> State:
        """Where the connection stands."""
        return State.DISPOSING if self._portal.closed else self._inner.state

    @property
    def is_live(self) -> bool:
        """Whether the link is up."""
        return self.state.is_live

    @property
    def error(self) -> RealtimeError | None:
        """Why there is no link and no attempt will be made, in ``error``."""
        return self._inner.error

    @property
    def last_failure(self) -> Failure | None:
        """Why the newest failed attempt failed, or the newest link was lost, and when the next dial is due."""
        return self._inner.last_failure

    @property
    def era(self) -> Era | None:
        """What the server speaks, as far as it is known."""
        return self._inner.era

    @property
    def user(self) -> dict[str, Any] | None:
        """The account that the server named on the newest link."""
        return self._inner.user

    @property
    def malformed(self) -> dict[str, int]:
        """How many messages of the server could not be used, by kind."""
        return self._inner.malformed

    def states(self) -> Iterator[Change]:
        """The changes of state from now on, as an iterator that blocks; it ends after ``dispose()``."""

        async def follow() -> StreamBuffer[Change]:
            return self._inner._driver.watch_states()  # noqa: SLF001  (the same, seen from another thread)

        buffer = self._portal.call(follow)
        return _steps(_Stream(self, self._portal, buffer, buffer))

    # --- acting -------------------------------------------------------------------------------------------------------

    @overload
    def subscribe(self, *channels: str, **served: Unpack[BlockingSubscribeOptions]) -> Subscription[dict[str, Any]]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: type[T], on_misfit: OnMisfit | None = None, **served: Unpack[BlockingSubscribeOptions]
    ) -> Subscription[T]: ...
    @overload
    def subscribe(
        self, *channels: str, payload: UnionType, on_misfit: OnMisfit | None = None, **served: Unpack[BlockingSubscribeOptions]
    ) -> Subscription[Any]: ...
    @sealed
    def subscribe(self, *channels: str, **served: Any) -> Subscription[Any]:
        """Listen to channels, as `realtime_fsm.Realtime.subscribe`. Returns when the server has acknowledged.

        ``with realtime.subscribe(...) as subscription`` unsubscribes at the end.
        """
        given = self._wrap_callables(served)
        return Subscription(self, self._portal, self._portal.call(lambda: self._inner.subscribe(*channels, **given)))

    @sealed
    def on(
        self, channels: str | Iterable[str], handler: Callable[[Event[Any]], object], *, payload: Any = None, **served: Any
    ) -> Listener:
        """Call a handler with each event of some channels, as `realtime_fsm.Realtime.on`; in a thread apart, so it may block."""
        mark = object()
        work = handler if not callable(handler) else self._at_work(handler, mark)
        given = {**self._wrap_callables(served), **({} if payload is None else {"payload": payload})}
        return Listener(self, self._portal, self._portal.call(lambda: self._inner.on(channels, work, **given)), mark)

    def connect(self) -> None:
        """Open the link. Returns when it is up."""
        self._portal.call(self._inner.connect)

    def reconnect(self) -> None:
        """Open a new link at once. Returns when everything desired is acknowledged on it."""
        self._portal.call(self._inner.reconnect)

    def wait_connected(self, timeout: float | None = None) -> None:
        """Wait until the link is up; for so many seconds at most."""
        self._portal.call(lambda: self._inner.wait_connected(timeout))

    def wait_subscribed(self, timeout: float | None = None) -> None:
        """Wait until everything that is desired now is acknowledged; for so many seconds at most."""
        self._portal.call(lambda: self._inner.wait_subscribed(timeout))

    @overload
    def authenticate(self, session: Secret) -> dict[str, Any]: ...
    @overload
    def authenticate(self, session: None) -> None: ...
    @sealed
    def authenticate(self, session: Secret | None) -> dict[str, Any] | None:
        """Become another user, or log out with None, as `realtime_fsm.Realtime.authenticate`."""
        secret = self._portal.in_worker_thread(session) if callable(session) else session
        return self._portal.call(lambda: self._inner.authenticate(secret))

    @sealed
    def set_presence(
        self,
        status: str | None,
        *,
        metadata: Mapping[str, Any] | None = None,
        permissions: Iterable[str] | None = None,
        presence_id: str | None = None,
    ) -> dict[str, Any] | None:
        """Be shown as present to other users, or no longer. Returns the presence as the server stored it."""
        given: dict[str, Any] = {"metadata": metadata, "permissions": permissions, "presence_id": presence_id}
        return self._portal.call(lambda: self._inner.set_presence(status, **given))

    def disconnect(self) -> None:
        """Close the link and keep the subscriptions for the next one."""
        self._portal.call(self._inner.disconnect)

    def set_ping_enabled(self, enabled: bool) -> None:
        """Switch the heartbeat on or off."""

        async def switch() -> None:
            self._inner.set_ping_enabled(enabled)

        self._portal.call(switch)

    def dispose(self) -> None:
        """The end, also of the thread. A second call is harmless.

        A handler, or another callable, that is at work goes on to its own end. It is waited for, within ``Timeouts.close``
        seconds; the one that calls this is not.
        """
        self._portal.close()

    def _at_work(self, handler: Callable[[Event[Any]], object], mark: object) -> Callable[[Event[Any]], object]:
        """The handler for the loop. It holds its connection, which a listener at work keeps alive."""
        if inspect.iscoroutinefunction(handler):

            @functools.wraps(handler)
            async def handle(event: Event[Any], _owner: Realtime = self) -> object:
                return await handler(event)

            return handle

        @functools.wraps(handler)
        def block(event: Event[Any], _owner: Realtime = self) -> object:
            _current_handler.set(mark)
            return handler(event)

        return self._portal.in_worker_thread(block)

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
