"""The health of a connection: live as long as it can heal, ready while links deliver everything that is desired."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from realtime_fsm import Disposed, Health, LinkLost, Realtime, RetriesExhausted, RetryPolicy, State
from realtime_fsm.client.health import named
from realtime_fsm.errors import DialFailed
from realtime_fsm.sync import Realtime as BlockingRealtime
from support.canary import deafen, heal, own
from support.handing import handing_over
from support.network import HANG, MUTE, Network
from support.served import Served, connected
from support.virtual import eventually

READY = Health(live=True, ready=True)
AWAY = DialFailed("Connection refused")
FAULT = "a server fault: the server answers, and cannot do its work"
ONCE = RetryPolicy(attempts=1, reconnect_attempts=1)


def unready(*reasons: str) -> Health:
    return Health(live=True, ready=False, reasons=reasons)


def silent(network: Network) -> None:
    """The server answers a subscribe with nothing."""
    network.socket.frozen = True


async def begin(_: Network, __: Realtime) -> None:
    pass


async def connect(_: Network, realtime: Realtime) -> None:
    await realtime.connect()


async def subscribe(_: Network, realtime: Realtime) -> None:
    await realtime.subscribe("rows")


async def unsubscribe(_: Network, realtime: Realtime) -> None:
    await (await realtime.subscribe("rows")).unsubscribe()


async def disconnect(network: Network, realtime: Realtime) -> None:
    await subscribe(network, realtime)
    await realtime.disconnect()


async def dispose(network: Network, realtime: Realtime) -> None:
    await subscribe(network, realtime)
    await realtime.dispose()


async def ping(network: Network, realtime: Realtime) -> None:
    await subscribe(network, realtime)
    silent(network)
    await eventually(lambda: realtime.state is State.PING)


async def lose(network: Network, realtime: Realtime) -> None:
    await subscribe(network, realtime)
    network.otherwise = AWAY
    network.socket.cut()
    await eventually(lambda: realtime.state is State.RECONNECTING)


async def lose_for_long(network: Network, realtime: Realtime) -> None:
    await lose(network, realtime)
    await asyncio.sleep(3600)


EACH_STATE: dict[str, tuple[Callable[[Network, Realtime], Awaitable[None]], State, Health]] = {
    "the beginning": (begin, State.DISCONNECTED, unready("disconnected: no link, and none is wanted")),
    "nothing desired": (connect, State.CONNECTED, READY),
    "everything acknowledged": (subscribe, State.SUBSCRIBED, READY),
    "nothing left": (unsubscribe, State.UNSUBSCRIBED, READY),
    "a ping": (ping, State.PING, READY),
    "disconnect()": (disconnect, State.DISCONNECTED, unready("disconnected: no link, and none is wanted")),
    "dispose()": (dispose, State.DISPOSING, Health(live=False, ready=False, reasons=("disposing: the end",))),
    "a loss": (lose, State.RECONNECTING, unready("reconnecting: getting a link; the stream ended (close code 1006)")),
    "an hour without a server": (
        lose_for_long, State.RECONNECTING,
        unready("reconnecting: getting a link; server:80: the dial failed: Connection refused"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("ids", "text"), [("1", "1"), ("12345", "1, 2, 3, 4, 5"), ("123456", "1, 2, 3, 4, 5, ...")])
def test_five_ids_at_most_are_named(ids: str, text: str) -> None:
    assert named([*ids]) == text


@pytest.mark.parametrize("case", EACH_STATE)
async def test_each_state_has_its_health(case: str) -> None:
    arrange, state, health = EACH_STATE[case]
    network = Network()
    async with network.realtime() as realtime:
        await arrange(network, realtime)
        server = realtime._driver.context.server
        reasons = tuple(reason.replace(server, "server:80") for reason in realtime.health().reasons)
        assert (realtime.state, replace(realtime.health(), reasons=reasons)) == (state, health)


async def test_a_server_that_is_away_leads_to_error_which_stays_live() -> None:
    network = Network()
    network.otherwise = AWAY
    async with network.realtime(retry=ONCE) as realtime:
        with pytest.raises(RetriesExhausted) as exhausted:
            await realtime.connect()
        assert realtime.health() == unready(f"error: no link, and no attempt will be made; {exhausted.value}")


async def test_a_loss_without_auto_reconnect_names_its_cause() -> None:
    network = Network()
    async with network.realtime(auto_reconnect=False) as realtime:
        rows = await realtime.subscribe("rows")
        network.socket.cut()
        with pytest.raises(LinkLost):
            await anext(rows)
        cause = "the stream ended (close code 1006)"
        assert realtime.health() == unready(f"disconnected: no link, and none is wanted; {cause}")


async def test_an_old_failure_is_no_reason() -> None:
    network = Network()
    network.script.append(AWAY)
    async with network.realtime() as realtime:
        await realtime.connect()
        await realtime.disconnect()
        assert realtime.last_failure is not None
        assert realtime.health() == unready("disconnected: no link, and none is wanted")


async def test_it_is_not_ready_until_the_last_subscription_is_acknowledged() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        silent(network)
        waiting = [asyncio.ensure_future(realtime.subscribe(f"rows.{number}")) for number in range(6)]
        await eventually(lambda: not realtime.health().ready)
        assert realtime.health() == unready("6 of 7 subscriptions not acknowledged: s2, s3, s4, s5, s6, ...")
        await realtime.dispose()
        assert all(isinstance(end, Disposed) for end in await asyncio.gather(*waiting, return_exceptions=True))


# --- a handover -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dial", [HANG, MUTE])
async def test_the_old_link_of_a_handover_counts(dial: str) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.script.append(dial)
        renewing = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: realtime.state is State.RECONNECTING)
        assert realtime.health() == READY
        network.otherwise = HANG
        network.sockets[0].cut()
        await eventually(lambda: not realtime.health().ready)
        assert realtime.health().reasons[0].startswith("reconnecting: getting a link")
        await realtime.dispose()
        assert isinstance((await asyncio.gather(renewing, return_exceptions=True))[0], Disposed)


async def test_what_the_old_link_cannot_serve_is_missing() -> None:
    network = Network("E3")
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        files = await handing_over(network, realtime)
        assert realtime.health() == unready("1 of 2 subscriptions not acknowledged: s2")
        await files
        await eventually(lambda: realtime.health() == READY)


async def test_both_links_together_may_serve_everything() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.refused_with[b'"rows"'] = 500  # the new link gets it later
        renewing = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: len(network.sockets) == 2 and realtime.state is State.CONNECTED)
        await realtime.subscribe("files")
        assert (realtime.health(), network.sockets[0].closed) == (READY, None)
        network.refused_with.clear()
        await renewing
        assert realtime.health() == READY


# --- deliveries that fail ---------------------------------------------------------------------------------------------


async def test_a_server_fault_is_not_ready_until_the_server_works() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.fault = 500
        files = asyncio.ensure_future(realtime.subscribe("files"))
        await eventually(lambda: len(network.socket.heard) > 2)
        assert realtime.health() == unready("1 of 2 subscriptions not acknowledged: s2", FAULT)
        network.fault = None
        await files
        assert realtime.health() == READY


async def test_a_server_fault_of_the_old_link_counts_until_an_event_proves_that_it_works() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.fault = 500
        files = asyncio.ensure_future(realtime.subscribe("files"))
        await eventually(lambda: FAULT in realtime.health().reasons)
        files.cancel()
        await asyncio.gather(files, return_exceptions=True)
        network.otherwise = HANG
        renewing = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: realtime.state is State.RECONNECTING)
        assert realtime.health() == unready(FAULT)
        network.publish("rows")
        await eventually(lambda: realtime.health() == READY)
        await realtime.dispose()
        await asyncio.gather(renewing, return_exceptions=True)


async def test_a_deaf_link_is_not_ready_until_an_echo_comes() -> None:
    network = Network()
    async with own(network) as realtime:
        await realtime.subscribe("rows")
        await asyncio.sleep(30)
        assert realtime.health() == READY
        deafen(network)
        await eventually(lambda: len(network.sockets) > 1 and realtime.state is State.SUBSCRIBED, within=1000)
        assert realtime.health() == unready("a deaf link: a canary did not come back")
        heal(network)
        await eventually(lambda: realtime.health() == READY, within=10_000)


async def test_a_pause_for_a_full_consumer_is_ready() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows", buffer=1, overflow="pause")
        for _ in range(3):
            network.publish("rows")
        await eventually(lambda: realtime._driver.links.current is not None and realtime._driver.links.current.paused)
        assert realtime.health() == READY


# --- loops and threads ------------------------------------------------------------------------------------------------


def test_a_connection_whose_loop_is_closed_is_not_live() -> None:
    network = Network()
    loop = asyncio.new_event_loop()
    realtime = network.realtime()
    loop.run_until_complete(realtime.connect())
    assert realtime.health() == READY
    loop.run_until_complete(realtime.disconnect())
    loop.close()
    reasons = ("the event loop of the connection is closed",)
    assert realtime.health() == Health(live=False, ready=False, reasons=reasons)


def test_health_needs_no_event_loop_and_binds_none() -> None:
    network = Network()
    realtime = network.realtime()
    assert realtime.health() == unready("disconnected: no link, and none is wanted")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(realtime.connect())
    assert realtime.health() == READY
    loop.run_until_complete(realtime.dispose())
    loop.close()


def test_the_synchronous_face_has_it_before_during_and_after(served: Served) -> None:
    with connected(served) as realtime:
        assert realtime.health() == unready("disconnected: no link, and none is wanted")
        realtime.subscribe("rows")
        assert realtime.health() == READY
    assert realtime.health() == Health(live=False, ready=False, reasons=("disposing: the end",))


def test_the_synchronous_face_answers_in_any_thread_and_in_an_async_callable(served: Served) -> None:
    told: dict[str, Health] = {}
    called = threading.Event()

    def secret(realtime: BlockingRealtime) -> None:
        told["thread"] = realtime.health()

    async def on_event(_: object) -> None:
        told["loop"] = realtime.health()
        called.set()

    with connected(served) as realtime:
        realtime.on("rows", on_event)
        thread = threading.Thread(target=secret, args=(realtime,))
        thread.start()
        thread.join()
        served.publish("rows")
        assert called.wait(10)
    assert told == {"thread": READY, "loop": READY}
