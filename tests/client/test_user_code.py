"""Whatever the user's code raises, wherever it runs, is counted, reported and contained: the link lives, and events go on.

A `KeyboardInterrupt` leaves the event loop, and the next run of the loop goes on as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec
import pydantic
import pytest
import structlog

from realtime_fsm import (
    Change,
    Event,
    Gap,
    IdentityUnavailable,
    MissingChannelWarning,
    PayloadMisfit,
    Realtime,
    RetriesExhausted,
    RetryPolicy,
    State,
)
from realtime_fsm.containment import contain
from realtime_fsm.runtime.callbacks import Callback, is_asked_for
from realtime_fsm.runtime.sockets import Socket
from support.network import Network
from support.raising import CONTAINED, KINDS, WAYS, Kind, Own, Raise, at_once, later, survive
from support.virtual import VirtualLoop, eventually, run

kinds = pytest.mark.parametrize("kind", KINDS)
ways = pytest.mark.parametrize("way", WAYS)


class Order(msgspec.Struct):
    n: int


def publish(network: Network, *numbers: object) -> None:
    for number in numbers:
        network.publish("rows", payload={"n": number})


async def lose_link(network: Network, realtime: Realtime) -> None:
    links = len(network.sockets)
    network.socket.cut()
    await eventually(lambda: len(network.sockets) > links and realtime.state is State.SUBSCRIBED)


def heading(kind: str, function: object) -> str:
    return f"realtime_fsm: {kind} failed: {__name__}.{function.__qualname__}"  # type: ignore[attr-defined]


# --- callables of subscriptions ---------------------------------------------------------------------------------------


@kinds
@ways
def test_a_handler(kind: Kind, way: Raise) -> None:
    handled: list[int] = []

    def handler(event: Event) -> object:
        handled.append(event.payload["n"])
        return way(kind) if event.payload["n"] == 1 else None

    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            listener = await realtime.on("rows", handler)
            publish(network, 1, 2)
            await eventually(lambda: len(handled) == 2)
            assert (handled, listener.failures, listener.task.done()) == ([1, 2], 1, False)
            assert len(network.dials) == 1

    assert survive(main, kind) == [heading("handler", handler)]


@kinds
@ways
def test_on_gap(kind: Kind, way: Raise) -> None:
    gaps: list[Gap] = []

    def on_gap(gap: Gap) -> object:
        gaps.append(gap)
        return way(kind)

    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            rows = await realtime.subscribe("rows", on_gap=on_gap)
            for _ in range(2):
                await lose_link(network, realtime)
            await eventually(lambda: rows.failures == 2)
            publish(network, 1)
            assert (await anext(rows)).payload == {"n": 1}
            assert len(gaps) == 2

    assert survive(main, kind, raised=2) == [heading("on_gap", on_gap)] * 2


@kinds
@ways
def test_catch_up(kind: Kind, way: Raise) -> None:
    async def catch_up(gap: Gap) -> Any:
        return await way(kind)  # type: ignore[misc]

    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            rows = await realtime.subscribe("rows", catch_up=catch_up)
            for times in (1, 2):
                await lose_link(network, realtime)
                publish(network, times)
                assert (await anext(rows)).payload == {"n": times}, "live events go on"
                assert rows.failures == times

    assert survive(main, kind, raised=2) == [heading("catch_up", catch_up)] * 2


@kinds
def test_the_answer_of_catch_up(kind: Kind) -> None:
    async def catch_up(gap: Gap) -> Any:
        return Failing()

    class Failing:
        def __iter__(self) -> Iterator[Event]:
            return self

        def __next__(self) -> Event:
            raise kind("of an iterator")

    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            rows = await realtime.subscribe("rows", catch_up=catch_up)
            await lose_link(network, realtime)
            publish(network, 1)
            assert ((await anext(rows)).payload, rows.failures) == ({"n": 1}, 1)

    assert survive(main, kind) == [heading("catch_up", catch_up)]


@kinds
@ways
@pytest.mark.parametrize("handled", [False, True], ids=["iterated", "handled"])
def test_on_misfit(kind: Kind, way: Raise, handled: bool) -> None:
    def on_misfit(misfit: PayloadMisfit) -> object:
        return way(kind)

    async def main() -> None:
        network = Network()
        got: list[Event[Order]] = []
        async with network.realtime() as realtime:
            if handled:
                seen: Any = await realtime.on("rows", got.append, payload=Order, on_misfit=on_misfit)
            else:
                seen = await realtime.subscribe("rows", payload=Order, on_misfit=on_misfit)
            publish(network, "odd", 1)
            if not handled:
                got.append(await anext(seen))
            await eventually(lambda: got)
            assert ([event.payload for event in got], seen.failures, seen.misfits) == ([Order(1)], 1, 1)

    assert survive(main, kind) == [heading("on_misfit", on_misfit)]


# --- types of payloads ------------------------------------------------------------------------------------------------


def checked(kind: Kind) -> type[Any]:
    class Checked(msgspec.Struct):
        n: int

        def __post_init__(self) -> None:
            if self.n < 0:
                raise kind("of a check")

    return Checked


@kinds
async def test_a_check_of_a_payloads_type_that_is_iterated(kind: Kind) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", payload=checked(kind))
        publish(network, -1, 1)
        with pytest.raises(KeyboardInterrupt if kind is KeyboardInterrupt else PayloadMisfit):
            await anext(rows)
        assert (await anext(rows)).payload.n == 1


@kinds
def test_a_check_of_a_payloads_type_that_is_handled(kind: Kind) -> None:
    got: list[int] = []

    def handler(event: Event[Any]) -> None:
        got.append(event.payload.n)

    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            listener = await realtime.on("rows", handler, payload=checked(kind))
            publish(network, -1, 1)
            await eventually(lambda: got)
            assert (got, listener.failures) == ([1], 1)

    assert survive(main, kind) == [heading("handler", handler)]


@pytest.mark.parametrize("kind", CONTAINED)
def test_a_check_of_a_payloads_type_that_is_asked_for(kind: Kind) -> None:
    event = Event.from_payload({"n": -1})
    with pytest.raises(PayloadMisfit):
        event.payload_as(checked(kind))


@kinds
def test_the_schema_of_a_payloads_type(kind: Kind) -> None:
    class Model(pydantic.BaseModel):
        n: int

        @classmethod
        def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
            raise kind("of a schema")

    event = Event.from_payload({"n": "odd"})
    with pytest.raises(KeyboardInterrupt if kind is KeyboardInterrupt else PayloadMisfit):
        event.payload_as(Model)


# --- identity ---------------------------------------------------------------------------------------------------------


@kinds
@ways
@pytest.mark.parametrize("option", ["session", "jwt"])
def test_a_credential_callable_before_a_dial(kind: Kind, way: Raise, option: str) -> None:
    async def main() -> None:
        network = Network()
        secret = network.backend.add_user("u1")
        if option == "jwt":
            secret = network.backend.directory().issue_jwt("u1")
        asked: list[float] = []

        def credential() -> Any:
            asked.append(network.wall())
            return way(kind) if len(asked) == 1 else secret

        options: dict[str, Any] = {option: credential}
        async with network.realtime(retry=RetryPolicy(attempts=1), **options) as realtime:
            with pytest.raises(RetriesExhausted) as caught:
                await realtime.connect()
            assert str(caught.value.cause) == f"the callable for the session or JWT failed with {kind.__name__}", (
                "no server's fault"
            )
            assert network.wall() - asked[0] < 5, "it does not wait for the timeout of the dial"
            assert network.dials == []
            await realtime.reconnect()
            assert realtime.user is not None

    assert survive(main, kind) == []


@kinds
@ways
def test_a_credential_callable_of_authenticate(kind: Kind, way: Raise) -> None:
    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            await realtime.subscribe("rows")
            with pytest.raises(IdentityUnavailable, match=kind.__name__):
                await realtime.authenticate(lambda: way(kind))  # type: ignore[arg-type, return-value]
            assert (realtime.state, len(network.dials)) == (State.SUBSCRIBED, 1)

    assert survive(main, kind) == []


# --- what runs inside -------------------------------------------------------------------------------------------------


@contextmanager
def processor(process: Any) -> Iterator[None]:
    structlog.configure(processors=[process], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.reset_defaults()


@pytest.mark.parametrize("kind", CONTAINED)
def test_a_log_processor(kind: Kind) -> None:
    async def main() -> None:
        network = Network()
        with processor(lambda *_: at_once(kind)):
            async with network.realtime() as realtime:
                rows = await realtime.subscribe("rows")
                await lose_link(network, realtime)
                publish(network, 1)
                assert (await anext(rows)).payload == {"n": 1}
                await rows.unsubscribe()
                assert realtime.state is State.UNSUBSCRIBED

    assert survive(main, kind) == ["realtime_fsm: a log processor, a log handler or a hook failed"]


@pytest.mark.parametrize("event", ["realtime.transition", "realtime.subscription", "realtime.open", "realtime.gap"])
def test_an_interrupt_in_a_log_processor(event: str) -> None:
    raised: list[str] = []

    def process(_: object, __: str, record: Mapping[str, Any]) -> Any:
        if record["event"] == event and not raised:
            raised.append(event)
            raise KeyboardInterrupt
        raise structlog.DropEvent

    async def main() -> None:
        network = Network()
        with processor(process):
            async with network.realtime() as realtime:
                rows = await realtime.subscribe("rows")
                await lose_link(network, realtime)
                publish(network, 1)
                assert (await anext(rows)).payload == {"n": 1}

    assert survive(main, KeyboardInterrupt) == ["realtime_fsm: a log processor, a log handler or a hook failed"]
    assert raised == [event]


@kinds
def test_a_warning_filter(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            files = await realtime.subscribe("files")
            for way in (
                realtime.subscribe("rows", "account.another"),
                realtime.subscribe("rows", "account.another").__aenter__(),
            ):
                with pytest.raises(kind):
                    await way
                await eventually(lambda: network.listening == {"files"})
            network.publish("files", payload={"n": 1})
            assert (await anext(files)).payload == {"n": 1}

    with warnings.catch_warnings():
        warnings.simplefilter("always", MissingChannelWarning)
        monkeypatch.setattr(warnings, "showwarning", lambda *_, **__: at_once(kind))
        run(main)


def test_a_warning_that_is_an_error() -> None:
    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            with pytest.raises(MissingChannelWarning):
                await realtime.on("account.another", print)
            await eventually(lambda: realtime.state is State.UNSUBSCRIBED)
            assert not network.listening

    with warnings.catch_warnings():
        warnings.simplefilter("error", MissingChannelWarning)
        run(main)


@pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError, GeneratorExit, Own])
async def test_a_task_that_follows_the_states_ends_itself_alone(kind: Kind) -> None:
    network = Network()
    async with network.realtime() as realtime:

        async def follow() -> None:
            async for _ in realtime.states():
                at_once(kind)

        seen: list[Change] = []

        async def watch() -> None:
            async for change in realtime.states():
                seen.append(change)

        tasks = [asyncio.create_task(each()) for each in (follow, watch)]
        await asyncio.sleep(0)
        rows = await realtime.subscribe("rows")
        publish(network, 1)
        assert (await anext(rows)).payload == {"n": 1}
        await asyncio.wait(tasks[:1])
        assert isinstance(tasks[0].exception(), kind) if not tasks[0].cancelled() else kind is asyncio.CancelledError
        assert seen[-1].dest is State.SUBSCRIBED
    await tasks[1]


@kinds
def test_the_loops_exception_handler(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    handled: list[int] = []

    def handler(event: Event) -> None:
        handled.append(event.payload["n"])
        raise LookupError("of the handler")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: at_once(kind))
        network = Network()
        async with network.realtime() as realtime:
            listener = await realtime.on("rows", handler)
            publish(network, 1, 2)
            await eventually(lambda: len(handled) == 2)
            assert (listener.failures, len(network.dials)) == (2, 1)

    with caplog.at_level(logging.ERROR, "asyncio"):
        survive(main, kind, raised=2)
    assert len(caplog.records) >= 2, "it is logged all the same"


@kinds
@ways
def test_the_code_of_a_callers_session(kind: Kind, way: Raise, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        network = Network()
        dialed: list[float] = []

        async def dial(url: str, headers: Mapping[str, str]) -> Socket:
            dialed.append(network.wall())
            if len(dialed) == 1:
                await way(kind)  # type: ignore[misc]
            return await Network.dial(network, url, headers)

        monkeypatch.setattr(network, "dial", dial)
        async with network.realtime() as realtime:
            rows = await realtime.subscribe("rows")
            publish(network, 1)
            assert (await anext(rows)).payload == {"n": 1}
            assert len(dialed) == 2
            assert dialed[1] - dialed[0] < 5, "it does not wait for the timeout of the dial"

    assert survive(main, kind) == ["realtime_fsm: an unexpected exception"]


# --- cancellations that were asked for --------------------------------------------------------------------------------


async def test_a_consumer_that_is_cancelled_in_on_misfit_ends() -> None:
    network = Network()
    begun = asyncio.Event()

    async def on_misfit(_: PayloadMisfit) -> None:
        begun.set()
        await asyncio.sleep(1000)

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", payload=Order, on_misfit=on_misfit)
        publish(network, "odd", 1)
        consumer = asyncio.ensure_future(anext(rows))
        await begun.wait()
        consumer.cancel()
        await asyncio.wait([consumer])
        assert (consumer.cancelled(), rows.failures) == (True, 0)
        assert (await anext(rows)).payload == Order(1)


async def test_cancelling_authenticate_in_its_callable() -> None:
    network = Network()

    async def secret() -> str:
        await asyncio.sleep(1000)
        raise AssertionError("it is cancelled before")

    async with network.realtime() as realtime:
        await realtime.connect()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await realtime.authenticate(secret)
        assert realtime.state is State.CONNECTED


async def test_a_timeout_within_a_handler_is_the_handlers_own() -> None:
    network = Network()
    late: list[int] = []

    async def handler(event: Event) -> None:
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(1000)
        except TimeoutError:
            late.append(event.payload["n"])

    async with network.realtime() as realtime:
        listener = await realtime.on("rows", handler)
        publish(network, 1, 2)
        await eventually(lambda: late == [1, 2])
        assert listener.failures == 0


async def test_a_cancelled_listener_unsubscribes() -> None:
    network = Network()
    async with network.realtime() as realtime:
        listener = await realtime.on("rows", print)
        listener.task.cancel()
        await listener.wait()
        await eventually(lambda: realtime.state is State.UNSUBSCRIBED)


async def test_a_cancelled_catch_up_releases_live_events() -> None:
    network = Network()

    async def catch_up(_: Gap) -> list[Event]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1000)
        raise AssertionError("it is cancelled before")

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        await lose_link(network, realtime)
        publish(network, 1)
        assert ((await anext(rows)).payload, rows.failures) == ({"n": 1}, 0)


async def test_only_another_task_closes_the_coroutine_of_a_task() -> None:
    """The garbage collector closes the coroutine of a lost task in whatever task runs at that moment."""
    other = asyncio.create_task(asyncio.sleep(0))
    assert is_asked_for(GeneratorExit(), other) is True
    assert is_asked_for(GeneratorExit(), asyncio.current_task()) is False
    await other


def test_a_coroutine_that_is_closed_closes_the_callables() -> None:
    closed: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            closed.append("the callable")

    async def main() -> None:
        coroutine = Callback("handler", waits).call()
        coroutine.send(None)
        coroutine.close()
        assert closed == ["the callable"]

    run(main)

    coroutine = Callback("handler", waits).call()
    loop = VirtualLoop()

    async def start() -> None:
        coroutine.send(None)

    loop.run_until_complete(start())
    loop.close()
    coroutine.close()  # where no loop runs
    assert closed == ["the callable"] * 2


# --- reports ----------------------------------------------------------------------------------------------------------


class Handler:
    """A callable object, and one with a method."""

    def __call__(self, event: Event) -> None:
        raise LookupError(event.payload["n"])

    def method(self, event: Event) -> None:
        raise LookupError(event.payload["n"])


@pytest.mark.virtual(reports=7)
async def test_many_failures_are_reported_together() -> None:
    network = Network()
    async with network.realtime() as realtime:
        listener = await realtime.on("rows", Handler())
        publish(network, *range(20))
        await eventually(lambda: listener.failures == 20)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert [str(context["exception"]) for context in loop.reported] == ["0", "1", "2", "3", "4"]
        await asyncio.sleep(11)
        last = loop.reported[-1]
        name = f"realtime_fsm: handler failed: {__name__}.Handler"
        assert last["message"] == f"{name}, 15 more since the last report; this is the latest"
        assert str(last["exception"]) == "19"
        await asyncio.sleep(60)
        assert len(loop.reported) == 6
        publish(network, 20)
        await eventually(lambda: listener.failures == 21)
        assert (loop.reported[-1]["message"], str(loop.reported[-1]["exception"])) == (name, "20")


@pytest.mark.virtual(reports=6)
async def test_the_end_of_a_subscription_flushes_its_reports() -> None:
    network = Network()
    async with network.realtime() as realtime:
        listener = await realtime.on("rows", Handler().method)
        publish(network, *range(7))
        await eventually(lambda: listener.failures == 7)
        await listener.stop()
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert "method, 2 more since the last report" in loop.reported[-1]["message"]
        await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (partial(partial(at_once, KeyError)), "support.raising.at_once"),
        (Handler, f"{__name__}.Handler"),
        ([].append, "list.append"),
        (print, "builtins.print"),
    ],
)
def test_a_callable_is_named_without_what_it_holds(function: Any, name: str) -> None:
    assert Callback("handler", function).name == name


@pytest.mark.virtual(reports=7)
async def test_callables_of_one_subscription_are_reported_apart() -> None:
    network = Network()
    async with network.realtime() as realtime:
        listener = await realtime.on("rows", Handler(), on_gap=lambda _: later(Own))
        publish(network, *range(7))
        await eventually(lambda: listener.failures == 7)
        await lose_link(network, realtime)
        await eventually(lambda: listener.failures == 8)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        assert f"on_gap failed: {__name__}." in loop.reported[-1]["message"]


@pytest.mark.loopback
async def test_a_thread_of_its_own_keeps_its_interrupts() -> None:
    loop = asyncio.get_running_loop()

    def elsewhere() -> str:
        async def inside() -> str:
            contain(KeyboardInterrupt())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return "runs on"

        return asyncio.run(inside())

    assert await loop.run_in_executor(None, elsewhere) == "runs on"
