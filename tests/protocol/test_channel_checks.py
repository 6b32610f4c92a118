"""Misspelled channels bring a warning at once, from the client and from the embedded server; unknown channels pass."""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from contextlib import nullcontext
from typing import Any

import pytest

from realtime_fsm import BadOption, Canary, Channel, ChannelWarning, Realtime, State, SubscriptionRejected, sync
from realtime_fsm.protocol.channel_checks import doubt_about, is_silent_for, needs_e4
from realtime_fsm.testing import RealtimeServer
from support.channels import ACTIONS, SPELLED
from support.loopback import DEMO, connected, subscribe
from support.network import Network

KNOWN = r"""(?x)
    (?:
        account | documents | rows | files | console | project
      | (?: executions | teams | memberships | presences ) (?: \.[a-z0-9]+ )?
      | (?: functions | projects | console\.tail ) \.[a-z0-9]+
      | reports (?: \.[a-z0-9]+ (?: \.insights (?: \.[a-z0-9]+ )? )? )?
      | (?: databases | documentsdb | vectorsdb ) \.[a-z0-9]+ \.collections \.[a-z0-9]+ \.documents (?: \.[a-z0-9]+ )?
      | (?: databases | tablesdb ) \.[a-z0-9]+ \.tables \.[a-z0-9]+ \.rows (?: \.[a-z0-9]+ )?
      | buckets \.[a-z0-9]+ \.files (?: \.[a-z0-9]+ )?
    )
    (?: \.create | \.update | \.upsert | \.delete )?
"""
"""The channels of PROTOCOL: "Channels"."""
NEAREST = [
    ("row", "rows"),
    (" rows", "rows"),
    ("rows ", "rows"),
    ("ro ws", "rows"),
    ("fi les", "files"),
    ("rows.*", "rows"),
    ("Rows", "rows"),
    ("row.create", "rows.create"),
    ("rows.created", "rows.create"),
    ("files.Update", "files.update"),
    ("document", "documents"),
    ("acount", "account"),
    ("team.t1.update", "teams.t1.update"),
    ("function.f1", "functions.f1"),
    ("tablesDB.main.tables.orders.rows", "tablesdb.main.tables.orders.rows"),
    ("databases.*.tables.*.rows.*.create", "rows.create"),
    ("databases.main.tables.*.rows", "rows"),
    ("buckets.*", "files"),
    ("buckets.b.files.*", "files"),
    ("functions.*", "executions"),
    ("*", "rows"),
    ("*.delete", "rows.delete"),
    ("sites.*", "rows"),
    ("rows.", "rows"),
    ("rows..create", "rows.create"),
    ("\t", "rows"),
    ("rows\u200b", "rows"),
    ("\ufefffiles", "files"),
    ("rows,files", "rows"),
    ("rows files", "rows"),
    ("teams.t1;files", "teams.t1"),
    ("sites, files", "files"),
    ("rows:create", "rows"),
    ("teams.{id}", "teams"),
    ('"rows"', "rows"),
    ("tables/t/rows", "rows"),
    ("日本 語", "rows"),
    ("databases.main.tables.t.row", "databases.main.tables.t.rows"),
    ("databases.main.collections.c.document", "databases.main.collections.c.documents"),
    ("tablesdb.main.tables.t.row", "tablesdb.main.tables.t.rows"),
    ("documentsdb.d.collection.c.documents", "documentsdb.d.collections.c.documents"),
    ("vectorsdb.d.collections.c.document.x", "vectorsdb.d.collections.c.documents.x"),
    ("execution.e1", "executions.e1"),
    ("membership.m1.delete", "memberships.m1.delete"),
    ("presence.p1", "presences.p1"),
    ("project.p1", "projects.p1"),
    ("consol", "console"),
    ("databases.main.table.t.rows.r1.created", "databases.main.tables.t.rows.r1.create"),
    ("buckets.b.file", "buckets.b.files"),
    ("buckets.b", "buckets.b.files"),
    ("tablesdb.main.tables.t", "tablesdb.main.tables.t.rows"),
    ("tables.t.rows", "rows"),
    ("tables.create", "rows.create"),
    ("table.t.row.create", "rows.create"),
    ("collections.c.documents.d1", "documents"),
    ("users", "account"),
    ("user", "account"),
    ("users.u1.update", "account.update"),
    ("rows.create.update", "rows.create"),
    ("report.r1.insight", "reports.r1.insights"),
    ("projects", "project"),
    ("Console.Tail.demo", "console.tail.demo"),
    (" console.tail.demo", "console.tail.demo"),
    ("console.tail.*", "console"),
]


@pytest.mark.parametrize(("channel", "nearest"), NEAREST)
def test_a_misspelled_channel_names_the_nearest_known_channel(channel: str, nearest: str) -> None:
    assert doubt_about(channel) == f"no known server publishes on channel {channel!r}; the nearest known channel is {nearest!r}"
    assert re.fullmatch(KNOWN, nearest)


@pytest.mark.parametrize("known", [text + action for text, _, _ in SPELLED for action in ("", *(f".{one}" for one in ACTIONS))])
def test_each_channel_of_the_protocol_passes(known: str) -> None:
    assert doubt_about(known) is None


@pytest.mark.parametrize(
    "newer",
    [
        "sites",
        "sites.s1",
        "files0",
        "row-1",
        "rows_2",
        "messages.m1.create",
        "tests",
        "files.f1",
        "rows.x.create",
        "teams.t1.x.y",
        "a",
        "ключ",
        "functions",
    ],
)
def test_a_plain_unknown_channel_passes(newer: str) -> None:
    assert doubt_about(newer) is None


@pytest.mark.parametrize(
    ("channel", "of_users"),
    [
        *((head + rest, True) for head in ("account", "teams", "memberships") for rest in ("", ".u1", ".u1.update")),
        *((channel, False) for channel in ("rows", "files.create", "presences", "databases.account.tables.teams.rows")),
    ],
)
def test_some_channels_are_of_users_alone(channel: str, of_users: bool) -> None:
    assert is_silent_for(None, channel) is of_users
    assert not is_silent_for({"$id": "u1"}, channel)


@pytest.mark.parametrize(
    ("channel", "newest"),
    [
        *((f"rows.{action}", True) for action in (*ACTIONS, "upsert")),
        *((channel, True) for channel in ("presences", "presences.p1", "account.u1.update")),
        *((channel, False) for channel in ("rows", "account", "create.rows", "databases.presences.tables.t.rows", "teams.t1")),
    ],
)
def test_actions_and_presences_need_the_newest_era(channel: str, newest: bool) -> None:
    assert needs_e4(channel) is newest


async def _by_subscribe(realtime: Realtime, channel: str) -> None:
    await realtime.subscribe("files", channel)


async def _by_entering(realtime: Realtime, channel: str) -> None:
    async with realtime.subscribe("files", channel):
        pass


async def _by_on(realtime: Realtime, channel: str) -> None:
    await realtime.on([channel, "files"], print)


async def _by_update(realtime: Realtime, channel: str) -> None:
    subscription = await realtime.subscribe("files")
    await subscription.update(channels=["files", channel])


WAYS = pytest.mark.parametrize("way", [_by_subscribe, _by_entering, _by_on, _by_update])


@WAYS
async def test_the_client_warns_at_the_line_of_the_call_and_subscribes(way: Any) -> None:
    network = Network()
    async with network.realtime() as realtime:
        with pytest.warns(ChannelWarning, match="channel 'row'; the nearest known channel is 'rows'") as caught:
            await way(realtime, "row")
        assert [warning.filename for warning in caught] == [__file__]
        if way is not _by_entering:
            assert network.publish("row") == 1, "a channel of a newer server would work"


@WAYS
async def test_a_warning_as_an_exception_leaves_no_subscription(way: Any) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.connect()
        with pytest.raises(ChannelWarning):
            await way(realtime, "row")
        assert network.listening == ({"files"} if way is _by_update else set())
        assert len(realtime._driver.registry.deliveries) == (1 if way is _by_update else 0)
        assert realtime.state is (State.SUBSCRIBED if way is _by_update else State.CONNECTED)


async def test_new_queries_alone_do_not_repeat_the_warning() -> None:
    async with Network().realtime() as realtime:
        with pytest.warns(ChannelWarning):
            subscription = await realtime.subscribe("row")
        await subscription.update(queries=['{"method":"isNull","attribute":"a"}'])


@pytest.mark.parametrize("tail", [Channel.console_tail("p1"), " console.tail.p1", "Console.Tail.p1"])
@WAYS
async def test_the_live_tail_is_refused_outside_the_console(way: Any, tail: str) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.connect()
        sent = len(network.socket.sent)
        with pytest.raises(BadOption, match=rf"^channels: '{re.escape(tail)}' is for project 'console' alone") as refusal:
            await way(realtime, tail)
        assert refusal.value.option == "channels"
        assert len(network.socket.sent) == sent + (way is _by_update)
        assert realtime.is_live


@pytest.mark.loopback
async def test_the_embedded_server_warns_of_a_misspelled_channel() -> None:
    async with RealtimeServer() as server:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with connected(server) as client, connected(server, f"{DEMO}&channels[]=rows.*") as other:
                assert [json.loads(await one.text())["type"] for one in (client, other)] == ["connected"] * 2
                await subscribe(client, "row", "rows", "unknown")
        said = sorted(str(warning.message) for warning in caught if warning.category is ChannelWarning)
        assert [text.partition(";")[0] for text in said] == [
            f"a client has subscribed: no known server publishes on channel '{channel}'" for channel in ("row", "rows.*")
        ]


@pytest.mark.loopback
async def test_a_server_warning_as_an_exception_keeps_the_link() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with RealtimeServer() as server, connected(server) as client:
        await client.text()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client.send('{"type":"subscribe","data":[{"subscriptionId":"s","channels":["row"]}]}')
            assert json.loads(await client.text())["data"]["success"]
        assert [type(context["exception"]) for context in told] == [ChannelWarning]
        assert server.publish("e", "row", {}) == 1


@pytest.mark.parametrize("raised", [ZeroDivisionError, asyncio.CancelledError, SystemExit, KeyboardInterrupt])
def test_a_warning_hook_that_raises_keeps_the_link(raised: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException] = []

    def show(*_: Any) -> None:
        raise raised

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        async with RealtimeServer() as server, connected(server) as client:
            await client.text()
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                monkeypatch.setattr(warnings, "showwarning", show)
                client.send('{"type":"subscribe","data":[{"subscriptionId":"s","channels":["row"]}]}')
                assert json.loads(await client.text())["data"]["success"]
            assert server.publish("e", "row", {}) == 1
            assert json.loads(await client.text())["type"] == "event"

    with pytest.raises(KeyboardInterrupt) if raised is KeyboardInterrupt else nullcontext():
        asyncio.run(main())
    assert [type(failure) for failure in told] == [raised]


@pytest.mark.parametrize("guest", [True, False])
async def test_a_rejection_tells_only_guests_to_authenticate(guest: bool) -> None:
    network = Network()
    network.refused.add(b'"refused"')
    session = None if guest else network.backend.add_user("alice")
    async with network.realtime(session=session) as realtime:
        with pytest.raises(SubscriptionRejected) as refusal:
            await realtime.subscribe("refused")
        assert (refusal.value.guest, "authenticate()" in str(refusal.value)) == (guest, guest)


@pytest.mark.parametrize(("code", "told"), [(0, True), (401, True), (500, False), ("42S02", False)])
def test_a_server_fault_does_not_tell_guests_to_authenticate(code: int | str, told: bool) -> None:
    rejected = SubscriptionRejected(("rows",), (), code, "Error: Server Error", guest=True)
    assert (rejected.guest, "authenticate()" in str(rejected)) == (True, told)


def test_a_canary_on_the_live_tail_is_refused() -> None:
    """The server would end each link over it."""
    canary = Canary(write=list, channel="console.tail.p1")
    with pytest.raises(BadOption, match=r"Canary\.channel: .* is for project 'console' alone"):
        Realtime("http://127.0.0.1:9/v1", "demo", canary=canary)
    assert Realtime("http://127.0.0.1:9/v1", "console", canary=canary).state is State.DISCONNECTED


def test_the_synchronous_client_warns_and_refuses_too() -> None:
    with sync.Realtime("http://127.0.0.1:9/v1", "demo") as realtime:  # no server listens there, and no call dials
        with pytest.raises(ChannelWarning, match="'rows'"):
            realtime.subscribe("row")
        with pytest.raises(BadOption, match="for project 'console' alone"):
            realtime.subscribe("console.tail.p1")
        assert realtime.state is State.DISCONNECTED
