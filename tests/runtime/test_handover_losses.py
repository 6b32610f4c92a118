"""A handover that goes wrong: the old link lags and dies, or the new one does. Each event comes once, or a gap tells of it."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from realtime_fsm import Gap, PingPolicy, Realtime, RetryPolicy, State, Subscription
from realtime_fsm.errors import DialFailed
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.protocol.frames import PING
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.testing.wire import error
from support.eras import BY_MESSAGE, ON_EVERY_ERA
from support.handing import BEGIN, begins, moment, publish, replace_link, row
from support.network import GREET, HANG, Network, SimulatedSocket, take_numbers
from support.virtual import eventually

pytestmark = ON_EVERY_ERA

PATIENT = RetryPolicy(attempts=None)
SLOW = 0.3


def kill(socket: SimulatedSocket) -> None:
    """End the stream at once: frames on their way are lost."""
    socket.cut()
    socket._inbound.put_nowait(1006)


def old_frame(rows: Subscription, number: int) -> bytes:
    """Encode an event as a link brings it."""
    data = {"events": ["test.event"], "channels": ["rows"], "timestamp": moment(number), "payload": row(number)}
    return json.dumps({"type": "event", "data": {**data, "subscriptions": [rows.id]}}).encode()


class Catching:
    """A user's `catch_up`, with a server that keeps the rows."""

    def __init__(self, *rows: int) -> None:
        self.rows = rows
        self.asked: list[datetime | None] = []

    async def __call__(self, gap: Gap) -> list[dict[str, Any]]:
        self.asked.append(gap.since)
        return [row(number) for number in self.rows if gap.since is None or BEGIN + timedelta(seconds=number) > gap.since]


async def half_served(network: Network, realtime: Realtime, *, old: float = 10.0, **options: Any) -> Subscription:
    """Replace the link, until the new one serves the first of two subscriptions.

    The server refuses the request for both, so the client asks for them one by one.
    """
    rows: Subscription = await realtime.subscribe("rows", **options)
    await realtime.subscribe("files")
    publish(network, 1)
    await eventually(lambda: len(rows._delivery.buffer) == 1)
    network.socket.latency = old
    network.latencies.append(SLOW)
    publish(network, 2)
    network.refused.add(b"files")
    replace_link(realtime)
    await eventually(lambda: rows.id in realtime._driver.context.subscriptions.acknowledged and len(network.sockets) == 2)
    assert realtime._driver.links.draining_serves, "the new link does not serve everything yet"
    return rows


@BY_MESSAGE
async def test_an_old_link_that_dies_after_the_new_one_serves_a_subscription_leaves_a_gap() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await half_served(network, realtime)
        publish(network, 3)
        await asyncio.sleep(1.2 * SLOW)
        assert (take_numbers(rows), rows.gaps) == ([1, 3], ())
        kill(network.sockets[0])
        await asyncio.sleep(0.001)
        (gap,) = rows.gaps
        assert (gap.since, gap.attempts) == (BEGIN + timedelta(seconds=1), 1), "event 2 is lost, and the gap tells of it at once"
        network.refused.clear()
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        publish(network, 4)
        await asyncio.sleep(2)
        assert (take_numbers(rows), rows.gaps) == ([4], (gap,))


@BY_MESSAGE
async def test_catching_up_brings_what_such_a_link_held_and_repeats_nothing() -> None:
    network, catch_up = Network(), Catching(1, 2, 3)
    async with network.realtime() as realtime:
        rows = await half_served(network, realtime, catch_up=catch_up)
        publish(network, 3)
        await asyncio.sleep(1.2 * SLOW)
        kill(network.sockets[0])
        await asyncio.sleep(2)
        assert (take_numbers(rows), catch_up.asked) == ([1, 3, 2], [BEGIN + timedelta(seconds=1)])


@BY_MESSAGE
async def test_the_gap_of_such_a_subscription_begins_where_the_old_link_had_come_to_when_all_was_served() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await half_served(network, realtime, old=2 * SLOW)
        publish(network, 3)
        await asyncio.sleep(1.2 * SLOW)
        publish(network, 4)
        await eventually(lambda: len(rows._delivery.buffer) == 4)
        kill(network.sockets[0])
        await asyncio.sleep(2)
        assert take_numbers(rows) == [1, 2, 3, 4]
        assert begins(rows) == [2]


@BY_MESSAGE
async def test_where_the_order_is_lost_catching_up_restores_it_from_before() -> None:
    network, catch_up = Network(), Catching(1, 2, 3)
    async with network.realtime() as realtime:
        rows = await half_served(network, realtime, catch_up=catch_up)
        publish(network, 3)
        await asyncio.sleep(1.2 * SLOW)
        network.sockets[0]._inbound.put_nowait(old_frame(rows, 2))
        await asyncio.sleep(0.001)
        kill(network.sockets[0])
        await asyncio.sleep(2)
        assert take_numbers(rows) == [1, 3, 2, 2, 3]
        assert catch_up.asked == [BEGIN + timedelta(seconds=1)]


@BY_MESSAGE
async def test_what_a_new_link_brought_before_it_died_the_old_one_does_not_repeat() -> None:
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await half_served(network, realtime, old=8 * SLOW)
        publish(network, 3)
        await eventually(lambda: len(rows._delivery.buffer) == 2)
        kill(network.socket)
        network.refused.clear()
        await asyncio.sleep(10)
        assert (take_numbers(rows), realtime.state) == ([1, 3, 2], State.SUBSCRIBED)
        assert begins(rows) == [1], "the order is lost"
        publish(network, 4)
        await asyncio.sleep(2)
        assert take_numbers(rows) == [4]


@BY_MESSAGE
async def test_what_a_failed_new_link_brought_the_resumed_one_does_not_repeat() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=1)) as realtime:
        rows = await half_served(network, realtime, old=8 * SLOW)
        publish(network, 3)
        await eventually(lambda: len(rows._delivery.buffer) == 2)
        kill(network.socket)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert realtime._driver.links.current is not None
        assert realtime._driver.links.current.generation == 1
        assert begins(rows) == [1], "event 2 comes behind event 3"
        await asyncio.sleep(5)
        assert take_numbers(rows) == [1, 3, 2]
        publish(network, 4)
        await asyncio.sleep(5)
        assert (take_numbers(rows), len(rows.gaps), realtime._driver.links.is_overlapping) == ([4], 1, False)


@BY_MESSAGE
async def test_catching_up_after_the_return_to_the_old_link_restores_the_order() -> None:
    network, catch_up = Network(), Catching(1, 2, 3)
    async with network.realtime(retry=RetryPolicy(attempts=1)) as realtime:
        rows = await half_served(network, realtime, old=8 * SLOW, catch_up=catch_up)
        publish(network, 3)
        await eventually(lambda: len(rows._delivery.buffer) == 2)
        kill(network.socket)
        await asyncio.sleep(5)
        assert take_numbers(rows) == [1, 3, 2, 3]


@BY_MESSAGE
async def test_two_dead_links_are_told_once_each() -> None:
    """The new link dies, then the old one: what the old one held is missing, and what happened without a link."""
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await half_served(network, realtime)
        publish(network, 3)
        await eventually(lambda: len(rows._delivery.buffer) == 2)
        network.otherwise = DialFailed("refused")
        kill(network.socket)
        await asyncio.sleep(0.001)
        kill(network.sockets[0])
        await asyncio.sleep(0.001)
        assert begins(rows) == [1]
        network.otherwise = "greet"
        network.refused.clear()
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert begins(rows) == [1, 3]


@BY_MESSAGE
@pytest.mark.parametrize("ends", [kill, None])
async def test_where_nothing_is_in_doubt_two_dead_links_make_one_gap(ends: Any) -> None:
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await half_served(network, realtime)
        kill(network.socket)
        await asyncio.sleep(0.001)
        assert begins(rows) == []
        network.refused.clear()
        if ends is None:
            await realtime.disconnect()
            await realtime.connect()
        else:
            ends(network.sockets[0])
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert begins(rows) == [1]


# --- an update while the old link lags ----------------------------------------------------------------------------------------


async def lagging(network: Network, realtime: Realtime, rows: Subscription, *numbers: int) -> None:
    """Replace a link that holds events back."""
    network.socket.latency = SLOW
    for number in numbers:
        publish(network, number)
    await realtime.reconnect()


@BY_MESSAGE
async def test_an_event_of_the_id_before_an_update_comes_from_a_lagging_old_link() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        await lagging(network, realtime, rows, 1, 2)
        await rows.update(channels=["rows", "files"])
        assert len(rows._delivery.buffer) == 0, "the old link holds the events back"
        publish(network, 3)
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert sorted(take_numbers(rows)) == [1, 2, 3]
        assert len(rows.gaps) == 1, "their order is lost"
        assert realtime.malformed == {}


async def test_such_an_event_comes_from_an_old_link_with_channels_in_its_url_as_well() -> None:
    """The server has been upgraded since that link, and knows updates."""
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        network.socket.latency = SLOW
        publish(network, 1)
        network.otherwise = HANG
        replace_link(realtime)
        await eventually(lambda: realtime._driver.links.draining_serves)
        registry = realtime._driver.registry
        registry.begin_update(rows._delivery, SubscriptionSpec("s9", ("rows", "files")), asyncio.get_running_loop())
        registry._switch_id(registry._handles["s9"])
        await asyncio.sleep(2 * SLOW)
        assert take_numbers(rows) == [1]


@BY_MESSAGE
async def test_such_an_event_does_not_come_where_the_update_gave_its_channel_up() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        await lagging(network, realtime, rows, 1)
        await rows.update(channels=["files"])
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (take_numbers(rows), rows.gaps) == ([], ())


@BY_MESSAGE
async def test_such_an_event_makes_a_gap_where_the_queries_may_not_let_it_pass() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        await lagging(network, realtime, rows, 1)
        await rows.update(queries=['{"method":"greaterThan","attribute":"n","values":[1]}'])
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (take_numbers(rows), begins(rows)) == ([], [None])


@BY_MESSAGE
async def test_the_catch_up_for_that_gap_repeats_nothing_that_the_new_link_has_brought() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=Catching(2, 3))
        await lagging(network, realtime, rows, 1, 2)
        await rows.update(queries=['{"method":"greaterThan","attribute":"n","values":[1]}'])
        publish(network, 3)
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (take_numbers(rows), len(rows.gaps)) == ([3, 2], 1)


@BY_MESSAGE
async def test_a_subscription_that_has_ended_gets_nothing_from_the_old_link() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows, files = await realtime.subscribe("rows"), await realtime.subscribe("files")
        await lagging(network, realtime, rows, 1)
        await rows.update(channels=["rows", "teams"])
        await rows.unsubscribe()
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (take_numbers(rows), rows.gaps, files.gaps, realtime.malformed) == ([], (), (), {})


@BY_MESSAGE
async def test_a_link_after_both_have_died_begins_anew() -> None:
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await realtime.subscribe("rows")
        network.latencies.append(SLOW)
        await realtime.reconnect()
        publish(network, 1)
        await eventually(lambda: len(rows._delivery.buffer) == 1)
        kill(network.socket)
        await eventually(lambda: len(network.sockets) == 3 and realtime.state is State.SUBSCRIBED)
        assert not realtime._driver.links.is_overlapping
        publish(network, 1)
        await asyncio.sleep(1)
        assert take_numbers(rows) == [1, 1]


@pytest.mark.parametrize("code", [0, 500])
async def test_a_server_fault_on_the_old_link_alone_ends_that_link_and_is_told(code: int) -> None:
    network = Network()
    async with network.realtime(retry=PATIENT, ping=PingPolicy(interval=5, timeout=5)) as realtime:
        rows = await realtime.subscribe("rows")
        publish(network, 1)
        await eventually(lambda: len(rows._delivery.buffer) == 1)
        network.otherwise = HANG
        changing = asyncio.ensure_future(realtime.reconnect())
        network.answers[PING] = (error(code),)
        await eventually(lambda: realtime._driver.outages.current is not None)
        network.answers.clear()
        network.otherwise = GREET
        await changing
        await eventually(lambda: len(rows.gaps) == 1)
        assert (rows.gaps[0].since, take_numbers(rows)) == (BEGIN + timedelta(seconds=1), [1])
