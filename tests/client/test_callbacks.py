"""Handlers get one event at a time, in order; their exceptions stay contained; they end on request."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import msgspec
import pytest

from realtime_fsm import (
    BadOption,
    Disposed,
    Event,
    LinkLost,
    Listener,
    PayloadMisfit,
    Realtime,
    RetriesExhausted,
    RetryPolicy,
    State,
    SubscriptionRejected,
)
from realtime_fsm.errors import DialFailed
from realtime_fsm.fsm.inputs import Dispose
from realtime_fsm.runtime.registry import DeliveryRegistry
from support.eras import NO_SERVER, ON_EVERY_ERA, only
from support.network import Network
from support.virtual import VirtualLoop, eventually

pytestmark = ON_EVERY_ERA


class Order(msgspec.Struct):
    n: int


class Slow:
    """A handler that takes its time."""

    def __init__(self, seconds: float = 10) -> None:
        self.seconds = seconds
        self.begun: list[int] = []
        self.done: list[int] = []
        self.cancelled = 0

    async def __call__(self, event: Event) -> None:
        self.begun.append(event.payload["n"])
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(1)  # it cleans up
            self.cancelled += 1
            raise
        self.done.append(event.payload["n"])


def publish(network: Network, *numbers: object) -> None:
    for number in numbers:
        network.publish("rows", payload={"n": number})


def reported() -> list[Any]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return [context["exception"] for context in loop.reported]


async def test_a_listener_on_a_loop_of_eager_tasks_begins_after_on_returns() -> None:
    """Python 3.11 has no eager tasks, so the loop takes the first step of the task as they do."""
    network = Network()
    first: list[object] = []

    def eager(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        if work.__name__ == "_listen":
            first.append(work.send(None))
        return asyncio.Task(work, loop=loop, **options)

    asyncio.get_running_loop().set_task_factory(eager)
    seen: list[int] = []
    async with network.realtime() as realtime:
        await realtime.on("rows", lambda event: seen.append(event.payload["n"]))
        publish(network, 1)
        await eventually(lambda: seen)
    assert (first, seen) == ([None], [1]), "the first step leaves the loop before it asks for an event"


# --- handling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", ["rows", ["rows", "files"], ("rows",), lambda: iter(["rows"])])
async def test_a_plain_handler_is_called_with_each_event_in_order(channels: Any) -> None:
    network = Network()
    got: list[Event] = []
    async with network.realtime() as realtime:
        listener = await realtime.on(channels() if callable(channels) else channels, got.append)
        assert realtime.state is State.SUBSCRIBED, "it is acknowledged"
        publish(network, 1, 2, 3)
        await eventually(lambda: len(got) == 3)
        assert [event.payload["n"] for event in got] == [1, 2, 3]
        assert (listener.failures, listener.dropped, listener.misfits, listener.gaps) == (0, 0, 0, ())
        assert repr(listener) == f"<Listener s1 to {', '.join(listener.channels)}>"


async def test_an_asynchronous_handler_gets_one_event_at_a_time() -> None:
    network, slow = Network(), Slow()
    async with network.realtime() as realtime:
        await realtime.on("rows", slow)
        publish(network, 1, 2, 3)
        await asyncio.sleep(15)
        assert (slow.begun, slow.done) == ([1, 2], [1])
        await asyncio.sleep(20)
        assert slow.done == [1, 2, 3]


async def test_handlers_do_not_wait_for_each_other() -> None:
    network, slow = Network(), Slow(1000)
    got: list[Event] = []
    async with network.realtime() as realtime:
        await asyncio.gather(realtime.on("rows", slow), realtime.on("rows", got.append))
        publish(network, 1, 2, 3)
        await eventually(lambda: len(got) == 3)
        assert slow.begun == [1]


async def test_events_for_a_slow_handler_are_bounded() -> None:
    network, slow = Network(), Slow()
    async with network.realtime() as realtime:
        listener = await realtime.on("rows", slow, buffer=2)
        publish(network, 1)
        await eventually(lambda: slow.begun)
        publish(network, 2, 3, 4, 5)
        await asyncio.sleep(40)
        assert (slow.done, listener.dropped) == ([1, 4, 5], 2)


async def test_a_handler_needs_nobody_to_hold_it() -> None:
    network = Network()
    got: list[Event] = []
    async with network.realtime() as realtime:
        await realtime.on("rows", got.append)
        gc.collect()
        publish(network, 1)
        await eventually(lambda: got)
        assert "realtime_fsm listener s1" in {task.get_name() for task in asyncio.all_tasks()}


@pytest.mark.parametrize("patient", [False, True])
@pytest.mark.virtual(reports=2)
async def test_each_failure_of_a_handler_is_counted_and_reported_with_its_name_and_the_next_event_is_handled(
    patient: bool,
) -> None:
    network = Network()
    got: list[int] = []

    def plain(event: Event) -> None:
        got.append(event.payload["n"])
        if event.payload["n"] < 3:
            raise LookupError(event.payload["n"])

    async def slow(event: Event) -> None:
        await asyncio.sleep(1)
        plain(event)

    async with network.realtime() as realtime:
        listener = await realtime.on("rows", slow if patient else plain)
        publish(network, 1, 2, 3)
        await eventually(lambda: len(got) == 3)
        assert (got, listener.failures) == ([1, 2, 3], 2)
        assert [str(error) for error in reported()] == ["1", "2"]
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        name = f"{__name__}.{(slow if patient else plain).__qualname__}"
        assert {context["message"] for context in loop.reported} == {f"realtime_fsm: handler failed: {name}"}
        assert realtime.state is State.SUBSCRIBED


@pytest.mark.virtual(reports=2)
async def test_a_cancelled_future_in_a_handler_does_not_end_it() -> None:
    network = Network()
    got: list[int] = []

    async def handler(event: Event) -> None:
        got.append(event.payload["n"])
        other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        other.cancel()
        await other

    async with network.realtime() as realtime:
        listener = await realtime.on("rows", handler)
        publish(network, 1, 2)
        await eventually(lambda: len(got) == 2)
        assert listener.failures == 2


@pytest.mark.virtual(reports=2)
async def test_handlers_get_typed_payloads() -> None:
    network = Network()
    strict: list[Order] = []
    lenient: list[Order] = []
    misfits: list[PayloadMisfit] = []

    def handler(event: Event[Order]) -> None:
        strict.append(event.payload)

    async def patient(event: Event[Order]) -> None:
        lenient.append(event.payload)

    async with network.realtime() as realtime:
        first = await realtime.on("rows", handler, payload=Order)
        second = await realtime.on("rows", patient, payload=Order, on_misfit=misfits.append)
        publish(network, 1, "a", "b", 2)
        await eventually(lambda: len(lenient) == 2)
        assert strict == lenient == [Order(1), Order(2)]
        assert (first.failures, first.misfits, second.failures, second.misfits) == (2, 2, 0, 2)
        assert len(misfits) == 2
        assert [type(error) for error in reported()] == [PayloadMisfit] * 2


@only("E3", "E4", because="older servers know no queries; runtime/test_eras_client.py has that")
async def test_a_listener_has_the_options_of_a_subscription() -> None:
    network = Network()
    gaps: list[object] = []
    got: list[Any] = []

    async def catch_up(_: object) -> list[dict[str, Any]]:
        return [{"n": 7}]

    async with network.realtime() as realtime:
        query = '{"method":"equal","attribute":"n","values":[1]}'
        listener = await realtime.on(
            "rows", lambda event: got.append(event.payload), queries=[query], on_gap=gaps.append, catch_up=catch_up
        )
        assert listener.queries == (query,)
        publish(network, 0, 1)
        network.socket.cut()
        await eventually(lambda: len(got) == 2)
        assert (got, len(gaps), len(listener.gaps)) == ([{"n": 1}, {"n": 7}], 1, 1)


@NO_SERVER
@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        (("rows", None), {}, "handler"),
        ((5, print), {}, "channels"),
        (([], print), {}, "channels"),
        (("rows", print), {"payload": int}, "payload"),
        (("rows", print), {"on_misfit": print}, "on_misfit"),
        (("rows", print), {"buffer": -1}, "buffer"),
        (("rows", print), {"queries": "one"}, "queries"),
    ],
)
async def test_misuse_is_refused(arguments: Any, options: dict[str, Any], named: str) -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.raises(BadOption) as caught:
            await realtime.on(*arguments, **options)
        assert caught.value.option == named
    assert network.dials == []


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_stop_waits_for_the_running_handler() -> None:
    network, slow = Network(), Slow()
    async with network.realtime() as realtime:
        listener = await realtime.on("rows", slow)
        publish(network, 1, 2)
        await eventually(lambda: slow.begun)
        await asyncio.gather(listener.stop(), listener.stop())
        assert (slow.begun, slow.done, slow.cancelled) == ([1], [1], 0)
        assert realtime.state is State.UNSUBSCRIBED
        await listener.stop()
        await listener.wait()


async def test_stop_ends_an_idle_one_at_once_and_async_with_stops_it() -> None:
    network = Network()
    got: list[Event] = []
    async with network.realtime() as realtime:
        async with realtime.on("rows", got.append) as listener:
            assert isinstance(listener, Listener)
            publish(network, 1)
            await eventually(lambda: got)
        assert listener.task.cancelled()
        assert realtime.state is State.UNSUBSCRIBED


async def test_a_cancelled_stop_lets_the_handler_finish() -> None:
    network, slow = Network(), Slow(100)
    async with network.realtime() as realtime:
        listener = await realtime.on("rows", slow)
        publish(network, 1, 2)
        await eventually(lambda: slow.begun)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await listener.stop()
        await listener.wait()
        assert (slow.begun, slow.done) == ([1], [1])


async def test_a_handler_may_stop_itself_and_do_something_after_it() -> None:
    network = Network()
    told: list[str] = []
    async with network.realtime() as realtime:

        async def handler(event: Event) -> None:
            told.append("begin")
            await listener.stop()
            await asyncio.sleep(5)
            told.append("end")

        listener = await realtime.on("rows", handler)
        publish(network, 1, 2)
        await listener.wait()
        assert told == ["begin", "end"]
        assert realtime.state is State.UNSUBSCRIBED


async def test_dispose_cancels_a_handler_and_waits_for_it() -> None:
    network, slow = Network(), Slow(1000)
    got: list[Event] = []
    realtime = network.realtime()
    busy = await realtime.on("rows", slow)
    idle = await realtime.on("files", got.append)
    publish(network, 1, 2)
    await eventually(lambda: slow.begun)
    waiting = [asyncio.ensure_future(listener.wait()) for listener in (busy, idle)]
    network.publish("files")
    await realtime.dispose()
    assert (slow.begun, slow.done, slow.cancelled) == ([1], [], 1)
    assert (busy.task.done(), idle.task.done()) == (True, True)
    await asyncio.gather(*waiting)
    await busy.stop()
    assert (busy.failures, idle.failures) == (0, 0)
    with pytest.raises(Disposed):
        await realtime.on("rows", slow)


async def test_what_is_held_is_not_handled_after_dispose() -> None:
    network, slow = Network(), Slow()
    realtime = network.realtime()
    await realtime.on("rows", slow)
    publish(network, 1, 2, 3)
    await eventually(lambda: slow.begun)
    await realtime.dispose()
    await asyncio.sleep(100)
    assert slow.begun == [1]


async def test_dispose_at_the_acknowledgement_starts_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network()
    got: list[Event] = []
    realtime = network.realtime()
    registry = realtime._driver.registry

    def grant(*told: Any) -> None:
        asyncio.get_running_loop().call_soon(realtime._driver.feed, Dispose())
        DeliveryRegistry.acknowledge(registry, *told)

    monkeypatch.setattr(registry, "acknowledge", grant)
    with pytest.raises(Disposed):
        await realtime.on("rows", got.append)
    await realtime.dispose()


async def test_a_handler_may_dispose_of_the_connection() -> None:
    network = Network()
    async with network.realtime() as realtime:

        async def handler(event: Event) -> None:
            await realtime.dispose()

        listener = await realtime.on("rows", handler)
        publish(network, 1)
        await listener.wait()
        await realtime.dispose()
        assert realtime.state is State.DISPOSING


# --- trouble ----------------------------------------------------------------------------------------------------------


async def fail(network: Network, realtime: Realtime) -> None:
    """No link can be had any more."""
    network.otherwise = DialFailed("refused")
    network.socket.cut()
    await eventually(lambda: realtime.state in (State.ERROR, State.DISCONNECTED))


async def test_it_outlives_a_lost_link() -> None:
    network = Network()
    got: list[Event] = []
    async with network.realtime() as realtime:
        await realtime.on("rows", got.append)
        network.socket.cut()
        await eventually(lambda: len(network.dials) == 2 and realtime.state is State.SUBSCRIBED)
        publish(network, 1)
        await eventually(lambda: got)


@pytest.mark.parametrize(("auto", "kind"), [(True, RetriesExhausted), (False, LinkLost)])
async def test_it_waits_out_an_error_and_goes_on_after_reconnect(auto: bool, kind: type[Exception]) -> None:
    network = Network()
    got: list[Event] = []
    async with network.realtime(auto_reconnect=auto, retry=RetryPolicy(reconnect_attempts=3)) as realtime:
        listener = await realtime.on("rows", got.append)
        waiting = asyncio.ensure_future(listener.wait())
        await asyncio.sleep(0)
        await fail(network, realtime)
        with pytest.raises(kind):
            await waiting
        with pytest.raises(kind):
            await listener.wait()
        network.otherwise = "greet"
        await realtime.reconnect()
        again = asyncio.ensure_future(listener.wait())
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        publish(network, 1)
        await eventually(lambda: got)
        assert not again.done()
        await listener.stop()
        await again


@pytest.mark.virtual(reports=1)
async def test_with_nobody_waiting_trouble_is_told_through_the_loop() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(reconnect_attempts=3)) as realtime:
        listener = await realtime.on("rows", print)
        await fail(network, realtime)
        await eventually(reported)
        assert [type(error) for error in reported()] == [RetriesExhausted]
        await listener.stop()  # though no link can be had
        await listener.wait()
        assert listener.task.done()


@pytest.mark.virtual(reports=1)
async def test_trouble_is_told_once_until_a_link_is_up() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=1, reconnect_attempts=1)) as realtime:
        await realtime.on("rows", print)
        await fail(network, realtime)
        await eventually(reported)
        with pytest.raises(RetriesExhausted):
            await realtime.reconnect()
        await asyncio.sleep(60)
        network.otherwise = "greet"
        await realtime.reconnect()
        await asyncio.sleep(1)
        gc.collect()  # a forgotten future would tell it again
        assert [type(error) for error in reported()] == [RetriesExhausted]


@pytest.mark.virtual(reports=1)
async def test_trouble_is_told_through_the_loop_when_nobody_waits_any_more() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(reconnect_attempts=3)) as realtime:
        listener = await realtime.on("rows", print)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(listener.wait(), 1)
        await fail(network, realtime)
        await eventually(reported)
        assert [type(error) for error in reported()] == [RetriesExhausted]


async def test_trouble_is_told_to_those_who_wait_though_another_one_has_given_up() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(reconnect_attempts=3)) as realtime:
        listener = await realtime.on("rows", print)
        waiting = asyncio.ensure_future(listener.wait())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(listener.wait(), 1)
        await fail(network, realtime)
        with pytest.raises(RetriesExhausted):
            await waiting


@pytest.mark.virtual(reports=1)
async def test_it_ends_in_error_with_dispose() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(reconnect_attempts=3)) as realtime:
        listener = await realtime.on("rows", print)
        await fail(network, realtime)
    assert listener.task.done()


@only("E4", because="older servers refuse an address as a whole; runtime/test_eras_client.py has that")
async def test_it_ends_when_the_server_will_not_restore_it() -> None:
    network = Network()
    async with network.realtime() as realtime:
        listener = await realtime.on("account", print)
        network.refused.add(b'"account"')
        network.socket.cut()
        for _ in range(2):
            with pytest.raises(SubscriptionRejected):
                await listener.wait()
        assert listener.task.done()
        await listener.stop()
