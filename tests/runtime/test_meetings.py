"""Where two features meet: identities on trial, lost links, pauses, server faults, canaries, and calls that end each other."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from realtime_fsm import (
    Disconnected,
    Disposed,
    LinkLost,
    LinkPaused,
    PingPolicy,
    RealtimeError,
    RefusedByServer,
    State,
    Timeouts,
)
from realtime_fsm.testing.wire import Reply, error
from support.canary import OWN, deafen, own, statuses
from support.network import MUTE, Network
from support.virtual import eventually, run

Records = list[MutableMapping[str, Any]]


@pytest.mark.parametrize(("ending", "raised"), [("dispose", Disposed), ("disconnect", Disconnected), ("loss", LinkLost)])
async def test_a_call_that_a_greeting_wakes_is_told_what_ended_the_link_meanwhile(
    ending: str, raised: type[RealtimeError]
) -> None:
    network = Network(era="E4")
    realtime = network.realtime(auto_reconnect=False)
    await realtime.subscribe("account")  # so that a message would not do
    states = realtime.states()
    becoming = asyncio.ensure_future(realtime.authenticate(network.backend.add_user("alice")))
    while (await anext(states)).dest is not State.CONNECTED:
        pass
    if ending == "loss":
        network.socket._inbound.put_nowait(1006)
    else:
        await getattr(realtime, ending)()
    with pytest.raises(raised):
        await asyncio.wait_for(becoming, 60)
    await realtime.dispose()


async def test_an_identity_that_a_pause_held_up_counts_when_the_server_names_it() -> None:
    network = Network(era="E4")
    alice, bob = network.backend.add_user("alice"), network.backend.add_user("bob")
    async with network.realtime(session=alice, timeouts=Timeouts(reply=2)) as realtime:
        rows = await realtime.subscribe("rows", buffer=4, overflow="pause")
        for n in range(20):
            network.publish("rows", payload={"n": n})
        await asyncio.sleep(1)
        with pytest.raises(LinkPaused):
            await realtime.authenticate(bob)
        assert realtime.user is not None
        assert realtime.user["$id"] == "alice"
        assert [(await anext(rows)).payload["n"] for _ in range(20)] == list(range(20))
        await eventually(lambda: realtime.user is not None and realtime.user["$id"] == "bob")
        network.socket.cut()
        await eventually(lambda: len(network.dials) == 2)
        assert network.headers[-1] == {"X-Appwrite-Session": bob}


def test_a_new_identity_that_the_server_refuses_asks_no_callable_of_the_old_one(records: Records) -> None:
    async def main() -> None:
        network = Network(era="E4")
        alice, bob = network.backend.add_user("alice"), network.backend.add_user("bob")
        asked: list[str] = []

        def give() -> str:
            asked.append(alice)
            return alice

        async with network.realtime(session=give) as realtime:
            await realtime.subscribe("rows")
            network.socket.frozen = True  # the message that is to change the identity is lost with its link
            becoming = asyncio.ensure_future(realtime.authenticate(bob))
            await asyncio.sleep(1)
            network.script.append(MUTE)
            network.socket.cut()
            await eventually(lambda: len(network.sockets) == 2)
            network.socket.answer(Reply((error(401),), end=True))
            with pytest.raises(RefusedByServer):
                await becoming
            await realtime.wait_subscribed()
            sessions = [headers["X-Appwrite-Session"] for headers in network.headers]
            assert (sessions, len(asked)) == ([alice, bob, alice], 2)

    run(main)
    assert "rec130" not in [record.get("row") for record in records], "the new identity is no callable's"


@pytest.mark.parametrize("seconds", [5, 40])
async def test_a_link_whose_server_was_at_fault_stays_and_gets_the_gap_of_the_fault_alone(
    seconds: float, records: Records
) -> None:
    network = Network()
    async with own(network, ping=PingPolicy(interval=4, timeout=4)) as realtime:
        rows = await realtime.subscribe("rows")
        await asyncio.sleep(250)
        since = deafen(network)
        await eventually(lambda: len(statuses(network)) == 2)
        network.backend.faulty = True
        await asyncio.sleep(seconds)
        network.backend.faulty = False
        await asyncio.sleep(20)
        (gap,) = rows.gaps
        assert gap.outage_seconds == pytest.approx(seconds, abs=6)
        assert (len(network.dials), gap.attempts) == (1, 0)
        await eventually(lambda: not realtime.is_live)
        assert network.wall() - since == pytest.approx(50 + OWN.every + OWN.within, abs=1), "the next canary finds it deaf"
    assert [record["change"] for record in records if record["event"] == "realtime.canary"] == ["echoed", "missed", "missed"]
