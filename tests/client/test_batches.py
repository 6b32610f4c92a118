"""Events in lists: all that are there, at least one, by the rules of the iterator."""

from __future__ import annotations

import asyncio
from typing import Any, assert_type

import msgspec
import pytest

from realtime_fsm import (
    BadOption,
    ConcurrentIteration,
    ConsumerTooSlow,
    Event,
    LinkLost,
    PayloadMisfit,
    State,
    Subscription,
    WrongLoop,
)
from support.network import Network
from support.virtual import run


class Order(msgspec.Struct):
    n: int


async def arrived(network: Network, *these: Any) -> None:
    for number in these:
        network.publish("rows", payload={"n": number})
    await asyncio.sleep(1)


def numbers(batch: list[Event]) -> list[int]:
    return [event.payload["n"] for event in batch]


async def test_a_batch_takes_all_buffered_events() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        batches = rows.batches()
        await arrived(network, 1, 2, 3)
        batch = await anext(batches)
        assert_type(batch, list[Event[dict[str, Any]]])
        assert numbers(batch) == [1, 2, 3]
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(1)
        assert not waiting.done()
        await arrived(network, 4)
        assert numbers(await waiting) == [4]


@pytest.mark.parametrize("typed", [False, True])
async def test_a_batch_has_a_maximum(typed: bool) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows: Subscription[Any] = await (realtime.subscribe("rows", payload=Order) if typed else realtime.subscribe("rows"))
        await arrived(network, *range(7))
        found = []
        async for batch in rows.batches(max=3):
            found.append([event.payload.n if typed else event.payload["n"] for event in batch])
            if len(found) == 2:
                break
        assert found == [[0, 1, 2], [3, 4, 5]]
        assert (await anext(rows)).payload == (Order(6) if typed else {"n": 6})
        await arrived(network, 7)
        assert len(await anext(rows.batches(max=1))) == 1


@pytest.mark.parametrize("most", [0, -1, True, 1.5, "3"])
async def test_a_maximum_that_makes_no_sense_is_refused(most: Any) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        with pytest.raises(BadOption, match="max"):
            rows.batches(max=most)


async def test_errors_and_the_end_come_after_what_is_held() -> None:
    network = Network()
    async with network.realtime(auto_reconnect=False) as realtime:
        rows = await realtime.subscribe("rows", buffer=2, overflow="error")
        await arrived(network, 1, 2, 3)
        network.socket.cut()
        await asyncio.sleep(1)
        batches = rows.batches()
        assert numbers(await anext(batches)) == [1, 2]
        with pytest.raises(ConsumerTooSlow):
            await anext(batches)
        with pytest.raises(LinkLost):
            await anext(batches)
        await realtime.connect()
        await arrived(network)
        await arrived(network, 4)
        await rows.unsubscribe()
        assert [numbers(batch) async for batch in batches] == [[4]]


async def test_drops_end_with_a_batch_and_a_pause_does() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=4, overflow="pause")
        await arrived(network, *range(10))
        found: list[list[int]] = []
        async for batch in rows.batches():
            found.append(numbers(batch))
            if sum(map(len, found)) == 10:
                break
        assert found == [[0, 1, 2, 3], [4, 5], [6, 7], [8, 9]]


async def test_one_consumer_at_a_time_whichever_it_is() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        batches = rows.batches()
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(1)
        for other in (rows, rows.batches()):
            with pytest.raises(ConcurrentIteration):
                await anext(other)
        waiting.cancel()
        await asyncio.wait([waiting])
        await arrived(network, 1)
        assert numbers(await anext(batches)) == [1]


@pytest.mark.parametrize("patient", [False, True])
async def test_a_batch_ends_before_a_misfit(patient: bool) -> None:
    network = Network()
    transition: list[PayloadMisfit] = []
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", payload=Order, on_misfit=transition.append if patient else None)
        await arrived(network, 1, 2, "a", 3, "b")
        batches = rows.batches()
        assert_type(batch := await anext(batches), list[Event[Order]])
        assert [event.payload.n for event in batch] == [1, 2]
        assert transition == []
        if not patient:
            with pytest.raises(PayloadMisfit, match="int"):
                await anext(batches)
        assert [event.payload.n for event in await anext(batches)] == [3]
        assert rows.misfits == 1
        assert len(transition) == patient
        assert realtime.state is State.SUBSCRIBED


@pytest.mark.parametrize("typed", [False, True])
def test_another_event_loop_is_refused_whatever_is_there(typed: bool) -> None:
    async def main() -> Subscription[Any]:
        network = Network()
        async with network.realtime() as realtime:
            rows: Subscription[Any] = await (realtime.subscribe("rows", payload=Order) if typed else realtime.subscribe("rows"))
            await arrived(network, 1)
        return rows

    rows = run(main)

    async def other() -> None:
        for stream in (rows, rows.batches()):
            with pytest.raises(WrongLoop):
                await anext(stream)
            with pytest.raises(WrongLoop):
                async for _ in stream:
                    pass

    asyncio.run(other())
