"""The official JavaScript SDK, in Node, on the embedded server; and its channels and queries against those of the package.

`make test-peers` runs these tests; `make test` leaves them out, so that it needs no Node.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from realtime_fsm import BadOption, Channel
from realtime_fsm.protocol.queries import realtime_queries
from realtime_fsm.testing import RealtimeServer
from support.commands import serving
from support.faultproxy import until
from support.sdk import Sdk
from support.some import some

pytestmark = pytest.mark.peers

ORDERS = [["tablesdb", "main"], ["table", "orders"], ["row"]]
TABLE = "tablesdb.main.tables.orders.rows"


@asynccontextmanager
async def connected_sdk(**options: Any) -> AsyncIterator[tuple[RealtimeServer, Sdk]]:
    """The embedded server, and the SDK with its endpoint."""
    async with asyncio.timeout(60), RealtimeServer() as server, Sdk() as sdk:
        await sdk.do("use", endpoint=server.endpoint, project="demo", **options)
        yield server, sdk


# --- channels and queries -----------------------------------------------------------------------------------------------------

FOUR, THREE = ("create", "update", "upsert", "delete"), ("create", "update", "delete")
GLOBAL = [[[name]] for name in ("account", "documents", "rows", "files", "executions", "teams", "memberships", "presences")]
PATHS: list[tuple[list[list[str]], tuple[str, ...]]] = [
    ([["execution", "e1"]], ()),
    ([["function", "f1"]], ()),
    ([["team", "t1"]], THREE),
    ([["membership", "m1"]], THREE),
    ([["presence", "p1"]], FOUR),
    *(([["database", "d"], ["collection", "c"], ["document", *one]], FOUR) for one in ([], ["1"])),
    *(([["tablesdb", "d"], ["table", "t"], ["row", *one]], FOUR) for one in ([], ["1"])),
    *(([["bucket", "b"], ["file", *one]], THREE) for one in ([], ["1"])),
]
UNFINISHED = [
    [["database", "d"]],
    [["database", "d"], ["collection", "c"]],
    [["tablesdb", "d"]],
    [["tablesdb", "d"], ["table", "t"]],
    [["bucket", "b"]],
]


def channel_of(calls: list[list[str]]) -> str:
    builder: Any = Channel
    for call, *arguments in calls:
        builder = getattr(builder, call)(*arguments)
    return str(builder)


@pytest.mark.loopback
async def test_channel_builds_the_channels_of_the_sdk() -> None:
    paths = [path + action for path, actions in PATHS for action in ([], *([[name]] for name in actions))]
    calls = [*GLOBAL, *paths, *UNFINISHED]
    async with Sdk() as sdk:
        assert await sdk.do("spell", channels=calls) == [channel_of(path) for path in calls]


@pytest.mark.loopback
async def test_every_query_of_the_sdk_is_allowed_or_refused_as_the_server_does() -> None:
    allowed: list[list[Any]] = [
        ["equal", "title", "x"], ["equal", "title", ["x", None]], ["notEqual", "n", 1.5], ["lessThan", "n", 1],
        ["lessThanEqual", "n", 1], ["greaterThan", "n", 1], ["greaterThanEqual", "n", 1], ["isNull", "a"], ["isNotNull", "a"],
        ["createdAfter", "2026-01-01"], ["updatedBefore", "2026-01-01"], ["select", ["*"]],
    ]  # fmt: skip
    refused: list[list[Any]] = [
        ["select", ["title"]], ["between", "n", 1, 2], ["startsWith", "a", "x"], ["contains", "a", "x"], ["search", "a", "x"],
        ["orderAsc", "a"], ["limit", 5], ["offset", 5], ["cursorAfter", "x"], ["createdBetween", "a", "b"],
    ]  # fmt: skip
    async with connected_sdk() as (server, sdk):
        good = await sdk.do("query", queries=allowed)
        good += await sdk.do("query", queries=[["and", good[:2]], ["or", good[2:]]])
        assert realtime_queries(good) == tuple(good)
        await sdk.do("subscribe", name="good", channels=["rows"], queries=good)
        await server.wait_for_subscriptions(1)
        for query in some(await sdk.do("query", queries=refused)):
            with pytest.raises(BadOption):
                realtime_queries([query])
            await sdk.do("subscribe", name="bad", channels=["rows"], queries=[query])
            assert (await sdk.next_line("error"))["code"] in (0, 1003)
        assert server.subscriptions == 1


# --- links and events ------------------------------------------------------------------------------------------------------


@pytest.mark.loopback
async def test_it_subscribes_by_channel_and_by_string_and_gets_events() -> None:
    async with connected_sdk() as (server, sdk):
        await sdk.do("subscribe", name="built", channels=[[*ORDERS, ["create"]]])
        await sdk.do("subscribe", name="plain", channels=["files", "teams"])
        await server.wait_for_subscriptions(2)
        assert server.connections == 1
        built, plain = (item["subscriptionId"] for message in server.received[0] for item in message["data"])  # type: ignore[index]
        payload = {"$id": "o1", "total": 12.5, "tags": ["a", "ü"], "none": None, "empty": {}}
        now = "2026-11-24T10:00:00.000+00:00"
        assert server.publish([f"{TABLE}.o1.create"], ["rows", TABLE, f"{TABLE}.create"], payload, timestamp=now) == 1
        assert await sdk.event() == (
            "built",
            {
                "events": [f"{TABLE}.o1.create"],
                "channels": ["rows", TABLE, f"{TABLE}.create"],
                "timestamp": now,
                "payload": {**payload, "empty": []},
                "subscriptions": [built],
            },
        )
        assert server.publish([f"{TABLE}.o1.update"], ["rows", TABLE, f"{TABLE}.update"], payload) == 0
        assert server.publish(["teams.t.create"], ["teams", "teams.t"], {"$id": "t"}) == 1
        to, event = await sdk.event()
        assert (to, event["payload"], event["subscriptions"]) == ("plain", {"$id": "t"}, [plain])


@pytest.mark.loopback
async def test_an_event_on_both_of_two_subscriptions_reaches_both_and_a_query_keeps_it_from_one() -> None:
    async with connected_sdk() as (server, sdk):
        queries = await sdk.do("query", queries=[["greaterThan", "total", 10]])
        await sdk.do("subscribe", name="all", channels=["rows"])
        await sdk.do("subscribe", name="large", channels=[ORDERS], queries=queries)
        await server.wait_for_subscriptions(2)
        for total in (5, 15):
            server.publish("e", ["rows", TABLE], {"total": total})
        events = [await sdk.event() for _ in range(3)]
        assert [(to, event["payload"]["total"]) for to, event in events] == [("all", 5), ("all", 15), ("large", 15)]


@pytest.mark.loopback
async def test_its_update_adds_channels_and_replaces_the_queries_of_one() -> None:
    async with connected_sdk() as (server, sdk):
        await sdk.do("subscribe", name="s", channels=["rows"])
        await server.wait_for_subscriptions(1)
        await sdk.do("update", name="s", channels=["files"])
        await until(lambda: server.publish("f", ["files"], {"$id": "f"}))
        assert (await sdk.event())[1]["payload"] == {"$id": "f"}
        assert server.publish("r", ["rows"], {"$id": "r"}) == 1, "the earlier channel still delivers, as on a real server"
        assert (await sdk.event())[1]["payload"] == {"$id": "r"}
        await sdk.do("update", name="s", queries=await sdk.do("query", queries=[["equal", "$id", "mine"]]))
        await until(lambda: not server.publish("f", ["files"], {"$id": "f"}))
        assert server.publish("f", ["files"], {"$id": "mine"}) == 1
        assert server.subscriptions == 1


@pytest.mark.loopback
async def test_it_unsubscribes_and_disconnects() -> None:
    async with connected_sdk() as (server, sdk):
        for name in ("rows", "files"):
            await sdk.do("subscribe", name=name, channels=[name])
        await server.wait_for_subscriptions(2)
        await sdk.do("unsubscribe", name="rows")
        await server.wait_for_subscriptions(1)
        assert (server.publish("e", "rows", {"n": 1}), server.publish("e", "files", {"n": 2})) == (0, 1)
        assert (await sdk.event())[0] == "files"
        await sdk.do("disconnect")
        await sdk.next_line("close")
        await server.wait_for_connections(0)


@pytest.mark.parametrize("how", ["kicked", "restarted", "away"])
@pytest.mark.loopback
async def test_it_comes_back_and_gets_events_again(how: str) -> None:
    async with connected_sdk() as (server, sdk):
        for name in ("rows", "files"):
            await sdk.do("subscribe", name=name, channels=[name])
        await server.wait_for_subscriptions(2)
        await sdk.next_line("open")
        if how == "kicked":
            server.drop()
        else:
            await server.stop()
        await sdk.next_line("close")
        if how == "away":
            await sdk.next_line("error")  # of a dial that was refused
        if how != "kicked":
            await server.start()
        await sdk.next_line("open")
        await server.wait_for_subscriptions(2)
        assert server.publish("e", ["rows", "files"], {"after": how}) == 1
        assert [(to, event["payload"]) for to, event in [await sdk.event(), await sdk.event()]] == [
            ("rows", {"after": how}),
            ("files", {"after": how}),
        ]


@pytest.mark.loopback
async def test_its_heartbeat_is_answered() -> None:
    async with connected_sdk(heartbeat=10) as (server, sdk):
        await sdk.do("subscribe", name="rows", channels=["rows"])
        await until(lambda: server.received and server.received[0].count({"type": "ping"}) > 1)
        assert server.publish("e", "rows", {"n": 1}) == 1
        assert (await sdk.event())[0] == "rows"


@pytest.mark.loopback
async def test_a_user_by_jwt_gets_account_events() -> None:
    async with asyncio.timeout(60), RealtimeServer() as server, Sdk() as sdk:
        server.add_user("alice")
        await sdk.do("use", endpoint=server.endpoint, project="demo", jwt=server.issue_jwt("alice"))
        await sdk.do("subscribe", name="me", channels=[[["account"]]])
        await server.wait_for_subscriptions(1)
        assert server.publish("users.bob.update", ["account.bob"], {"$id": "bob"}, roles=["user:bob"]) == 0
        assert server.publish("users.alice.update", ["account.alice"], {"$id": "alice"}, roles=["user:alice"]) == 1
        assert (await sdk.event())[1]["payload"] == {"$id": "alice"}


@pytest.mark.loopback
async def test_with_a_session_it_authenticates_by_message_and_loses_the_link_as_on_a_real_server() -> None:
    async with asyncio.timeout(60), RealtimeServer() as server, Sdk() as sdk:
        await sdk.do("use", endpoint=server.endpoint, project="demo", session=server.add_user("alice"))
        await sdk.do("subscribe", name="me", channels=["account"])
        assert (await sdk.next_line("error"))["code"] == 1008
        await sdk.next_line("close")
        await server.wait_for_connections(0)
        await sdk.do("disconnect")


@pytest.mark.loopback
async def test_its_presence_is_sent_and_sent_again_on_the_next_link() -> None:
    presence = {"status": "online", "presenceId": "p1", "metadata": {"page": "home"}}
    sent = [{"type": "presence", "data": presence}]
    async with connected_sdk() as (server, sdk):
        await sdk.do("presence", presence=presence)
        await until(lambda: server.received == [sent])
        server.drop()
        await until(lambda: len(server.received) == 2 and bool(server.received[-1]))
        assert server.received == [sent, sent]


@pytest.mark.loopback
async def test_it_listens_to_the_command_line_s_server_over_a_restart() -> None:
    async with asyncio.timeout(60), Sdk() as sdk:
        with serving("--every", "0.05") as endpoint:
            await sdk.do("use", endpoint=endpoint, project="demo")
            await sdk.do("subscribe", name="rows", channels=[[["rows"]]])
            await expect_row_event(sdk)
        await sdk.next_line("close")
        sdk.drop_lines()
        with serving("--every", "0.05", "--port", str(urlsplit(endpoint).port)):
            await expect_row_event(sdk)


async def expect_row_event(sdk: Sdk) -> None:
    to, event = await sdk.event()
    assert to == "rows"
    assert re.fullmatch(r"databases\.main\.tables\.orders\.rows\.row\d+\.(create|update|delete)", event["events"][0])
    assert event["payload"]["$id"] == event["events"][0].split(".")[-2]
