"""Gaps are told, and what was missed is caught up with; the user's callables cannot hurt the link."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from realtime_fsm import Event, Gap, RetryPolicy, State
from realtime_fsm.errors import DialFailed
from support.eras import NO_SERVER, ON_EVERY_ERA
from support.network import Network
from support.virtual import VirtualLoop, eventually

pytestmark = ON_EVERY_ERA

EARLIER = "2026-11-24T10:00:00.000+00:00"


def row(number: int, version: str = EARLIER) -> dict[str, Any]:
    return {"$id": f"row{number}", "$updatedAt": version, "n": number}


async def outage(network: Network, realtime: Any) -> None:
    """The link is lost and comes back, with everything acknowledged."""
    before = len(network.dials)
    network.socket.cut()
    await eventually(lambda: len(network.dials) > before and realtime.state is State.SUBSCRIBED)


async def test_an_outage_is_told_to_each_subscription_that_lived_through_it() -> None:
    network = Network()
    told: list[Gap] = []
    async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
        rows, silent = await asyncio.gather(realtime.subscribe("rows", on_gap=told.append), realtime.subscribe("files"))
        network.publish("rows", timestamp=EARLIER)
        await anext(rows)
        network.otherwise = DialFailed("refused")
        network.socket.cut()
        await eventually(lambda: len(network.dials) == 3)
        network.otherwise = "greet"
        asked = asyncio.ensure_future(realtime.subscribe("teams"))
        await eventually(lambda: realtime.state is State.SUBSCRIBED and told)
        (gap,) = rows.gaps
        assert told == [gap]
        assert gap.since == datetime(2026, 11, 24, 10, tzinfo=UTC)
        assert gap.until.utcoffset() is not None
        assert (gap.outage_seconds > 1, gap.attempts) == (True, 3)
        assert [gap.since for gap in silent.gaps] == [None]
        assert (await asked).gaps == (), "a new one has missed nothing"
        await outage(network, realtime)
        assert len(rows.gaps) == 2


async def test_disconnecting_makes_a_gap_as_well() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        await realtime.disconnect()
        await asyncio.sleep(100)
        await realtime.connect()
        await eventually(lambda: rows.gaps)
        assert rows.gaps[0].outage_seconds == pytest.approx(100, abs=1)
        assert rows.gaps[0].attempts == 1 + (network.era == "E3"), "what greets like an E3 is asked once more"


async def test_what_was_missed_comes_first_and_nothing_comes_twice() -> None:
    network = Network()

    async def catch_up(gap: Gap) -> list[Any]:
        assert isinstance(gap, Gap)
        network.publish("rows", payload=row(2))  # it is in the answer, too
        network.publish("rows", payload=row(3))
        await asyncio.sleep(5)
        return [row(1), Event.from_payload(row(2), events=["e"], channels=["rows"]), row(1)]

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        await outage(network, realtime)
        first = await anext(rows)
        assert (first.payload["n"], first.timestamp, first.events) == (1, datetime(2026, 11, 24, 10, tzinfo=UTC), ())
        assert [(await anext(rows)).payload["n"] for _ in range(2)] == [2, 3]
        network.publish("rows", payload=row(1))  # late, as the server's own queue may be
        network.publish("rows", payload=row(1, "2026-11-24T11:00:00.000+00:00"))
        network.publish("rows", payload=[])
        assert (await anext(rows)).payload["$updatedAt"] > EARLIER
        assert (await anext(rows)).payload == {}
        await asyncio.sleep(61)
        network.publish("rows", payload=row(1))
        assert (await anext(rows)).payload == row(1), "after a minute it is remembered no more"


async def test_a_loss_while_catching_up_asks_again_from_where_the_first_gap_began() -> None:
    network, asked = Network(), []

    async def catch_up(gap: Gap) -> list[Any]:
        asked.append(gap.since)
        await asyncio.sleep(20 if len(asked) == 1 else 1)
        return [row(7)]

    async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        network.publish("rows", timestamp=EARLIER)
        await anext(rows)
        await outage(network, realtime)
        network.publish("rows", payload=row(8))
        await asyncio.sleep(1)
        await outage(network, realtime)
        assert [(await anext(rows)).payload["n"] for _ in range(2)] == [7, 8]
        assert asked == [datetime(2026, 11, 24, 10, tzinfo=UTC)] * 2


@pytest.mark.virtual(reports=2)
async def test_callables_that_raise_are_counted_and_each_is_reported() -> None:
    network = Network()

    def on_gap(gap: Gap) -> None:
        raise LookupError(gap)

    async def catch_up(gap: Gap) -> list[Any]:
        raise LookupError(gap)

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", on_gap=on_gap, catch_up=catch_up)
        await outage(network, realtime)
        network.publish("rows", payload=row(1))
        assert (await anext(rows)).payload == row(1)
        assert (rows.failures, realtime.state) == (2, State.SUBSCRIBED)


async def test_callables_that_do_not_come_back_end_with_the_subscription() -> None:
    network, begun = Network(), []

    async def for_ever(gap: Gap) -> list[Any]:
        begun.append(gap)
        await asyncio.Event().wait()
        return []

    realtime = network.realtime()
    rows = await realtime.subscribe("rows", on_gap=for_ever, catch_up=for_ever)
    files = await realtime.subscribe("files", catch_up=for_ever)
    await outage(network, realtime)
    await eventually(lambda: len(begun) == 3)
    network.publish("rows", payload=row(1))
    await asyncio.sleep(1)
    await rows.unsubscribe()
    assert [event.payload["n"] async for event in rows] == [1], "what waited behind it is given"
    await realtime.dispose()
    assert [event async for event in files] == []


async def test_events_that_wait_behind_a_slow_catching_up_are_bounded() -> None:
    network = Network()

    async def catch_up(_: Gap) -> list[Any]:
        await asyncio.sleep(10)
        return []

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        await outage(network, realtime)
        for number in range(1030):
            network.publish("rows", payload=row(number))
        assert (await anext(rows)).payload["n"] == 6
        assert rows.dropped == 6


async def test_a_stamp_and_a_payload_that_make_no_sense_do_no_harm() -> None:
    network = Network()

    async def catch_up(_: Gap) -> list[Any]:
        return [row(1)]

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        network.socket.push(network.event(b'"payload":5,"timestamp":5'))
        await anext(rows)
        await outage(network, realtime)
        assert rows.gaps[0].since is None
        network.socket.push(network.event(b'"payload":5'))
        assert (await anext(rows)).payload == row(1)
        assert (await anext(rows)).subscriptions == ("s1",)


async def test_what_was_caught_up_with_is_not_missing_the_next_time() -> None:
    network, asked, answers = Network(), [], [[row(1), row(2, "2026-11-24T12:00:00.000+00:00")], [row(3, "no time")], []]

    async def catch_up(gap: Gap) -> list[Any]:
        asked.append(gap.since)
        return answers.pop(0)

    async with network.realtime() as realtime:
        await realtime.subscribe("rows", catch_up=catch_up)
        for _ in range(3):
            await outage(network, realtime)
            await asyncio.sleep(35)
        noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
        assert asked == [None, noon, noon]


async def test_each_memory_of_a_catching_up_has_its_own_minute() -> None:
    network = Network()

    async def catch_up(_: Gap) -> list[Any]:
        return [row(1)]

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        await outage(network, realtime)
        await asyncio.sleep(50)
        await outage(network, realtime)
        await asyncio.sleep(20)
        network.publish("rows", payload=row(1))
        network.publish("rows", payload=row(2))
        assert [(await anext(rows)).payload["n"] for _ in range(3)] == [1, 1, 2]


async def test_a_process_that_slept_remembers_what_it_caught_up_with() -> None:
    network = Network()

    async def catch_up(_: Gap) -> list[Any]:
        return [row(1)]

    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        await outage(network, realtime)
        await anext(rows)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop._clock.now += 200
        await asyncio.sleep(0.1)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        network.publish("rows", payload=row(1))
        network.publish("rows", payload=row(2))
        assert (await anext(rows)).payload == row(2)


@NO_SERVER
def test_a_restored_event_says_when_by_itself_or_by_its_payload() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert Event.from_payload({}, timestamp=moment).timestamp == moment
    assert Event.from_payload(row(1)).version == ("row1", EARLIER)
    assert Event.from_payload({"a": 1}).version is None
    now = Event.from_payload({}).timestamp
    assert now is not None
    assert now.utcoffset() is not None
