"""The buffer: it keeps the order, drops the oldest items, and gives faults and the end after the items; one consumer waits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_fsm.client.subscription import Subscription
from realtime_fsm.errors import ConcurrentIteration, LinkLost, StreamEnded, WrongLoop
from realtime_fsm.fsm.table import State
from realtime_fsm.runtime.delivery import SubscriptionDelivery
from realtime_fsm.runtime.stream_buffer import StreamBuffer
from support.delivering import new_delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from realtime_fsm.runtime.driver import Driver


def on_buffer(scene: Callable[[StreamBuffer[int]], Coroutine[Any, Any, None]], capacity: int = 10) -> None:
    async def run() -> None:
        await scene(StreamBuffer("this stream", asyncio.get_running_loop(), capacity))

    asyncio.run(run())


async def waiting(inbox: StreamBuffer[int]) -> asyncio.Task[int]:
    """A consumer that waits."""
    task = asyncio.ensure_future(anext(inbox))
    await asyncio.sleep(0)
    assert not task.done()
    return task


def fill(inbox: StreamBuffer[int], *items: int) -> list[bool]:
    return [inbox.put(item) for item in items]


# --- items ------------------------------------------------------------------------------------------------------------


def test_items_come_in_order_then_the_end() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        fill(inbox, 1, 2, 3)
        assert len(inbox) == 3
        inbox.close()
        assert [item async for item in inbox] == [1, 2, 3]
        assert [item async for item in inbox] == []

    on_buffer(scene)


def test_a_break_leaves_the_rest_for_the_next_iteration() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        fill(inbox, 1, 2, 3)
        transition = []
        async for item in inbox:
            transition.append(item)
            break
        assert transition == [1]
        inbox.close()
        assert [item async for item in inbox] == [2, 3]

    on_buffer(scene)


def test_the_oldest_make_room_and_are_counted() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        fill(inbox, *range(7))
        assert (len(inbox), inbox.dropped) == (3, 4)
        inbox.close()
        assert [item async for item in inbox] == [4, 5, 6]
        assert inbox.dropped == 4

    on_buffer(scene, capacity=3)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 8), st.lists(st.booleans(), max_size=60))
def test_nothing_is_lost_but_what_is_counted(capacity: int, puts: list[bool]) -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        got: list[int] = []
        produced = 0
        for is_put in puts:
            if is_put:
                inbox.put(produced)
                produced += 1
            elif len(inbox):
                got.append(await anext(inbox))
            assert len(inbox) <= capacity
        inbox.close()
        got += [item async for item in inbox]
        assert len(got) + inbox.dropped == produced
        assert got == sorted(set(got))

    on_buffer(scene, capacity)


@pytest.mark.parametrize(
    ("capacity", "told"),
    [
        (1, [True] * 4),
        (2, [True] * 4),
        (4, [False, True, True, True, False, True, False]),
        (5, [False, False, True, True, True, False, False, True]),
        (10, [False] * 4 + [True] * 6 + [False] * 4 + [True]),
    ],
)
def test_the_producer_is_told_while_the_room_is_half_full_and_seldom_when_that_has_not_helped(
    capacity: int, told: list[bool]
) -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        assert fill(inbox, *range(len(told))) == told

    on_buffer(scene, capacity)


def test_a_consumer_that_takes_something_is_fast_enough() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        for _ in range(20):
            assert fill(inbox, 1) == [False]
            assert await anext(inbox) == 1

    on_buffer(scene, capacity=4)


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_a_waiting_consumer_gets_the_next_item_and_the_one_after_it() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        task = await waiting(inbox)
        fill(inbox, 1, 2)
        assert await task == 1
        assert await anext(inbox) == 2

    on_buffer(scene)


def test_a_cancelled_consumer_loses_no_item() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        task = await waiting(inbox)
        fill(inbox, 1)
        task.cancel()  # in the moment in which it was about to get it
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await anext(inbox) == 1
        task = await waiting(inbox)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        fill(inbox, 2)
        assert await anext(inbox) == 2

    on_buffer(scene)


def test_a_second_consumer_is_told_and_the_first_goes_on_waiting() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        task = await waiting(inbox)
        with pytest.raises(ConcurrentIteration, match="this stream"):
            await anext(inbox)
        fill(inbox, 1)
        assert await task == 1

    on_buffer(scene)


def test_a_second_consumer_does_not_snatch_the_item_of_the_first() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        task = await waiting(inbox)
        fill(inbox, 1)
        try:
            with pytest.raises(ConcurrentIteration):
                await anext(inbox)
        finally:
            task.cancel()

    on_buffer(scene)


def test_each_episode_of_drops_is_told_when_the_consumer_takes_an_item() -> None:
    told: list[int] = []

    async def scene() -> None:
        inbox: StreamBuffer[int] = StreamBuffer("this stream", asyncio.get_running_loop(), 2, told.append)
        fill(inbox, 1, 2, 3, 4, 5)
        assert told == []
        assert [await anext(inbox), told, await anext(inbox), told] == [4, [3], 5, [3]]
        fill(inbox, 6, 7, 8)
        assert (inbox.take_nowait(1), told, inbox.dropped) == ([7], [3, 1], 4)

    asyncio.run(scene())


def test_drops_before_the_consumer_stops_waiting_are_told_when_it_takes_an_item() -> None:
    told: list[int] = []

    async def scene() -> None:
        inbox: StreamBuffer[int] = StreamBuffer("this stream", asyncio.get_running_loop(), 2, told.append)
        task = await waiting(inbox)
        fill(inbox, 1, 2, 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await anext(inbox), told) == (2, [1])

    asyncio.run(scene())


def test_the_buffer_hands_items_over_directly_again_after_a_wait() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        assert (inbox._ready is inbox._items, inbox._notice_due) == (True, False)
        task = await waiting(inbox)
        fill(inbox, 1)
        assert await task == 1
        assert (inbox._ready is inbox._items, inbox._notice_due) == (True, False)

    on_buffer(scene)


@pytest.mark.loopback
async def test_after_a_release_another_event_loop_may_take_what_is_held() -> None:
    loop = asyncio.new_event_loop()
    inbox: StreamBuffer[int] = StreamBuffer("this stream", loop, 10)
    loop.close()
    with pytest.raises(WrongLoop, match="this stream"):
        await anext(inbox)
    fill(inbox, 1, 2)
    inbox.close()
    inbox.release()
    assert [item async for item in inbox] == [1, 2]


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.loopback
async def test_another_event_loop_is_refused(held: bool) -> None:
    loop = asyncio.new_event_loop()
    inbox: StreamBuffer[int] = StreamBuffer("this stream", loop, 10)
    loop.close()
    if held:
        fill(inbox, 1)
    with pytest.raises(WrongLoop, match="this stream"):
        async for _ in inbox:
            pass
    assert len(inbox) == held, "it takes nothing"


# --- faults and the end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [False, True])
def test_a_fault_comes_after_what_is_held_whenever_it_is_asked_until_it_is_mended(wait: bool) -> None:
    error = LinkLost(StreamEnded())

    async def scene(inbox: StreamBuffer[int]) -> None:
        if wait:
            task = await waiting(inbox)
            inbox.fail(error)
            with pytest.raises(LinkLost):
                await task
        else:
            fill(inbox, 1)
            inbox.fail(error)
            assert await anext(inbox) == 1
        for _ in range(2):
            with pytest.raises(LinkLost) as raised:
                await anext(inbox)
            assert raised.value is not error
            assert raised.value.cause is error.cause
        inbox.clear_error()
        task = await waiting(inbox)
        fill(inbox, 2)
        assert await task == 2
        assert error.__traceback__ is None

    on_buffer(scene)


def test_a_fault_that_is_mended_at_once_is_not_seen() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        task = await waiting(inbox)
        inbox.fail(LinkLost(StreamEnded()))
        inbox.clear_error()
        await asyncio.sleep(0)
        fill(inbox, 1)
        assert await task == 1

    on_buffer(scene)


def test_the_end_wakes_who_waits() -> None:
    async def scene(inbox: StreamBuffer[int]) -> None:
        task = await waiting(inbox)
        inbox.close()
        inbox.close()
        with pytest.raises(StopAsyncIteration):
            await task

    on_buffer(scene)


# --- the subscription that is read through it -------------------------------------------------------------------------


class StubDriver:
    """The part of the driver that a subscription uses."""

    state = State.ERROR

    def __init__(self) -> None:
        self.calls = self
        self.withdrawn: list[str] = []

    def unsubscribe(self, delivery: SubscriptionDelivery) -> None:
        self.withdrawn.append(delivery.spec.id)

    async def wait_removed(self, delivery: SubscriptionDelivery) -> None:
        await asyncio.shield(delivery.removed)


def on_subscription(scene: Callable[[Subscription, SubscriptionDelivery, StubDriver], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        delivery = new_delivery()
        driver = StubDriver()
        await scene(Subscription(cast("Driver", driver), delivery), delivery, driver)

    asyncio.run(run())


@pytest.mark.parametrize("faulty", [False, True])
def test_an_iteration_ends_after_unsubscribe(faulty: bool) -> None:
    async def scene(subscription: Subscription, delivery: SubscriptionDelivery, driver: StubDriver) -> None:
        if faulty:
            delivery.buffer.fail(LinkLost(StreamEnded()))
        delivery.removed.set_result(None)
        await subscription.unsubscribe()
        assert driver.withdrawn == ["s1"]
        assert [event async for event in subscription] == []

    on_subscription(scene)


def test_a_call_that_is_given_up_does_not_spoil_the_next() -> None:
    async def scene(subscription: Subscription, delivery: SubscriptionDelivery, driver: StubDriver) -> None:
        first = asyncio.ensure_future(subscription.unsubscribe())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        if not delivery.removed.done():
            delivery.removed.set_result(None)
        await subscription.unsubscribe()
        assert driver.withdrawn

    on_subscription(scene)
