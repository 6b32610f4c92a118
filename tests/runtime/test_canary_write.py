"""A canary that the user's callable writes: its event must come back, and a failure of the callable proves nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_fsm import Canary, Realtime, State, Subscription
from support.canary import EVER, deafen, heal, written
from support.network import Network, take_numbers
from support.virtual import VirtualLoop, eventually


async def listen(realtime: Realtime) -> Subscription:
    """Listen to the channel of the canary, too."""
    return await realtime.subscribe("rows", "beats")


@pytest.mark.parametrize("turns", range(6))
async def test_a_canary_that_is_given_up_before_it_begins_is_not_the_last(turns: int) -> None:
    """The link is given up a few turns of the loop after it served everything, when a canary was due."""
    network = Network(era="E3")
    realtime, _ = written(network)
    async with realtime:
        await listen(realtime)
        await realtime.disconnect()
        changes = realtime.states()
        connecting = asyncio.ensure_future(realtime.connect())
        async for change in changes:
            if change.dest is State.SUBSCRIBED:
                break
        for _ in range(turns):
            await asyncio.sleep(0)
        await realtime.disconnect()
        await asyncio.gather(connecting, return_exceptions=True)
        await realtime.connect()
        await asyncio.sleep(1)
        deafen(network)
        dialed = len(network.dials)
        await asyncio.sleep(320)
        assert len(network.dials) > dialed


@pytest.mark.parametrize("era", ["E1", "E2", "E3", "E4"])
async def test_what_is_written_must_come_back(era: Any) -> None:
    network = Network(era=era)
    realtime, times = written(network)
    async with realtime:
        rows = await listen(realtime)
        await asyncio.sleep(601)
        assert (len(times), len(network.dials)) == (3, 1)
        assert take_numbers(rows) == [0, 0, 0]
        deafen(network)
        await eventually(lambda: len(network.dials) == 2)
        assert network.wall() - times[-1] < 13
        heal(network)
        await eventually(lambda: rows.gaps)
        await asyncio.sleep(700)
        assert (len(rows.gaps), len(network.dials), realtime.state) == (1, 2, State.SUBSCRIBED)
        assert (await anext(rows)).subscriptions == (rows.id,), "the hidden subscription stays hidden"


@pytest.mark.parametrize("by", ["raise", "cancel"])
@pytest.mark.virtual(reports=3)
async def test_a_write_that_raises_is_reported_and_is_no_proof_of_deafness(by: str) -> None:
    network = Network()
    realtime, times = written(network, by=by)
    async with realtime:
        await realtime.subscribe("rows")
        await asyncio.sleep(700)
        assert (len(times), len(network.dials), realtime.state) == (3, 1, State.SUBSCRIBED)


@pytest.mark.virtual(reports=1)
async def test_a_write_that_hangs_is_told_once_is_no_proof_either_and_ends_with_the_connection() -> None:
    network = Network()
    realtime, times = written(network, by="hang")
    async with realtime:
        await realtime.subscribe("rows")
        await asyncio.sleep(700)
        assert (len(times), len(network.dials)) == (1, 1)
        network.socket.cut()
        await eventually(lambda: len(network.dials) == 2)
        await asyncio.sleep(20)
        assert len(times) == 2, "the one before was cancelled with its link"
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        (told,) = loop.reported
        assert "has not returned for 300 s" in str(told["exception"])


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.virtual(reports=1)
async def test_a_write_that_takes_long_holds_the_next_one_up(ended: bool) -> None:
    network = Network()
    calls: list[float] = []

    async def write() -> None:
        calls.append(network.wall())
        network.publish("beats", payload={"n": 0})
        if len(calls) == 1:
            await asyncio.sleep(310 if ended else 1_000_000)

    async with network.realtime(canary=Canary(300, 10, write, "beats"), retry=EVER) as realtime:
        await realtime.subscribe("rows")
        await asyncio.sleep(500)
        assert len(calls) == (2 if ended else 1), "its echo came, and the callable had not returned"
        network.publish("beats", payload={"n": 0})
        await asyncio.sleep(1)
        assert (len(network.dials), realtime.state) == (1, State.SUBSCRIBED)


async def test_a_refusal_that_ends_the_link_is_asked_for_again_in_its_time_only() -> None:
    """Otherwise each new link would end over its canary."""
    network = Network()
    realtime, times = written(network)
    async with realtime:
        await realtime.subscribe("rows")
        await asyncio.sleep(1)
        network.banned.add(b'"canary"')
        network.socket.cut()
        await asyncio.sleep(299)
        assert (realtime.state, len(network.dials), len(times)) == (State.SUBSCRIBED, 3, 1)
        await asyncio.sleep(300)
        assert len(network.dials) == 4
        network.banned.clear()
        await asyncio.sleep(300)
        assert (len(network.dials), len(times)) == (4, 2)


async def test_a_message_that_changes_the_user_lets_the_canary_listen_anew() -> None:
    network = Network()
    realtime, _ = written(network)
    async with realtime:
        await realtime.subscribe("rows")
        await asyncio.sleep(1)
        await realtime.authenticate(network.backend.add_user("alice"))
        await asyncio.sleep(301)
        hidden = [data for data in network.socket.sent if b'"canary"' in data]
        assert (len(hidden), len(network.dials)) == (2, 1)
