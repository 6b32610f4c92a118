"""The drain check: a drained link shows that it lived, or a gap reports its possible losses. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from realtime_fsm import Event, Gap, PingPolicy, Realtime, RetryPolicy, State, Subscription
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.protocol.frames import PING
from realtime_fsm.testing.wire import error
from support.eras import ON_EVERY_ERA, only
from support.network import LATENCY, MUTE, Network, take_numbers
from support.virtual import eventually

pytestmark = [ON_EVERY_ERA, only("E1", "E2", "E3", because="the newest one takes new channels by message, on the same link")]

BEFORE, AFTER = "2026-11-24T10:00:00.000+00:00", "2026-11-24T10:00:02.000+00:00"
BETWEEN = "2026-11-24T10:00:01.000+00:00"
QUICK = PingPolicy(interval=30, timeout=3)


def row(number: int, moment: str) -> dict[str, Any]:
    return {"$id": f"row{number}", "$updatedAt": moment, "n": number}


async def dying(
    network: Network, realtime: Realtime, *, goes_on: bool = True, **options: Any
) -> tuple[Subscription, Subscription]:
    """Kill a link silently, with an undelivered event, and replace it with a link that delivers."""
    rows = await realtime.subscribe("rows", **options)
    network.publish("rows", payload=row(1, BEFORE), timestamp=BEFORE)
    assert (await anext(rows)).payload["n"] == 1
    network.socket.frozen = True
    network.publish("rows", payload=row(2, AFTER), timestamp=AFTER)
    files = await realtime.subscribe("files")
    if goes_on:
        network.publish("rows", payload=row(3, AFTER), timestamp=AFTER)
    return rows, files


async def test_what_a_link_owed_that_had_died_without_a_word_is_told() -> None:
    network, told = Network(), list[Gap]()
    async with network.realtime(ping=QUICK) as realtime:
        rows, files = await dying(network, realtime, on_gap=told.append)
        assert (take_numbers(rows), told) == ([], [])
        await asyncio.sleep(DRAIN_SECONDS + QUICK.timeout)
        (gap,) = rows.gaps
        assert gap.since == datetime(2026, 11, 24, 10, tzinfo=UTC), "as it was when the other link was up"
        assert (gap.outage_seconds > 0, gap.attempts, told, files.gaps) == (True, 1, [gap], ())
        assert (take_numbers(rows), realtime.state, len(network.dials)) == ([3], State.SUBSCRIBED, 2)
        assert realtime._driver.outages.current is None
        assert network.sockets[0].sent.count(PING) == 1
        assert network.sockets[0].closed is not None


@pytest.mark.parametrize("catches_up", [False, True])
async def test_an_event_behind_one_that_happened_after_it_is_told(catches_up: bool) -> None:
    async def catch_up(gap: Gap) -> list[Any]:
        assert gap.since == datetime(2026, 11, 24, 10, tzinfo=UTC), "before both"
        return [row(3, AFTER)]

    network = Network()
    async with network.realtime(ping=QUICK) as realtime:
        teams = await realtime.subscribe("teams")
        rows = await realtime.subscribe("rows", catch_up=catch_up if catches_up else None)
        await asyncio.sleep(2 * DRAIN_SECONDS)
        network.publish("rows", payload=row(1, BEFORE), timestamp=BEFORE)
        await asyncio.sleep(1)
        network.socket.latency = 0.6  # a packet is lost, and sent again
        network.publish("rows", payload=row(2, BETWEEN), timestamp=BETWEEN)
        await realtime.subscribe("files")
        network.publish("rows", payload=row(3, AFTER), timestamp=AFTER)
        await asyncio.sleep(DRAIN_SECONDS + QUICK.timeout)
        assert (len(rows.gaps), teams.gaps) == (1, ())
        assert take_numbers(rows) == [1, 3, 2, *([3] if catches_up else [])], "the newest version comes last again"


async def test_what_it_owed_is_caught_up_with_and_what_came_meanwhile_does_not_come_twice() -> None:
    network, asked = Network(), list[Any]()

    async def catch_up(gap: Gap) -> list[Any]:
        asked.append(gap.since)
        await asyncio.sleep(1)
        return [row(2, AFTER), row(3, AFTER), Event.from_payload(row(4, AFTER))]

    async with network.realtime(ping=QUICK) as realtime:
        rows, _ = await dying(network, realtime, catch_up=catch_up)
        await asyncio.sleep(DRAIN_SECONDS + QUICK.timeout)
        network.publish("rows", payload=row(5, AFTER))
        await asyncio.sleep(2)
        assert [(await anext(rows)).payload["n"] for _ in range(4)] == [3, 2, 4, 5]
        assert (len(rows._delivery.buffer), asked) == (0, [datetime(2026, 11, 24, 10, tzinfo=UTC)])
        await asyncio.sleep(60)
        network.socket.cut()  # and of the next gap nothing is known yet
        await eventually(lambda: len(asked) == 2 and realtime.state is State.SUBSCRIBED)
        await asyncio.sleep(2)
        assert take_numbers(rows) == [2, 3, 4]


async def test_a_link_that_lives_is_asked_once_and_nothing_is_told() -> None:
    network = Network()
    network.latencies.extend((LATENCY, 0.7))  # it answers later than its normal release
    async with network.realtime(ping=QUICK) as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.subscribe("files")
        await asyncio.sleep(DRAIN_SECONDS + 1)
        assert (network.sockets[0].sent.count(PING), network.sockets[0].closed is None) == (1, False)
        assert rows.gaps == ()


async def cut(network: Network, realtime: Realtime) -> None:
    network.socket.cut()
    await eventually(lambda: realtime.state is State.RECONNECTING)


async def hand_over(network: Network, realtime: Realtime) -> None:
    await realtime.subscribe("teams")


@pytest.mark.parametrize("act", [cut, hand_over])
@pytest.mark.parametrize("goes_on", [True, False])
async def test_what_it_owed_is_told_as_well_when_it_has_to_go_earlier(act: Callable[..., Awaitable[None]], goes_on: bool) -> None:
    network = Network()
    async with network.realtime(ping=QUICK, retry=RetryPolicy(attempts=None)) as realtime:
        rows, _ = await dying(network, realtime, goes_on=goes_on)
        await act(network, realtime)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        await asyncio.sleep(5)
        assert len(rows.gaps) == 1 + (act is cut and goes_on), "one for each reason, unless one says it all"
        since = rows.gaps[0].since
        assert since is not None
        assert since.second == 0, "what is missing came after the first event"


async def test_an_end_before_the_other_link_is_up_is_told_once() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        network.script.append(MUTE)
        asking = asyncio.ensure_future(realtime.subscribe("files"))
        await eventually(lambda: realtime.state is State.RECONNECTING)
        network.sockets[0].cut()
        await asking
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert len(rows.gaps) == 1


async def test_where_pings_are_off_a_link_is_trusted_but_for_its_end() -> None:
    for ends in (False, True):
        network = Network()
        async with network.realtime(ping=PingPolicy(enabled=False)) as realtime:
            rows, _ = await dying(network, realtime)
            if ends:
                network.sockets[0].cut()
            await asyncio.sleep(2 * DRAIN_SECONDS)
            assert (len(rows.gaps), network.sockets[0].sent) == (ends, [])


async def test_where_the_budget_has_no_room_for_a_ping_it_is_told_to_be_safe() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        realtime._driver.context.require_link.budget.block_for_window(asyncio.get_running_loop().time())
        await realtime.subscribe("files")
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert (len(rows.gaps), network.sockets[0].sent) == (1, [])


@pytest.mark.parametrize("answer", [error(1003), error(1013), error(500)])
async def test_an_error_frame_that_refuses_the_ping_is_a_sign_of_life(answer: bytes) -> None:
    network = Network()
    network.answers[PING] = (answer,)
    async with network.realtime(ping=QUICK) as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.subscribe("files")
        await asyncio.sleep(DRAIN_SECONDS + QUICK.timeout + 1)
        assert (len(rows.gaps), realtime.state) == (answer == error(500), State.SUBSCRIBED)


async def test_while_a_consumer_makes_room_the_answer_is_waited_for() -> None:
    network = Network()
    async with network.realtime(ping=QUICK) as realtime:
        rows = await realtime.subscribe("rows", buffer=2, overflow="pause")
        network.latencies.append(0.3)
        asking = asyncio.ensure_future(realtime.subscribe("files"))
        await eventually(lambda: realtime.state is State.RECONNECTING)
        for number in range(4):
            network.publish("rows", payload={"n": number})
        await asking
        await asyncio.sleep(10)
        assert network.sockets[0].closed is None
        assert [(await anext(rows)).payload["n"] for _ in range(4)] == [0, 1, 2, 3]
        await asyncio.sleep(2)
        assert (network.sockets[0].closed is None, rows.gaps) == (False, ())


async def the_next_gap_begins_with_the_later(network: Network, rows: Subscription) -> None:
    assert take_numbers(rows) == [2, 1]
    told = len(rows.gaps)  # of the order that was lost
    network.socket.cut()
    await eventually(lambda: len(rows.gaps) > told)
    gap = rows.gaps[-1]
    assert gap.since == datetime(2026, 11, 24, 10, 0, 2, tzinfo=UTC)


async def test_what_comes_late_on_it_does_not_put_back_where_the_next_gap_begins() -> None:
    network = Network()
    network.latencies.extend((LATENCY, 0.4, LATENCY))  # the link that is to drain is slow
    async with network.realtime(ping=QUICK) as realtime:
        rows = await realtime.subscribe("rows")
        task = asyncio.ensure_future(realtime.subscribe("files"))
        await eventually(lambda: len(network.dials) == 2)
        network.publish("rows", payload=row(1, BEFORE), timestamp=BEFORE)
        await task
        network.publish("rows", payload=row(2, AFTER), timestamp=AFTER)
        await asyncio.sleep(DRAIN_SECONDS + 1)
        await the_next_gap_begins_with_the_later(network, rows)


@pytest.mark.parametrize("wait", [0.1, DRAIN_SECONDS + 1])
async def test_nor_does_what_comes_later_on_the_other_one(wait: float) -> None:
    network = Network()
    async with network.realtime(ping=QUICK) as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.subscribe("files")
        network.sockets[1].latency = wait
        for number, moment in ((1, BEFORE), (2, AFTER)):
            network.sockets[0].frozen = number == 1  # its bus has lost that one
            network.publish("rows", payload=row(number, moment), timestamp=moment)
        await asyncio.sleep(2 * DRAIN_SECONDS + 1)
        await the_next_gap_begins_with_the_later(network, rows)
