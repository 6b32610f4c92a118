"""Scripts of faults in one line: their grammar, their moments, and their effect on the embedded server."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from realtime_fsm import BadOption
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.script import Fault, parse, run
from support.loopback import DEMO, GREETING, PING, PONG, connected

FAULTS = ("drop", "refuse", "freeze", "deaf", "fault")
END = None


async def calls_of(script: str) -> list[tuple[float, str, float | None]]:
    """Run a script; return the moment of each call, the name of the fault, and its length or `END`."""
    loop = asyncio.get_running_loop()
    start, calls = loop.time(), list[tuple[float, str, float | None]]()

    def note(name: str, length: float | None) -> None:
        calls.append((round(loop.time() - start, 6), name, length))

    await run(parse(script), {name: Fault(partial(note, name), partial(note, name, END)) for name in FAULTS})
    assert calls[-1][0] == round(loop.time() - start, 6), "the script is over with its last call"
    return calls


async def test_each_fault_begins_at_its_moment_and_ends_after_its_length() -> None:
    assert await calls_of("2s drop; 2s refuse 1s; 5s freeze 3s; 12s deaf; 20s fault 4s") == [
        (2, "drop", 0),
        (2, "refuse", 1),
        (3, "refuse", END),
        (5, "freeze", 3),
        (8, "freeze", END),
        (12, "deaf", 0),
        (20, "fault", 4),
        (24, "fault", END),
    ]


async def test_steps_have_any_order_any_space_and_three_units() -> None:
    assert await calls_of(" 1.5m drop ;500ms   freeze\t250ms;0s drop;") == [
        (0, "drop", 0),
        (0.5, "freeze", 0.25),
        (0.75, "freeze", END),
        (90, "drop", 0),
    ]


async def test_a_semicolon_may_end_a_script() -> None:
    assert await calls_of("1s drop;") == await calls_of("1s drop") == [(1, "drop", 0)]


async def test_a_fault_without_a_length_lasts_and_a_drop_does_not() -> None:
    assert await calls_of("1s drop; 1s drop; 1.5s drop; 2s refuse; 2s freeze") == [
        (1, "drop", 0),
        (1, "drop", 0),
        (1.5, "drop", 0),
        (2, "refuse", 0),
        (2, "freeze", 0),
    ]


async def test_at_one_moment_a_fault_ends_before_the_next_begins() -> None:
    assert await calls_of("8s freeze 1s; 5s freeze 3s; 8s drop") == [
        (5, "freeze", 3),
        (8, "freeze", END),
        (8, "freeze", 1),
        (8, "drop", 0),
        (9, "freeze", END),
    ]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "2s drop; 5s freez 3s",
            r"step 2, '5s freez 3s': there is no fault 'freez'; write one of drop, refuse, freeze, deaf, fault",
        ),
        ("", r"step 1, '': not a moment, a fault and perhaps a length; write one such as '5s freeze 3s'"),
        (";", r"step 1, '': not a moment"),
        ("2s drop;; 3s drop", r"step 2, '': not a moment"),
        ("drop", r"step 1, 'drop': not a moment"),
        ("2s freeze 3s 4s", r"step 1, '2s freeze 3s 4s': not a moment"),
        ("2s drop 3s", r"step 1, '2s drop 3s': drop takes no length; leave it out"),
        ("2s fault", r"step 1, '2s fault': fault needs a length; write '2s fault 4s'"),
        ("2 drop", r"'2' is not a time; write a number and ms, s or m, such as '2s'"),
        ("-2s drop", r"'-2s' is not a time"),
        ("2s freeze 1h", r"'1h' is not a time"),
        ("infs drop", r"'infs' is not a time"),
        ("5s freeze 3s; 7s freeze", r"step 2, '7s freeze': step 1, '5s freeze 3s' has not ended by then; begin later, or"),
        ("5s deaf; 7s deaf 1s", r"step 2, '7s deaf 1s': step 1, '5s deaf' has not ended by then"),
        ("7s fault 1s; 5s fault 3s", r"step 1, '7s fault 1s': step 2, '5s fault 3s' has not ended by then"),
        (7, "int is not a text"),
    ],
)
@pytest.mark.loopback
async def test_an_error_names_the_step_that_is_not_valid_and_the_remedy(script: str, message: str) -> None:
    async with RealtimeServer() as server:
        with pytest.raises(BadOption, match=message) as refusal:
            server.script(script)
        assert refusal.value.option == "script"


@pytest.mark.loopback
async def test_a_script_runs_every_fault_of_the_server() -> None:
    async with RealtimeServer() as server:
        async with connected(server, DEMO + "&channels[]=rows") as client:
            await client.text()
            await server.script("0s freeze 20ms; 0s deaf 20ms; 30ms fault 10ms")
            assert server.publish("e", "rows", {"n": 1}) == 1
            assert (await client.json())["data"]["payload"] == {"n": 1}

            await server.script("0s deaf")
            assert server.publish("lost", "rows", {}) == 0
            client.send(PING)
            assert await client.text() == PONG
            server.heal()

            await server.script("0s freeze")
            client.send(PING)
            await client.silent()
            server.thaw()
            assert await client.text() == PONG

            fault = server.script("0s fault 1m")
            await asyncio.sleep(0)
            client.send('{"type":"subscribe","data":[]}')
            assert await client.error_code() == 0
            fault.cancel()

            await server.script("0s drop")
            assert await client.ending() == "eof"
            assert server._core.scripts == set(), "a server keeps no script that is over"
        await server.wait_for_connections(0)


@pytest.mark.loopback
async def test_a_stop_ends_the_script() -> None:
    server = RealtimeServer()
    await server.start()
    script = server.script("0s fault 1m; 30m drop")
    await asyncio.sleep(0)
    await server.stop()
    assert script.cancelled()
    await server.start()
    async with connected(server) as client:
        client.send(PING)
        assert [await client.text(), await client.text()] == [GREETING, PONG]
    await server.stop()
