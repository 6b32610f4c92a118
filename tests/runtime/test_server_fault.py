"""A server that answers, and cannot work: nothing that was acknowledged ends, and each subscription is told of one gap."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import MutableMapping
from typing import Any

import pytest

from realtime_fsm import (
    AuthenticationRejected,
    Disconnected,
    Gap,
    PingPolicy,
    PingPolicyWarning,
    Realtime,
    RetryPolicy,
    State,
    Subscription,
    SubscriptionRejected,
)
from realtime_fsm.protocol.frames import PING
from support.eras import BY_MESSAGE, ON_EVERY_ERA
from support.network import GREET, HANG, Network, take_numbers
from support.virtual import eventually

pytestmark = ON_EVERY_ERA

Records = list[MutableMapping[str, Any]]
QUICK = RetryPolicy(base=0.1, cap=0.2)
NO_PINGS = PingPolicy(enabled=False)
OFTEN = PingPolicy(interval=5, timeout=5)
CODES = pytest.mark.parametrize("code", [500, 0, "42S02", 2002])


def faults(records: Records) -> list[str]:
    return [record["change"] for record in records if record["event"] == "realtime.fault"]


def requests(network: Network, kind: str = "subscribe") -> list[bytes]:
    return [data for data in network.socket.sent if f'"type":"{kind}"'.encode() in data]


async def subscribed(realtime: Realtime, *channels: str) -> tuple[Subscription, ...]:
    return tuple([await realtime.subscribe(channel) for channel in channels])


# --- requests ---------------------------------------------------------------------------------------------------------


@CODES
@BY_MESSAGE
async def test_subscriptions_outlive_a_restore_that_meets_a_fault_and_are_told_of_one_gap(code: int | str) -> None:
    network = Network()
    async with network.realtime(retry=QUICK) as realtime:
        streams = await subscribed(realtime, "rows", "files", "teams")
        network.fault = code
        network.socket.cut()
        await eventually(lambda: len(requests(network)) > 2 and len(network.sockets) == 2)
        assert realtime.state is State.CONNECTED
        network.fault = None
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert [len(stream.gaps) for stream in streams] == [1, 1, 1]
        assert network.publish("rows", payload={"n": 1}) == 1
        assert (await anext(streams[0])).payload == {"n": 1}
        await realtime.reconnect()
        await eventually(lambda: realtime.state is State.SUBSCRIBED)


@CODES
@BY_MESSAGE
async def test_one_that_was_never_acknowledged_is_rejected_after_its_attempts_and_the_others_stay(code: int | str) -> None:
    network = Network()
    async with network.realtime(retry=QUICK, ping=NO_PINGS) as realtime:
        (rows,) = await subscribed(realtime, "rows")
        network.fault = code
        with pytest.raises(SubscriptionRejected) as rejected:
            await realtime.subscribe("files")
        assert (rejected.value.code, len(requests(network))) == (code, 1 + 3)
        assert realtime.state is State.SUBSCRIBED
        network.fault = None
        assert network.publish("rows", payload={"n": 1}) == 1
        assert (await anext(rows)).payload == {"n": 1}
        await realtime.subscribe("files")


@BY_MESSAGE
async def test_with_endless_attempts_it_waits() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=None, base=0.1, cap=0.2)) as realtime:
        network.fault = 500
        asked = asyncio.ensure_future(realtime.subscribe("files"))
        await asyncio.sleep(300)
        assert not asked.done()
        network.fault = None
        await asked
        assert asked.result().gaps == ()


async def pauses_between(network: Network, count: int) -> list[float]:
    """Wait for so many more subscribe requests on the newest link, and return the seconds between them."""
    before, sent = len(requests(network)), list[float]()
    while len(sent) < count:
        await eventually(lambda: len(requests(network)) > before + len(sent))
        sent.append(asyncio.get_running_loop().time())
    return [after - one for one, after in itertools.pairwise(sent)]


@BY_MESSAGE
async def test_four_repetitions_keep_the_retry_policy_and_then_there_is_one_every_ten_seconds() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(base=1.0, factor=2.0, cap=60.0), ping=NO_PINGS) as realtime:
        await subscribed(realtime, "rows")
        network.fault = 500
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2)
        assert await pauses_between(network, 8) == pytest.approx([0.5, 0.75, 1.5, 3.0, 10.0, 10.0, 10.0], abs=0.05)


@BY_MESSAGE
async def test_after_an_acknowledgement_the_next_fault_begins_with_the_retry_policys_delays() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(base=1.0, factor=2.0, attempts=6), ping=NO_PINGS) as realtime:
        await realtime.connect()
        for channel in ("rows", "files"):
            network.fault = 500
            asking = asyncio.ensure_future(realtime.subscribe(channel))
            assert await pauses_between(network, 5) == pytest.approx([0.5, 0.75, 1.5, 3.0], abs=0.05), channel
            network.fault = None
            await asking


@BY_MESSAGE
async def test_an_unsubscribe_and_a_presence_are_repeated_and_an_authentication_fails_at_once() -> None:
    network = Network()
    alice, bob = map(network.backend.add_user, ("alice", "bob"))
    async with network.realtime(retry=QUICK, ping=NO_PINGS, session=alice) as realtime:
        rows, _ = await subscribed(realtime, "rows", "files")
        network.fault = 0
        with pytest.raises(AuthenticationRejected):
            await realtime.authenticate(bob)
        assert realtime.user is not None
        assert (realtime.user["$id"], realtime.state) == ("alice", State.SUBSCRIBED)
        shown, removed = (asyncio.ensure_future(work) for work in (realtime.set_presence("online"), rows.unsubscribe()))
        await eventually(lambda: len(requests(network, "presence")) > 2 and len(requests(network, "unsubscribe")) > 2)
        assert not shown.done()
        assert not removed.done()
        network.fault = None
        await asyncio.gather(shown, removed)
        assert network.listening == {"files"}


@BY_MESSAGE
async def test_a_request_that_fails_for_itself_tells_of_one_fault_and_takes_no_other_with_it(records: Records) -> None:
    """Events come all the while, so the server works; and what is new does not wait for the repetitions."""
    network = Network()
    async with network.realtime(retry=RetryPolicy(base=0.1, cap=0.2, attempts=None), ping=NO_PINGS) as realtime:
        (rows,) = await subscribed(realtime, "rows")
        network.refused_with[b'"files"'] = 500
        asked = asyncio.ensure_future(realtime.subscribe("files"))
        for number in range(200):
            await asyncio.sleep(0.5)
            assert network.publish("rows", payload={"n": number}) == 1
        begin = asyncio.get_running_loop().time()
        await realtime.subscribe("teams")
        assert asyncio.get_running_loop().time() < begin + 1
        assert take_numbers(rows) == list(range(200))
        assert (faults(records), len(rows.gaps)) == (["opened", "closed"], 1)
        asked.cancel()
        await asyncio.wait((asked,))


# --- pings and events -------------------------------------------------------------------------------------------------


async def test_a_server_that_cannot_work_for_a_while_costs_one_gap_and_no_change_of_state(records: Records) -> None:
    network = Network()
    told: list[Gap] = []
    async with network.realtime(ping=OFTEN) as realtime:
        rows = await realtime.subscribe("rows", on_gap=told.append)
        await eventually(lambda: PING in network.socket.sent)
        network.publish("rows", payload={"n": 0}, timestamp="2026-11-24T10:00:00.000+00:00")
        await eventually(lambda: len(rows._delivery.buffer) == 1)
        links = len(network.sockets)
        network.backend.faulty = True
        assert network.publish("rows") == 0
        await eventually(lambda: faults(records) == ["opened"])
        await asyncio.sleep(60)
        assert (realtime.state.is_live, len(network.sockets), told) == (True, links, [])
        network.backend.faulty = False
        await eventually(lambda: told)
        (gap,) = rows.gaps
        assert told == [gap]
        assert gap.since is not None
        assert gap.since.isoformat() == "2026-11-24T10:00:00+00:00"
        assert 60 < gap.outage_seconds < 60 + 20
        assert gap.attempts == 0
        assert faults(records) == ["opened", "closed"]
        await asyncio.sleep(60)
        assert (len(rows.gaps), len(network.sockets)) == (1, links)


async def test_an_event_ends_a_fault_and_the_gap_is_told_before_it_is_delivered(records: Records) -> None:
    network = Network()
    caught: list[Gap] = []

    async def catch_up(gap: Gap) -> list[Any]:
        caught.append(gap)
        return []

    async with network.realtime(ping=OFTEN) as realtime:
        rows = await realtime.subscribe("rows", catch_up=catch_up)
        network.backend.faulty = True
        await eventually(lambda: faults(records) == ["opened"])
        network.backend.faulty = False
        assert network.publish("rows", payload={"n": 1}) == 1
        assert (await anext(rows)).payload == {"n": 1}
        assert (faults(records), len(rows.gaps), len(caught)) == (["opened", "closed"], 1, 1)
        assert network.publish("rows", payload={"n": 2}) == 1
        assert (await anext(rows)).payload == {"n": 2}
        assert len(rows.gaps) == 1
        assert any(record.get("trigger") == "recovered" for record in records)


async def test_an_event_of_a_link_that_drains_ends_its_fault_and_the_gap_is_told_before(records: Records) -> None:
    network = Network()
    seconds = [f"2026-11-24T10:00:0{number}.000+00:00" for number in range(4)]
    async with network.realtime(ping=OFTEN, retry=RetryPolicy(attempts=None)) as realtime:
        rows = await realtime.subscribe("rows")
        network.publish("rows", payload={"n": 0}, timestamp=seconds[0])
        assert (await anext(rows)).payload == {"n": 0}
        network.backend.faulty = True
        assert network.publish("rows", payload={"n": 1}, timestamp=seconds[1]) == 0
        await eventually(lambda: faults(records) == ["opened"])
        network.otherwise = HANG
        handover = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: realtime._driver.links.draining is not None)
        network.backend.faulty = False
        told = [0]
        for number in (2, 3):
            network.publish("rows", payload={"n": number}, timestamp=seconds[number])
            assert (await anext(rows)).payload == {"n": number}
            told.append(len(rows.gaps))
        assert told == [0, 1, 1], "the first event proves that the server works"
        await realtime.disconnect()
        network.otherwise = GREET
        await realtime.reconnect()
        await eventually(lambda: len(rows.gaps) == 2)
        assert [gap.since and gap.since.isoformat(timespec="milliseconds") for gap in rows.gaps] == [seconds[0], seconds[3]]
        assert isinstance((await asyncio.gather(handover, return_exceptions=True))[0], Disconnected)


async def test_a_link_that_is_lost_in_a_fault_makes_one_gap_of_both(records: Records) -> None:
    network = Network()
    async with network.realtime(ping=OFTEN, retry=QUICK) as realtime:
        (rows,) = await subscribed(realtime, "rows")
        network.backend.faulty = True
        await eventually(lambda: faults(records) == ["opened"])
        await asyncio.sleep(30)
        network.backend.faulty = False
        network.socket.cut()
        await eventually(lambda: rows.gaps)
        assert faults(records) == ["opened", "closed"]
        (outage,) = (each["seconds"] for each in records if each["event"] == "realtime.outage" and each["change"] == "closed")
        (gap,) = rows.gaps
        assert outage < 1 < 30 < gap.outage_seconds
        await asyncio.sleep(60)
        assert len(rows.gaps) == 1


async def test_one_that_the_user_has_given_up_is_told_of_no_gap(records: Records) -> None:
    network = Network()
    async with network.realtime(ping=OFTEN) as realtime:
        rows, files = await subscribed(realtime, "rows", "files")
        network.backend.faulty = True
        await eventually(lambda: faults(records) == ["opened"])
        left = asyncio.ensure_future(rows.unsubscribe())
        await asyncio.sleep(20)
        network.backend.faulty = False
        await left
        await eventually(lambda: files.gaps)
        assert rows.gaps == ()


# --- the pace of pings ------------------------------------------------------------------------------------------------


def test_a_policy_that_the_budget_cannot_carry_is_warned_of() -> None:
    with pytest.warns(PingPolicyWarning, match=r"3\.75") as warned:
        PingPolicy(interval=3.7, timeout=1)
    assert warned[0].filename == __file__
    assert PingPolicy(interval=3.75, timeout=1).interval_after(1000) == 3.75


@pytest.mark.parametrize(("interval", "seconds"), [(1, 0.5), (0.1, 0.1), (3, 3)])
@pytest.mark.parametrize("age", [0.0, 30.0, 100.0, 600.0])
async def test_a_dead_link_is_noticed_within_five_seconds_and_the_timeout(interval: float, seconds: float, age: float) -> None:
    network = Network()
    async with network.realtime(ping=PingPolicy(interval, seconds), retry=RetryPolicy(attempts=None)) as realtime:
        await subscribed(realtime, "rows")
        socket = network.socket
        await asyncio.sleep(age)
        assert network.socket is socket
        socket.frozen = True
        begin = asyncio.get_running_loop().time()
        await eventually(lambda: realtime.state is State.RECONNECTING)
        assert asyncio.get_running_loop().time() - begin < 5 + seconds + 0.05


async def test_four_pings_keep_the_interval_and_then_there_is_one_every_five_seconds() -> None:
    network = Network()
    async with network.realtime(ping=PingPolicy(1, 0.5)) as realtime:
        await subscribed(realtime, "rows")
        sent: list[float] = []
        while len(sent) < 60:
            await eventually(lambda: network.socket.sent.count(PING) > len(sent))
            sent.append(asyncio.get_running_loop().time())
        pauses = [after - before for before, after in itertools.pairwise(sent)]
        assert pauses == pytest.approx([1.0] * 3 + [5.0] * 56, abs=0.02)
