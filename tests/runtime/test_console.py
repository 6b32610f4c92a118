"""Frames of the console's own project: events without a time, lists as payloads, frames that name no subscription.

PROTOCOL: "Messages", rule 12.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from realtime_fsm import Channel, Realtime, RetryPolicy, Subscription
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.backend import Backend, Deliveries
from support.network import Network
from support.recorded_server import soon
from support.server_core import NOON, dial, error, send, single_frame, subscribe, try_dial
from support.virtual import eventually

CONSOLE = "/v1/realtime?project=console"
TAIL: list[dict[str, Any]] = [{"event": "databases.db1.tables.t1.rows.r0.create", "action": "create", "userId": None}]
STATS = {"demo": 3}
EARLIER = "2026-11-27T00:33:30.121+00:00"


class Entry(msgspec.Struct):
    event: str
    action: str


# --- the server -------------------------------------------------------------------------------------------------------


def frames(backend: Backend, events: str, channel: str, payload: object, project: str = "console") -> Deliveries:
    return backend.publish([events], [channel], payload, now=NOON, project=project)


def test_the_live_tail_has_no_time_and_its_payload_is_a_list() -> None:
    backend = Backend()
    peer = dial(backend, CONSOLE)
    subscribe(peer, {"subscriptionId": "t", "channels": ["console.tail.demo"]})
    ((_, frame),) = frames(backend, "console.tail", "console.tail.demo", [{"event": "e"}])
    assert frame == (
        b'{"type":"event","data":{"channels":["console.tail.demo"],"events":["console.tail"],"subscriptions":["t"],'
        b'"payload":[{"event":"e"}]}}'
    )


def test_the_statistics_of_the_console_name_no_subscription() -> None:
    backend = Backend()
    subscribe(dial(backend, CONSOLE), {"subscriptionId": "p", "channels": ["project"]})
    subscribe(dial(backend), {"subscriptionId": "p", "channels": ["project"]})
    ((_, unnamed),) = frames(backend, "stats.connections", "project", STATS)
    ((_, named),) = frames(backend, "e", "project", STATS, "demo")
    assert ["subscriptions" in json.loads(frame)["data"] for frame in (unnamed, named)] == [False, True]
    assert "timestamp" in json.loads(unnamed)["data"]


@pytest.mark.parametrize(
    ("target", "channel"),
    [(CONSOLE, "console.tail.p9"), (CONSOLE, "console.tail.console"), ("/?project=demo", "console.tail.demo")],
)
def test_any_other_live_tail_ends_the_link(target: str, channel: str) -> None:
    peer, _ = try_dial(Backend(), target)
    reply = peer.receive_message(json.dumps({"type": "subscribe", "data": [{"channels": ["files", channel]}]}), NOON)
    assert (single_frame(reply), reply.end) == (error(1008), True)


def test_one_bad_item_beside_a_live_tail_is_a_bad_message() -> None:
    assert send(dial(Backend(), CONSOLE), "subscribe", [{"channels": ["console.tail.demo"]}, {}]) == error(1003)


# --- the client -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def console(*channels: str, **options: Any) -> AsyncIterator[tuple[RealtimeServer, Subscription[Any]]]:
    async with RealtimeServer() as server, Realtime(server.endpoint, "console") as realtime:
        yield server, await realtime.subscribe(*channels, **options)


@pytest.mark.loopback
async def test_an_event_of_the_live_tail_is_a_list_without_a_time() -> None:
    async with console(Channel.console_tail("demo")) as (server, tail):
        assert server.publish("console.tail", "console.tail.demo", TAIL, project="console") == 1
        event = await soon(anext(tail))
        assert (event.payload, event.timestamp, event.events) == (TAIL, None, ("console.tail",))
        assert (event.id, event.version, event.action, event.subscriptions) == (None, None, None, (tail.id,))
        server.publish("console.tail.stats", "console.tail.demo", {"delivered": 52, "dropped": 68}, project="console")
        surplus = await soon(anext(tail))
        assert (surplus.payload, surplus.timestamp) == ({"delivered": 52, "dropped": 68}, None)


@pytest.mark.loopback
async def test_the_live_tail_is_decoded_into_a_type() -> None:
    async with console(Channel.console_tail("demo"), payload=list[Entry]) as (server, tail):
        server.publish("console.tail", "console.tail.demo", TAIL, project="console")
        (entry,) = (await soon(anext(tail))).payload
        assert (entry.event, entry.action) == (TAIL[0]["event"], "create")


@pytest.mark.loopback
async def test_an_event_that_names_no_subscription_goes_by_its_channels_once_to_each() -> None:
    async with console("project", "console") as (server, both), Realtime(server.endpoint, "console") as realtime:
        project, other = await realtime.subscribe("project"), await realtime.subscribe("console")
        assert server.publish("stats.connections", "project", STATS, project="console") == 2
        for subscription in (both, project):
            event = await soon(anext(subscription))
            assert (event.payload, event.subscriptions) == (STATS, (subscription.id,))
        server.publish("e", "console", {"n": 1}, project="console")
        assert [(await soon(anext(one))).payload for one in (both, other)] == [{"n": 1}] * 2, "and nothing came before"
        assert realtime.malformed == {}


async def test_channels_that_cannot_be_read_lead_nowhere_and_cost_nothing() -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        for channels in (b"7", b"[]", b'["files"]'):
            network.socket.push(b'{"type":"event","data":{"channels":%b,"payload":{"n":1}}}' % channels)
        network.publish("rows", payload={"n": 2})
        assert (await anext(rows)).payload == {"n": 2}
        assert realtime.malformed == {}


async def test_a_gap_begins_at_the_last_event_that_had_a_time() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
        rows, both = await asyncio.gather(realtime.subscribe("rows"), realtime.subscribe("rows", "files"))
        network.publish("files", timestamp=EARLIER)
        network.socket.push(
            b'{"type":"event","data":{"channels":["rows"],"payload":[1],"subscriptions":["%b"]}}' % both.id.encode()
        )
        network.socket.push(network.event(b'"payload":[2]'))
        network.socket.push(b'{"type":"event","data":{"channels":["rows"],"payload":[3]}}')
        assert [(await anext(both)).timestamp for _ in range(4)][1:] == [None] * 3
        network.socket.cut()
        await eventually(lambda: rows.gaps and both.gaps)
        assert [one.gaps[0].since for one in (rows, both)] == [None, datetime(2026, 11, 27, 0, 33, 30, 121_000, tzinfo=UTC)]


async def test_what_catching_up_gives_without_a_version_beside_lists_is_delivered() -> None:
    network = Network()

    async def catch_up(_: object) -> list[Any]:
        network.socket.push(network.event(b'"payload":["live"]'))
        await asyncio.sleep(1)
        return [{"n": 1}]

    async with network.realtime() as realtime:
        rows: Subscription[Any] = await realtime.subscribe("rows", catch_up=catch_up)
        network.socket.cut()
        assert [(await anext(rows)).payload for _ in range(2)] == [{"n": 1}, ["live"]]


@pytest.mark.loopback
async def test_listen_prints_a_frame_without_a_time() -> None:
    async with RealtimeServer() as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "realtime_fsm", "listen", server.endpoint, "--project", "console", "console.tail.demo",
            stdout=subprocess.PIPE, env=dict(os.environ),
        )  # fmt: skip
        assert process.stdout is not None
        try:
            await server.wait_for_subscriptions(1, timeout=30)
            server.publish("console.tail", "console.tail.demo", TAIL, project="console")
            line = json.loads(await soon(process.stdout.readline()))
            assert line == {"timestamp": None, "events": ["console.tail"], "channels": ["console.tail.demo"], "payload": TAIL}
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
