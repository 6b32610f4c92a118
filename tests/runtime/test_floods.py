"""A server that repeats itself: the event loop has its turns, the log stays short, and requests leave."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import MutableMapping
from typing import Any

import pytest

from realtime_fsm import Realtime, State
from realtime_fsm.testing.wire import error
from support.network import Network
from support.virtual import eventually

EVENT = b'{"type":"event","data":{"channels":["rows"],"timestamp":0,"payload":{"$id":"same"},"subscriptions":["%b"]}}'
FLOODS = {
    "no JSON": b"{",
    "an unknown type": b'{"type":"x"}',
    "pongs": b'{"type":"pong"}',
    "unawaited answers": b'{"type":"response","data":{"to":"subscribe","success":true,"subscriptions":[]}}',
    "greetings": b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":null}}',
    "events for a subscription that is not known": EVENT % b"s999",
    "events of one thing, of which the newest is kept": EVENT % b"s1",
    "1013": error(1013),
}


async def most_in_a_turn(network: Network, realtime: Realtime, frame: bytes) -> int:
    """Send a frame 5,000 times; return how many the client reads between two turns of another task."""
    facts = realtime._driver.context.require_link
    before = facts.frames_received
    for _ in range(5_000):
        network.socket._inbound.put_nowait(frame)
    turns = [before]
    while facts.frames_received < before + 5_000:
        await asyncio.sleep(0)
        turns.append(facts.frames_received)
    return max(after - one for one, after in itertools.pairwise(turns))


@pytest.mark.parametrize("frame", FLOODS.values(), ids=FLOODS)
async def test_the_event_loop_has_its_turns_whatever_comes(frame: bytes) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows", overflow="latest")
        assert await most_in_a_turn(network, realtime, frame) <= (256 if "event" in str(frame) else 32)


@pytest.mark.parametrize("greeted", [False, True])
async def test_the_event_loop_has_its_turns_where_the_routes_know_no_event(greeted: bool) -> None:
    """In the URL eras the routes of a link decide; before its greeting it has no routes."""
    network = Network(era="E2")
    async with network.realtime(era="E2") as realtime:
        await realtime.subscribe("rows")
        if not greeted:
            network.otherwise = "mute"
            network.socket.cut()
            await eventually(lambda: len(network.sockets) == 2)
            await asyncio.sleep(0.1)
        frame = b'{"type":"event","data":{"channels":["files"],"events":["e"],"timestamp":0,"payload":{}}}'
        assert await most_in_a_turn(network, realtime, frame) <= 256


async def test_ids_that_are_not_known_are_counted_once_a_frame(records: list[MutableMapping[str, Any]]) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.socket.push(network.event(b'"payload":{}', *(f"x{number}" for number in range(1_000))))
        await eventually(lambda: realtime.malformed)
        assert realtime.malformed == {"unknown_subscription": 1_000}
        assert [record["event"] for record in records].count("realtime.malformed") == 1


@pytest.mark.parametrize("code", [1008, 1013])
async def test_a_repeated_error_is_one_record_at_most_and_holds_nothing_up(
    code: int, records: list[MutableMapping[str, Any]]
) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        before = len(records)
        for _ in range(1_000):
            network.socket.push(error(code))
        await asyncio.sleep(5)
        assert len(records) - before == (code == 1008)
        async with asyncio.timeout(5):
            await realtime.subscribe("files")
        assert (realtime.state, len(network.dials)) == (State.SUBSCRIBED, 1)


async def test_a_repeated_1008_is_the_reason_of_the_end() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        for _ in range(3):
            network.socket.push(error(1008))
            network.socket.push(FLOODS["pongs"])
        network.socket.push(error(1008))
        network.socket.cut()
        await eventually(lambda: realtime.last_failure is not None)
        assert realtime.last_failure is not None
        assert "1008" in str(realtime.last_failure.error)


async def test_a_reply_behind_a_1013_is_an_answer() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        asking = asyncio.create_task(realtime.subscribe("files"))
        await asyncio.sleep(0)
        network.socket.push(error(1013))
        async with asyncio.timeout(5):
            files = await asking
        assert files.channels == ("files",)
        assert realtime.state is State.SUBSCRIBED
        await asyncio.sleep(200)
        assert sum(b'"files"' in message for message in network.socket.sent) == 1
