"""A subscription that listens to something else: acknowledged before the old is given up, and nothing comes twice."""

from __future__ import annotations

import asyncio

import pytest

from realtime_fsm import BadOption, Disposed, PingPolicy, SubscriptionEnded, SubscriptionRejected, UnsupportedByServer
from realtime_fsm.errors import LinkLost
from realtime_fsm.testing.eras import EraName
from support.eras import ON_EVERY_ERA, only
from support.network import Network, take_numbers
from support.virtual import eventually

pytestmark = [ON_EVERY_ERA, only("E4", because="older servers have no such thing")]


async def test_it_listens_to_the_new_channels_and_no_longer_to_the_old() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        await subscription.update(channels=["files"])
        assert (subscription.id, subscription.channels, subscription.acknowledged_channels) == ("s2", ("files",), ("files",))
        network.publish("rows", payload={"n": 1})
        network.publish("files", payload={"n": 2})
        await eventually(lambda: network.socket.peer.subscriptions == ("s2",))
        assert take_numbers(subscription) == [2]
        assert realtime.malformed == {}


async def test_a_ping_that_is_due_while_the_answer_is_awaited() -> None:
    network = Network()
    network.latencies.append(0.125)
    async with network.realtime(ping=PingPolicy(interval=0.5, timeout=0.3)) as realtime:
        subscription = await realtime.subscribe("rows")
        for number in range(6):
            await subscription.update(channels=[f"rows.{number}.update"])
            await asyncio.sleep(0.1)
        assert subscription.channels == ("rows.5.update",)
        assert len(network.dials) == 1


async def test_an_update_loses_and_repeats_nothing() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        update = asyncio.ensure_future(subscription.update(channels=["rows", "files"]))
        for number in range(40):
            network.publish("rows", payload={"n": number})
            await asyncio.sleep(0.002)
        await update
        await eventually(lambda: network.socket.peer.subscriptions == ("s2",))
        await asyncio.sleep(1)
        assert take_numbers(subscription) == list(range(40))


async def test_queries_alone_can_be_replaced_and_taken_away() -> None:
    positive = '{"method":"greaterThan","attribute":"n","values":[0]}'
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows", queries=[positive])
        await subscription.update(queries=[])
        assert (subscription.channels, subscription.queries) == (("rows",), ())
        await subscription.update(channels=["files"])
        await subscription.update(queries=[positive])
        assert (subscription.channels, subscription.queries) == (("files",), (positive,))


async def test_a_refused_update_changes_nothing() -> None:
    network = Network()
    network.refused.add(b"files")
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        with pytest.raises(SubscriptionRejected) as caught:
            await subscription.update(channels=["files"])
        assert caught.value.channels == ("files",)
        assert (subscription.id, subscription.channels) == ("s1", ("rows",))
        network.publish("rows", payload={"n": 1})
        assert (await anext(subscription)).payload == {"n": 1}


async def test_a_cancelled_update_changes_nothing() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await subscription.update(channels=["files"])
        await asyncio.sleep(1)
        assert (subscription.id, network.socket.peer.subscriptions) == ("s1", ("s1",))


async def test_updates_of_one_subscription_follow_each_other() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        await asyncio.gather(subscription.update(channels=["files"]), subscription.update(channels=["teams"]))
        assert subscription.channels == ("teams",)
        await eventually(lambda: network.socket.peer.subscriptions == (subscription.id,))


async def test_an_update_goes_on_over_a_lost_link() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        update = asyncio.ensure_future(subscription.update(channels=["files"]))
        await asyncio.sleep(0)
        network.socket.cut()
        await update
        await eventually(lambda: network.socket.peer.subscriptions == ("s2",))
        network.publish("files", payload={"n": 1})
        assert (await anext(subscription)).payload == {"n": 1}
        await subscription.unsubscribe()


async def test_an_update_is_over_with_its_subscription() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        update = asyncio.ensure_future(subscription.update(channels=["files"]))
        await asyncio.sleep(0)
        await subscription.unsubscribe()
        with pytest.raises(SubscriptionEnded):
            await update
        with pytest.raises(SubscriptionEnded):
            await subscription.update(channels=["teams"])
        await eventually(lambda: network.socket.peer.subscriptions == ())


async def test_an_update_is_over_with_its_connection() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        update = asyncio.ensure_future(subscription.update(channels=["files"]))
        await asyncio.sleep(0)
        await realtime.dispose()
        with pytest.raises(Disposed):
            await update
        with pytest.raises(Disposed):
            await subscription.update(channels=["teams"])


async def test_an_update_fails_with_a_link_that_is_not_replaced() -> None:
    network = Network()
    async with network.realtime(auto_reconnect=False) as realtime:
        subscription = await realtime.subscribe("rows")
        update = asyncio.ensure_future(subscription.update(channels=["files"]))
        await asyncio.sleep(0)
        network.socket.cut()
        with pytest.raises(LinkLost):
            await update
        assert subscription.channels == ("rows",)


async def test_what_cannot_be_asked_for_is_refused_at_the_call() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        with pytest.raises(BadOption, match="none was given"):
            await subscription.update(channels=[])
        with pytest.raises(BadOption, match="limit"):
            await subscription.update(queries=['{"method":"limit","values":[1]}'])


@only("E1", "E2", "E3", because="it is the newest one that has it")
async def test_an_old_server_is_named(server_era: EraName) -> None:
    network = Network()
    async with network.realtime(era=server_era) as realtime:
        subscription = await realtime.subscribe("rows")
        with pytest.raises(UnsupportedByServer, match=rf"{server_era}.*1\..*update"):
            await subscription.update(channels=["files"])
        assert (subscription.channels, len(network.dials)) == (("rows",), 1)
