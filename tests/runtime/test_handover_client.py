"""One link takes the place of another: nothing is missed, nothing comes twice, and nothing is left behind. In virtual time."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from realtime_fsm import (
    Gap,
    RefusedByServer,
    RetriesExhausted,
    RetryPolicy,
    State,
    Subscription,
    SubscriptionRejected,
)
from realtime_fsm.errors import DialFailed
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.testing.wire import error
from support.eras import ON_EVERY_ERA, only
from support.handing import closed, handing_over
from support.network import HANG, LATENCY, MUTE, Network, take_numbers
from support.some import some
from support.virtual import eventually

pytestmark = [ON_EVERY_ERA, only("E1", "E2", "E3", because="the newest one takes new channels by message, on the same link")]

CHANNELS = ("rows", "files", "teams")
PATIENT = RetryPolicy(attempts=None)


class Publisher:
    """Publishes numbered events at random moments, on random channels; now and then two that look the same."""

    def __init__(self, network: Network, draw: random.Random) -> None:
        self._network = network
        self._draw = draw
        self.published: list[tuple[float, int, tuple[str, ...]]] = []

    async def publish(self, count: int, pause: float = 0.02) -> None:
        draw = self._draw
        for number in range(count):
            channels = tuple(draw.sample(CHANNELS, draw.randint(1, 3)))
            for _ in range(1 + (draw.random() < 0.1)):
                self.published.append((asyncio.get_running_loop().time(), number, channels))
                self._network.publish(*channels, payload={"n": number})
            await asyncio.sleep(draw.expovariate(1 / pause))

    def of(self, subscription: Subscription, since: float = 0.0) -> list[int]:
        """Return the events that a subscription must get since a moment."""
        wanted = set(subscription.channels)
        return [number for at, number, channels in self.published if at >= since and wanted & set(channels)]


# --- what is delivered ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
async def test_everything_is_delivered_once_before_during_and_after_it(seed: int) -> None:
    draw, network = random.Random(seed), Network()
    async with network.realtime() as realtime:
        network.latencies.append(LATENCY)  # of the question for the era
        network.latencies.extend(10 ** draw.uniform(-3, -0.3) for _ in range(3))
        publisher = Publisher(network, draw)
        first = await realtime.subscribe("rows", "files", buffer=10_000)
        publishing = asyncio.ensure_future(publisher.publish(300))
        subscriptions: list[tuple[Subscription, float]] = [(first, 0.0)]
        windows = []
        for channels in (("rows", "teams"), ("files",)):
            await asyncio.sleep(draw.uniform(1.1, 2) * DRAIN_SECONDS)
            begun = asyncio.get_running_loop().time()
            subscription = await realtime.subscribe(*channels, buffer=10_000)
            now = asyncio.get_running_loop().time()
            windows.append((begun, now + DRAIN_SECONDS))
            subscriptions.append((subscription, now))
        await publishing
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert len(network.dials) == 3
        assert realtime.malformed == {}
        for subscription, since in some(subscriptions):
            got = take_numbers(subscription)
            assert bool(subscription.gaps) == (got != sorted(got)), "a gap is told where the order is not the server's"
            everything, owed = publisher.of(subscription), publisher.of(subscription, since)
            assert all(got.count(number) <= everything.count(number) for number in got), "nothing comes twice, or uninvited"
            assert all(got.count(number) == everything.count(number) for number in owed), "nothing is missed"
            calm = [number for at, number, _ in publisher.published if not any(a <= at <= b for a, b in windows)]
            ordered = [number for number in got if number in calm]
            assert ordered == sorted(ordered), "where one link delivers, the order is the server's"
    assert all(closed(network.sockets))


@pytest.mark.parametrize("seed", range(6))
async def test_one_after_the_other_at_once_loses_nothing(seed: int) -> None:
    draw, network = random.Random(seed), Network()
    async with network.realtime() as realtime:
        network.latencies.append(LATENCY)
        network.latencies.extend(10 ** draw.uniform(-3, -0.3) for _ in range(6))
        publisher = Publisher(network, draw)
        first = await realtime.subscribe("rows")
        publishing = asyncio.ensure_future(publisher.publish(400))
        await asyncio.sleep(0.1)
        others = [await realtime.subscribe(channel) for channel in (*CHANNELS, "executions", "rows")]
        await publishing
        await asyncio.sleep(2 * DRAIN_SECONDS)
        got = take_numbers(first)
        assert sorted(got) == publisher.of(first)
        assert bool(first.gaps) == (got != sorted(got)), "a gap is told where the order is not the server's"
        assert len(network.dials) == 1 + len(others)
        assert [socket for socket in network.sockets if socket.closed is None] == [network.socket]


async def test_a_burst_of_subscriptions_shares_two_links_at_most() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("executions")
        await asyncio.sleep(5)
        before = len(network.dials)
        names = [f"rows.{number}" for number in range(10)]
        subscriptions = await asyncio.gather(*(realtime.subscribe(name) for name in names))
        assert len(network.dials) <= before + 2
        for number, name in enumerate(names):
            network.publish(name, payload={"n": number})
        await asyncio.sleep(1)
        assert [take_numbers(subscription) for subscription in subscriptions] == [[number] for number in range(10)]


async def test_an_event_that_comes_before_the_greeting_does_no_harm() -> None:
    """Servers register the channels before they greet, so that is possible."""
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        asking = await handing_over(network, realtime, MUTE)
        await eventually(lambda: len(network.sockets) == 2)
        early = network.event(b'"payload":{"n":1}', "0" * 20)
        network.socket.push(early)
        await asyncio.sleep(1)
        assert (take_numbers(rows), realtime.malformed) == ([], {})
        network.publish("rows", payload={"n": 2})
        await asking
        assert take_numbers(rows) == [2]


async def test_nothing_but_events_counts_on_a_link_that_makes_room() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        old = network.socket
        asking = await handing_over(network, realtime, HANG)
        for frame in (b"{", error(1003), error(1008), b'{"type":"pong"}', b'{"type":"connected","data":{}}'):
            old.push(frame)
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert (take_numbers(rows), realtime.state, realtime.malformed) == ([1], State.RECONNECTING, {})
        await asking
        assert realtime.state is State.SUBSCRIBED


async def test_the_end_of_a_link_that_has_made_room_costs_no_link() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        files = await realtime.subscribe("files")
        network.sockets[0].cut()
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(DRAIN_SECONDS * 2)
        assert (take_numbers(rows), realtime.state, len(network.dials)) == ([1], State.SUBSCRIBED, 2)
        assert (len(rows.gaps), files.gaps) == (1, ()), "its undelivered events are unknown"
        assert closed(network.sockets) == [True, False]


# --- when it goes wrong -----------------------------------------------------------------------------------------------------


async def test_a_link_that_ends_before_the_other_one_is_up_makes_an_outage_and_a_gap() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        network.publish("rows", payload={"n": 1})
        await eventually(lambda: len(rows._delivery.buffer) == 1)
        asking = await handing_over(network, realtime, HANG)
        network.socket.cut()
        await asyncio.sleep(1)
        outage = realtime._driver.outages.current
        assert outage is not None
        assert not outage.planned
        network.publish("rows", payload={"n": 2})
        files = await asking
        network.publish("rows", payload={"n": 3})
        await asyncio.sleep(1)
        assert take_numbers(rows) == [1, 3]
        (gap,) = rows.gaps
        assert isinstance(gap, Gap)
        assert (gap.since is not None, gap.outage_seconds > 8, files.gaps) == (True, True, ())
        assert realtime._driver.outages.current is None


async def test_what_such_a_link_had_brought_does_not_come_twice() -> None:
    network = Network()
    network.latencies.extend((LATENCY, 0.001, 0.3))  # the other one is slow
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        asking = await handing_over(network, realtime)
        await asyncio.sleep(0.2)
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(0.05)
        network.sockets[0].cut()
        await asking
        network.publish("rows", payload={"n": 2})
        await asyncio.sleep(2)
        assert (take_numbers(rows), len(rows.gaps)) == ([1, 2], 1)


@pytest.mark.parametrize("again", [False, True])
async def test_an_outage_is_one_gap_although_it_ends_with_another_link_for_what_is_new(again: bool) -> None:
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await realtime.subscribe("rows")
        network.socket.cut()
        await eventually(lambda: realtime._driver.links.current is not None and realtime.state is State.RECONNECTING)
        asking = asyncio.ensure_future(realtime.subscribe("files"))  # its address is dialed already
        await eventually(lambda: realtime.state is State.CONNECTED)
        assert len(rows.gaps) == 1
        if again:
            network.socket.cut()
        files = await asking
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (len(rows.gaps), files.gaps, realtime.state) == (1 + again, (), State.SUBSCRIBED)
        assert network.listening == {"rows", "files"}


async def test_while_dials_fail_the_old_link_delivers() -> None:
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await realtime.subscribe("rows")
        asking = await handing_over(network, realtime, DialFailed("refused"))
        for number in range(3):
            network.publish("rows", payload={"n": number})
            await asyncio.sleep(0.2)
        assert (take_numbers(rows), realtime.state) == ([0, 1, 2], State.RECONNECTING)
        await asking
        network.publish("rows", payload={"n": 3})
        await asyncio.sleep(2)
        assert (take_numbers(rows), rows.gaps) == ([3], ())
        assert realtime.state is State.SUBSCRIBED


async def test_an_end_of_retries_leads_back_to_the_old_link() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=2, reconnect_attempts=2)) as realtime:
        rows = await realtime.subscribe("rows")
        network.otherwise = DialFailed("refused")
        with pytest.raises(RetriesExhausted):
            await realtime.subscribe("files")
        await asyncio.sleep(1)
        assert (realtime.state, closed(network.sockets)) == (State.SUBSCRIBED, [False])
        network.publish("rows", payload={"n": 1})
        network.otherwise = "greet"
        await realtime.subscribe("files")
        network.publish("rows", payload={"n": 2})
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (network.listening, rows.gaps, take_numbers(rows)) == ({"rows", "files"}, (), [1, 2])


async def test_a_newcomer_that_the_server_refuses_is_told_and_the_others_live() -> None:
    network = Network()
    network.refused.add(b"bad")
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        calls: list[Any] = [realtime.subscribe("rows.1"), realtime.subscribe("bad")]
        refusals = await asyncio.gather(*calls, return_exceptions=True)
        for refused, channel in some(zip(refusals, ("rows.1", "bad"), strict=True)):  # the cause is unknown
            assert isinstance(refused, SubscriptionRejected)
            assert (refused.channels, refused.code) == ((channel,), 1008)
        files = await realtime.subscribe("files")
        network.publish("rows", "files", payload={"n": 1})
        await asyncio.sleep(2)
        assert (take_numbers(rows), take_numbers(files)) == ([1], [1])
        assert rows.gaps == ()
        assert realtime.state is State.SUBSCRIBED


async def test_an_address_of_which_everything_once_was_accepted_is_refused_for_good() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        network.refused.add(b"rows")
        network.socket.cut()
        with pytest.raises(RefusedByServer) as caught:
            await anext(rows)
        assert (caught.value.code, realtime.state) == (1008, State.ERROR)
