"""A callable may end what calls it: the connection, its subscription, its listener. It goes on after that, uncancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import pytest

from realtime_fsm import Canary, Event, Gap, PayloadMisfit, Realtime, State, Timeouts
from support.network import Network
from support.virtual import eventually, run

Records = list[MutableMapping[str, Any]]


class Order(msgspec.Struct):
    n: int


def directly(work: Callable[[], Awaitable[object]]) -> Awaitable[object]:
    return work()


def by_a_task(work: Callable[[], Awaitable[object]]) -> Awaitable[object]:
    return asyncio.ensure_future(work())


ways = pytest.mark.parametrize("way", [directly, by_a_task])


async def lose_link(network: Network) -> None:
    links = len(network.sockets)
    network.socket.cut()
    await eventually(lambda: len(network.sockets) > links)


@ways
@pytest.mark.parametrize("kind", ["handler", "on_gap", "catch_up", "on_misfit"])
async def test_a_callable_disposes_of_the_connection_and_goes_on(kind: str, way: Callable[..., Awaitable[object]]) -> None:
    network, told = Network(), list[str]()

    async def ending(_: object) -> list[Event]:
        told.append("begins")
        await way(realtime.dispose)
        told.append(f"{realtime.state}, released {network.released}")
        await asyncio.sleep(5)
        told.append("ends")
        return []

    realtime = network.realtime()
    options: dict[str, Any] = {} if kind == "handler" else {kind: ending, "payload": Order}
    listener = await realtime.on("rows", ending if kind == "handler" else print, **options)
    if kind in ("on_gap", "catch_up"):
        await lose_link(network)
    network.publish("rows", payload={"n": "odd" if kind == "on_misfit" else 1})
    await eventually(lambda: "ends" in told)
    assert told == ["begins", "disposing, released True", "ends"]
    await listener.wait()
    assert (listener.failures, listener.task.done()) == (0, True)
    await realtime.dispose()


@ways
async def test_a_canarys_write_may_dispose(way: Callable[..., Awaitable[object]]) -> None:
    network, told = Network(), list[str]()

    async def write() -> None:
        await way(realtime.dispose)
        told.append(f"{realtime.state}, released {network.released}")
        await asyncio.sleep(3)
        told.append("ends")

    realtime = network.realtime(canary=Canary(write=write, channel="beats"))
    await realtime.subscribe("rows")
    await eventually(lambda: told)
    await realtime.dispose()
    assert told == ["disposing, released True", "ends"]


def test_a_write_that_raises_after_its_dispose_is_reported(records: Records) -> None:
    async def main() -> None:
        async def write() -> None:
            await realtime.dispose()
            raise LookupError

        realtime = Network().realtime(canary=Canary(write=write, channel="beats"))
        await realtime.subscribe("rows")
        await eventually(lambda: realtime.state is State.DISPOSING)
        await realtime.dispose()

    run(main, reports=1)
    assert records[-1]["event"] == "realtime.close"


@ways
async def test_a_second_dispose_waits_for_the_disposing_handler(way: Callable[..., Awaitable[object]]) -> None:
    network, told = Network(), list[str]()
    async with network.realtime() as realtime:

        async def handler(event: Event) -> None:
            await way(realtime.dispose)
            await asyncio.sleep(3)
            told.append("ends")

        await realtime.on("rows", handler)
        network.publish("rows")
        assert [change.dest async for change in realtime.states()] == [State.DISPOSING]
    assert told == ["ends"]


async def test_a_second_dispose_waits_for_the_timeout_at_most() -> None:
    network = Network()
    realtime = network.realtime(timeouts=Timeouts(close=2))

    async def handler(event: Event) -> None:
        await realtime.dispose()
        await asyncio.sleep(1000)

    listener = await realtime.on("rows", handler)
    network.publish("rows")
    await eventually(lambda: network.released)
    began = network.wall()
    await realtime.dispose()
    assert (listener.task.cancelled(), round(network.wall() - began, 1)) == (True, 2.0)


@pytest.mark.parametrize("ended", [False, True], ids=["of a subscription", "of an ended subscription"])
async def test_a_second_dispose_waits_for_a_disposing_callable(ended: bool) -> None:
    network, told = Network(), list[str]()
    async with network.realtime() as realtime:

        async def on_gap(gap: Gap) -> None:
            if ended:
                await subscription.unsubscribe()
            await realtime.dispose()
            await asyncio.sleep(3)
            told.append("ends")

        subscription = await realtime.subscribe("rows", on_gap=on_gap)
        await lose_link(network)
        await eventually(lambda: realtime.state is State.DISPOSING)
    assert told == ["ends"]


async def test_dispose_in_a_handler_cancels_the_others() -> None:
    network, told = Network(), list[str]()
    realtime = network.realtime()

    async def waits(_: object) -> None:
        told.append("begins")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            told.append("is cancelled")
            raise

    async def handler(event: Event) -> None:
        await realtime.dispose()
        told.append("ends")

    await realtime.on("files", waits, on_gap=waits)
    ending = await realtime.on("rows", handler)
    await lose_link(network)
    await eventually(lambda: realtime.state is State.SUBSCRIBED)
    network.publish("files")
    await eventually(lambda: len(told) == 2)
    network.publish("rows")
    await ending.wait()
    assert told == ["begins", "begins", "is cancelled", "is cancelled", "ends"]


async def test_a_handler_disposes_of_another_connection() -> None:
    network, told = Network(), list[str]()
    other = network.realtime()
    await other.connect()

    async def handler(event: Event) -> None:
        await other.dispose()
        told.append(other.state)

    async with network.realtime() as realtime:
        listener = await realtime.on("rows", handler)
        network.publish("rows")
        await eventually(lambda: told)
        assert (told, listener.failures, realtime.state) == (["disposing"], 0, State.SUBSCRIBED)
    await other.dispose()


async def test_a_task_of_a_finished_handler_disposes() -> None:
    network, left = Network(), list[asyncio.Task[None]]()
    realtime = network.realtime()

    async def handler(event: Event) -> None:
        if not left:
            left.append(asyncio.create_task(later()))
            return
        await asyncio.sleep(1000)

    async def later() -> None:
        await asyncio.sleep(1)
        await realtime.dispose()

    listener = await realtime.on("rows", handler)
    for _ in range(2):
        network.publish("rows")
    await eventually(lambda: left and left[0].done())
    assert listener.task.cancelled(), "the second call comes from another task"


async def test_a_credential_callable_may_dispose() -> None:
    network = Network()

    async def secret() -> str:
        await realtime.dispose()
        return "too late"

    realtime: Realtime = network.realtime(session=secret)
    call = asyncio.ensure_future(realtime.connect())
    await eventually(call.done)
    assert (type(call.exception()).__name__, realtime.state, network.dials) == ("Disposed", State.DISPOSING, [])
    await realtime.dispose()


@ways
@pytest.mark.parametrize("kind", ["on_gap", "catch_up"])
async def test_a_callable_ends_its_subscription_and_goes_on(kind: str, way: Callable[..., Awaitable[object]]) -> None:
    network, told = Network(), list[str]()

    async def ending(gap: Gap) -> list[Event]:
        await way(rows.unsubscribe)
        told.append("goes on")
        await asyncio.sleep(5)
        told.append("ends")
        return [Event.from_payload({"n": 1})]

    async with network.realtime() as realtime:
        options: dict[str, Any] = {kind: ending}
        rows = await realtime.subscribe("rows", **options)
        await lose_link(network)
        await eventually(lambda: "ends" in told)
        assert [event async for event in rows] == []
        assert (told, rows.failures, realtime.state) == (["goes on", "ends"], 0, State.UNSUBSCRIBED)


async def test_dispose_cancels_a_callable_that_unsubscribed() -> None:
    network, told = Network(), list[str]()

    async def on_gap(gap: Gap) -> None:
        await rows.unsubscribe()
        told.append("goes on")
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            told.append("is cancelled")
            raise

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", on_gap=on_gap)
        await lose_link(network)
        await eventually(lambda: told)
    assert told == ["goes on", "is cancelled"]


async def test_a_callable_that_has_ended_its_subscription_disposes() -> None:
    network, told = Network(), list[str]()

    async def on_gap(gap: Gap) -> None:
        await rows.unsubscribe()
        await realtime.dispose()
        await asyncio.sleep(1)
        told.append("ends")

    realtime = network.realtime()
    rows = await realtime.subscribe("rows", on_gap=on_gap)
    await lose_link(network)
    await eventually(lambda: network.released)
    await realtime.dispose()
    assert told == ["ends"]


@ways
async def test_a_handlers_on_misfit_stops_it(way: Callable[..., Awaitable[object]]) -> None:
    network, told = Network(), list[str]()
    handled: list[Event[Order]] = []

    async def on_misfit(misfit: PayloadMisfit) -> None:
        await way(listener.stop)
        told.append("ends")

    async with network.realtime() as realtime:
        listener = await realtime.on("rows", handled.append, payload=Order, on_misfit=on_misfit)
        for number in (1, "odd", 2):
            network.publish("rows", payload={"n": number})
        await listener.wait()
        assert ([event.payload.n for event in handled], told) == ([1], ["ends"])
        assert realtime.state is State.UNSUBSCRIBED


@ways
async def test_a_handler_stops_itself_and_goes_on(way: Callable[..., Awaitable[object]]) -> None:
    network, told = Network(), list[str]()

    async def handler(event: Event) -> None:
        await way(listener.stop)
        await asyncio.sleep(1)
        told.append("ends")

    async with network.realtime() as realtime:
        listener = await realtime.on("rows", handler)
        network.publish("rows")
        network.publish("rows")
        await listener.wait()
        assert told == ["ends"]


async def test_a_stopped_listener_asks_on_misfit_no_more() -> None:
    network = Network()
    handled: list[int] = []
    misfits: list[PayloadMisfit] = []

    async def handler(event: Event[Order]) -> None:
        handled.append(event.payload.n)
        await stopped_by_handler.stop()

    async def on_misfit(misfit: PayloadMisfit) -> None:
        misfits.append(misfit)
        await stopped_by_misfit.stop()

    async with network.realtime() as realtime:
        stopped_by_handler = await realtime.on("rows", handler, payload=Order, on_misfit=misfits.append)
        network.publish("rows", payload={"n": 1})
        network.publish("rows", payload={"n": "odd"})
        await stopped_by_handler.wait()
        assert (handled, misfits) == ([1], [])
        stopped_by_misfit = await realtime.on("rows", handler, payload=Order, on_misfit=on_misfit)
        for number in ("odd", 2, "odd"):
            network.publish("rows", payload={"n": number})
        await stopped_by_misfit.wait()
        assert (handled, len(misfits)) == ([1], 1)
        assert realtime._listener_tasks == [], "nothing holds a listener that has ended"


async def test_a_disposal_on_a_loop_of_eager_tasks_happens_once() -> None:
    """Python 3.11 has no eager tasks, so the loop takes the first step of the task as they do."""
    network = Network()
    first: list[object] = []

    def eager(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        if work.__name__ == "_release":
            first.append(work.send(None))
        return asyncio.Task(work, loop=loop, **options)

    realtime = network.realtime()
    await realtime.subscribe("rows")
    asyncio.get_running_loop().set_task_factory(eager)
    await asyncio.gather(realtime.dispose(), realtime.dispose())
    assert (first, realtime.state, network.socket.closed) == ([None], State.DISPOSING, 5.0), "the first step ends nothing"
