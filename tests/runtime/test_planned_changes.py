"""A planned change of link makes before it breaks: nothing is lost, and no gap is told. In virtual time and on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from realtime_fsm import GreetedAsGuest, PingPolicy, Realtime, RetriesExhausted, RetryPolicy, State
from realtime_fsm.errors import DialFailed
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.protocol.frames import PING
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.connection import ServerConnection
from support.eras import BY_MESSAGE, ON_EVERY_ERA, only
from support.network import HANG, Network, take_numbers
from support.virtual import eventually

pytestmark = ON_EVERY_ERA

CHANGES = 4
AGE = 20.0
Change = Callable[[Realtime, str], Awaitable[object]]


async def publish(network: Network, count: int, pause: float = 0.007) -> list[int]:
    for number in range(count):
        network.publish("rows", payload={"n": number})
        await asyncio.sleep(pause)
    return list(range(count))


async def ages(realtime: Realtime, session: str) -> None:
    await asyncio.sleep(AGE)


async def reconnects(realtime: Realtime, session: str) -> None:
    await realtime.reconnect()


async def authenticates(realtime: Realtime, session: str) -> None:
    await realtime.authenticate(session)


@pytest.mark.parametrize("change", [ages, reconnects, authenticates])
async def test_planned_changes_lose_nothing(change: Change) -> None:
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime(session=session, max_link_age=AGE if change is ages else None) as realtime:
        rows = await realtime.subscribe("rows", "account", buffer=100_000)
        publishing = asyncio.ensure_future(publish(network, 12_000))
        for _ in range(CHANGES):
            await change(realtime, session)
            await asyncio.sleep(DRAIN_SECONDS / 2)
        published = await publishing
        await asyncio.sleep(5)
        assert len(network.dials) >= 1 + CHANGES
        assert (take_numbers(rows) == published, rows.gaps, realtime.malformed) == (True, (), {})
        assert len(network.backend.connections) == 1, "every old link is closed"


@pytest.mark.parametrize(("old", "new"), [(0.3, 0.01), (0.01, 0.3)])
async def test_where_one_link_lags_nothing_is_lost_and_a_gap_tells_of_another_order(old: float, new: float) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", buffer=10_000)
        network.socket.latency = old
        network.latencies.extend([new] * 2)
        publishing = asyncio.ensure_future(publish(network, 300))
        await asyncio.sleep(0.5)
        await realtime.reconnect()
        published = await publishing
        await asyncio.sleep(5)
        got = take_numbers(rows)
        assert sorted(got) == published
        assert bool(rows.gaps) == (got != published)


async def test_while_the_new_link_is_dialed_the_old_one_delivers_and_counts() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        network.script.append(HANG)
        reconnecting = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: realtime.state is State.RECONNECTING)
        await realtime.wait_connected(0)
        await realtime.wait_subscribed(0)
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert (take_numbers(rows), reconnecting.done(), realtime._driver.outages.current) == ([1], False, None)
        await reconnecting
        assert rows.gaps == ()


@BY_MESSAGE
async def test_the_old_link_goes_after_the_reply_and_not_after_the_greeting() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        reconnecting = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: realtime.state is State.CONNECTED)
        assert realtime._driver.links.draining_serves
        await reconnecting
        assert not realtime._driver.links.draining_serves
        assert network.sockets[0].sent[-1] == PING, "it is asked for one more answer"
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert network.sockets[0].closed is not None


async def test_a_dial_that_fails_for_good_leads_back_to_the_old_link() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=2)) as realtime:
        rows = await realtime.subscribe("rows")
        network.script.extend([DialFailed("refused")] * 2)
        with pytest.raises(RetriesExhausted) as caught:
            await realtime.reconnect()
        assert (caught.value.attempts, caught.value.option) == (2, "attempts")
        assert (realtime.state, realtime.is_live, realtime.error) == (State.SUBSCRIBED, True, None)
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert (take_numbers(rows), rows.gaps, len(network.backend.connections)) == ([1], (), 1)
        await realtime.reconnect()


async def test_a_renewal_that_failed_is_tried_again_after_a_tenth_of_the_age() -> None:
    network = Network()
    async with network.realtime(max_link_age=100.0, retry=RetryPolicy(attempts=1)) as realtime:
        rows = await realtime.subscribe("rows")
        network.script.append(DialFailed("refused"))
        await eventually(lambda: len(network.dials) == 2)
        failed = network.dials[-1]
        await eventually(lambda: len(network.dials) == 3)
        assert network.dials[-1] == pytest.approx(failed + 10.0, abs=0.1)
        assert rows.gaps == ()


async def test_a_session_worth_nothing_costs_nothing() -> None:
    network = Network()
    alice = network.backend.add_user("alice")
    async with network.realtime(session=alice) as realtime:
        rows = await realtime.subscribe("rows", "account")
        with pytest.raises(GreetedAsGuest):
            await realtime.authenticate("worthless")
        assert (realtime.state, realtime.user and realtime.user["$id"], rows.gaps) == (State.SUBSCRIBED, "alice", ())
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert take_numbers(rows) == [1]


async def test_where_the_user_changes_nothing_of_the_old_link_comes_after_the_greeting() -> None:
    network = Network()
    alice, bob = network.backend.add_user("alice"), network.backend.add_user("bob")
    async with network.realtime(session=alice) as realtime:
        rows = await realtime.subscribe("rows", "account")
        old = network.socket
        old.latency = 0.5  # its undelivered event comes when bob is greeted
        network.publish("account.alice", "account", payload={"n": 1}, roles=["user:alice"])
        assert (await realtime.authenticate(bob))["$id"] == "bob"
        await asyncio.sleep(2)
        assert (take_numbers(rows), len(rows.gaps)) == ([], 1)
        network.publish("account.bob", "account", payload={"n": 2}, roles=["user:bob"])
        await asyncio.sleep(1)
        assert take_numbers(rows) == [2]


async def test_an_old_link_that_ends_meanwhile_makes_an_outage() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        network.script.append(HANG)
        reconnecting = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: realtime.state is State.RECONNECTING)
        network.socket.cut()
        await asyncio.sleep(1)
        assert realtime._driver.outages.current is not None
        await reconnecting
        assert len(rows.gaps) == 1


async def test_an_old_link_that_dies_without_a_word_is_found_by_its_pings() -> None:
    network = Network()
    async with network.realtime(ping=PingPolicy(interval=3, timeout=1), retry=RetryPolicy(attempts=None)) as realtime:
        rows = await realtime.subscribe("rows")
        network.otherwise = HANG
        reconnecting = asyncio.ensure_future(realtime.reconnect())
        await asyncio.sleep(8)
        assert network.socket.sent.count(PING) >= 2
        assert realtime._driver.outages.current is None
        network.socket.frozen = True
        await asyncio.sleep(5)
        assert realtime._driver.outages.current is not None
        network.otherwise = "greet"
        await reconnecting
        assert len(rows.gaps) == 1


async def test_a_second_change_waits_for_the_drain() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.reconnect()
        begun = asyncio.get_running_loop().time()
        await realtime.reconnect()
        assert asyncio.get_running_loop().time() >= begun + DRAIN_SECONDS
        assert (len(network.dials), rows.gaps) == (3, ())


@BY_MESSAGE
async def test_what_is_unsubscribed_meanwhile_still_comes_on_the_old_link_and_is_dropped_silently() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows, files = await realtime.subscribe("rows"), await realtime.subscribe("files")
        network.script.append(HANG)
        reconnecting = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: realtime.state is State.RECONNECTING)
        await rows.unsubscribe()
        network.publish("rows", "files", payload={"n": 1})
        await reconnecting
        assert (take_numbers(files), realtime.malformed) == ([1], {})


@BY_MESSAGE
async def test_an_event_comes_once_where_the_links_name_its_subscription_by_different_ids() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        network.latencies.append(0.3)
        await realtime.reconnect()
        new = list(network.backend.connections)[-1]
        assert isinstance(new, ServerConnection)
        before = set(new.subscriptions)
        updating = asyncio.ensure_future(rows.update(channels=["rows", "files"]))
        await eventually(lambda: bool(set(new.subscriptions) - before))
        network.publish("rows", payload={"n": 1})
        await updating
        await asyncio.sleep(5)
        assert (take_numbers(rows), rows.gaps) == ([1], ())


@BY_MESSAGE
async def test_a_presence_outlives_the_old_link() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.subscribe("rows")
        await realtime.set_presence("online")
        await realtime.reconnect()
        await asyncio.sleep(2 * DRAIN_SECONDS)
        (connection,) = network.backend.connections
        assert isinstance(connection, ServerConnection)
        assert [document["status"] for document in connection.presences.values()] == ["online"]


@pytest.mark.loopback
@only("E2", "E4", because="an era that takes URLs and one that takes messages show both ways")
@pytest.mark.parametrize("change", [ages, reconnects, authenticates])
async def test_on_real_sockets_nothing_is_lost(change: Change) -> None:
    age = 0.3 if change is ages else None
    async with RealtimeServer(era=Network.era) as server:
        session = server.add_user("alice")
        async with Realtime(server.endpoint, "demo", session=session, max_link_age=age) as realtime:
            rows = await realtime.subscribe("rows", "account", buffer=100_000)
            published = 0
            changing = asyncio.ensure_future(third_link(realtime) if age else change_twice(change, realtime, session))
            while not changing.done():
                server.publish("rows.create", "rows", {"n": published})
                published += 1
                await asyncio.sleep(0.0005)
            got = [(await asyncio.wait_for(anext(rows), 5)).payload["n"] for _ in range(published)]
            assert (got == list(range(published)), rows.gaps) == (True, ())
            await changing
            assert realtime._driver.context.generation >= 3


async def third_link(realtime: Realtime) -> None:
    await eventually(lambda: realtime._driver.context.generation == 3 and realtime.state is State.SUBSCRIBED)


async def change_twice(change: Change, realtime: Realtime, session: str) -> None:
    await change(realtime, session)
    await change(realtime, session)
