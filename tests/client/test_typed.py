"""Subscriptions whose payloads have a type, and the forms of the call: awaited, entered, made a task, forgotten."""

from __future__ import annotations

import asyncio
import gc
import traceback
from dataclasses import dataclass
from typing import Any, assert_type

import msgspec
import pydantic
import pytest

from realtime_fsm import BadOption, Disposed, Event, LinkLost, MissingChannelWarning, PayloadMisfit, Realtime, State, Subscription
from support.eras import NO_SERVER, ON_EVERY_ERA
from support.network import Network
from support.virtual import eventually, run

pytestmark = ON_EVERY_ERA


class Order(msgspec.Struct):
    n: int


class Tagged(msgspec.Struct, tag_field="kind"):
    n: int


class Apple(Tagged, tag="apple"):
    pass


class Pear(Tagged, tag="pear"):
    pass


class Fig(Tagged, tag="fig"):
    pass


class Plum(Tagged, tag="plum"):
    pass


@dataclass
class OrderData:
    n: int


class OrderModel(pydantic.BaseModel):
    n: int


async def test_the_iterator_is_typed() -> None:
    network = Network()
    async with network.realtime() as realtime:
        orders = await realtime.subscribe("rows", payload=Order)
        plain = await realtime.subscribe("rows")
        assert_type(orders, Subscription[Order])
        assert_type(plain, Subscription[dict[str, Any]])
        network.publish("rows", payload={"$id": "a", "n": 1})
        event = await anext(orders)
        assert_type(event, Event[Order])
        assert event.payload == Order(1)
        assert event.payload is event.payload
        assert (event.id, event.version, event.action, event.channels) == ("a", None, None, ("rows",))
        assert event.payload_as(OrderData) == OrderData(1)
        assert (await anext(plain)).payload == {"$id": "a", "n": 1}, "another subscription has its own"
        assert repr(orders) == "<Subscription s1 to rows>"


@pytest.mark.parametrize("wanted", [Order, OrderData, OrderModel, dict])
async def test_every_sort_of_type_will_do(wanted: type[Any]) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", payload=wanted)
        network.publish("rows", payload={"n": 1})
        assert (await anext(rows)).payload == wanted(n=1)


async def test_a_tuple_of_types_is_their_union_also_for_type_checkers() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", payload=(Apple, Pear))
        assert_type(rows, Subscription[Apple | Pear])
        three = await realtime.subscribe("rows", payload=(Apple, Pear, Fig))
        assert_type(three, Subscription[Apple | Pear | Fig])
        four = await realtime.subscribe("rows", payload=(Apple, Pear, Fig, Plum))
        assert_type(four, Subscription[Apple | Pear | Fig | Plum])
        handled: list[Apple | Pear] = []

        def handle(event: Event[Apple | Pear]) -> None:
            handled.append(event.payload)

        await realtime.on("rows", handle, payload=(Apple, Pear))
        network.publish("rows", payload={"kind": "pear", "n": 1})
        event = await anext(rows)
        assert_type(event.payload, Apple | Pear)
        assert event.payload == Pear(1)
        assert_type(event.payload_as((Pear, Apple)), Pear | Apple)
        assert event.payload_as((Pear, Apple)) == Pear(1)
        assert event.payload_as((OrderModel, dict)) == OrderModel(n=1)
        await eventually(lambda: handled == [Pear(1)])


@NO_SERVER
@pytest.mark.parametrize("wanted", [(), (int, str), (Apple, "Pear", 5)])
async def test_a_tuple_that_is_no_union_is_refused(wanted: Any) -> None:
    async with Network().realtime() as realtime:
        with pytest.raises(BadOption, match=r"payload: .* cannot be decoded"):
            await realtime.subscribe("rows", payload=wanted)


async def test_a_union_gives_what_the_payload_is() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows: Subscription[Apple | Pear] = await realtime.subscribe("rows", payload=Apple | Pear)
        network.publish("rows", payload={"kind": "pear", "n": 1})
        assert (await anext(rows)).payload == Pear(1)


async def test_the_iteration_raises_a_misfit_and_goes_on() -> None:
    network = Network()
    async with network.realtime() as realtime:
        orders = await realtime.subscribe("rows", payload=Order)
        for number in ("hidden", 1, 2, None):
            network.publish("rows", payload={"n": number})
        got: list[Order] = []
        misfits: list[PayloadMisfit] = []
        while len(misfits) < 2:
            try:
                async for event in orders:
                    got.append(event.payload)
            except PayloadMisfit as misfit:
                misfits.append(misfit)
        assert got == [Order(1), Order(2)]
        assert [misfit.path for misfit in misfits] == ["$.n", "$.n"]
        assert misfits[0].event.payload == {"n": "hidden"}
        assert "hidden" not in "".join(traceback.format_exception(misfits[0]))
        assert (orders.misfits, orders.failures) == (2, 0)
        assert realtime.state is State.SUBSCRIBED


@pytest.mark.parametrize("patient", [False, True])
async def test_on_misfit_takes_it_and_the_iterator_goes_on_silently(patient: bool) -> None:
    network = Network()
    transition: list[PayloadMisfit] = []

    async def take_slowly(misfit: PayloadMisfit) -> None:
        await asyncio.sleep(1)
        transition.append(misfit)

    async with network.realtime() as realtime:
        on_misfit = take_slowly if patient else transition.append
        orders = await realtime.subscribe("rows", payload=Order, on_misfit=on_misfit)
        for number in ("a", 1, "b", "c", 2):
            network.publish("rows", payload={"n": number})
        assert [(await anext(orders)).payload.n for _ in range(2)] == [1, 2]
        assert [misfit.event.payload["n"] for misfit in transition] == ["a", "b", "c"]
        assert (orders.misfits, orders.failures) == (3, 0)


@pytest.mark.virtual(reports=2)
async def test_an_on_misfit_that_raises_is_reported() -> None:
    network = Network()

    async def on_misfit(misfit: PayloadMisfit) -> None:
        raise LookupError(misfit.path)

    async with network.realtime() as realtime:
        orders = await realtime.subscribe("rows", payload=Order, on_misfit=on_misfit)
        for number in ("a", "b", 1):
            network.publish("rows", payload={"n": number})
        assert (await anext(orders)).payload == Order(1)
        assert (orders.misfits, orders.failures) == (2, 2)


async def test_what_is_caught_up_with_has_the_type_as_well() -> None:
    network = Network()

    async def catch_up(_: object) -> list[Any]:
        return [{"n": 1}, {"n": "a"}, Event.from_payload({"n": 2})]

    async with network.realtime() as realtime:
        orders = await realtime.subscribe("rows", payload=Order, catch_up=catch_up, on_misfit=lambda _: None)
        network.socket.cut()
        assert [(await anext(orders)).payload.n for _ in range(2)] == [1, 2]


async def test_other_errors_and_the_end_come_through() -> None:
    network = Network()
    async with network.realtime(auto_reconnect=False) as realtime:
        orders = await realtime.subscribe("rows", payload=Order)
        network.publish("rows", payload={"n": 1})
        network.socket.cut()
        assert (await anext(orders)).payload == Order(1)
        with pytest.raises(LinkLost):
            await anext(orders)
    assert [event async for event in orders] == []


@NO_SERVER
@pytest.mark.parametrize(
    ("options", "named", "said"),
    [
        ({"payload": int}, "payload", "int cannot be decoded"),
        ({"payload": object()}, "payload", "cannot be decoded"),
        ({"on_misfit": print}, "on_misfit", "payload="),
        ({"buffer": 0}, "buffer", "0 is not"),
        ({"buffer": True}, "buffer", "True is not"),
        ({"buffer": 1.5}, "buffer", "1.5 is not"),
    ],
)
async def test_misuse_is_refused_at_the_call(options: dict[str, Any], named: str, said: str) -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.raises(BadOption, match=said) as caught:
            await realtime.subscribe("rows", **options)
        assert caught.value.option == named
    assert network.dials == []


async def test_the_buffer_says_how_many_events_are_kept() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=2)
        for number in range(5):
            network.publish("rows", payload={"n": number})
        await eventually(lambda: rows.dropped)
        await asyncio.sleep(1)
        assert rows.dropped == 3
        assert (await anext(rows)).payload == {"n": 3}


# --- the forms of the call --------------------------------------------------------------------------------------------


async def test_entering_it_unsubscribes_at_the_end() -> None:
    network = Network()
    async with network.realtime() as realtime:
        async with realtime.subscribe("rows", payload=Order) as orders:
            assert_type(orders, Subscription[Order])
            network.publish("rows", payload={"n": 1})
            assert (await anext(orders)).payload == Order(1)
        assert realtime.state is State.UNSUBSCRIBED
        assert [event async for event in orders] == []


async def test_it_unsubscribes_after_an_exception_and_lets_it_pass() -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.raises(LookupError):
            async with realtime.subscribe("rows"):
                raise LookupError
        assert realtime.state is State.UNSUBSCRIBED

        entered = asyncio.Event()

        async def consume() -> None:
            async with realtime.subscribe("files") as files:
                entered.set()
                await anext(files)

        task = asyncio.create_task(consume())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert realtime.state is State.UNSUBSCRIBED


async def dispose_within(realtime: Realtime, error: Exception | None) -> None:
    async with realtime.subscribe("rows"), realtime.on("files", print):
        await realtime.dispose()
        if error is not None:
            raise error


async def test_a_disposal_in_the_block_hides_no_exception() -> None:
    with pytest.raises(LookupError) as caught:
        await dispose_within(Network().realtime(), LookupError())
    assert caught.value.__context__ is None
    await dispose_within(Network().realtime(), None)


@NO_SERVER
async def test_entering_fails_as_awaiting_does() -> None:
    realtime = Network().realtime()
    await realtime.dispose()
    with pytest.raises(Disposed):
        async with realtime.subscribe("rows"):
            raise AssertionError


async def test_it_is_a_coroutine_wherever_one_is_wanted() -> None:
    network = Network()
    async with network.realtime() as realtime:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(realtime.subscribe("rows"))
        both = await asyncio.gather(realtime.subscribe("files"), asyncio.wait_for(realtime.subscribe("teams"), 5))
        assert [subscription.channels for subscription in (task.result(), *both)] == [("rows",), ("files",), ("teams",)]
        realtime.subscribe("teams").close()
        again = realtime.subscribe("teams")
        await again
        with pytest.raises(RuntimeError, match="already awaited"):
            await again


@pytest.mark.parametrize("how", ["task", "enter"])
async def test_cancelling_it_withdraws_in_every_form(how: str) -> None:
    network = Network()
    async with network.realtime() as realtime:

        async def enter() -> None:
            async with realtime.subscribe("rows"):
                raise AssertionError

        await realtime.connect()
        task: asyncio.Task[Any] = asyncio.create_task(realtime.subscribe("rows") if how == "task" else enter())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(1)
        assert network.listening == (set() if network.era == "E4" else {""}), "the link itself needs no channel"


def forget(realtime: Realtime) -> None:
    realtime.subscribe("rows")
    gc.collect()


@NO_SERVER
async def test_one_that_is_forgotten_warns_as_a_coroutine_does() -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.warns(RuntimeWarning, match="never awaited"):
            forget(realtime)


def test_a_warning_names_the_line_of_the_caller_in_either_form() -> None:
    async def main() -> None:
        network = Network()
        session = network.backend.add_user("alice")
        async with network.realtime(session=session) as realtime:
            await realtime.subscribe("account.bob", "rows")
            await realtime.on(["account.bob", "rows"], print)
            async with realtime.subscribe("account.bob", "rows"), realtime.on(["account.bob", "rows"], print):
                pass

    with pytest.warns(MissingChannelWarning) as told:
        run(main)
    assert [warning.filename for warning in told] == [__file__] * 4
