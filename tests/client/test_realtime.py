"""The promises of the client, in virtual time, against the embedded server's protocol core on a simulated network."""

from __future__ import annotations

import asyncio
import re
from threading import Thread
from typing import Any

import pytest
from appwrite.query import Query

from realtime_fsm import (
    BadOption,
    Channel,
    ConcurrentIteration,
    Disconnected,
    Disposed,
    LinkLost,
    MissingChannelWarning,
    Overdue,
    PingPolicy,
    Realtime,
    RefusedByServer,
    RetriesExhausted,
    RetryPolicy,
    State,
    StreamEnded,
    SubscriptionRejected,
    Timeouts,
    WrongLoop,
)
from realtime_fsm.errors import DialFailed
from realtime_fsm.protocol.frames import PING
from realtime_fsm.testing.eras import EraName
from realtime_fsm.testing.wire import error
from support.eras import BY_MESSAGE, NO_SERVER, ON_EVERY_ERA, only
from support.network import HANG, MUTE, Network
from support.virtual import eventually

pytestmark = ON_EVERY_ERA

ENDPOINT = "http://localhost/v1"


async def waiting(coroutine: Any) -> asyncio.Task[Any]:
    """Start something and let it come as far as it can without time passing."""
    task: asyncio.Task[Any] = asyncio.ensure_future(coroutine)
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def now_in(realtime: Realtime) -> State:
    """Where it stands; a call, so that the type checker does not remember the last answer."""
    return realtime.state


@NO_SERVER
async def test_entering_does_not_dial_and_leaving_disposes() -> None:
    network = Network()
    async with network.realtime() as realtime:
        assert (realtime.state, realtime.is_live, realtime.error) == (State.DISCONNECTED, False, None)
    assert network.dials == []
    assert network.released
    assert realtime.state is State.DISPOSING


async def test_subscribe_opens_the_link_and_returns_when_acknowledged() -> None:
    network = Network()
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows", "files")
        assert realtime.state is State.SUBSCRIBED
        assert (subscription.id, subscription.channels, subscription.queries) == ("s1", ("rows", "files"), ())
        assert subscription.acknowledged_channels == ("rows", "files")
        assert subscription.missing_channels == ()
        network.publish("files", payload={"$id": "f"})
        event = await anext(subscription)
        assert (event.events, event.channels, event.payload) == (("test.event",), ("files",), {"$id": "f"})
        assert event.subscriptions == ("s1",)
        assert event.timestamp is not None
        assert event.timestamp.utcoffset() is not None
        assert repr(subscription) == "<Subscription s1 to rows, files>"


async def test_subscriptions_share_one_link() -> None:
    network = Network()
    async with network.realtime() as realtime:
        both, rows = await asyncio.gather(realtime.subscribe("rows", "files"), realtime.subscribe("rows"))
        assert len(network.dials) == 1
        network.publish("rows", "files", payload={"n": 1})
        network.publish("files", payload={"n": 2})
        network.publish("rows", payload={"n": 3})
        assert [(await anext(both)).payload["n"] for _ in range(3)] == [1, 2, 3]
        assert [(await anext(rows)).payload["n"] for _ in range(2)] == [1, 3]


async def test_unsubscribe_ends_the_stream_and_keeps_the_link() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows, files = await realtime.subscribe("rows"), await realtime.subscribe("files")
        await rows.unsubscribe()
        assert [event async for event in rows] == []
        assert realtime.state is State.SUBSCRIBED
        await files.unsubscribe()
        await files.unsubscribe()
        assert now_in(realtime) is State.UNSUBSCRIBED
        links = len(network.dials)
        again = await realtime.subscribe("teams")
        assert (realtime.state, again.id, network.listening) == (State.SUBSCRIBED, "s3", {"teams"})
        assert len(network.dials) == links + network.subscribes_in_url


async def test_a_lost_link_is_replaced_and_everything_is_subscribed_again() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        states = realtime.states()
        network.socket.cut()
        changes = [await anext(states) for _ in range(3)]
        assert [change.dest for change in changes] == [State.RECONNECTING, State.CONNECTED, State.SUBSCRIBED]
        assert isinstance(changes[0].cause, StreamEnded)
        dials = 1 + network.subscribes_in_url  # the first asked for the era
        assert (changes[0].source, changes[0].row, changes[0].attempt) == (State.SUBSCRIBED, "sub58", dials)
        assert changes[0].at.utcoffset() is not None
        assert network.listening == {"rows"}
        network.publish("rows", payload={"n": 1})
        assert (await anext(rows)).payload == {"n": 1}


async def test_connect_waits_until_the_link_is_up() -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.raises(TimeoutError):
            await realtime.wait_connected(timeout=5)
        waiter = await waiting(realtime.wait_connected())
        await realtime.connect()
        assert realtime.state is State.CONNECTED
        await waiter
        await realtime.wait_connected()
        await realtime.connect()
        assert len(network.dials) == 1


async def test_exhausted_retries_end_waiting_calls() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=3, reconnect_attempts=3)) as realtime:
        rows = await realtime.subscribe("rows")
        network.publish("rows", payload={"n": 1})
        await eventually(lambda: len(rows._delivery.buffer) == 1)
        iterating = await waiting(anext(await realtime.subscribe("files")))
        network.otherwise = DialFailed("refused")
        network.socket.cut()
        await eventually(lambda: realtime.state is State.RECONNECTING)
        calls = [await waiting(call) for call in (realtime.wait_connected(), realtime.connect(), realtime.subscribe("teams"))]
        results = await asyncio.gather(iterating, *calls, return_exceptions=True)
        assert {type(result) for result in results} == {RetriesExhausted}
        assert len({id(result) for result in results}) == len(results), "each gets an error of its own"
        assert realtime.state is State.ERROR
        assert isinstance(realtime.error, RetriesExhausted)
        assert (realtime.error.attempts, realtime.error.option) == (3, "reconnect_attempts")
        assert re.fullmatch(r"simulated-\d+:80: the dial failed: refused", str(realtime.error.cause))

        assert (await anext(rows)).payload == {"n": 1}, "what is held comes first"
        for attempt in (anext(rows), realtime.wait_connected()):
            with pytest.raises(RetriesExhausted):
                await attempt
        with pytest.raises(RetriesExhausted):
            await realtime.subscribe("teams")

        network.otherwise = "greet"
        await realtime.reconnect()
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert realtime.error is None
        assert network.listening == {"rows", "files"}, "earlier ones are kept, failed ones are not"
        network.publish("rows", payload={"n": 2})
        assert (await anext(rows)).payload == {"n": 2}


async def test_the_delays_between_dials_follow_the_policy() -> None:
    network = Network()
    network.otherwise = DialFailed("refused")
    async with network.realtime(retry=RetryPolicy(attempts=4, base=2, factor=4, cap=30)) as realtime:
        with pytest.raises(RetriesExhausted):
            await realtime.connect()
        waits = [after - before for before, after in zip(network.dials, network.dials[1:], strict=False)]
        assert [low <= wait - 0.01 <= high for wait, low, high in zip(waits, (1, 4, 15), (2, 8, 30), strict=True)] == [True] * 3


async def test_an_unknown_project_is_refused_for_good(server_era: EraName) -> None:
    network = Network(projects=("other",))
    async with network.realtime() as realtime:
        with pytest.raises(RefusedByServer, match="1008") as caught:
            await realtime.subscribe("rows")
        assert (caught.value.code, realtime.state) == (1008, State.ERROR)
        assert len(network.dials) + len(network.questions) == 2, "the second one with channels in the URL"
        assert ("unknown project" in str(caught.value)) == (server_era != "E2"), "which masks what it says"


async def test_after_dispose_every_stream_ends_and_every_call_raises() -> None:
    network = Network()
    realtime = network.realtime()
    rows, teams = await asyncio.gather(realtime.subscribe("rows"), realtime.subscribe("teams"))
    states = realtime.states()
    network.publish("rows", payload={"n": 1})
    await eventually(lambda: len(rows._delivery.buffer) == 1)
    pending = [await waiting(call) for call in (realtime.subscribe("files"), anext(teams, None))]
    await asyncio.gather(realtime.dispose(), realtime.dispose())
    await realtime.dispose()
    results = await asyncio.gather(*pending, return_exceptions=True)
    assert [type(result) for result in results] == [Disposed, type(None)]
    assert [event.payload async for event in rows] == [{"n": 1}]
    assert [change.dest async for change in states] == [State.DISPOSING]
    assert [change async for change in realtime.states()] == []
    for call in (
        realtime.subscribe("rows"), realtime.connect(), realtime.reconnect(), realtime.disconnect(),
        realtime.wait_connected(), rows.unsubscribe(), realtime.__aenter__(),
    ):  # fmt: skip
        with pytest.raises(Disposed):
            await call
    with pytest.raises(Disposed):
        realtime.set_ping_enabled(True)
    assert network.socket.closed == 5.0


async def test_dispose_ends_a_waiting_connect() -> None:
    network = Network()
    network.script.append(HANG)
    realtime = network.realtime(timeouts=Timeouts(close=2))
    waiter = await waiting(realtime.connect())
    await realtime.dispose()
    with pytest.raises(Disposed):
        await waiter

    frozen = network.realtime(timeouts=Timeouts(close=2))
    await frozen.connect()
    network.socket.frozen = True
    begin = asyncio.get_running_loop().time()
    await frozen.dispose()
    assert asyncio.get_running_loop().time() - begin <= 2.1


async def test_cancelling_a_waiting_subscribe_withdraws_it() -> None:
    network = Network()
    async with network.realtime() as realtime:
        dialing = await waiting(realtime.subscribe("rows"))
        dialing.cancel()
        await eventually(lambda: realtime.state is State.CONNECTED)
        in_flight = await waiting(realtime.subscribe("files"))
        in_flight.cancel()
        await realtime.subscribe("teams")
        await eventually(lambda: network.listening == {"teams"})
        for task in (dialing, in_flight):
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_disconnect_keeps_subscriptions_and_ends_pending_calls() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        iterating = await waiting(anext(rows))
        pending = await waiting(realtime.subscribe("files"))
        await realtime.disconnect()
        assert (realtime.state, network.socket.closed) == (State.DISCONNECTED, 5.0)
        with pytest.raises(Disconnected):
            await pending
        patient = await waiting(realtime.wait_connected())
        network.script.append(HANG)
        connecting = await waiting(realtime.connect())
        await realtime.disconnect()
        with pytest.raises(Disconnected):
            await connecting
        await realtime.connect()
        await patient
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        network.publish("rows", payload={"n": 1})
        assert (await iterating).payload == {"n": 1}


async def test_without_auto_reconnect_a_loss_raises() -> None:
    network = Network()
    async with network.realtime(auto_reconnect=False) as realtime:
        network.script.append(DialFailed("refused"))
        rows = await realtime.subscribe("rows")
        assert len(network.dials) == 2, "a first dial follows the retry policy"
        iterating, pending = await waiting(anext(rows)), await waiting(realtime.subscribe("files"))
        network.socket.cut()
        for task in (iterating, pending):
            with pytest.raises(LinkLost, match="the stream ended") as caught:
                await task
            assert isinstance(caught.value.cause, StreamEnded)
        assert (realtime.state, len(network.dials)) == (State.DISCONNECTED, 2)
        await realtime.connect()
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        network.publish("rows", payload={"n": 1})
        assert (await anext(rows)).payload == {"n": 1}


@pytest.mark.parametrize(("how", "awaited"), [(HANG, "upgrade"), (MUTE, "greeting")])
async def test_a_dial_that_leads_nowhere_is_noticed(how: str, awaited: str) -> None:
    network = Network()
    network.otherwise = how
    async with network.realtime(retry=RetryPolicy(attempts=1)) as realtime:
        with pytest.raises(RetriesExhausted) as caught:
            await realtime.connect()
        assert isinstance(caught.value.cause, Overdue)
        assert (caught.value.cause.awaited, caught.value.cause.seconds) == (awaited, 10.0)


async def test_a_silent_server_is_noticed_by_the_heartbeat() -> None:
    network = Network()
    async with network.realtime(ping=PingPolicy(interval=20, timeout=5)) as realtime:
        await realtime.subscribe("rows")
        states = realtime.states()
        assert [(await anext(states)).dest for _ in range(2)] == [State.PING, State.SUBSCRIBED]

        network.socket.frozen = True
        assert (await anext(states)).dest is State.PING
        lost = await anext(states)
        assert (lost.dest, str(lost.cause)) == (State.RECONNECTING, "no pong within 5 seconds")
        await eventually(lambda: realtime.state is State.SUBSCRIBED)


async def test_any_frame_since_the_ping_proves_life() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        states = realtime.states()
        network.answers[PING] = ()
        assert (await anext(states)).dest is State.PING
        network.publish("rows")
        assert (await anext(states)).row == "pin67"
        network.answers[PING] = (error(1003),)
        assert [(await anext(states)).row for _ in range(2)] == ["sub64", "pin49"]


async def test_the_heartbeat_can_be_switched_off_and_on() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        realtime.set_ping_enabled(False)
        await asyncio.sleep(300)
        assert PING not in network.socket.sent
        realtime.set_ping_enabled(True)
        await asyncio.sleep(31)
        assert network.socket.sent.count(PING) == 1
        with pytest.raises(BadOption, match="enabled"):
            realtime.set_ping_enabled("yes")  # type: ignore[arg-type]


@only("E4", because="older servers refuse an address as a whole; runtime/test_eras_client.py has that")
@pytest.mark.parametrize(("channel", "code"), [("refused", 1003), ("banned", 1008)])
async def test_one_bad_item_is_rejected_alone(channel: str, code: int) -> None:
    network = Network()
    network.refused.add(b'"refused"')
    network.banned.add(b'"banned"')
    async with network.realtime() as realtime:
        await realtime.connect()
        asked = [realtime.subscribe(f"teams.{n}") for n in range(5)]
        asked.insert(3, realtime.subscribe(channel))
        asked += [realtime.subscribe(f"files.{n}") for n in range(5)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        rejected = results.pop(3)
        assert isinstance(rejected, SubscriptionRejected)
        assert (rejected.code, rejected.channels, rejected.guest) == (code, (channel,), True)
        assert not [result for result in results if isinstance(result, BaseException)]
        await eventually(lambda: len(network.socket.peer.subscriptions) == 10)
        assert realtime.state is State.SUBSCRIBED


@only("E3", "E4", because="older servers know no queries; runtime/test_eras_client.py has that")
async def test_channels_and_queries_are_taken_from_the_builders() -> None:
    network = Network()
    async with network.realtime() as realtime:
        mine = Query.equal("title", "mine")
        subscription = await realtime.subscribe(Channel.tablesdb("main").table("orders").row(), "files", queries=[mine])
        assert subscription.channels == ("tablesdb.main.tables.orders.rows", "files")
        network.publish("tablesdb.main.tables.orders.rows", payload={"title": "other"})
        network.publish("tablesdb.main.tables.orders.rows", payload={"title": "mine"})
        assert (await anext(subscription)).payload == {"title": "mine"}


@only("E4", because="older servers refuse an address as a whole; runtime/test_eras_client.py has that")
async def test_a_refused_restored_subscription_fails_alone() -> None:
    network = Network()
    async with network.realtime() as realtime:
        good, bad = await realtime.subscribe("rows"), await realtime.subscribe("account")
        network.refused.add(b'"account"')
        iterating = await waiting(anext(bad))
        network.socket.cut()
        with pytest.raises(SubscriptionRejected) as caught:
            await iterating
        assert caught.value.channels == ("account",)
        await eventually(lambda: network.socket.peer.subscriptions == (good.id,))


@BY_MESSAGE
async def test_more_messages_than_the_budget_wait_for_their_turn() -> None:
    network = Network()
    async with network.realtime() as realtime:
        begin = asyncio.get_running_loop().time()
        for number in range(40):
            await realtime.subscribe(f"teams.{number}")
        assert asyncio.get_running_loop().time() - begin >= 60
        assert len(network.dials) == 1
        assert len(network.socket.peer.subscriptions) == 40


@BY_MESSAGE
async def test_what_the_server_drops_is_sent_again_in_the_next_window() -> None:
    network = Network(rate_limit=3)
    async with network.realtime() as realtime:
        for number in range(5):
            await realtime.subscribe(f"teams.{number}")
        assert (len(network.dials), len(network.socket.peer.subscriptions)) == (1, 5)


async def test_an_idle_link_is_closed_when_that_is_asked_for() -> None:
    network = Network()
    async with network.realtime(timeouts=Timeouts(idle=45)) as realtime:
        await (await realtime.subscribe("rows")).unsubscribe()
        await asyncio.sleep(44)
        assert realtime.is_live
        await asyncio.sleep(2)
        assert realtime.state is State.DISCONNECTED
        await realtime.subscribe("rows")
        assert len(network.dials) == 2


async def test_a_channel_that_the_server_leaves_out_is_told() -> None:
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime(session=session) as realtime:
        with pytest.warns(MissingChannelWarning, match=r"account\.bob"):
            account = await realtime.subscribe("account", "account.update", "account.bob")
        unknown = ("account.update",) if network.subscribes_in_url else ()  # actions came with messages
        assert account.missing_channels == (*unknown, "account.bob")
        assert "account.alice" in account.acknowledged_channels
        assert network.headers[0] == {"X-Appwrite-Session": session}
        assert session not in repr(realtime)


async def test_nothing_of_the_users_stops_the_link() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")

        async def consume() -> None:
            async for event in rows:
                if event.payload["n"] == 1:
                    raise LookupError("a bug of the user's")

        network.publish("rows", payload={"n": 1})
        with pytest.raises(LookupError):
            await consume()
        cancelled = await waiting(consume())
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        network.publish("rows", payload={"n": 2})
        assert (await anext(rows)).payload == {"n": 2}, "it can be iterated again"
        assert realtime.state is State.SUBSCRIBED


async def test_a_slow_consumer_costs_bounded_memory_and_drops_are_counted() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        for number in range(1500):
            network.publish("rows", payload={"n": number})
        await asyncio.sleep(1)
        assert rows.dropped == 1500 - 1024
        assert (await anext(rows)).payload == {"n": 476}


async def test_a_second_consumer_and_another_loop_are_refused() -> None:
    network = Network()
    realtime = network.realtime()
    async with realtime:
        rows = await realtime.subscribe("rows")
        first = await waiting(anext(rows))
        with pytest.raises(ConcurrentIteration):
            await anext(rows)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

        async def elsewhere() -> None:
            with pytest.raises(WrongLoop):
                await realtime.subscribe("files")
            with pytest.raises(WrongLoop):
                await anext(rows)

        thread = Thread(target=asyncio.run, args=(elsewhere(),))
        thread.start()
        thread.join()


async def test_the_wire_may_hold_nonsense() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        for nonsense in (
            b"{",
            b"[]",
            b'{"type":"news"}',
            b'{"type":"event","data":5}',
            b'{"type":"event","data":{"payload":' + b"[" * 100_000,
            b'{"type":"connected","data":{}}',
        ):
            network.socket.push(nonsense)
        network.socket.push(network.event(b'"payload":{"n":1}', *network.socket.peer.subscriptions, "nobody"))
        assert (await anext(rows)).payload == {"n": 1}
        strange = {} if network.subscribes_in_url else {"unknown_subscription": 1}  # where ids are ours
        assert realtime.malformed == {"not_json": 1, "wrong_shape": 2, "unknown_type": 1, "too_deep": 1} | strange
        assert len(rows._delivery.buffer) == 0, "listed twice, delivered once"
        assert realtime.state is State.SUBSCRIBED


@NO_SERVER
@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        ((ENDPOINT, ""), {}, "project"),
        ((ENDPOINT, None), {}, "project"),
        (("ftp://localhost/v1", "demo"), {}, "endpoint"),
        ((ENDPOINT, "demo"), {"session": "a", "jwt": "b"}, "jwt"),
        ((ENDPOINT, "demo"), {"headers": {"X-Appwrite-Key": "k"}}, "headers"),
        ((ENDPOINT, "demo"), {"retry": 3}, "retry"),
        ((ENDPOINT, "demo"), {"ping": 30}, "ping"),
        ((ENDPOINT, "demo"), {"timeouts": 10}, "timeouts"),
        ((ENDPOINT, "demo"), {"canary": 10}, "canary"),
        ((ENDPOINT, "demo"), {"max_link_age": 0}, "max_link_age"),
    ],
)
def test_misuse_is_refused_when_it_is_built(arguments: tuple[Any, ...], options: dict[str, Any], named: str) -> None:
    with pytest.raises(BadOption) as caught:
        Realtime(*arguments, **options)
    assert caught.value.option == named


@NO_SERVER
@pytest.mark.parametrize(
    ("channels", "options", "named"),
    [
        ((), {}, "channels"),
        (("",), {}, "channels"),
        ((5,), {}, "channels"),
        (("x" * 70_000,), {}, "channels"),
        (("half of a pair \ud800",), {}, "channels"),
        (("rows",), {"queries": "single"}, "queries"),
        (("rows",), {"queries": [""]}, "queries"),
        (("rows",), {"queries": ['{"method":"limit","values":[1]}']}, "queries"),
        ((Channel.bucket("b"),), {}, "channels"),
    ],
)
async def test_misuse_of_subscribe_is_refused_at_the_call(channels: tuple[Any, ...], options: dict[str, Any], named: str) -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.raises(BadOption) as caught:
            await realtime.subscribe(*channels, **options)
        assert caught.value.option == named
    assert network.dials == []


@NO_SERVER
def test_a_realtime_shows_where_it_is_and_nothing_secret() -> None:
    realtime = Realtime(ENDPOINT, "demo", jwt="secret-token")
    assert repr(realtime) == "<Realtime demo at http://localhost/v1: disconnected>"
    assert len(realtime.connection_id) == 32


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"auto_reconnect": "no"}, "auto_reconnect: 'no' is not True or False"),
        ({"headers": ["a"]}, "headers: list is not a mapping of names to values"),
    ],
)
def test_what_cannot_be_an_option_is_refused_by_name(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadOption, match=f"^{sentence}"):
        Realtime("http://localhost/v1", project="demo", **options)


@pytest.mark.parametrize("given", ["soon", float("nan"), -1])
@pytest.mark.loopback
async def test_a_timeout_that_is_no_number_of_seconds_is_refused(given: Any) -> None:
    async with Realtime("http://localhost/v1", project="demo") as realtime:
        with pytest.raises(BadOption, match="timeout"):
            await realtime.wait_connected(given)
        with pytest.raises(TimeoutError):
            await realtime.wait_connected(0)


@pytest.mark.parametrize("name", ["on_gap", "catch_up"])
@pytest.mark.loopback
async def test_a_value_that_is_not_callable_opens_no_link(name: str) -> None:
    async with Realtime("http://localhost/v1", project="demo") as realtime:
        with pytest.raises(BadOption, match=f"{name}: int cannot be called; give a function that takes a Gap"):
            realtime.subscribe("rows", **{name: 5})  # type: ignore[call-overload]
        assert realtime.state is State.DISCONNECTED
