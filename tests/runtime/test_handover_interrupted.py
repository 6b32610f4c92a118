"""A handover is interrupted: by calls of the user, or by a loss. Nothing is left behind. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_fsm import (
    Disconnected,
    Disposed,
    Realtime,
    RetryPolicy,
    State,
    Subscription,
)
from realtime_fsm.errors import DialFailed
from realtime_fsm.fsm.context import HANDOVER_DEBOUNCE
from realtime_fsm.fsm.link import DRAIN_SECONDS
from support.eras import ON_EVERY_ERA, only
from support.handing import closed, handing_over
from support.network import HANG, LATENCY, MUTE, Network, take_numbers
from support.virtual import eventually

pytestmark = [ON_EVERY_ERA, only("E1", "E2", "E3", because="the newest one takes new channels by message, on the same link")]

PATIENT = RetryPolicy(attempts=None)


async def disconnects(network: Network, realtime: Realtime) -> None:
    await realtime.disconnect()
    assert all(closed(network.sockets))
    assert not network.backend.connections
    await realtime.connect()


async def disposes(network: Network, realtime: Realtime) -> None:
    await realtime.dispose()


async def reconnects(network: Network, realtime: Realtime) -> None:
    await realtime.reconnect()


async def authenticates(network: Network, realtime: Realtime) -> None:
    user = await realtime.authenticate(network.backend.add_user("alice"))
    assert user["$id"] == "alice"


@pytest.mark.parametrize("act", [disconnects, disposes, reconnects, authenticates])
@pytest.mark.parametrize("moment", ["settling", HANG, MUTE, "waiting for another attempt", "lingering"])
async def test_whatever_happens_in_the_middle_leaves_nothing_behind(moment: str, act: Any) -> None:
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await realtime.subscribe("rows")
        if moment == "settling":
            asking = asyncio.ensure_future(realtime.subscribe("files"))
            await asyncio.sleep(HANDOVER_DEBOUNCE / 2)
        else:
            how: Any = {HANG: HANG, MUTE: MUTE, "lingering": "greet"}.get(moment, DialFailed("refused"))
            asking = await handing_over(network, realtime, how)
            await asyncio.sleep(10 * LATENCY)
        assert realtime.is_live is (moment in ("settling", "lingering"))
        await act(network, realtime)
        result: Any = (await asyncio.gather(asking, return_exceptions=True))[0]
        if moment == "lingering" or act in (reconnects, authenticates):
            assert isinstance(result, Subscription)
        else:
            assert type(result) is (Disposed if act is disposes else Disconnected)
        if act is not disposes:
            await eventually(lambda: realtime.state is State.SUBSCRIBED)
            await asyncio.sleep(DRAIN_SECONDS + 1)
            network.publish("rows", payload={"n": 1})
            await asyncio.sleep(1)
            assert take_numbers(rows) == [1]
            assert len(network.backend.connections) == 1
            assert closed(network.sockets[:-1]) == [True] * (len(network.sockets) - 1)
    assert all(closed(network.sockets))
    assert not network.backend.connections


async def test_a_loss_while_the_old_link_lingers_lets_go_of_both() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.subscribe("files")
        network.socket.cut()
        await eventually(lambda: realtime.state is State.RECONNECTING)
        await asyncio.sleep(10 * LATENCY)
        assert closed(network.sockets) == [True, True]
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert len(rows.gaps) == 1


async def test_what_is_unsubscribed_meanwhile_is_not_asked_for() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        asking = await handing_over(network, realtime, DialFailed("refused"))
        await rows.unsubscribe()
        network.publish("rows", payload={"n": 1})
        assert [event async for event in rows] == []
        await asking
        assert (network.listening, realtime.malformed) == ({"files"}, {})


async def test_unsubscribing_keeps_the_link_and_what_still_comes_is_dropped_silently() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows, files = await asyncio.gather(realtime.subscribe("rows"), realtime.subscribe("files"))
        await asyncio.sleep(2)
        links = len(network.dials)
        network.publish("rows", payload={"n": 1})
        await rows.unsubscribe()
        for number in (2, 3):
            network.publish("rows", "files", payload={"n": number})
        await asyncio.sleep(1)
        assert (take_numbers(files), realtime.malformed, len(network.dials)) == ([2, 3], {}, links)
        assert [event async for event in rows] == []
        await files.unsubscribe()
        network.publish("files")
        await asyncio.sleep(1)
        assert (realtime.state, realtime.malformed, len(network.dials)) == (State.UNSUBSCRIBED, {}, links)
