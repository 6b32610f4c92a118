"""The probes ``/livez`` and ``/readyz`` over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from typing import Any

import aiohttp
import pytest

from realtime_fsm import BadOption, Realtime, RetriesExhausted, RetryPolicy, health
from realtime_fsm.testing import RealtimeServer
from support.served import QUICK, Served, connected
from support.some import some
from support.virtual import eventually

ONCE = RetryPolicy(attempts=1)


async def probe(url: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.request(method, url) as reply:
        assert reply.content_type == "application/json"
        assert reply.headers["Cache-Control"] == "no-store"
        return reply.status, json.loads(await reply.read() or b"{}")


def fetch(url: str) -> tuple[int, Any]:
    """Probe without an event loop."""
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:  # noqa: S310  (a URL of this test)
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


@pytest.mark.loopback
async def test_ready_follows_the_connection_and_live_does_not() -> None:
    async with (
        RealtimeServer() as server,
        Realtime(server.endpoint, "demo", retry=QUICK) as realtime,
        health.serve(realtime, port=0) as probes,
    ):
        assert await probe(f"{probes.url}/readyz") == (
            503,
            {
                "live": True,
                "ready": False,
                "connections": [
                    {
                        "connection_id": realtime.connection_id,
                        "state": "disconnected",
                        "live": True,
                        "ready": False,
                        "reasons": ["disconnected: no link, and none is wanted"],
                    }
                ],
            },
        )
        assert (await probe(f"{probes.url}/livez"))[0] == 200
        await realtime.subscribe("rows")
        status, body = await probe(f"{probes.url}/readyz")
        assert (status, body["ready"], body["connections"][0]["reasons"]) == (200, True, [])
        await server.stop()
        await eventually(lambda: not realtime.health().ready)
        assert [(await probe(f"{probes.url}/{page}"))[0] for page in ("livez", "readyz")] == [200, 503]
        await server.start()
        await realtime.wait_subscribed(10)
        assert (await probe(f"{probes.url}/readyz"))[0] == 200
        await realtime.dispose()
        assert [(await probe(f"{probes.url}/{page}"))[0] for page in ("livez", "readyz")] == [503, 503]


@pytest.mark.loopback
async def test_a_server_that_never_came_does_not_fail_liveness() -> None:
    async with Realtime("http://127.0.0.1:1/v1", "demo", retry=ONCE) as realtime, health.serve(realtime, port=0) as probes:
        with pytest.raises(RetriesExhausted):
            await realtime.connect()
        status, body = await probe(f"{probes.url}/readyz")
        assert (status, body["connections"][0]["state"]) == (503, "error")
        assert "Connection refused" in body["connections"][0]["reasons"][0]
        assert (await probe(f"{probes.url}/livez"))[0] == 200


@pytest.mark.loopback
async def test_each_of_several_connections_counts() -> None:
    async with (
        RealtimeServer() as server,
        Realtime(server.endpoint, "demo") as one,
        Realtime(server.endpoint, "demo") as other,
        health.serve(one, other, port=0) as probes,
    ):
        await one.connect()
        status, body = await probe(f"{probes.url}/readyz")
        assert (status, [each["ready"] for each in body["connections"]]) == (503, [True, False])
        await other.connect()
        status, body = await probe(f"{probes.url}/readyz")
        assert (status, [each["ready"] for each in body["connections"]]) == (200, [True, True])
        await other.dispose()
        assert (await probe(f"{probes.url}/livez"))[0] == 503


@pytest.mark.loopback
async def test_a_head_has_the_status_and_no_body() -> None:
    async with Realtime("http://127.0.0.1:1/v1", "demo") as realtime, health.serve(realtime, port=0) as probes:
        assert await probe(f"{probes.url}/livez", "HEAD") == (200, {})
        assert await probe(f"{probes.url}/readyz", "HEAD") == (503, {})


@pytest.mark.loopback
async def test_a_port_in_use_is_an_error_and_leaves_no_server() -> None:
    async with Realtime("http://127.0.0.1:1/v1", "demo") as realtime, health.serve(realtime, port=0) as probes:
        port = int(probes.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            await health.serve(realtime, port=port).__aenter__()
        assert (await probe(f"{probes.url}/livez"))[0] == 200


@pytest.mark.loopback
@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_it_listens_on_an_ipv6_host() -> None:
    async with Realtime("http://127.0.0.1:1/v1", "demo") as realtime, health.serve(realtime, host="::1", port=0) as probes:
        assert probes.url.startswith("http://[::1]:")
        assert (await probe(f"{probes.url}/livez"))[0] == 200


@pytest.mark.parametrize("given", [(), (None,), ("http://127.0.0.1",)])
def test_it_refuses_what_is_no_connection(given: tuple[Any, ...]) -> None:
    with pytest.raises(BadOption, match="realtimes: give the connections to watch"):
        health.serve(*given)


# --- without an event loop --------------------------------------------------------------------------------------------


def test_a_plain_with_serves_connections_of_the_synchronous_face(served: Served) -> None:
    with connected(served) as realtime:
        with health.serve(realtime, port=0) as probes:
            assert fetch(f"{probes.url}/readyz")[0] == 503
            realtime.subscribe("rows")
            status, body = fetch(f"{probes.url}/readyz")
            assert (status, body["connections"][0]["state"]) == (200, "subscribed")
            realtime.dispose()
            assert fetch(f"{probes.url}/livez")[0] == 503
        with pytest.raises(OSError, match="refused"):
            fetch(f"{probes.url}/livez")


def test_a_plain_with_raises_for_a_port_in_use_and_leaves_no_thread(served: Served) -> None:
    with connected(served) as realtime, health.serve(realtime, port=0) as probes:
        before = threading.active_count()
        port = int(probes.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"), health.serve(realtime, port=port):
            pass
        assert threading.active_count() == before


def test_a_blocked_thread_of_a_connection_leaves_the_probe_without_an_answer(served: Served) -> None:
    blocked, release = threading.Event(), threading.Event()

    async def on_event(_: object) -> None:
        blocked.set()
        release.wait(30)  # a mistake: it blocks the loop

    with connected(served) as realtime, health.serve(realtime, port=0) as probes:
        realtime.on("rows", on_event)
        served.publish("rows")
        assert blocked.wait(10)
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{probes.url}/livez", timeout=0.3)  # noqa: S310
        release.set()
        assert fetch(f"{probes.url}/livez")[0] == 200


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.loopback
async def test_nothing_of_a_secret_is_in_an_answer() -> None:
    options: dict[str, Any] = {"session": "hunter2", "headers": {"X-Own": "hunter2"}, "retry": ONCE}
    async with (
        RealtimeServer() as server,
        Realtime(server.endpoint, "demo", **options) as realtime,
        health.serve(realtime, port=0) as probes,
    ):
        await asyncio.gather(realtime.connect(), return_exceptions=True)
        for page in some(("livez", "readyz")):
            assert "hunter2" not in json.dumps(await probe(f"{probes.url}/{page}"))
