"""The listener, which calls a handler with each event of a subscription."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any

from realtime_fsm.client.subscription import SubscriptionInfo
from realtime_fsm.containment import contain
from realtime_fsm.errors import ConsumerTooSlow, Disposed, RealtimeError, SubscriptionRejected, UnsupportedByServer
from realtime_fsm.events import PayloadMisfit
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime.callbacks import calling_task

if TYPE_CHECKING:
    from realtime_fsm.client.subscription import Subscription
    from realtime_fsm.runtime.callbacks import Callback
    from realtime_fsm.runtime.delivery import SubscriptionDelivery
    from realtime_fsm.runtime.driver import Driver


class Listener(SubscriptionInfo):
    """A running handler, from `Realtime.on`.

    The handler gets one event at a time, in the order of the server. While it runs, the listener keeps the newest ``buffer``
    events. An exception of the handler, whatever its type, counts in ``failures`` and goes to the event loop's exception
    handler; the next event follows. So does a `PayloadMisfit` without ``on_misfit=``, and a `ConsumerTooSlow` with
    ``overflow="error"``. The event loop raises a `KeyboardInterrupt` again.

    A plain handler runs on the event loop: it must not block.

    A listener outlives lost links, and the states ``error`` and ``disconnected``: after ``reconnect()`` it goes on. It ends after
    ``stop()``, after ``dispose()``, with the cancellation of its task, and when the server refuses to restore its subscription,
    or has become too old for it. Its subscription ends with it.

    Attributes:
        task: the task in which the handler runs.
    """

    __slots__ = ("_error", "_handler", "_handler_running", "_stopping", "_subscription", "_waiting", "task")
    _kind = "Listener"

    def __init__(
        self, driver: Driver, delivery: SubscriptionDelivery, subscription: Subscription[Any], handler: Callback
    ) -> None:
        super().__init__(driver, delivery)
        self._subscription = subscription
        self._handler = handler
        self._handler_running = self._stopping = False
        self._waiting = 0
        self._error: asyncio.Future[None] = driver.loop.create_future()
        name = f"realtime_fsm listener {self.id}"
        self.task: asyncio.Task[None] = driver.loop.create_task(self._listen(), name=name, context=handler.context)
        self.task.add_done_callback(self._withdraw)

    async def stop(self) -> None:
        """End the listener: wait for the running call of the handler, and drop the events behind it. A second call is harmless.

        A call from the handler itself does not wait for the handler. ``asyncio.timeout()`` limits the wait, not the handler;
        ``dispose()`` cancels the handler instead.
        """
        self._stopping = True
        is_own = calling_task() is self.task
        if not self._handler_running and not is_own:
            self.task.cancel()
        with suppress(Disposed):  # the disposal ends the listener, too
            await self._subscription.unsubscribe()
        if not is_own:
            await asyncio.wait([self.task])

    async def wait(self) -> None:
        """Wait until the listener has ended. A program that only listens can wait here; the handler itself cannot.

        Raises:
            RealtimeError: when the subscription gets no events for now: the stored error while the connection is in ``error``,
                ``LinkLost`` with ``auto_reconnect=False``, ``SubscriptionRejected`` or ``UnsupportedByServer``. Without a
                waiting caller the error goes to the event loop's exception handler.
        """
        self._waiting += 1
        try:
            await asyncio.wait({self.task, error := self._error}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting -= 1
        if error.done() and not self.task.cancelled():
            stored = error.exception()
            assert isinstance(stored, RealtimeError)
            raise copy(stored)

    async def _listen(self) -> None:
        await asyncio.sleep(0)  # an eager task would run before `on()` returns
        while True:
            try:
                async for event in self._subscription:
                    if self._stopping:  # by `on_misfit`
                        break
                    self._handler_running = True
                    await self._delivery.call_user(self._handler, event)
                    self._handler_running = False
                    if self._stopping:
                        break
            except (PayloadMisfit, ConsumerTooSlow) as failure:
                self._delivery.record_failure(self._handler, failure)
            except KeyboardInterrupt as interrupt:  # from a check of the payload's type
                contain(interrupt)
                self._delivery.record_failure(self._handler, interrupt)
            except RealtimeError as error:
                self._set_error(error)
                if isinstance(error, SubscriptionRejected | UnsupportedByServer):
                    return
                await self._wait_until_live()
            else:
                return

    def _set_error(self, error: RealtimeError) -> None:
        self._error.set_exception(error)
        self._error.exception()  # marks the error as retrieved: else the future would report it a second time
        if not self._waiting:
            self._driver.report(error, f"listener {self.id} gets no events")

    def _withdraw(self, task: asyncio.Task[None]) -> None:
        """Withdraw the subscription: the task that took its events has ended."""
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            self._driver.report(failure)
        if self._driver.state is not State.DISPOSING:
            self._driver.calls.unsubscribe(self._delivery)

    async def _wait_until_live(self) -> None:
        async for change in self._driver.watch_states():
            if change.dest.is_live:
                break
        self._error = self._driver.loop.create_future()
