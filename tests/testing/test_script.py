"""Scripts of faults in one line: their grammar, their moments, and what they do to the embedded server."""

from __future__ import annotations

import asyncio
import json

import pytest

from realtime_fsm import BadOption
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.script import Act, parse, play
from support.loopback import DEMO, GREETING, PING, PONG, connected
from support.virtual import run

FAULTS = ("drop", "freeze", "deaf", "fault")


def played(script: str) -> tuple[list[tuple[float, str, float | None]], float]:
    """What happens when, and when the script is over; an end has no length."""

    async def main() -> tuple[list[tuple[float, str, float | None]], float]:
        loop = asyncio.get_running_loop()
        start, told = loop.time(), list[tuple[float, str, float | None]]()

        def tell(name: str, length: float | None) -> None:
            told.append((round(loop.time() - start, 6), name, length))

        def act(name: str) -> Act:
            return Act(lambda length: tell(name, length), lambda: tell(name, None))

        await play(parse(script), {name: act(name) for name in FAULTS})
        return told, round(loop.time() - start, 6)

    return run(main)


def test_each_step_comes_at_its_moment_and_ends_after_its_length() -> None:
    told, over = played("2s drop; 5s freeze 3s; 12s deaf; 20s fault 4s")
    assert told == [(2, "drop", 0), (5, "freeze", 3), (8, "freeze", None), (12, "deaf", 0), (20, "fault", 4), (24, "fault", None)]
    assert over == 24


def test_steps_stand_in_any_order_with_any_space_and_in_three_units() -> None:
    told, over = played(" 1.5m drop ;500ms   freeze\t250ms;0s drop;")
    assert told == [(0, "drop", 0), (0.5, "freeze", 0.25), (0.75, "freeze", None), (90, "drop", 0)]
    assert over == 90


def test_what_ends_and_begins_at_one_moment_ends_first() -> None:
    told, _ = played("8s freeze 1s; 5s freeze 3s; 8s drop")
    assert [(at, name, length is None) for at, name, length in told] == [
        (5, "freeze", False), (8, "freeze", True), (8, "freeze", False), (8, "drop", False), (9, "freeze", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("2s drop; 5s freez 3s", r"step 2, '5s freez 3s': there is no fault 'freez'; write one of drop, freeze, deaf, fault"),
        ("", r"step 1, '': not a moment, a fault and perhaps a length; write one such as '5s freeze 3s'"),
        (";", r"step 1, '': not a moment"),
        ("2s drop;; 3s drop", r"step 2, '': not a moment"),
        ("drop", r"step 1, 'drop': not a moment"),
        ("2s freeze 3s 4s", r"step 1, '2s freeze 3s 4s': not a moment"),
        ("2s drop 3s", r"step 1, '2s drop 3s': drop takes no length; leave it out"),
        ("2s fault", r"step 1, '2s fault': fault needs a length; write '2s fault 4s'"),
        ("2 drop", r"'2' is no time; write a number and ms, s or m, such as '2s'"),
        ("-2s drop", r"'-2s' is no time"),
        ("2s freeze 1h", r"'1h' is no time"),
        ("infs drop", r"'infs' is no time"),
        ("5s freeze 3s; 7s freeze", r"step 2, '7s freeze': step 1, '5s freeze 3s' has not ended by then; begin later, or"),
        ("5s deaf; 7s deaf 1s", r"step 2, '7s deaf 1s': step 1, '5s deaf' has not ended by then"),
        ("7s fault 1s; 5s fault 3s", r"step 1, '7s fault 1s': step 2, '5s fault 3s' has not ended by then"),
        (7, "int is no text"),
    ],
)
@pytest.mark.loopback
async def test_a_step_that_cannot_be_read_is_named_with_the_remedy(script: str, said: str) -> None:
    async with RealtimeServer() as server:
        with pytest.raises(BadOption, match=said) as refusal:
            server.script(script)
        assert refusal.value.option == "script"


@pytest.mark.loopback
async def test_a_script_plays_every_fault_of_the_server() -> None:
    async with RealtimeServer() as server:
        async with connected(server, DEMO + "&channels[]=rows") as client:
            await client.text()
            await server.script("0s freeze 20ms; 0s deaf 20ms; 30ms fault 10ms")
            assert server.publish("e", "rows", {"n": 1}) == 1
            assert json.loads(await client.text())["data"]["payload"] == {"n": 1}

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
            assert json.loads(await client.text())["data"]["code"] == 0
            fault.cancel()

            await server.script("0s drop")
            assert await client.ending() == "eof"
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
