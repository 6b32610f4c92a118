"""Identities: callables for sessions before each dial, changes of the user, expected and unexpected guests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_fsm import (
    AuthenticationRejected,
    BadOption,
    Disconnected,
    Disposed,
    GreetedAsGuest,
    RetriesExhausted,
    RetryPolicy,
    State,
    Timeouts,
    UnsupportedByServer,
)
from realtime_fsm.errors import CertificateRefused, DialFailed, IdentityUnavailable, UpgradeRefused
from realtime_fsm.fsm.commands import UserIdentified
from realtime_fsm.fsm.policies import RATE_LIMIT_WINDOW
from realtime_fsm.protocol.frames import PING, message, subscribe_item
from realtime_fsm.runtime.credentials import Credentials
from realtime_fsm.testing.eras import EraName
from support.eras import BY_MESSAGE, NO_SERVER, ON_EVERY_ERA, only
from support.network import Network
from support.virtual import eventually, run

pytestmark = ON_EVERY_ERA
GUEST: str | None = None


async def test_a_callable_is_asked_before_every_dial() -> None:
    network = Network()
    session = network.backend.add_user("alice")
    asked: list[float] = []

    async def fresh() -> str:
        asked.append(asyncio.get_running_loop().time())
        return session

    async with network.realtime(session=fresh) as realtime:
        assert realtime.user is None
        await realtime.subscribe("rows")
        assert realtime.user is not None
        assert realtime.user["$id"] == "alice"
        network.socket.cut()
        await eventually(lambda: len(network.dials) == 2)
        assert len(asked) == 2 + len(network.questions)
        assert network.headers[1] == {"X-Appwrite-Session": session}


async def test_a_jwt_may_come_from_a_plain_callable() -> None:
    network = Network()
    network.backend.add_user("alice")
    token = network.backend.directory().issue_jwt("alice")
    async with network.realtime(jwt=lambda: token) as realtime:
        await realtime.connect()
        assert network.headers == [{"X-Appwrite-JWT": token}]
        assert realtime.user is not None


@NO_SERVER
@pytest.mark.parametrize("answer", ["", None, 5])
async def test_a_callable_with_a_bad_secret_is_a_failed_attempt(answer: Any) -> None:
    network = Network()
    async with network.realtime(session=lambda: answer) as realtime:
        with pytest.raises(RetriesExhausted) as caught:
            await realtime.connect()
        assert isinstance(caught.value.cause, IdentityUnavailable)
        assert network.dials == []


def test_a_callable_that_raises_is_called_again() -> None:
    async def main() -> None:
        network = Network()
        session = network.backend.add_user("alice")
        answers: list[Any] = [LookupError("hunter2"), *[session] * (1 + network.subscribes_in_url)]

        async def fresh() -> str:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return str(answer)

        async with network.realtime(session=fresh) as realtime:
            states = realtime.states()
            await realtime.connect()
            assert (await anext(states)).dest is State.RECONNECTING
            assert (await anext(states)).attempt == 2 + len(network.questions)

    run(main)
    error = IdentityUnavailable("LookupError")
    assert "hunter2" not in str(error)


async def test_a_guest_where_a_user_was_expected_is_an_error() -> None:
    network = Network()
    async with network.realtime(session="worthless") as realtime:
        with pytest.raises(GreetedAsGuest):
            await realtime.connect()
        assert (realtime.state, len(network.dials)) == (State.ERROR, 1)
        assert isinstance(realtime.error, GreetedAsGuest)
        user = await realtime.authenticate(network.backend.add_user("alice"))
        assert (user["$id"], realtime.state) == ("alice", State.CONNECTED)


@BY_MESSAGE
async def test_authenticate_by_message_where_it_is_safe() -> None:
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        user = await realtime.authenticate(session)
        assert (user["$id"], len(network.dials)) == ("alice", 1)
        assert b'"authentication"' in network.socket.sent[-1]
        network.publish("rows", roles=["user:alice"])
        assert (await anext(rows)).channels == ("rows",)
        network.socket.cut()
        await eventually(lambda: len(network.dials) == 2)
        assert network.headers[1] == {"X-Appwrite-Session": session}, "later dials carry it"


@pytest.mark.parametrize("scene", ["fresh link", "nothing acknowledged", "plain account", "disconnected", "dialing"])
async def test_authenticate_by_a_new_link_where_no_message_is_safe(scene: str) -> None:
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime() as realtime:
        if scene == "dialing":
            network.script.append("hang")
            connecting = asyncio.ensure_future(realtime.connect())
            await eventually(lambda: network.dials)
        elif scene != "disconnected":
            await realtime.connect()
        if scene == "nothing acknowledged":
            await (await realtime.subscribe("rows")).unsubscribe()
        elif scene == "plain account":
            await realtime.subscribe("account")
        user = await realtime.authenticate(session)
        assert user["$id"] == "alice"
        assert not any(b"authentication" in data for socket in network.sockets for data in socket.sent)
        assert network.headers[-1] == {"X-Appwrite-Session": session}
        if scene == "dialing":
            await connecting
        if scene == "plain account":
            await eventually(lambda: realtime.state is State.SUBSCRIBED)


async def test_authenticating_and_subscribing_at_once_never_meets_a_forgotten_project() -> None:
    """On a real server an authentication without a subscription makes the next subscribe end the link with 1008."""
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime() as realtime:
        await realtime.connect()
        states = realtime.states()
        results = await asyncio.gather(
            realtime.authenticate(session),
            realtime.subscribe("rows"),
            realtime.subscribe("files"),
            realtime.authenticate(session),
        )
        assert results[0] == realtime.user
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        assert network.listening == {"rows", "files"}
        await realtime.disconnect()
        seen = [await anext(states) for _ in range(4)]
        assert not [change for change in seen if change.cause is not None]


# --- a worthless identity costs nothing -----------------------------------------------------------------------------------


async def test_the_old_identity_waits_for_the_server() -> None:
    """It would be turned away, too; with one attempt, for good."""
    network = Network()
    alice, bob = (network.backend.add_user(name) for name in ("alice", "bob"))
    async with network.realtime(session=alice, retry=RetryPolicy(attempts=1, reconnect_attempts=1)) as realtime:
        await realtime.subscribe("account")
        await realtime.disconnect()
        network.script.append(UpgradeRefused(429))
        with pytest.raises(RetriesExhausted):
            await realtime.authenticate(bob)
        assert network.headers[-1] == {"X-Appwrite-Session": bob}
        await realtime.wait_subscribed()
        assert network.headers[-1] == {"X-Appwrite-Session": alice}
        assert network.dials[-1] >= network.dials[-2] + RATE_LIMIT_WINDOW


async def test_a_worthless_session_leaves_the_good_one_in_its_place() -> None:
    """With plain `account` subscribed it needs a new link, which greets a guest."""
    network = Network()
    alice = network.backend.add_user("alice")
    async with network.realtime(session=alice) as realtime:
        account = await realtime.subscribe("account")
        waiting = asyncio.ensure_future(anext(account))
        with pytest.raises(GreetedAsGuest):
            await realtime.authenticate("worthless")
        assert realtime.error is None
        await realtime.wait_subscribed()
        assert realtime.user is not None
        assert realtime.user["$id"] == "alice"
        assert (len(network.dials), account.gaps) == (2, ()), "the old link is as it was"
        network.publish("account", "account.alice", roles=["user:alice"])
        assert (await waiting).channels


@NO_SERVER
@pytest.mark.parametrize("failure", ["refused", "callable", "forbidden", "hang"])
async def test_a_new_identity_without_a_link_leaves_the_old_one(failure: str) -> None:
    network = Network(era="E4")
    alice, bob = network.backend.add_user("alice"), network.backend.add_user("bob")
    answers = [bob]

    def once() -> str:
        return answers.pop() if failure == "callable" else bob

    async with network.realtime(session=alice) as realtime:
        await realtime.subscribe("account")
        if failure == "refused":
            network.script.extend([DialFailed("refused")] * 3)
        elif failure == "hang":
            network.script.extend(["hang"] * 3)
        elif failure == "forbidden":
            network.script.append(CertificateRefused("self-signed"))
        with pytest.raises(CertificateRefused if failure == "forbidden" else RetriesExhausted):
            await realtime.authenticate(once)
        assert (realtime.state, len(network.backend.connections), realtime.user and realtime.user["$id"]) == (
            State.SUBSCRIBED,
            1,
            "alice",
        )
        assert (await realtime.authenticate(bob))["$id"] == "bob"


async def test_both_wait_for_everything_desired_on_the_new_link() -> None:
    network = Network()
    alice = network.backend.add_user("alice")
    async with network.realtime() as realtime:
        await realtime.subscribe("account")
        await realtime.subscribe("rows")
        await realtime.authenticate(alice)
        assert (realtime.state, network.listening) == (State.SUBSCRIBED, {"account", "account.alice", "rows"})
        socket = network.socket
        await realtime.reconnect()
        assert (realtime.state, network.socket is socket) == (State.SUBSCRIBED, False)


@BY_MESSAGE
async def test_a_disconnect_ends_a_change_that_waits_for_the_new_link() -> None:
    network = Network()
    alice = network.backend.add_user("alice")
    async with network.realtime(session=alice) as realtime:
        rows = await realtime.subscribe("rows")
        network.answers[message("subscribe", [subscribe_item(rows.id, rows.channels, ())])] = ()
        call = asyncio.ensure_future(realtime.authenticate(GUEST))
        await asyncio.sleep(1)
        assert (len(network.dials), realtime.user, call.done()) == (2, None, False), "nothing is acknowledged to the guest"
        await realtime.disconnect()
        with pytest.raises(Disconnected):
            await asyncio.wait_for(call, 1)


async def test_the_user_logs_out() -> None:
    network = Network()
    alice = network.backend.add_user("alice")
    async with network.realtime(session=alice, headers={"X-More": "kept"}) as realtime:
        await realtime.subscribe("rows")
        link = network.socket
        closed: list[float | None] = []
        network.on_dial = lambda: closed.append(link.closed)
        assert await realtime.authenticate(GUEST) is None
        assert (realtime.user, realtime.state, network.headers[-1]) == (None, State.SUBSCRIBED, {"X-More": "kept"})
        assert closed[0] is not None, "the old link is closed before the next dial"
        network.socket.cut()
        links = len(network.dials)
        await eventually(lambda: len(network.dials) > links and realtime.is_live)
        assert network.headers[-1] == {"X-More": "kept"}
        assert (await realtime.authenticate(alice))["$id"] == "alice"
        await realtime.disconnect()
        assert await realtime.authenticate(GUEST) is None
        assert (realtime.user, network.headers[-1]) == (None, {"X-More": "kept"})


@pytest.mark.parametrize("header", ["X-Appwrite-Session", "x-appwrite-jwt"])
@pytest.mark.parametrize("logs_out", [False, True])
async def test_an_identity_in_a_header_ends_with_another(header: str, logs_out: bool) -> None:
    network = Network()
    alice, bob = network.backend.add_user("alice"), network.backend.add_user("bob")
    secret = network.backend.directory().issue_jwt("alice") if header.endswith("jwt") else alice
    async with network.realtime(headers={header: secret, "X-More": "kept"}) as realtime:
        await realtime.connect()
        assert network.headers[-1] == {header: secret, "X-More": "kept"}
        await realtime.authenticate(GUEST if logs_out else bob)
        await realtime.reconnect()
        assert network.headers[-1] == {"X-More": "kept"} | ({} if logs_out else {"X-Appwrite-Session": bob})


@NO_SERVER
async def test_a_stuck_link_delays_a_logout_by_the_close_timeout() -> None:
    network = Network(era="E4")
    alice = network.backend.add_user("alice")
    async with network.realtime(session=alice, timeouts=Timeouts(close=3)) as realtime:
        await realtime.subscribe("rows")
        network.socket.frozen = True
        before = network.wall()
        assert await realtime.authenticate(GUEST) is None
        assert 3 <= network.wall() - before < 3.2


@BY_MESSAGE
@pytest.mark.parametrize("ended", [False, True])
async def test_with_a_presence_another_identity_uses_a_new_link(ended: bool) -> None:
    """By message the server would keep the old user's presence for 30 days, and never show the new one."""
    network = Network()
    alice, bob = network.backend.add_user("alice"), network.backend.add_user("bob")
    async with network.realtime(session=alice) as realtime:
        await realtime.subscribe("rows")
        await realtime.set_presence("online")
        if ended:
            await realtime.set_presence(None)
        await realtime.authenticate(bob)
        assert len(network.dials) == 2
        stored = network.backend.directory("demo").presences._stored
        await asyncio.sleep(1)
        assert list(stored) == ([] if ended else ["bob"])


# --- waiting --------------------------------------------------------------------------------------------------------------


async def test_wait_subscribed() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(reconnect_attempts=3)) as realtime:
        with pytest.raises(TimeoutError):
            await realtime.wait_subscribed(1)
        with pytest.raises(BadOption):
            await realtime.wait_subscribed(-1)
        waiting = asyncio.ensure_future(realtime.wait_subscribed())
        await asyncio.sleep(0)
        await realtime.connect()
        await waiting  # nothing was desired
        rows = await realtime.subscribe("rows")
        network.socket.cut()
        await asyncio.sleep(0.02)
        assert not realtime.is_live
        await realtime.wait_subscribed(60)
        assert network.listening == {"rows"}
        network.answers[PING] = ()
        await eventually(lambda: realtime.state is State.PING)
        await realtime.wait_subscribed(0)
        network.answers.clear()
        network.socket.push(b'{"type":"pong"}')
        await rows.unsubscribe()
        await realtime.wait_subscribed(0)
        network.otherwise = DialFailed("refused")
        with pytest.raises(RetriesExhausted):
            await realtime.reconnect()
        await realtime.wait_subscribed(0)  # on the old link
        await realtime.disconnect()
        with pytest.raises(RetriesExhausted):
            await realtime.reconnect()
        with pytest.raises(RetriesExhausted):
            await realtime.wait_subscribed()
        late = asyncio.ensure_future(realtime.wait_subscribed())
    with pytest.raises(RetriesExhausted):
        await late
    with pytest.raises(Disposed):
        await realtime.wait_subscribed()


@BY_MESSAGE
async def test_wait_subscribed_ignores_later_subscriptions() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.socket.frozen = True
        first = asyncio.ensure_future(realtime.subscribe("files"))
        await asyncio.sleep(0)
        assert realtime.state is State.SUBSCRIBED
        with pytest.raises(TimeoutError):
            await realtime.wait_subscribed(0.5)
        waiting = asyncio.ensure_future(realtime.wait_subscribed())
        await asyncio.sleep(0)
        first.cancel()
        await waiting  # it is no longer desired


@BY_MESSAGE
async def test_a_refused_message_leaves_the_link_as_who_it_was() -> None:
    network = Network()
    alice = network.backend.add_user("alice")
    async with network.realtime(session=alice) as realtime:
        await realtime.subscribe("rows")
        with pytest.raises(AuthenticationRejected) as caught:
            await realtime.authenticate("worthless")
        assert (caught.value.code, "worthless" in str(caught.value)) == (1003, False)
        assert (realtime.state, len(network.dials)) == (State.SUBSCRIBED, 1)
        network.socket.cut()
        await eventually(lambda: len(network.dials) == 2)
        assert network.headers[1] == {"X-Appwrite-Session": alice}


@BY_MESSAGE
async def test_a_used_up_rate_limit_authenticates_by_a_dial() -> None:
    network = Network(rate_limit=1)
    session = network.backend.add_user("alice")
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        user = await realtime.authenticate(session)
        assert (user["$id"], len(network.dials)) == ("alice", 2)


@BY_MESSAGE
async def test_a_link_lost_in_the_middle_and_a_dispose_end_the_call() -> None:
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        network.socket.frozen = True
        call = asyncio.ensure_future(realtime.authenticate(session))
        await eventually(lambda: b"authentication" in network.socket.sent[-1])
        network.socket.frozen = False
        network.socket.cut()
        assert (await call)["$id"] == "alice", "the next dial carries it"
        network.socket.frozen = True
        late = asyncio.ensure_future(realtime.authenticate(session))
        await eventually(lambda: realtime._driver.context.subscriptions.in_flight is not None)
    with pytest.raises(Disposed):
        await late
    with pytest.raises(Disposed):
        await realtime.authenticate(session)


@NO_SERVER
@pytest.mark.parametrize(("user", "kept"), [(b'{"$id":"alice"}', True), (b"null", False)])
async def test_credentials_on_trial_are_kept_where_the_server_names_a_user(user: bytes, kept: bool) -> None:
    async with Network().realtime(session="old") as realtime:
        identity = realtime._driver.identity
        identity.begin_trial(Credentials("new", None, {}))
        realtime._driver._execute(UserIdentified(user), 0.0)
        assert (identity.dialing is identity.credentials, identity.credentials.session) == (True, "new" if kept else "old")


async def test_a_user_that_cannot_be_read_is_nobody() -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        realtime._driver._execute(UserIdentified(b"{"), 0.0)
        assert realtime.user is None
        network.answers[b'{"type":"authentication","data":{"session":"odd"}}'] = (
            b'{"type":"response","data":{"to":"authentication","success":true,"user":[]}}',
        )
        with pytest.raises(GreetedAsGuest):
            await realtime.authenticate("odd")


@NO_SERVER
@pytest.mark.parametrize("wrong", [5, b"bytes", ""])
async def test_what_is_no_secret_is_refused_at_the_call(wrong: Any) -> None:
    network = Network()
    with pytest.raises(BadOption):
        network.realtime(session=wrong)
    async with network.realtime() as realtime:
        with pytest.raises(BadOption):
            await realtime.authenticate(wrong)


@NO_SERVER
def test_two_callables_for_identities_are_refused() -> None:
    with pytest.raises(BadOption):
        Network().realtime(session=lambda: "a", jwt="b")


async def test_two_changes_of_identity_at_once_each_return_their_own(server_era: EraName) -> None:
    network = Network()
    alice, bob = network.backend.add_user("alice"), network.backend.add_user("bob")
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        users = await asyncio.gather(realtime.authenticate(alice), realtime.authenticate(bob))
        assert [user["$id"] for user in users] == ["alice", "bob"]
        calls = [realtime.authenticate("worthless"), realtime.authenticate(alice)]
        rejected, kept = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(rejected, AuthenticationRejected if server_era == "E4" else GreetedAsGuest)
        assert not isinstance(kept, BaseException)
        links = len(network.dials)
        network.socket.cut()
        await eventually(lambda: len(network.dials) == links + 1)
        assert network.headers[links] == {"X-Appwrite-Session": alice}


async def test_a_callable_that_raises_leaves_the_identity_as_it_was() -> None:
    def raises() -> str:
        raise LookupError

    network = Network()
    alice = network.backend.add_user("alice")
    async with network.realtime(session=alice) as realtime:
        await realtime.subscribe("rows")
        with pytest.raises(IdentityUnavailable):
            await realtime.authenticate(raises)
        assert realtime._driver.identity.credentials.session == alice


async def test_dispose_ends_a_change_of_identity() -> None:
    asked = asyncio.Event()

    async def slow() -> str:
        asked.set()
        await asyncio.sleep(1)
        return "session"

    realtime = Network().realtime()
    await realtime.connect()
    becoming = asyncio.ensure_future(realtime.authenticate(slow))
    await asked.wait()
    await realtime.dispose()
    with pytest.raises(Disposed):
        await becoming


@only("E1", "E2", "E3", because="the others have presences")
async def test_a_presence_on_a_live_link_to_a_server_without_presences_fails_at_once() -> None:
    async with Network().realtime() as realtime:
        await realtime.subscribe("rows")
        before = asyncio.get_running_loop().time()
        with pytest.raises(UnsupportedByServer, match="presence"):
            await realtime.set_presence("online")
        assert (asyncio.get_running_loop().time(), realtime.state) == (before, State.SUBSCRIBED)
