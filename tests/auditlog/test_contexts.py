"""Whose context code runs in: a connection's own for its records and tasks, and for a callable the one in which it was given."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import msgspec
import pytest
import structlog

from realtime_fsm import Event, Gap, Realtime, State
from realtime_fsm.runtime.suspend import detector_for
from support.network import Network
from support.virtual import eventually, run

request: ContextVar[str] = ContextVar("request", default="none")


class Order(msgspec.Struct):
    n: int


@pytest.fixture(autouse=True)
def written() -> Iterator[list[tuple[str, str]]]:
    """Each record by its name, and the request in whose context it was processed."""
    records: list[tuple[str, str]] = []

    def take(_: object, __: str, record: Any) -> Any:
        records.append((record["event"], request.get()))
        raise structlog.DropEvent

    structlog.configure(processors=[take], cache_logger_on_first_use=False)
    yield records
    structlog.reset_defaults()


async def within(name: str, work: Any) -> Any:
    """Do something in a request."""

    async def named() -> Any:
        request.set(name)
        return await work()

    return await asyncio.create_task(named())


async def lose_link(network: Network, realtime: Realtime) -> None:
    links = len(network.sockets)
    network.socket.cut()
    await eventually(lambda: len(network.sockets) > links and realtime.state is State.SUBSCRIBED)


def test_records_are_written_in_the_context_in_which_the_connection_was_built(written: list[tuple[str, str]]) -> None:
    async def main() -> None:
        network = Network()
        request.set("the program")
        realtime = network.realtime()
        request.set("later")
        rows = await within("first", lambda: realtime.subscribe("rows", buffer=1))
        await within("second", lambda: realtime.subscribe("files"))
        await within("third", lambda: realtime.set_presence(None))
        await lose_link(network, realtime)
        for _ in range(2):
            network.publish("rows")
        await asyncio.sleep(1)
        await within("fourth", lambda: anext(rows))
        await asyncio.sleep(100)  # some pings
        await within("fifth", rows.unsubscribe)
        await within("sixth", realtime.dispose)

    run(main)
    assert {name for name, _ in written} >= {
        "realtime.open", "realtime.transition", "realtime.subscription", "realtime.presence", "realtime.outage",
        "realtime.gap", "realtime.dropped", "realtime.ping", "realtime.close",
    }  # fmt: skip
    assert {where for _, where in written} == {"the program"}


async def test_tasks_and_timers_of_a_connection_hold_no_context_of_a_caller() -> None:
    network = Network()
    dialed: list[str] = []
    dial = network.dial

    async def noting(*given: Any) -> Any:
        dialed.append(request.get())
        return await dial(*given)

    network.dial = noting  # type: ignore[assignment, method-assign]
    async with network.realtime() as realtime:
        await within("first", lambda: realtime.subscribe("rows"))
        await lose_link(network, realtime)
        await within("second", realtime.reconnect)
        assert dialed == ["none"] * 3
        timer: Any = realtime._driver._timer
        assert timer._context.get(request) is None
        watch: Any = detector_for(asyncio.get_running_loop())
        assert watch._timer._context.get(request) is None


@pytest.mark.parametrize("patient", [False, True])
async def test_callables_of_a_subscription_run_in_the_context_in_which_they_were_given(patient: bool) -> None:
    network = Network()
    seen: list[tuple[str, str]] = []

    def noting(kind: str) -> Any:
        def note(_: object) -> None:
            seen.append((kind, request.get()))

        async def note_later(given: object) -> None:
            await asyncio.sleep(1)
            note(given)

        return note_later if patient else note

    async def catch_up(_: Gap) -> list[Event]:
        await asyncio.sleep(1)
        seen.append(("catch_up", request.get()))
        return []

    async with network.realtime() as realtime:
        options: dict[str, Any] = {"payload": Order, "on_misfit": noting("on_misfit"), "on_gap": noting("on_gap")}
        rows = await within("first", lambda: realtime.subscribe("rows", catch_up=catch_up, **options))
        await within("second", lambda: realtime.on("files", noting("handler"), **options))
        await lose_link(network, realtime)
        await eventually(lambda: len(seen) == 3)
        assert sorted(seen) == [("catch_up", "first"), ("on_gap", "first"), ("on_gap", "second")]
        seen.clear()
        for channel in ("rows", "files"):
            network.publish(channel, payload={"n": "odd"})
            network.publish(channel, payload={"n": 1})
        await within("third", lambda: anext(rows))
        await eventually(lambda: len(seen) == 3)
        assert sorted(seen) == [("handler", "second"), ("on_misfit", "first"), ("on_misfit", "second")]


async def test_a_call_that_is_awaited_elsewhere_was_given_where_it_was_made() -> None:
    network = Network()
    seen: list[str] = []
    async with network.realtime() as realtime:
        request.set("made")
        call = realtime.on("rows", lambda _: seen.append(request.get()))
        request.set("awaited")
        await call
        network.publish("rows")
        await eventually(lambda: seen)
        assert seen == ["made"]


@pytest.mark.parametrize("patient", [False, True])
async def test_a_credential_callable_runs_in_the_context_in_which_it_was_given(patient: bool) -> None:
    network = Network()
    secret = network.backend.add_user("alice")
    asked: list[str] = []

    def plain() -> str:
        asked.append(request.get())
        return secret

    async def waits() -> str:
        await asyncio.sleep(1)
        return plain()

    request.set("built")
    realtime = network.realtime(session=waits if patient else plain)
    request.set("later")
    async with realtime:
        await within("first", realtime.connect)
        await within("second", lambda: realtime.authenticate(waits if patient else plain))
        await within("third", realtime.reconnect)
        assert asked[0] == "built"
        assert set(asked[1:]) == {"second"}


async def test_a_handler_leaves_nothing_behind_in_the_context_of_the_next_event() -> None:
    network = Network()
    seen: list[str] = []

    async def handler(event: Event) -> None:
        seen.append(request.get())
        request.set(f"event {event.payload['n']}")
        await asyncio.sleep(1)
        seen.append(request.get())

    async with network.realtime() as realtime:
        await realtime.on("rows", handler)
        for number in (1, 2):
            network.publish("rows", payload={"n": number})
        await eventually(lambda: len(seen) == 4)
        assert seen == ["none", "event 1", "none", "event 2"]
