"""The listener: a handler that is called with each event of a subscription."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

from realtime_fsm.client.subscription import SubscriptionInfo
from realtime_fsm.containment import contain
from realtime_fsm.errors import (
    ConsumerTooSlow,
    Disposed,
    RealtimeError,
    SubscriptionRejected,
    UnsupportedByServer,
)
from realtime_fsm.events import PayloadMisfit
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime.callbacks import calling_task

if TYPE_CHECKING:
    from realtime_fsm.client.subscription import Subscription
    from realtime_fsm.runtime.callbacks import Callback
    from realtime_fsm.runtime.delivery import SubscriptionDelivery
    from realtime_fsm.runtime.driver import Driver


class Listener(SubscriptionInfo):
    """A handler at work, from `Realtime.on`.

    It is called with one event at a time, in the order of the server; while it is at work, events are kept: the newest
    ``buffer`` of them. An exception of the handler's, whatever its type, is counted in ``failures`` and reported through the
    event loop's exception handler, and the next event follows. The same holds for an event that does not fit ``payload=``,
    without ``on_misfit=``, and for `ConsumerTooSlow`, with ``overflow="error"``. The event loop raises a `KeyboardInterrupt`
    again.

    A plain handler runs on the event loop: it must not block.

    It outlives lost links, and the states ``error`` and ``disconnected``: after ``reconnect()`` it goes on. It ends after
    ``stop()``, after ``dispose()``, when its task is cancelled, and when the server refuses to restore its subscription, or has
    become too old for it. With it its subscription ends.

    Attributes:
        task: the task in which the handler runs.
    """

    __slots__ = ("_error", "_handler", "_handler_running", "_stopping", "_subscription", "_waiting", "task")
    _kind = "Listener"

    def __init__(
        self, driver: Driver, subscriber: SubscriptionDelivery, subscription: Subscription[Any], handler: Callback
    ) -> None:
        super().__init__(driver, subscriber)
        self._subscription = subscription
        self._handler = handler
        self._handler_running = self._stopping = False
        self._waiting = 0
        self._error: asyncio.Future[None] = driver.loop.create_future()
        self.task = driver.loop.create_task(self._listen(), name=f"realtime_fsm listener {self.id}", context=handler.context)
        self.task.add_done_callback(self._end)

    async def stop(self) -> None:
        """End it. What the handler is doing is waited for; what it has not begun is dropped. A second call is harmless.

        Called from the handler itself, it does not wait for the handler. To wait no longer than some seconds, put it into
        ``asyncio.timeout()``: the handler then goes on for as long as it takes. ``dispose()`` cancels a handler instead.
        """
        self._stopping = True
        is_own = calling_task() is self.task
        if not self._handler_running and not is_own:
            self.task.cancel()
        with suppress(Disposed):  # which has ended it, too
            await self._subscription.unsubscribe()
        if not is_own:
            await asyncio.wait([self.task])

    async def wait(self) -> None:
        """Wait until it has ended, for programs that do nothing but listen. Not for the handler itself.

        Raises:
            RealtimeError: when its subscription gets no events for now: the stored error while the connection is in ``error``,
                ``LinkLost`` with ``auto_reconnect=False``, ``SubscriptionRejected`` or ``UnsupportedByServer``. With nobody
                waiting it is told through the event loop's exception handler.
        """
        self._waiting += 1
        try:
            await asyncio.wait({self.task, fault := self._error}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting -= 1
        if fault.done() and not self.task.cancelled():
            error = fault.exception()
            assert isinstance(error, RealtimeError)
            raise copy(error)

    async def _listen(self) -> None:
        await asyncio.sleep(0)  # a task that starts eagerly would run before `on()` returns
        while True:
            try:
                async for event in self._subscription:
                    if self._stopping:  # by `on_misfit`
                        break
                    self._handler_running = True
                    await self._subscriber.call_user(self._handler, event)
                    self._handler_running = False
                    if self._stopping:
                        break
            except (PayloadMisfit, ConsumerTooSlow) as news:
                self._subscriber.record_failure(self._handler, news)
            except KeyboardInterrupt as interrupt:  # of a check of the payload's type
                contain(interrupt)
                self._subscriber.record_failure(self._handler, interrupt)
            except RealtimeError as error:
                self._set_fault(error)
                if isinstance(error, SubscriptionRejected | UnsupportedByServer):
                    return
                await self._wait_until_live()
            else:
                return

    def _set_fault(self, error: RealtimeError) -> None:
        self._error.set_exception(error)
        self._error.exception()  # it is told here, and not once more when the future is forgotten
        if not self._waiting:
            self._driver.report(error, f"listener {self.id} gets no events")

    def _end(self, task: asyncio.Task[None]) -> None:
        """Withdraw the subscription: without the task no one takes its events."""
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._driver.report(failure)
        if self._driver.state is not State.DISPOSING:
            self._driver.unsubscribe(self._subscriber)

    async def _wait_until_live(self) -> None:
        async for change in self._driver.watch_states():
            if change.dest.is_live:
                break
        self._error = self._driver.loop.create_future()
