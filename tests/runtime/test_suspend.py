"""A process that slept looks at its links at once; links are renewed on purpose; dials keep the pace."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_fsm import BadOption, Disconnected, PingPolicy, RetryPolicy, State
from realtime_fsm.errors import DialFailed
from realtime_fsm.fsm.link import DRAIN_SECONDS
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.protocol.frames import PING
from realtime_fsm.runtime.suspend import CLOCK_JUMP, POLL_INTERVAL, SuspendDetector, detector_for
from realtime_fsm.testing.eras import EraName
from support.eras import NO_SERVER, ON_EVERY_ERA
from support.network import Network
from support.some import some
from support.virtual import VirtualLoop, eventually

pytestmark = ON_EVERY_ERA


class Sleeper:
    def __init__(self) -> None:
        self.woken = 0

    def on_resume(self) -> None:
        self.woken += 1


@NO_SERVER
@pytest.mark.parametrize("clock", ["wall", "loop"])
async def test_a_jump_of_either_clock_is_noticed(clock: str) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    wall = [1_800_000_000.0]
    watch = SuspendDetector(loop, lambda: wall[0])
    one, two = Sleeper(), Sleeper()
    watch.add(one)
    watch.add(two)
    await asyncio.sleep(10 * POLL_INTERVAL)
    assert (one.woken, two.woken) == (0, 0)
    watch.discard(two)
    if clock == "wall":
        wall[0] += CLOCK_JUMP + POLL_INTERVAL + 1
    else:
        loop._clock.now += CLOCK_JUMP + POLL_INTERVAL + 1
    await asyncio.sleep(POLL_INTERVAL)
    assert (one.woken, two.woken) == (1, 0)
    watch.discard(one)
    assert watch._timer is None


@NO_SERVER
@pytest.mark.parametrize(("jump", "woken"), [(CLOCK_JUMP, 0), (CLOCK_JUMP + 0.001, 1)])
async def test_a_clock_must_jump_by_more_than_ten_seconds(jump: float, woken: int) -> None:
    wall = [1_800_000_000.0]
    watch, sleeper = SuspendDetector(asyncio.get_running_loop(), lambda: wall[0]), Sleeper()
    watch.add(sleeper)
    wall[0] += POLL_INTERVAL + jump
    await asyncio.sleep(POLL_INTERVAL)
    assert sleeper.woken == woken
    watch.discard(sleeper)


@NO_SERVER
async def test_a_sleeper_that_is_gone_stops_the_watch() -> None:
    watch = SuspendDetector(asyncio.get_running_loop(), lambda: 0.0)
    watch.add(Sleeper())
    await asyncio.sleep(2 * POLL_INTERVAL)
    assert watch._timer is None


async def test_after_a_sleep_the_link_is_looked_at_at_once() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        watch = detector_for(asyncio.get_running_loop())
        assert realtime._driver in watch._listeners
        network.socket.frozen = True
        states = realtime.states()
        begin = asyncio.get_running_loop().time()
        watch._wall = lambda: 1e12
        assert (await anext(states)).dest is State.PING
        assert asyncio.get_running_loop().time() - begin <= POLL_INTERVAL
        lost = await anext(states)
        assert (lost.dest, str(lost.cause)) == (State.RECONNECTING, "no pong within 10 seconds")
        await realtime.disconnect()
        assert realtime._driver not in watch._listeners
        assert watch._timer is None


async def test_after_a_sleep_the_next_dial_is_now() -> None:
    network = Network()
    network.script.append(DialFailed("refused"))
    async with network.realtime(retry=RetryPolicy(base=1000, cap=1000)) as realtime:
        waiter = asyncio.ensure_future(realtime.connect())
        await eventually(lambda: network.dials)
        await asyncio.sleep(1)
        realtime._driver.on_resume()
        await waiter
        assert asyncio.get_running_loop().time() < network.dials[0] + 2


async def test_a_link_is_renewed_when_it_is_as_old_as_it_may_grow() -> None:
    network = Network()
    async with network.realtime(max_link_age=100, ping=PingPolicy(enabled=False)) as realtime:
        rows = await realtime.subscribe("rows")
        states = realtime.states()
        changes = [await anext(states) for _ in range(3)]
        assert [(change.dest, change.cause) for change in changes] == [
            (State.RECONNECTING, None), (State.CONNECTED, None), (State.SUBSCRIBED, None),
        ]  # fmt: skip
        assert 90 <= network.dials[1] - network.dials[0] <= 101
        await asyncio.sleep(2 * DRAIN_SECONDS)
        assert network.sockets[0].closed == 5.0, "tidily"
        assert rows.gaps == ()
    for nonsense in (0, -1, float("nan"), "5"):
        with pytest.raises(BadOption, match="max_link_age"):
            network.realtime(max_link_age=nonsense)


async def test_the_connections_of_a_process_keep_the_pace_together(server_era: EraName) -> None:
    network = Network()
    network.otherwise = "greet"
    policy: dict[str, Any] = {"retry": RetryPolicy(dials_per_minute=5), "era": server_era}  # so no dial detects it
    connections = [network.realtime(**policy) for _ in range(12)]
    url = connections[0]._driver._url
    for connection in some(connections):
        connection._driver.context.pacer = connections[0]._driver.context.pacer
        assert url
    await asyncio.gather(*(connection.connect() for connection in connections))
    begin = network.dials[0]
    moments = [0.0] * 5 + [60.0 + 12 * number for number in range(7)]
    assert [dial - begin for dial in network.dials] == pytest.approx(moments, abs=0.1)
    attempts = [connection._driver.context.attempt for connection in connections]
    assert attempts == [0] * 9 + [1] * 3, "waiting is no failed attempt, and the youngest links are not stable yet"
    for connection in connections:
        await connection.dispose()


async def test_one_who_does_not_wait_any_more_gives_the_place_back(server_era: EraName) -> None:
    network = Network()
    pacer = Pacer(1)
    first, second, third = (network.realtime(era=server_era) for _ in range(3))
    for connection in (first, second, third):
        connection._driver.context.pacer = pacer
    await first.connect()
    waiting = asyncio.ensure_future(second.connect())
    await asyncio.sleep(1)
    await second.disconnect()
    with pytest.raises(Disconnected):
        await waiting
    await third.connect()
    assert network.dials[1] - network.dials[0] == pytest.approx(60, abs=1)
    for connection in (first, second, third):
        await connection.dispose()


async def test_a_throttled_dial_does_not_hurry_after_a_sleep(server_era: EraName) -> None:
    network = Network(connection_limit=1)
    async with network.realtime(era=server_era) as first, network.realtime(era=server_era) as second:
        await first.connect()
        waiter = asyncio.ensure_future(second.connect())
        await eventually(lambda: len(network.dials) == 2)
        await asyncio.sleep(1)
        second._driver.on_resume()
        await waiter
        assert network.dials[2] - network.dials[1] >= 60


async def test_the_heartbeat_that_is_off_stays_off_after_a_sleep() -> None:
    network = Network()
    async with network.realtime(ping=PingPolicy(enabled=False)) as realtime:
        await realtime.subscribe("rows")
        realtime._driver.on_resume()
        await asyncio.sleep(5)
        assert PING not in network.socket.sent
