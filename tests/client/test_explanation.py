"""The explanation of a connection: each state and each phase has its sentences, and the data behind them."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings

from realtime_fsm import GreetedAsGuest, PingPolicy, Realtime, RefusedByServer, RetriesExhausted, RetryPolicy, State, Timeouts
from realtime_fsm.client.explanation import explanation_of
from realtime_fsm.errors import DialFailed, Overdue, RealtimeError, UpgradeRefused
from realtime_fsm.fsm.descriptions import DEADLINES, STATES
from realtime_fsm.fsm.pacer import BURST
from realtime_fsm.remedies import OVERDUE, REMEDIES, UPGRADES, remedy_of
from realtime_fsm.runtime.credentials import Credentials
from realtime_fsm.runtime.driver import Driver
from support.canary import deafen, heal, own
from support.network import GREET, HANG, MUTE, Network, take_numbers
from support.served import Served, connected
from support.virtual import eventually
from support.walk import Walk

Arrange = Callable[[Network, Realtime], Awaitable[object]]


def told(realtime: Realtime) -> list[str]:
    """Return the lines of the explanation, with T for each time."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "T", str(realtime.explain()))
    return text.replace(realtime._driver.context.server, "server:80").splitlines()


def line(realtime: Realtime, head: str) -> str:
    """Return one line of the explanation."""
    return next((line for line in told(realtime) if line.startswith(f"{head}: ")), "")


# --- whole texts ------------------------------------------------------------------------------------------------------


async def test_the_beginning() -> None:
    async with Network().realtime() as realtime:
        assert told(realtime) == [
            "State: disconnected: no link, and none is wanted.",
            "Next: nothing, without a call.",
            "Server: server:80, project demo, era not known yet.",
            "Subscriptions: 0 desired, 0 acknowledged.",
            f"Advice: {STATES[State.DISCONNECTED].advice}",
        ]


async def test_events_that_no_task_takes() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows", "files", buffer=2)
        for number in range(3):
            network.publish("rows", payload={"n": number})
        await asyncio.sleep(2)
        assert told(realtime) == [
            "State: subscribed for 2.0 s, since T: the link is up and everything is subscribed.",
            "Why: Everything desired is acknowledged on this link. (Transition rule con40.)",
            "Next: the next ping is due in 13.0 s.",
            "Link: 1 is up.",
            "Server: server:80, project demo, era E4 (Appwrite 1.9.5 and later).",
            "Identity: a guest, who receives only what guests may read.",
            "Subscriptions: 1 desired, 1 acknowledged.",
            "  s1 to rows, files: acknowledged; events: 3 received, 1 dropped, 2 waiting for the consumer;"
            " the last one is of T, by the server's clock.",
            "Note: Events wait for the consumer of s1: iterate over it, or consume faster.",
        ]
        assert take_numbers(rows) == [1, 2]


async def test_no_event_for_a_user() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        with pytest.warns(UserWarning, match="without account.bob"):
            await realtime.subscribe("rows", "account.bob")
        assert line(realtime, "Identity") == "Identity: user alice."
        assert told(realtime)[7:] == [
            "  s1 to rows, account.bob: acknowledged, but for account.bob; events: 0 received, 0 dropped, 0 waiting for the"
            " consumer.",
            "Note: No event has come for s1. Check the channels, the queries, and who may read the rows;"
            " `realtime-fsm doctor` helps.",
        ]


@pytest.mark.filterwarnings("ignore::realtime_fsm.ChannelWarning")
async def test_channels_that_can_bring_no_event_are_notes() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows", "acount", "teams.blue")
        assert [note for note in realtime.explain().notes if "No event has come" not in note] == [
            "No known server publishes on channel 'acount'; the nearest known channel is 'account'.",
            "A guest receives no event on channel 'teams.blue'.",
        ]
        await realtime.authenticate(session=network.backend.add_user("alice"))
        assert not any("guest" in note for note in realtime.explain().notes)
        await realtime.subscribe("rows.create")
        assert not any("publishes nothing" in note for note in realtime.explain().notes)
    old = Network(era="E2")
    async with old.realtime() as realtime:
        await realtime.subscribe("rows.create")
        assert realtime.explain().notes[0] == "A server of era E2 publishes nothing on channel 'rows.create'."


async def test_an_outage() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.otherwise = DialFailed("Connection refused")
        network.socket.cut()
        await asyncio.sleep(5)
        assert told(realtime) == [
            "State: reconnecting for 5.0 s, since T: getting a link.",
            "Why: The link ended: the connection dials again after the delay of the retry policy. (Transition rule sub58.)",
            "Next: the next dial is due in 2.5 s; dials in a row so far: 2, without a limit.",
            "Server: server:80, project demo, era E4 (Appwrite 1.9.5 and later).",
            "Identity: a guest, who receives only what guests may read.",
            "Subscriptions: 1 desired, 0 acknowledged.",
            "  s1 to rows: not acknowledged; events: 0 received, 0 dropped, 0 waiting for the consumer.",
            "Last failure: at T, server:80: the dial failed: Connection refused.",
            f"Remedy: {REMEDIES['DialFailed'].replace('``', '`')}",
            f"Advice: {STATES[State.RECONNECTING].advice}",
        ]


async def test_a_remedy_is_shown_while_the_failure_explains_the_state() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.otherwise = DialFailed("Connection refused")
        network.socket.cut()
        await asyncio.sleep(5)
        assert line(realtime, "Remedy")
        network.otherwise = GREET
        await realtime.wait_subscribed()
        assert (line(realtime, "Remedy"), realtime.explain().remedy) == ("", "")
        assert line(realtime, "Last failure") == "Last failure: at T, server:80: the dial failed: Connection refused."
        await realtime.disconnect()
        assert realtime.explain().remedy == ""
        network.otherwise = HANG
        task = asyncio.ensure_future(realtime.connect())
        await asyncio.sleep(1)
        assert (realtime.state, realtime.explain().remedy) == (State.RECONNECTING, "")
        task.cancel()


async def test_the_end_of_all_attempts() -> None:
    network = Network()
    network.otherwise = DialFailed("Connection refused")
    async with network.realtime(retry=RetryPolicy(attempts=1)) as realtime:
        with pytest.raises(RetriesExhausted):
            await realtime.connect()
        await asyncio.sleep(3600)
        assert told(realtime) == [
            "State: error for 1:00:00 h, since T: no link, and no attempt will be made.",
            "Why: The dial failed, and the retry policy allows no further dial. (Transition rule rec25.)",
            "Next: nothing, without a call.",
            "Server: server:80, project demo, era not known yet.",
            "Subscriptions: 0 desired, 0 acknowledged.",
            "Error: gave up after 1 attempt; RetryPolicy.attempts allows no more; the last one: server:80: the dial failed:"
            " Connection refused.",
            f"Remedy: {REMEDIES['DialFailed']} {REMEDIES['RetriesExhausted']}".replace("``", "`"),
            f"Advice: {STATES[State.ERROR].advice}",
        ]


# --- each state and phase ---------------------------------------------------------------------------------------------


async def connect(_: Network, realtime: Realtime) -> None:
    await realtime.connect()


def dialing(*outcomes: str | DialFailed) -> Arrange:
    async def arrange(network: Network, realtime: Realtime) -> object:
        network.script.extend(outcomes)
        network.otherwise = HANG
        task = asyncio.ensure_future(realtime.connect())
        await asyncio.sleep(0.5)
        return task

    return arrange


async def ask(network: Network, realtime: Realtime) -> object:
    await realtime.connect()
    network.socket.frozen = True
    task = asyncio.ensure_future(realtime.subscribe("rows"))
    await asyncio.sleep(1)
    return task


async def idle(_: Network, realtime: Realtime) -> None:
    await (await realtime.subscribe("rows")).unsubscribe()


async def ping(network: Network, realtime: Realtime) -> None:
    await realtime.subscribe("rows")
    network.socket.frozen = True
    await asyncio.sleep(16)


async def renew(network: Network, realtime: Realtime) -> object:
    await realtime.subscribe("rows")
    network.script.append(HANG)
    task = asyncio.ensure_future(realtime.reconnect())
    await asyncio.sleep(0.5)
    return task


async def dispose(_: Network, realtime: Realtime) -> None:
    await realtime.connect()
    await realtime.dispose()


PHASES: dict[str, tuple[Arrange, State, dict[str, str]]] = {
    "a dial": (
        dialing(HANG), State.RECONNECTING,
        {"Next": "the answer to the dial is awaited for 9.5 s more; dials in a row so far: 1, at most 3.",
         "Link": "1 is being dialed.", "Identity": ""},
    ),
    "no greeting": (
        dialing(MUTE), State.RECONNECTING,
        {"Next": "the greeting of the server is awaited for 9.5 s more; dials in a row so far: 1, at most 3.",
         "Link": "1 is open, and not greeted yet."},
    ),
    "a delay": (
        dialing(DialFailed("no")), State.RECONNECTING,
        {"Next": "the next dial is due in 1.0 s; dials in a row so far: 1, at most 3.", "Link": ""},
    ),
    "a throttled dial": (
        dialing(UpgradeRefused(429, retry_after=60)), State.RECONNECTING,
        {"Next": "the next dial is due in 60.5 s; dials in a row so far: 1, at most 3.",
         "Note": "The dial waits as long as the server, or a proxy, asked.", "Advice": STATES[State.RECONNECTING].advice},
    ),
    "nothing desired": (
        connect, State.CONNECTED,
        {"Next": "the next ping is due in 15.0 s.", "Link": "1 is up.", "Advice": STATES[State.CONNECTED].advice},
    ),
    "a request": (ask, State.CONNECTED, {"Next": "the reply to a request is awaited for 9.0 s more."}),
    "nothing left": (idle, State.UNSUBSCRIBED, {"Next": "the link is closed in 10.0 s, because nothing is subscribed."}),
    "a ping": (ping, State.PING, {"Next": "the answer to a ping is awaited for 9.0 s more."}),
    "a handover": (
        renew, State.RECONNECTING,
        {"Link": "2 is being dialed.", "Old link": "1 delivers until another one serves everything.",
         "Subscriptions": "1 desired, 1 acknowledged."},
    ),
    "the end": (dispose, State.DISPOSING, {"Next": "nothing, without a call.", "Link": ""}),
}  # fmt: skip


@pytest.mark.parametrize("case", PHASES)
async def test_each_phase_names_what_is_awaited(case: str) -> None:
    arrange, state, lines = PHASES[case]
    network = Network()
    async with network.realtime(timeouts=Timeouts(idle=10)) as realtime:
        pending = await arrange(network, realtime)
        assert realtime.state is state
        assert line(realtime, "State").startswith(f"State: {state}")
        assert {head: line(realtime, head).removeprefix(f"{head}: ") for head in lines} == lines
    if isinstance(pending, asyncio.Task):
        await asyncio.gather(pending, return_exceptions=True)


async def test_a_link_without_pings_waits_without_a_deadline() -> None:
    network = Network()
    async with network.realtime(ping=PingPolicy(enabled=False), retry=RetryPolicy(stable_after=1)) as realtime:
        await realtime.subscribe("rows")
        assert line(realtime, "Next") == "Next: the link counts as stable in 1.0 s."
        await asyncio.sleep(10)
        assert line(realtime, "Next") == "Next: an event or a call; no deadline is set."


# --- the unusual ------------------------------------------------------------------------------------------------------


async def test_a_pause_names_its_cause() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows", buffer=1, overflow="pause")
        for _ in range(3):
            network.publish("rows")
        await asyncio.sleep(7)
        note = r'Note: The link has not been read for [67]\.\d s, because a consumer with overflow="pause" is full\.'
        assert re.fullmatch(note, line(realtime, "Note"))


async def test_a_server_fault_is_a_note() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.publish("rows")
        network.fault = 500
        files = asyncio.ensure_future(realtime.subscribe("files"))
        await asyncio.sleep(1)
        note = r"Note: The server is at fault: it answers, and has not worked for 1\.\d s\."
        assert re.fullmatch(note, line(realtime, "Note"))
        await realtime.dispose()
        await asyncio.gather(files, return_exceptions=True)


async def test_a_deaf_link_is_a_note() -> None:
    network = Network()
    async with own(network) as realtime:
        await realtime.subscribe("rows")
        network.publish("rows")
        await asyncio.sleep(30)
        deafen(network)
        await eventually(lambda: len(network.sockets) > 1 and realtime.state is State.SUBSCRIBED, within=1000)
        assert line(realtime, "Note") == "Note: A canary did not come back: the events of the server are lost."
        assert realtime.explain().remedy == OVERDUE["echo"]


async def test_a_missed_canary_has_its_remedy_while_it_is_the_newest_failure_of_a_deaf_link() -> None:
    network = Network()

    def told_of() -> tuple[str, str, bool]:
        found = realtime.explain()
        assert found.last_failure is not None
        return found.last_failure.error.kind, found.remedy, found.health.ready

    async with own(network) as realtime:
        await realtime.subscribe("rows")
        await asyncio.sleep(30)
        deafen(network)
        await eventually(lambda: len(network.sockets) > 1 and realtime.state is State.SUBSCRIBED, within=1000)
        assert told_of() == ("echo_overdue", OVERDUE["echo"], False)
        links = len(network.sockets)
        network.socket.cut()
        await eventually(lambda: len(network.sockets) > links and realtime.state is State.SUBSCRIBED, within=100)
        assert told_of() == ("stream_ended", "", False), "the canary before says nothing of the newest failure"
        await eventually(lambda: told_of() == ("echo_overdue", OVERDUE["echo"], False), within=1000)
        heal(network)
        await eventually(lambda: realtime.health().ready, within=10_000)
        assert told_of() == ("echo_overdue", "", True)


async def test_messages_of_no_use_are_a_note() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.connect()
        network.socket.push(b"no JSON")
        await asyncio.sleep(1)
        assert line(realtime, "Note") == "Note: Messages of the server that the client could not use: 1 (not_json)."


async def test_a_dial_that_waits_for_its_slot_names_the_limit() -> None:
    network = Network()
    network.otherwise = HANG
    async with network.realtime(retry=RetryPolicy(dials_per_minute=10)) as realtime:
        calls = [asyncio.ensure_future(realtime.reconnect()) for _ in range(BURST + 1)]
        await asyncio.sleep(1)
        slot = "Note: The dial waits for its slot: 10 dials a minute may leave for one server."
        assert line(realtime, "Note") == slot
        await realtime.dispose()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_dial_that_waits_for_the_link_before_says_so() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.subscribe("rows")
        network.socket.frozen = True
        leaving = asyncio.ensure_future(realtime.authenticate(None))
        await eventually(lambda: realtime.state is State.RECONNECTING)
        assert line(realtime, "Note") == "Note: The dial waits until the link before is closed."
        await leaving


# --- the data ---------------------------------------------------------------------------------------------------------


async def test_the_data_are_typed_and_frozen() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.publish("rows", payload={"n": 1}, timestamp="2026-11-27T18:00:00.000+00:00")
        await asyncio.sleep(2)
        found = realtime.explain()
        (rows,) = found.subscriptions
        assert (found.state, found.rule, found.awaited) == (State.SUBSCRIBED, "con40", "ping")
        assert found.since is not None
        assert found.due is not None
        seconds = (found.at - found.since).total_seconds(), (found.due - found.at).total_seconds()
        assert seconds == pytest.approx((2, 13), abs=0.1)
        assert abs(found.at - datetime.now(UTC)) < timedelta(seconds=5)
        assert (found.link, found.draining, found.attempt, found.attempts) == (1, None, 1, None)
        assert (rows.acknowledged, rows.received, rows.dropped, rows.waiting) == (True, 1, 0, 1)
        assert rows.last_event == datetime(2026, 11, 27, 18, tzinfo=UTC)
        assert (found.connection_id, found.health) == (realtime.connection_id, realtime.health())
        with pytest.raises(AttributeError):
            found.state = State.ERROR  # type: ignore[misc]


async def test_events_are_counted_in_a_handover_and_on_several_subscriptions() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows, both = await realtime.subscribe("rows"), await realtime.subscribe("rows", "files")
        network.publish("rows", payload={"n": 1})
        network.script.append(GREET)
        network.latencies.append(5)
        renewing = asyncio.ensure_future(realtime.reconnect())
        await eventually(lambda: realtime.state is State.RECONNECTING)
        network.publish("rows", payload={"n": 2})
        await renewing
        network.publish("files", payload={"n": 3})
        await asyncio.sleep(10)
        assert [one.received for one in realtime.explain().subscriptions] == [2, 3]
        assert [take_numbers(one) for one in (rows, both)] == [[1, 2], [1, 2, 3]]


async def test_no_secret_no_payload_and_no_control_character_is_in_it() -> None:
    network = Network()
    secret = network.backend.add_user("alice", session_secret="hunter2-session")  # noqa: S106  (the test looks for it)
    async with network.realtime(session=secret) as realtime:
        await realtime.subscribe("rows")
        network.publish("rows", payload={"n": "hunter2-payload"})
        network.otherwise = DialFailed("\x1b[31mred\nState: fine")
        network.socket.cut()
        await asyncio.sleep(5)
        found = realtime.explain()
        for text in (str(found), repr(found)):
            assert "hunter2" not in text
        assert all(part.isprintable() for part in str(found).split("\n"))
        assert r"\x1b[31mred\nState: fine" in str(found)
        (failure,) = (text for text in str(found).split("\n") if "fine" in text)
        assert (failure.partition(":")[0], failure[-5:]) == ("Last failure", "fine.")


async def test_a_refusal_has_its_remedy() -> None:
    network = Network()
    async with network.realtime(session="unknown") as realtime:
        with pytest.raises(GreetedAsGuest) as refused:
            await realtime.connect()
        found = realtime.explain()
        assert str(found.error) == str(refused.value)
        assert found.remedy == REMEDIES["GreetedAsGuest"].replace("``", "`")


async def test_a_refusal_for_good_has_one_remedy() -> None:
    network = Network(projects=("other",))
    async with network.realtime() as realtime:
        with pytest.raises(RefusedByServer):
            await realtime.connect()
        assert realtime.explain().remedy == REMEDIES["RefusedByServer"].replace("``", "`")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (Overdue("pong", 10), OVERDUE["pong"]),
        (RealtimeError("any"), REMEDIES["RealtimeError"]),
        (type("Own", (DialFailed,), {})("reason"), REMEDIES["DialFailed"]),
        (UpgradeRefused(404), UPGRADES[404]),
        (UpgradeRefused(301, location="https://host/v1/realtime"), "Give the target of the redirect as the endpoint."),
        (ValueError("not ours"), ""),
    ],
)
def test_each_error_has_the_remedy_of_its_nearest_kind(error: Exception, remedy: str) -> None:
    assert remedy_of(error) == remedy.replace("``", "`")


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (404, "Check the path of the endpoint"),
        (407, "Put the proxy's login into its URL"),
        *((status, "Wait: the server, or a proxy before it, is down or overloaded") for status in (429, 502, 503, 504)),
        *((status, "Check that the endpoint is that of Appwrite, and that") for status in (200, 403, 405, 408, 430, 500, 505)),
    ],
)
def test_each_status_of_a_refused_upgrade_has_its_remedy(status: int, remedy: str) -> None:
    assert remedy_of(UpgradeRefused(status)).startswith(remedy)


async def test_a_state_lasts_in_seconds_and_from_two_minutes_on_in_hours() -> None:
    async with Network().realtime() as realtime:
        await realtime.connect()
        await realtime.disconnect()
        lasted = []
        for seconds in (119.9, 0.1, 30.6):
            await asyncio.sleep(seconds)
            lasted.append(line(realtime, "State").split(",")[0].removeprefix("State: disconnected for "))
        assert lasted == ["119.9 s", "0:02:00 h", "0:02:31 h"]


def test_the_synchronous_face_explains_before_during_and_after(served: Served) -> None:
    with connected(served) as realtime:
        assert realtime.explain().since is None
        realtime.subscribe("rows")
        found = realtime.explain()
        assert (found.state, found.awaited, len(found.subscriptions)) == (State.SUBSCRIBED, "ping", 1)
    assert realtime.explain().state is State.DISPOSING


# --- anything may happen ----------------------------------------------------------------------------------------------


class ExplainedWalk(Walk):
    """After each step of a random walk over the machine, the explanation names the state and the deadline."""

    def look(self) -> None:
        super().look()
        context = self.bench.context
        driver = Driver(context, Network(), connection_id="c", url="http://h/v1", credentials=Credentials(None, None, {}))
        found = explanation_of(driver, self.bench.state, "c")
        name, text = context.deadline_name, str(found)
        assert text.startswith(f"State: {self.bench.state}")
        assert (found.awaited, found.due is None) == (name, context.deadline is None)
        assert not name or DEADLINES[name].partition("{}")[0] in text
        assert f"{STATES[self.bench.state].brief}." in text
        assert all(one.isprintable() for one in text.split("\n"))


TestExplainedWalk = ExplainedWalk.TestCase
TestExplainedWalk.settings = settings(max_examples=15, stateful_step_count=40, deadline=None)


async def test_a_connection_that_is_used_and_disturbed_is_explained_at_each_moment() -> None:
    states = {state for seed in range(8) for state in await explained(seed)}
    assert states >= {State.RECONNECTING, State.CONNECTED, State.SUBSCRIBED, State.PING}


async def explained(seed: int) -> set[State]:
    """Use and disturb a connection, and explain it at each moment; return its states."""
    draw, network = random.Random(seed), Network()
    states: set[State] = set()
    ping = PingPolicy(interval=5, timeout=5)
    async with network.realtime(retry=RetryPolicy(attempts=None), ping=ping) as realtime:
        disturbances = (
            lambda: network.socket.cut(),
            lambda: setattr(network.socket, "frozen", True),
            lambda: network.publish("rows"),
            lambda: setattr(network, "otherwise", draw.choice((GREET, MUTE, DialFailed("no")))),
            lambda: setattr(network, "fault", draw.choice((None, 500))),
            lambda: calls.append(asyncio.ensure_future(realtime.subscribe("rows"))),
            lambda: calls.append(asyncio.ensure_future(realtime.reconnect())),
        )
        calls: list[asyncio.Future[object]] = [asyncio.ensure_future(realtime.connect())]
        await calls[0]
        for _ in range(40):
            draw.choice(disturbances)()
            await asyncio.sleep(draw.expovariate(0.5))
            found = realtime.explain()
            states.add(found.state)
            assert str(found).startswith(f"State: {realtime.state}")
            assert found.health.ready == (not found.health.reasons)
        await realtime.dispose()
        await asyncio.gather(*calls, return_exceptions=True)
    return states
