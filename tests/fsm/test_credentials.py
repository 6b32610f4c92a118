"""Refused credentials and failed dials: which credentials get another dial, and what the connection tells of a failure."""

from __future__ import annotations

import asyncio

import pytest

from realtime_fsm import Failure, RefusedByServer, State
from realtime_fsm.errors import DialFailed, StreamEnded
from realtime_fsm.fsm.commands import OpenLink
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.testing.wire import error
from support.bench import Bench
from support.network import Network
from support.retrying import DART, E, R, S, refuse_credentials, row
from support.virtual import eventually

GREETING = b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":{"$id":"u1"}}}'


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [401, 403])
def test_refused_credentials_that_can_be_renewed_get_one_more_dial(code: int) -> None:
    bench = Bench().to(S)
    for _ in range(2):
        bench.lose()
        bench.expire()
        refuse_credentials(bench, code, renewable=True)
        (dial,) = bench.requests(OpenLink)
        assert (row(bench), dial.renewal.code) == ("rec130", code)
        bench.open()
        bench.greet()
        bench.acknowledge()
    bench.lose()
    bench.expire()
    refuse_credentials(bench, code, renewable=True)
    refuse_credentials(bench, code, renewable=True)
    assert bench.state is E
    assert isinstance(bench.context.error, RefusedByServer)


@pytest.mark.parametrize("been_up", [False, True])
def test_refused_credentials_are_fatal_where_they_cannot_be_renewed_or_no_link_has_been_up(been_up: bool) -> None:
    bench = Bench().to(S if been_up else R)
    if been_up:
        bench.lose()
        bench.expire()
    refuse_credentials(bench, 401, renewable=not been_up)
    assert (bench.state, set(bench.context.subscriptions.desired)) == (E, {"s1"} if been_up else set())


@pytest.mark.parametrize("renewed", [False, True])
async def test_the_callable_is_asked_again_and_dialed_only_with_something_new(renewed: bool) -> None:
    network = Network()
    secrets = iter(["old", "old", "new"] if renewed else ["old"] * 3)
    given: list[str] = []

    def jwt() -> str:
        given.append(next(secrets))
        return given[-1]

    def headers() -> list[str]:
        return [sent["X-Appwrite-JWT"] for sent in network.headers]

    async with network.realtime(jwt=jwt, headers={}) as realtime:
        network.otherwise = "mute"
        connecting = asyncio.ensure_future(realtime.connect())
        await eventually(lambda: len(network.sockets) == 1)
        network.socket.push(GREETING)
        await connecting
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2)
        network.socket.push(error(401))
        if renewed:
            await eventually(lambda: len(network.sockets) == 3)
            network.socket.push(GREETING)
            await eventually(lambda: realtime.state is State.CONNECTED)
            assert headers() == ["old", "old", "new"]
        else:
            await eventually(lambda: realtime.state is E)
            assert (headers(), len(given)) == (["old", "old"], 3)
            assert isinstance(realtime.error, RefusedByServer)
            assert realtime.error.code == 401


# --- reports ----------------------------------------------------------------------------------------------------------


async def test_the_last_failure_is_told_with_the_moment_of_the_next_dial() -> None:
    network = Network()
    async with network.realtime(retry=DART) as realtime:
        assert realtime.last_failure is None
        await realtime.subscribe("rows")
        told: list[Failure] = []
        realtime._driver.failures.on_failure = told.append
        network.otherwise = DialFailed("refused")
        network.socket.cut()
        await eventually(lambda: realtime.state is R)
        lost = realtime.last_failure
        assert lost is not None
        assert (type(lost.error), lost.delay, told) == (StreamEnded, pytest.approx(1.5), [])
        assert str(lost.error) == "the stream ended (close code 1006)"
        await eventually(lambda: realtime.state is E)
        assert [failure.delay for failure in told] == [pytest.approx(6.0), None]
        assert realtime.last_failure == told[-1]
        server = realtime._driver.context.server
        assert server.endswith(":80")
        assert {str(failure.error) for failure in told} == {f"{server}: the dial failed: refused"}
        assert f"; the last one: {server}: the dial failed: refused" in str(realtime.error)
        assert "project" not in str(realtime.error)


async def test_a_dial_that_waits_for_its_turn_is_due_then() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(base=1.0, attempts=5, dials_per_minute=1)) as realtime:
        await realtime.connect()
        network.socket.cut()
        await eventually(lambda: realtime.state is R)
        assert realtime.last_failure is not None
        assert realtime.last_failure.delay == pytest.approx(0.75)
        await asyncio.sleep(2)
        assert realtime.last_failure.delay is not None
        assert 55 < realtime.last_failure.delay < 61
