"""The client on every era: which one it is, what it has, and what changes when the server is replaced. In virtual time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog

from realtime_fsm import (
    Era,
    MissingChannelWarning,
    PingPolicy,
    Realtime,
    RefusedByServer,
    RetryPolicy,
    State,
    Subscription,
    UnsupportedByServer,
)
from realtime_fsm.protocol.frames import PING
from realtime_fsm.testing.eras import ERAS, EraName
from realtime_fsm.testing.wire import error
from support.eras import ON_EVERY_ERA, only
from support.network import Network, take_numbers
from support.some import some
from support.virtual import VirtualLoop, eventually, run

pytestmark = ON_EVERY_ERA

OLD = only("E1", "E2", "E3", because="the newest one asks for channels by message")
WITHOUT_IDS = only("E1", "E2", because="the others have queries")
WITHOUT_PRESENCE = only("E1", "E2", "E3", because="the newest one has presences")


def era_of(realtime: Realtime) -> Era | None:
    """Return the era that the client assumes; a call, so that the type checker does not remember the last answer."""
    return realtime.era


def query(method: str, attribute: str, *values: object) -> str:
    return json.dumps({"method": method, "attribute": attribute, "values": values})


EVEN, BIG = query("equal", "even", True), query("greaterThan", "n", 5)


# --- which era ------------------------------------------------------------------------------------------------------------


async def test_the_era_is_found_out_with_one_question_and_remembered(server_era: EraName) -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
        assert realtime.era is None
        rows = await realtime.subscribe("rows")
        questions = int(server_era != "E4")
        again = 2 * int(server_era == "E3")  # an E4 that was asked by its address greets alike, so the user's calls ask anew
        greeted_as = Era("E2" if server_era == "E1" else server_era)  # they differ in their heartbeat alone
        assert era_of(realtime) is greeted_as
        assert (len(network.questions), len(network.dials)) == (questions, 1)
        await asyncio.sleep(35)  # there was a ping
        assert era_of(realtime) == server_era
        for _ in range(3):
            network.socket.cut()
            await eventually(lambda: realtime.state is State.RECONNECTING)
            await eventually(lambda: realtime.state is State.SUBSCRIBED)
        await realtime.disconnect()
        await realtime.connect()
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        await realtime.reconnect()
        assert (era_of(realtime), len(network.questions), len(network.dials)) == (server_era, questions + again, 6)
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert (take_numbers(rows), len(rows.gaps)) == ([1], 4), "reconnect() costs none"


async def test_with_a_protocol_nobody_asks(server_era: EraName) -> None:
    network = Network()
    async with network.realtime(era=server_era) as realtime:
        assert realtime.era is Era(server_era)
        await realtime.subscribe("rows")
        assert (realtime.era, len(network.questions), len(network.dials)) == (server_era, 0, 1)


async def test_a_link_without_a_subscription_is_up_and_stays_up(server_era: EraName) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.connect()
        assert (realtime.state, network.listening) == (State.CONNECTED, set() if server_era == "E4" else {""})
        await asyncio.sleep(100)
        assert (realtime.state, len(network.dials), network.socket.sent) == (State.CONNECTED, 1, [PING] * 3)
        rows = await realtime.subscribe("rows")
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(2)
        assert (take_numbers(rows), network.listening) == ([1], {"rows"})


@OLD
async def test_only_a_refusal_with_channels_in_the_address_is_final() -> None:
    network = Network(projects=("other",))
    async with network.realtime() as realtime:
        for tries in (1, 2):
            with pytest.raises(RefusedByServer) as caught:
                await realtime.subscribe("rows")
            assert (caught.value.code, realtime.state, realtime.era) == (1008, State.ERROR, None)
            assert len(network.questions) == len(network.dials) == tries, "each start asks anew"


async def test_a_protocol_that_is_not_the_servers_is_refused_or_outgrown(server_era: EraName) -> None:
    for protocol in ERAS:
        network = Network()
        async with network.realtime(era=protocol) as realtime:
            if protocol == "E4" != server_era:
                with pytest.raises(RefusedByServer):
                    await realtime.subscribe("rows")
                assert (len(network.dials), len(network.questions)) == (0, 1), "it was told, so it does not guess"
                continue
            rows = await realtime.subscribe("rows")
            network.publish("rows", payload={"n": 1})
            await asyncio.sleep(1)
            assert (take_numbers(rows), len(network.dials)) == ([1], 1)


# --- the heartbeat of the first era -----------------------------------------------------------------------------------------


@only("E1", because="the others answer a ping with a pong")
def test_a_refused_ping_is_a_pong_and_is_recorded_as_one() -> None:
    async def main() -> None:
        network = Network()
        async with network.realtime() as realtime:
            await realtime.subscribe("rows")
            states = realtime.states()
            changes = [await anext(states) for _ in range(4)]
            assert [change.row for change in changes] == ["sub64", "pin49"] * 2
            assert (len(network.dials), network.socket.sent, realtime.era) == (1, [PING, PING], "E1")

    with structlog.testing.capture_logs() as records:
        structlog.configure()
        try:
            run(main)
        finally:
            structlog.reset_defaults()
    pings = [record for record in records if record["event"] == "realtime.ping"]
    assert [round(record["round_trip"], 3) for record in pings] == [0.02, 0.02]


@only("E1", because="the others answer a ping with a pong, which is known to come late")
async def test_a_refused_ping_that_comes_late_does_not_cost_the_link() -> None:
    network = Network()
    async with network.realtime(ping=PingPolicy(interval=30, timeout=5)) as realtime:
        await realtime.subscribe("rows")
        states = realtime.states()
        assert (await anext(states)).dest is State.PING
        realtime.set_ping_enabled(False)
        await asyncio.sleep(1)
        realtime.set_ping_enabled(True)
        network.answers[PING] = ()
        await eventually(lambda: realtime.state is State.PING)
        network.publish("rows")
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        network.socket.push(error(1003))  # at last
        await asyncio.sleep(1)
        assert [(await anext(states)).row for _ in range(3)] == ["pin18", "sub64", "pin67"]
        assert (realtime.state, len(network.dials)) == (State.SUBSCRIBED, 1)


# --- a server that is replaced ----------------------------------------------------------------------------------------------


def test_a_server_of_another_era_in_the_old_ones_place_is_served(server_era: EraName) -> None:
    async def main(after: EraName) -> None:
        network = Network(server_era)
        async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
            rows, files = await asyncio.gather(realtime.subscribe("rows"), realtime.subscribe("files"))
            await asyncio.sleep(31)
            network.become(after)
            await eventually(lambda: realtime.state is State.RECONNECTING)
            await eventually(lambda: realtime.state is State.SUBSCRIBED)
            network.publish("rows", payload={"n": 1})
            network.publish("files", payload={"n": 2})
            teams = await realtime.subscribe("teams")
            network.publish("rows", "teams", payload={"n": 3})
            await asyncio.sleep(62)
            assert [take_numbers(part) for part in (rows, files, teams)] == [[1, 3], [2], [3]]
            assert [len(part.gaps) for part in (rows, files, teams)] == [1, 1, 0]
            assert (realtime.state, realtime.malformed) == (State.SUBSCRIBED, {})
            # The newest one understands addresses as the third era does; who knows that one goes on with them.
            assert realtime.era == ("E3" if after == "E4" else after)

    for after in ERAS:
        if after != server_era:
            run(lambda after=after: main(after))  # type: ignore[misc]


@only("E3", "E4", because="the others have no queries that could be missed")
async def test_queries_end_with_a_server_that_has_none_and_the_others_live_on() -> None:
    network = Network()
    async with network.realtime() as realtime:
        filtered, plain = await asyncio.gather(realtime.subscribe("rows", queries=[BIG]), realtime.subscribe("rows"))
        network.become("E2")
        with pytest.raises(UnsupportedByServer) as caught:
            await anext(filtered)
        assert (caught.value.feature, caught.value.era) == ("queries", "E2")
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert take_numbers(plain) == [1]


# --- what an era lacks --------------------------------------------------------------------------------------------------------


@WITHOUT_IDS
@pytest.mark.parametrize("known", [True, False])
async def test_queries_are_refused_by_name(known: bool, server_era: EraName) -> None:
    network = Network()
    async with network.realtime(era=server_era if known else None) as realtime:
        with pytest.raises(UnsupportedByServer, match=r"queries") as caught:
            await realtime.subscribe("rows", queries=[BIG])
        assert caught.value.era == (server_era if known else "E2")
        assert len(network.dials) == (0 if known else 1), "where the era is known, the client dials no server"
        rows = await realtime.subscribe("rows")
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert (take_numbers(rows), realtime.state) == ([1], State.SUBSCRIBED)
        dials = len(network.dials)
        with pytest.raises(UnsupportedByServer):
            await realtime.on("rows", print, queries=[BIG])
        assert len(network.dials) == dials


@WITHOUT_IDS
async def test_queries_that_turn_out_to_be_lacking_leave_the_others_alone() -> None:
    network = Network()
    async with network.realtime() as realtime:
        calls: list[Any] = [
            realtime.subscribe("rows"),
            realtime.subscribe("rows", queries=[BIG]),
            realtime.subscribe("files"),
        ]
        rows, refused, files = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(refused, UnsupportedByServer)
        assert isinstance(rows, Subscription)
        assert isinstance(files, Subscription)
        network.publish("rows", "files", payload={"n": 1})
        await asyncio.sleep(1)
        assert [take_numbers(part) for part in (rows, files)] == [[1], [1]]
        assert realtime.malformed == {}


@WITHOUT_PRESENCE
@pytest.mark.parametrize("known", [True, False])
async def test_a_presence_is_refused_by_name(known: bool, server_era: EraName) -> None:
    network = Network()
    async with network.realtime(era=server_era if known else None) as realtime:
        with pytest.raises(UnsupportedByServer, match=r"presence") as caught:
            await realtime.set_presence("online")
        assert caught.value.feature == "presence"
        assert len(network.dials) == (0 if known else 1)
        assert await realtime.set_presence(None) is None
        await realtime.subscribe("rows")
        await asyncio.sleep(100)
        assert not any(b"presence" in data for socket in network.sockets for data in socket.sent)


@only("E4", because="the others have no presences")
@pytest.mark.virtual(reports=1)
async def test_a_presence_that_the_next_server_lacks_is_told_through_the_loop() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.set_presence("online")
        network.become("E1")
        await eventually(lambda: len(network.dials) == 2 and realtime.is_live)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    (report,) = loop.reported
    assert report["message"] == "realtime_fsm: the presence could not be restored"
    assert isinstance(report["exception"], UnsupportedByServer)
    assert "which has no realtime presence; upgrade the server" in str(report["exception"])


# --- queries ------------------------------------------------------------------------------------------------------------------


@only("E3", "E4", because="the others have no queries")
async def test_each_subscription_gets_exactly_its_own_events() -> None:
    network = Network()
    async with network.realtime() as realtime:
        asked: list[tuple[tuple[str, ...], list[str]]] = [
            (("rows",), []),
            (("rows",), [EVEN]),
            (("rows", "files"), [EVEN, BIG]),
            (("files",), [BIG]),
            (("databases.d.tables.t.rows",), [EVEN]),
            (("teams", "rows"), []),
            (("rows",), [EVEN]),
        ]
        first = await asyncio.gather(*(realtime.subscribe(*channels, queries=queries) for channels, queries in asked[:4]))
        rest = await asyncio.gather(*(realtime.subscribe(*channels, queries=queries) for channels, queries in asked[4:]))
        parts: list[Subscription] = [*first, *rest]
        input_ = []
        for n in range(12):
            channels = [("rows",), ("files",), ("rows", "databases.d.tables.t.rows"), ("teams", "files"), ("rows", "teams")][
                n % 5
            ]
            input_.append((n, channels))
            network.publish(*channels, payload={"n": n, "even": n % 2 == 0})
            await asyncio.sleep(0.2)
        await asyncio.sleep(3)
        for part, (wanted, queries) in some(zip(parts, asked, strict=True)):
            touched = [n for n, channels in input_ if set(wanted) & set(channels)]
            assert take_numbers(part) == [
                n for n in touched if (EVEN not in queries or n % 2 == 0) and (BIG not in queries or n > 5)
            ]
        assert realtime.malformed == {}


# --- the account --------------------------------------------------------------------------------------------------------------


async def test_events_of_the_users_account_arrive_whichever_channel_they_name() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        account, rows = await asyncio.gather(realtime.subscribe("account"), realtime.subscribe("rows"))
        assert account.acknowledged_channels == ("account", "account.alice")
        for number, channels in enumerate((("account", "account.alice"), ("account.alice",), ("account.bob",), ("account",))):
            network.publish(*channels, payload={"n": number}, roles=["user:alice"])
        await asyncio.sleep(1)
        assert (take_numbers(account), take_numbers(rows)) == ([0, 1, 3], [])


async def test_a_channel_of_another_users_account_is_told_even_if_it_stands_alone() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        with pytest.warns(MissingChannelWarning, match=r"account\.bob"):
            bobs = await realtime.subscribe("account.bob")
        assert (bobs.missing_channels, bobs.acknowledged_channels) == (("account.bob",), ())
        assert realtime.state is State.SUBSCRIBED
        with pytest.warns(MissingChannelWarning, match=r"account\.bob"):
            both = await realtime.subscribe("account.bob", "rows")
        network.publish("account.bob", payload={"n": 0})
        network.publish("rows", payload={"n": 1})
        await asyncio.sleep(1)
        assert (take_numbers(bobs), take_numbers(both)) == ([], [1])
