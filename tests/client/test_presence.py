"""Presence and authentication by message, on the newest servers: what goes over the wire, and in which order."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from realtime_fsm import (
    AuthenticationRejected,
    BadOption,
    Disconnected,
    Disposed,
    PresenceRejected,
    Realtime,
    RetriesExhausted,
    RetryPolicy,
    State,
    Subscription,
)
from realtime_fsm.errors import DialFailed
from realtime_fsm.protocol.frames import PING
from support.network import Network, SimulatedSocket, take_numbers
from support.virtual import VirtualLoop, eventually, run


def shown(network: Network) -> list[Any]:
    """Return the presences that the server has stored."""
    return [document["status"] for document in network.backend.directory("demo").presences._stored.values()]


def asked(socket: SimulatedSocket) -> list[str]:
    """The statuses that were sent on a socket."""
    messages = [json.loads(data) for data in socket.sent]
    return [message["data"]["status"] for message in messages if message["type"] == "presence"]


async def lose(network: Network, realtime: Realtime) -> None:
    """The link is lost, and comes back."""
    before = len(network.dials)
    network.socket.cut()
    await eventually(lambda: len(network.dials) > before and realtime.is_live)
    await asyncio.sleep(1)


# --- presence -------------------------------------------------------------------------------------------------------------


async def test_the_answer_is_the_stored_presence() -> None:
    network = Network()
    alice, bob = (network.realtime(session=network.backend.add_user(user)) for user in ("alice", "bob"))
    async with alice, bob:
        presences = await bob.subscribe("presences")
        permissions = ['read("users")', 'update("user:alice")']
        stored = await alice.set_presence("online", metadata={"device": "phone"}, permissions=permissions)
        assert stored is not None
        assert {key: stored[key] for key in ("userId", "status", "metadata", "$permissions")} == {
            "userId": "alice", "status": "online", "metadata": {"device": "phone"}, "$permissions": permissions,
        }  # fmt: skip
        assert (alice.state, (await anext(presences)).payload["$id"]) == (State.CONNECTED, stored["$id"])
        again = await alice.set_presence("away", permissions=permissions)
        assert again is not None
        assert (again["$id"], again["status"], again["metadata"]) == (stored["$id"], "away", {"device": "phone"})
        await alice.disconnect()
        events = [await anext(presences) for _ in range(2)]
        assert [event.action for event in events] == ["upsert", "delete"], "it ends with the link"


async def test_the_latest_presence_is_set_again_on_every_later_link() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.subscribe("rows")
        await realtime.set_presence("online")
        await realtime.set_presence("away")
        for _ in range(2):
            await lose(network, realtime)
            assert (asked(network.socket), shown(network), realtime.state) == (["away"], ["away"], State.SUBSCRIBED)
        await realtime.disconnect()
        assert shown(network) == []
        await realtime.connect()
        await eventually(lambda: shown(network) == ["away"])
        kinds = [json.loads(data)["type"] for data in network.socket.sent]
        assert kinds == ["subscribe", "presence"], "after what was subscribed"


async def test_none_ends_it_with_the_link_that_is_up() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.set_presence("online")
        assert await realtime.set_presence(None) is None
        await asyncio.sleep(1)
        assert (asked(network.socket), shown(network)) == (["online"], ["online"]), "there is no message for it"
        await lose(network, realtime)
        assert (asked(network.socket), shown(network)) == ([], [])
        assert await realtime.set_presence(None) is None


async def test_a_guest_has_none_and_keeps_the_link() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        with pytest.raises(PresenceRejected) as caught:
            await realtime.set_presence("online")
        assert (caught.value.code, realtime.state, len(network.dials)) == (401, State.SUBSCRIBED, 1)
        await lose(network, realtime)
        assert asked(network.socket) == [], "it is not tried again"


async def test_a_presence_that_locks_itself_is_refused_the_next_time() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.set_presence("online", permissions=['read("users")'])
        with pytest.raises(PresenceRejected):
            await realtime.set_presence("away")
        assert (shown(network), realtime.state) == (["online"], State.CONNECTED)


@pytest.mark.virtual(reports=1)
async def test_a_refused_restored_presence_is_reported() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.set_presence("online")
        network.refused.add(b'"presence"')
        await lose(network, realtime)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        (report,) = loop.reported
        assert type(report["exception"]) is PresenceRejected
        assert report["message"] == "realtime_fsm: the presence could not be restored"
        network.refused.clear()
        await lose(network, realtime)
        assert asked(network.socket) == []
        stored = await realtime.set_presence("back")
        assert stored is not None
        assert stored["status"] == "back"


async def test_calls_at_once_all_get_the_latest() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        answers = await asyncio.gather(*(realtime.set_presence(status) for status in ("a", "b", "c")))
        assert [answer and answer["status"] for answer in answers] == ["c"] * 3
        assert asked(network.socket) == ["c"]
        calls = asyncio.gather(*(realtime.set_presence(status) for status in ("d", "e")))
        await asyncio.sleep(0)
        last = await asyncio.gather(realtime.set_presence("f"), calls)
        assert [answer and answer["status"] for answer in (last[0], *last[1])] == ["f"] * 3
        assert asked(network.socket) == ["c", "d", "f"], "one request is in flight, and what is overtaken stays away"
        pending = asyncio.ensure_future(realtime.set_presence("g"))
        await asyncio.sleep(0)
        assert await realtime.set_presence(None) is None
        assert await pending is None, "none is wanted any more"


async def test_set_presence_opens_a_link() -> None:
    network = Network()
    alice = network.backend.add_user("alice")
    network.script.append(DialFailed("refused"))
    async with network.realtime(session=alice) as realtime:
        assert await realtime.set_presence("online")
        assert len(network.dials) == 2
        await asyncio.sleep(29)
        network.answers[PING] = ()
        await eventually(lambda: realtime.state is State.PING)
        later = asyncio.ensure_future(realtime.set_presence("away"))
        await asyncio.sleep(1)
        assert asked(network.socket) == ["online"], "not while a pong is awaited"
        network.socket.push(b'{"type":"pong"}')
        assert await later
        network.socket.frozen = True
        pending = asyncio.ensure_future(realtime.set_presence("gone"))
        await asyncio.sleep(0)
        await realtime.disconnect()
        with pytest.raises(Disconnected):
            await pending
        network.otherwise = DialFailed("refused")
        with pytest.raises(RetriesExhausted):
            await realtime.set_presence("online")
        network.otherwise = "greet"
        await realtime.reconnect()
        await asyncio.sleep(1)
        assert asked(network.socket) == ["away"], "of what was never stored nothing is left"
    with pytest.raises(Disposed):
        await realtime.set_presence("online")


@pytest.mark.parametrize(
    ("arguments", "options", "named"),
    [
        (("",), {}, "status"),
        ((5,), {}, "status"),
        (("online",), {"metadata": 5}, "metadata"),
        (("online",), {"metadata": {"a": object()}}, "metadata"),
        (("online",), {"metadata": {"a": "x" * 70_000}}, "metadata"),
        (("online",), {"permissions": "read"}, "permissions"),
    ],
)
async def test_what_cannot_be_sent_is_refused_at_the_call(arguments: tuple[Any], options: dict[str, Any], named: str) -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.raises(BadOption) as caught:
            await realtime.set_presence(*arguments, **options)
        assert caught.value.option == named
    assert network.dials == []


# --- its id ---------------------------------------------------------------------------------------------------------------


def presence_ids(socket: SimulatedSocket) -> list[str]:
    """The ids that were sent on a socket."""
    messages = [json.loads(data) for data in socket.sent]
    return [message["data"]["presenceId"] for message in messages if message["type"] == "presence"]


async def test_the_id_is_the_same_on_every_link_so_it_can_be_watched() -> None:
    network = Network()
    alice, bob = (network.realtime(session=network.backend.add_user(user)) for user in ("alice", "bob"))
    async with alice, bob:
        permissions = ['read("users")', 'update("user:alice")']
        stored = await alice.set_presence("online", permissions=permissions)
        assert stored is not None
        watcher = await bob.subscribe(f"presences.{stored['$id']}")
        for _ in range(2):
            network.sockets[0].cut()
            network.socket.cut()
            await alice.reconnect()
            await bob.wait_subscribed()
            await eventually(lambda: shown(network) == ["online"])
        again = await alice.set_presence("away", permissions=permissions)
        assert again is not None
        assert again["$id"] == stored["$id"] != alice.connection_id
        assert (await anext(watcher)).payload["$id"] == stored["$id"]
        other = network.realtime(session=network.backend.add_user("carol"))
        async with other:
            theirs = await other.set_presence("online")
            assert theirs is not None
            assert theirs["$id"] != stored["$id"], "random for each connection"


async def test_another_id_needs_another_link() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.subscribe("rows")
        stored = await realtime.set_presence("online", presence_id="alice-phone")
        assert stored is not None
        assert (stored["$id"], len(network.dials)) == ("alice-phone", 1)
        kept = await realtime.set_presence("away")
        assert kept is not None
        assert (kept["$id"], len(network.dials)) == ("alice-phone", 1), "the one of the call before"
        other = await realtime.set_presence("online", presence_id="alice-tablet")
        assert other is not None
        assert (other["$id"], len(network.dials), realtime.state) == ("alice-tablet", 2, State.SUBSCRIBED)
        assert [presence_ids(socket) for socket in network.sockets] == [["alice-phone"] * 2, ["alice-tablet"]]
        await realtime.set_presence(None)
        await realtime.set_presence("back", presence_id="third")
        assert presence_ids(network.socket) == ["third"], "the second link has one, although none is wanted any more"


async def test_an_id_that_was_refused_does_not_take_the_link() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        with pytest.raises(PresenceRejected):
            await realtime.set_presence("online", permissions=['read("team:none")'], presence_id="one")
        stored = await realtime.set_presence("online", presence_id="two")
        assert stored is not None
        assert (stored["$id"], len(network.dials)) == ("two", 1)


async def test_another_id_while_one_is_on_its_way() -> None:
    network = Network()
    async with network.realtime(session=network.backend.add_user("alice")) as realtime:
        await realtime.connect()
        calls = [realtime.set_presence("a", presence_id="one"), realtime.set_presence("b", presence_id="two")]
        answers = await asyncio.gather(*calls)
        assert [answer and answer["$id"] for answer in answers] == ["two"] * 2
        assert len(network.dials) == 2


@pytest.mark.parametrize("wrong", ["", "-a", "a" * 37, "ä", "a b", 5])
async def test_an_invalid_id_is_refused_at_the_call(wrong: Any) -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.raises(BadOption) as caught:
            await realtime.set_presence("online", presence_id=wrong)
        assert caught.value.option == "presence_id"
    assert network.dials == []


# --- authentication -------------------------------------------------------------------------------------------------------


def look_at(socket: SimulatedSocket) -> int:
    """Read what went over one link, in order; the answer tells how often it was authenticated on.

    A real server forgets the project when a client authenticates before anything is acknowledged, and the next subscribe then
    meets 1008; and two requests at once are a race. So neither may be seen, whatever the user calls.
    """
    acknowledged: set[str] = set()
    awaited, logins, greeted, position = "", 0, False, 0
    for count, frame in [*socket.heard, (len(socket.sent), b'{"type":"end"}')]:
        kinds = [json.loads(data)["type"] for data in socket.sent[position:count]]
        assert len(kinds) <= (greeted and not awaited), f"{kinds} while the greeting, or the answer to {awaited!r}, is awaited"
        assert acknowledged or "authentication" not in kinds, "authenticates with nothing acknowledged"
        awaited = kinds[0] if kinds else awaited
        logins += kinds.count("authentication")
        position = count
        heard = json.loads(frame)
        match heard["type"]:
            case "connected":
                greeted = True
            case "response":
                assert heard["data"]["to"] == awaited
                names = {item["subscriptionId"] for item in heard["data"].get("subscriptions", ())}
                acknowledged = acknowledged | names if awaited == "subscribe" else acknowledged - names
                awaited = ""
            case "error":
                assert heard["data"]["code"] != 1008
                awaited = ""
            case "pong":
                awaited = ""
    return logins


async def test_a_new_link_is_not_authenticated_by_message() -> None:
    network = Network()
    alice = network.backend.add_user("alice")
    async with network.realtime() as realtime:
        await realtime.connect()
        await realtime.authenticate(alice)
        await realtime.subscribe("rows")
        await realtime.authenticate(alice)
    assert [look_at(socket) for socket in network.sockets] == [0, 1]


def wander(seed: int) -> int:
    """Make random calls, many at once; return how many messages authenticated a user."""

    async def main() -> int:
        draw = random.Random(seed)
        network = Network(rate_limit=draw.choice((None, None, 6)))
        users = {network.backend.add_user(user): user for user in ("alice", "bob")}
        async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
            parts: list[Subscription] = []

            async def subscribe() -> None:
                parts.append(await realtime.subscribe(draw.choice(("rows", "files", "teams.t", "account", "account.update"))))

            async def unsubscribe() -> None:
                if parts:
                    await parts.pop(draw.randrange(len(parts))).unsubscribe()

            async def authenticate() -> None:
                await realtime.authenticate(draw.choice((*users, *users, "worthless")))

            async def show() -> None:
                await realtime.set_presence(draw.choice(("online", "away", None)))

            often: list[Any] = [subscribe, unsubscribe, authenticate] * 2
            calls: list[asyncio.Task[Any]] = []
            for _ in range(25):
                calls.append(asyncio.ensure_future(draw.choice([*often, show, realtime.connect, realtime.reconnect])()))
                await asyncio.sleep(draw.choice((0, 0, 0.005, 0.02, 0.1, 3)))
                if network.sockets and draw.random() < 0.05:
                    network.socket.cut()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert not [result for result in outcomes if getattr(result, "code", None) == 1008]
            session, user = draw.choice(tuple(users.items()))
            assert (await realtime.authenticate(session))["$id"] == user
            await realtime.subscribe("rows")
            await eventually(lambda: realtime.state is State.SUBSCRIBED)
        return sum(look_at(socket) for socket in network.sockets)

    return run(main, reports=None)


def test_no_order_of_calls_meets_a_forgotten_project() -> None:
    assert sum(wander(seed) for seed in range(60)) > 30, "else it would show little"


async def test_a_refused_login_by_message_keeps_the_old_user() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        for user in ("alice", "bob"):
            await realtime.authenticate(network.backend.add_user(user))
        with pytest.raises(AuthenticationRejected):
            await realtime.authenticate("worthless")
        network.publish("rows", payload={"n": 1}, roles=["user:bob"])
        await asyncio.sleep(1)
        assert take_numbers(rows) == [1]
    assert [look_at(socket) for socket in network.sockets] == [3]
