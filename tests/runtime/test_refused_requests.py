"""Refusals on a link that stays up: nothing is asked again at once, and what was acknowledged comes back."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm import PingPolicy, RetryPolicy, State, Subscription, SubscriptionRejected
from realtime_fsm.fsm.commands import SendFrame, SubscriptionRefused
from realtime_fsm.fsm.fault import QUICK, STEADY
from realtime_fsm.fsm.inputs import Deadline, SetPresence, Unsubscribe
from realtime_fsm.protocol.faults import is_server_fault, is_throttle
from support.bench import Bench
from support.brokenlogs import Record, Scribe, audited, collected, lines_of
from support.network import Network
from support.replaying import log_of, replayed
from support.some import some
from support.verdicts import altered, found
from support.virtual import eventually

RETRY = RetryPolicy(base=1.0, factor=2.0, cap=60.0)
NO_PINGS = PingPolicy(enabled=False)
PAUSES = [0.5, 0.75, 1.5, 3.0, STEADY, STEADY]
TOO_MANY = pytest.mark.parametrize("code", [1013, 429, "429"])


def requests(network: Network) -> list[bytes]:
    return [data for data in network.socket.sent if b'"subscribe"' in data]


async def subscribed(realtime: Any, count: int) -> list[Subscription]:
    return [await realtime.subscribe(f"files.f{number}") for number in range(count)]


async def moments(network: Network, count: int) -> list[float]:
    """When the newest link is asked, so many times."""
    seen: list[float] = []
    while len(seen) < count:
        await eventually(lambda: len(requests(network)) > len(seen))
        seen.append(asyncio.get_running_loop().time())
    return seen


# --- the pace ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("pings", [True, False])
async def test_a_link_that_refuses_and_stays_up_is_asked_at_the_pace_of_a_server_fault(count: int, pings: bool) -> None:
    network = Network()
    async with network.realtime(retry=RETRY, ping=PingPolicy(interval=20) if pings else NO_PINGS) as realtime:
        streams = await subscribed(realtime, count)
        network.fault = 1008
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2)
        sent = await moments(network, 1 + len(PAUSES))
        assert [after - before for before, after in itertools.pairwise(sent)] == pytest.approx(PAUSES, abs=0.05)
        assert (realtime.state, len(network.dials)) == (State.CONNECTED, 2)
        network.fault = None
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert [len(stream.gaps) for stream in streams] == [1] * count
        assert len(network.dials) == 2
        for number, stream in enumerate(some(streams)):
            network.publish(f"files.f{number}", payload={"n": number})
            assert (await anext(stream)).payload == {"n": number}


@pytest.mark.parametrize("count", [1, 4])
async def test_a_link_that_ends_late_is_not_flooded_and_the_next_one_is_asked_at_once(count: int) -> None:
    network = Network()
    async with network.realtime(retry=RETRY, ping=NO_PINGS) as realtime:
        streams = await subscribed(realtime, count)
        network.fault = 1008
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2 and len(requests(network)) == 1)
        await asyncio.sleep(0.3)
        assert len(requests(network)) == 1
        network.fault = None
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 3)
        greeted = asyncio.get_running_loop().time()
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert asyncio.get_running_loop().time() < greeted + 0.2
        assert [len(stream.gaps) for stream in streams] == [1] * count


async def test_what_is_new_does_not_wait_and_what_was_refused_then_comes_back() -> None:
    network = Network()
    async with network.realtime(retry=RETRY, ping=NO_PINGS) as realtime:
        await subscribed(realtime, 3)
        network.fault = 1008
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2)
        await moments(network, 6)
        network.fault = None
        begin = asyncio.get_running_loop().time()
        await realtime.subscribe("teams")
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert asyncio.get_running_loop().time() < begin + 0.2


async def test_one_that_a_link_refuses_alone_is_found_without_haste_while_the_link_stays_up() -> None:
    network = Network()
    async with network.realtime(retry=RETRY, ping=NO_PINGS) as realtime:
        streams = await subscribed(realtime, 4)
        network.refused_with[b'"files.f2"'] = 1008
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert network.listening == {"files.f0", "files.f1", "files.f3"}
        with pytest.raises(SubscriptionRejected):
            await anext(streams[2])
        assert (len(network.dials), len(requests(network)) < 10) == (2, True)


@pytest.mark.parametrize(("attempts", "count"), [(1, 2), (3, 2), (3, 5)])
async def test_new_ones_that_a_link_refuses_are_rejected_alone_after_their_attempts(attempts: int, count: int) -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=attempts), ping=NO_PINGS) as realtime:
        await realtime.connect()
        network.fault = 1008
        asked = [asyncio.ensure_future(realtime.subscribe(f"files.f{number}")) for number in range(count)]
        await asyncio.sleep(0.2)
        assert len(requests(network)) <= 2
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert [getattr(one, "code", one) for one in done] == [1008] * count
        assert len(requests(network)) <= 2 * count + attempts * count
        assert (realtime.state, len(network.dials)) == (State.UNSUBSCRIBED, 1)


# --- the machine ------------------------------------------------------------------------------------------------------


def refused(bench: Bench, count: int = 1) -> Bench:
    """A new link refuses what was acknowledged on the one before, and stays up."""
    bench.to(State.SUBSCRIBED)
    for number in range(2, count + 1):
        bench.subscribe(f"s{number}")
        bench.acknowledge()
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    bench.err(1008)
    return bench


def test_nothing_leaves_before_its_time_and_no_fault_is_told() -> None:
    bench = refused(Bench(ping=NO_PINGS))
    assert (
        bench.requests(SendFrame),
        bench.requests(SubscriptionRefused),
        bench.last.transition and bench.last.transition.fault,
    ) == ([], [], None)
    bench.do(Deadline(), after=0.1)
    assert bench.last.transition is None
    bench.expire()
    assert bench.last.transition is not None
    assert (bench.last.transition.row.id, len(bench.requests(SendFrame))) == ("con115", 1)
    for _ in range(QUICK):
        bench.err(1008)
        bench.expire()
    before = bench.now
    bench.err(1008)
    bench.expire()
    assert bench.now - before == STEADY


def test_other_requests_have_their_turn_while_a_link_refuses() -> None:
    bench = refused(Bench(ping=NO_PINGS), 2)
    bench.do(Unsubscribe("s2"))
    bench.do(SetPresence(b'{"type":"presence"}', "p"))
    kinds = []
    for _ in range(3):
        while bench.context.subscriptions.in_flight is None:
            bench.expire()
        kinds.append(bench.context.subscriptions.in_flight.kind)
        _ = bench.err(1008) if kinds[-1] == "subscribe" else bench.acknowledge()
    assert kinds == ["presence", "subscribe", "subscribe"]


def test_a_fault_that_meets_what_a_refusal_has_met_is_told() -> None:
    bench = refused(Bench(ping=NO_PINGS))
    bench.expire()
    bench.err(500)
    assert bench.last.transition is not None
    assert (bench.last.transition.row.id, bench.last.transition.fault and bench.last.transition.fault.opened) == ("con110", True)


# --- the log ----------------------------------------------------------------------------------------------------------


def repeated(bench: Bench) -> None:
    refused(bench, 3)
    for _ in range(5):
        bench.expire_until("con115")
        bench.err(1008)
    bench.expire_until("con115")
    while bench.state is not State.SUBSCRIBED:
        bench.acknowledge()


def ended_late(bench: Bench) -> None:
    refused(bench, 2)
    bench.expire_until("con115")
    bench.err(1008)
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    while bench.state is not State.SUBSCRIBED:
        bench.acknowledge()


def throttled(bench: Bench) -> None:
    bench.to(State.CONNECTED).subscribe()
    bench.err("429")
    bench.expire_until("con66")
    bench.acknowledge()


def logged(live: Callable[[Bench], object]) -> list[Record]:
    with collected() as records:
        bench = Bench(ping=PingPolicy(interval=40) if live is not throttled else NO_PINGS)
        Scribe(bench)
        live(bench)
    return records


@pytest.mark.parametrize("live", [repeated, ended_late, throttled])
def test_the_log_is_conformant_and_is_replayed(live: Callable[[Bench], object], tmp_path: Path) -> None:
    records = logged(live)
    report = audited(lines_of(records))
    assert (report.verdict, report.first) == ("conformant", None)
    played = replayed(log_of(tmp_path / "log.jsonl", records))
    assert len(played) == sum(record["event"] == "realtime.transition" for record in records)


def test_a_log_that_takes_too_many_for_a_refusal_is_violated() -> None:
    records = logged(throttled)
    index = next(index for index, record in enumerate(records) if record.get("row") == "con45")
    assert found(audited(altered(records, index, row="con48"))) == ("violated", "row")
    assert found(audited(altered(records, index, error_code=1003))) == ("violated", "row")


# --- too many ---------------------------------------------------------------------------------------------------------


def test_the_codes_that_say_too_many() -> None:
    assert all(is_throttle(code) and not is_server_fault(code) for code in (1013, 429, "429"))
    assert not any(is_throttle(code) for code in (0, 400, 428, 430, 500, 1008, "42S02", "1013", ""))


@TOO_MANY
async def test_a_restore_that_comes_too_fast_is_made_in_the_next_window(code: int | str) -> None:
    network = Network()
    async with network.realtime(ping=NO_PINGS) as realtime:
        streams = await subscribed(realtime, 3)
        network.fault = code
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2 and len(requests(network)) == 1)
        first = asyncio.get_running_loop().time()
        await asyncio.sleep(30)
        network.fault = None
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert asyncio.get_running_loop().time() >= first + 60
        assert [len(stream.gaps) for stream in streams] == [1, 1, 1]
        assert (len(network.dials), len(requests(network))) == (2, 2)


@TOO_MANY
def test_a_ping_that_is_one_too_many_is_answered(code: int | str) -> None:
    bench = Bench().to(State.SUBSCRIBED)
    bench.expire_until("sub64")
    bench.err(code)
    assert bench.last.transition is not None
    assert (bench.last.transition.row.id, bench.state, bench.context.require_link.at_fault) == ("pin49", State.SUBSCRIBED, False)
