"""The embedded server on a real loopback socket, and the WebSocket server below it."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest

import realtime_fsm.testing
from realtime_fsm import BadOption, Realtime, RetriesExhausted, RetryPolicy, SubscriptionRejected
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.dispatcher import ServerLink
from realtime_fsm.testing.eras import EraName
from realtime_fsm.testing.listener import LoopbackServer, ServerTransport, _BareSocket
from realtime_fsm.testing.request import HttpRequest
from support.loopback import DEMO, GREETING, PING, PONG, connected, port_of, subscribe
from support.raw_client import OPCODES, RawClient, upgrade


def test_the_public_surface() -> None:
    kit = ["QUICK_RETRY", "AuditRecords", "BlockingServer", "InMemoryServer", "RealtimeServer", "VirtualClock"]
    assert realtime_fsm.testing.__all__ == [*kit, "assert_conformant", "assert_rows", "in_memory"]
    with pytest.raises(AttributeError, match=r"module 'realtime_fsm.testing' has no attribute 'Server'"):
        _ = realtime_fsm.testing.Server  # type: ignore[attr-defined]


@pytest.mark.loopback
async def test_a_whole_conversation() -> None:
    async with RealtimeServer() as server, connected(server) as client:
        assert await client.text() == GREETING
        await subscribe(client, "rows")
        assert (server.connections, server.subscriptions) == (1, 1)
        assert server.publish(["a", "b"], ["rows", "files"], {"$id": "r"}, timestamp="T") == 1
        assert server.publish("a", "rows", {}) == 1
        assert server.publish("a", "nothing", {}) == 0
        assert await client.text() == (
            '{"type":"event","data":{"events":["a","b"],"channels":["rows","files"],"timestamp":"T",'
            '"payload":{"$id":"r"},"subscriptions":["s"]}}'
        )
        event = (await client.json())["data"]
        assert (event["events"], event["channels"], event["payload"]) == (["a"], ["rows"], [])
        client.send(PING)
        client.send("{bad")
        assert await client.text() == PONG
        assert await client.error_code() == 1003
        assert server.received == [
            [
                {"type": "subscribe", "data": [{"subscriptionId": "s", "channels": ["rows"]}]},
                {"type": "ping"},
                "{bad",
            ]
        ]
        client.close_frame(4999, "bye")
        frame = await client.frame()
        assert (frame.opcode, frame.payload) == (OPCODES["close"], b"\x13\x87bye")
        assert await client.ending() == "eof"
        await server.wait_for_connections(0)
        assert len(server.received) == 1


@pytest.mark.loopback
async def test_times_and_quotas_follow_the_clock_of_the_server() -> None:
    now = 59.0
    async with RealtimeServer(rate_limit=1, clock=lambda: now) as server, connected(server) as client:
        await client.text()
        await subscribe(client, "rows")
        client.send(PING)
        assert await client.error_code() == 1013
        server.publish("e", "rows", {})
        assert (await client.json())["data"]["timestamp"] == "1970-01-01T00:00:59.000+00:00"
        now = 60.0
        client.send(PING)
        assert await client.text() == PONG


@pytest.mark.loopback
async def test_an_event_reaches_the_users_with_its_roles() -> None:
    async with RealtimeServer(projects=("demo", "p2"), ids=iter(["secret-seed"])) as server:
        session = server.add_user("alice", roles=["team:t1"])
        token = server.issue_jwt("alice")
        async with (
            connected(server, DEMO, f"X-Appwrite-Session: {session}") as alice,
            connected(server, f"{DEMO}&jwt={token}") as also_alice,
            connected(server) as guest,
        ):
            for client in (alice, also_alice, guest):
                greeting = (await client.json())["data"]
                assert (greeting["user"] or {}).get("$id") == (None if client is guest else "alice")
                await subscribe(client, "rows")
            await server.wait_for_subscriptions(3)
            roles = ["user:alice", "users", "team:t1", "any", "guests"]
            assert [server.publish("e", "rows", {}, roles=[role]) for role in roles] == [2, 2, 2, 3, 1]
            assert server.publish("e", "rows", {}, project="p2") == 0
        assert "alice" not in repr(server)
        assert session not in repr(server)


@pytest.mark.loopback
async def test_a_refusal_ends_the_stream_without_a_close_frame() -> None:
    async with RealtimeServer(connection_limit=2, clock=lambda: 0.0) as server:
        async with connected(server, "/v1/realtime?project=nope") as client:
            assert await client.error_code() == 1008
            assert await client.ending() == "eof"
        async with connected(server) as client:
            await client.text()
            client.send('{"type":"subscribe","data":[{"channels":["console.tail.demo"]}]}')
            client.send(PING)
            assert await client.error_code() == 1008
            await client.ending()
        async with connected(server) as client:
            assert await client.text() == GREETING
        async with connected(server) as client:
            assert await client.error_code() == 1013
            assert await client.ending() == "eof"
        assert server.connections == 0


class Stream(asyncio.Transport):
    """A stream that keeps all that the server writes."""

    def __init__(self) -> None:
        super().__init__()
        self.ended, self.written = False, b""

    def close(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "81 00"), (125, "81 7d"), (126, "81 7e 00 7e"), (65_535, "81 7e ff ff"), (65_536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)  # fmt: skip
def test_a_frame_tells_its_size_in_the_shortest_form(size: int, head: str) -> None:
    """RFC 6455, section 5.2."""
    stream = Stream()
    link = ServerTransport(stream)
    link.send(b"x" * size)
    assert stream.written == bytes.fromhex(head) + b"x" * size
    link.close()
    link.send(b"late")
    assert len(stream.written) == len(bytes.fromhex(head)) + size, "nothing follows the end"


def test_frames_that_wait_are_sent_together_and_later_ones_at_once() -> None:
    stream = Stream()
    link = ServerTransport(stream)
    link.freeze()
    link.send(b"a")
    link.freeze()
    link.send(b"b")
    assert stream.written == b""
    link.thaw()
    assert stream.written == b"\x81\x01a\x81\x01b"
    link.send(b"c")
    assert stream.written == b"\x81\x01a\x81\x01b\x81\x01c"


def test_where_aiohttp_closes_a_link_its_stream_ends_without_a_close_frame() -> None:
    stream = Stream()
    assert asyncio.run(_BareSocket(ServerTransport(stream)).close(code=1000)) is True, "the socket is closed now"
    assert stream.ended


@pytest.mark.loopback
async def test_a_request_without_an_upgrade_gets_400() -> None:
    async with RealtimeServer() as server:
        for request in (["GET /v1/realtime HTTP/1.1", "Host: x"], ["POST /x HTTP/1.1", "Host: x", "Content-Length: 0"]):
            client = await RawClient.dial(port_of(server), request)
            assert client.head.startswith("HTTP/1.1 400 ")
            await client.hang_up()
        assert server.connections == 0


@pytest.mark.loopback
async def test_a_refused_rest_call_has_its_status_and_a_json_document() -> None:
    async with RealtimeServer() as server:
        server.refuse_dials()  # it stays a server for other requests
        request = ["POST /v1/users/alice/jwts HTTP/1.1", "Host: x", "X-Appwrite-Project: demo", "Content-Length: 0"]
        client = await RawClient.dial(port_of(server), request)
        assert client.head.startswith("HTTP/1.1 401 ")
        assert "Content-Type: application/json" in client.head
        await client.hang_up()


@pytest.mark.loopback
async def test_no_extension_is_negotiated() -> None:
    offer = "Sec-WebSocket-Extensions: permessage-deflate"
    async with RealtimeServer() as server, connected(server, DEMO, offer) as client:
        assert client.head.startswith("HTTP/1.1 101 ")
        assert "extensions" not in client.head.lower()


@pytest.mark.parametrize(("size", "ending"), [(120, ""), (121, "eof"), (125, "eof"), (126, "eof")])
@pytest.mark.loopback
async def test_websocket_pings(size: int, ending: str) -> None:
    async with RealtimeServer() as server, connected(server) as client:
        await client.text()
        client.send("unasked", "pong")
        client.send("x" * size, "ping")
        if ending:
            assert await client.ending() == ending
        else:
            frame = await client.frame()
            assert (frame.opcode, frame.payload) == (OPCODES["pong"], b"x" * size)
            await client.quiet()


@pytest.mark.parametrize("size", [65_529, 65_536, 2_000_000])
@pytest.mark.loopback
async def test_an_oversized_frame_resets_the_stream(size: int) -> None:
    async with RealtimeServer() as server, connected(server) as client:
        await client.text()
        client.send('{"type":"ping","data":"' + "x" * (65_528 - 25) + '"}')
        assert await client.text() == PONG
        client.send("x" * size)
        assert await client.ending() == "reset"
        await server.wait_for_connections(0)


@pytest.mark.parametrize("size", [50, 5_000, 5_000_000])
@pytest.mark.loopback
async def test_events_of_every_size(size: int) -> None:
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        server.publish("e", "rows", {"blob": "z" * size})
        assert (await client.json())["data"]["payload"] == {"blob": "z" * size}


class _Echo:
    def opened(self, link: ServerLink, request: HttpRequest) -> None:
        link.send(f"{request.target} {request.header('Host')}".encode())

    def message(self, link: ServerLink, data: str | bytes) -> None:
        link.send(data.encode() if isinstance(data, str) else data)

    def closed(self, link: ServerLink) -> None:
        link.send(b"too late")

    def answer(self, request: HttpRequest) -> tuple[int, bytes]:
        return 404, b"{}"


@pytest.mark.loopback
async def test_the_websocket_server_works_with_another_handler() -> None:
    echo = LoopbackServer(_Echo())  # type: ignore[arg-type]  # it stands for the dispatcher
    await echo.start()
    client = await RawClient.dial(echo.port, upgrade("/any?thing"))
    assert await client.text() == "/any?thing localhost"
    client.send("text")
    client.send(b"bytes", "binary")
    assert [await client.text(), await client.text()] == ["text", "bytes"]
    client.close_frame(None)
    frame = await client.frame()
    assert (frame.opcode, frame.payload) == (OPCODES["close"], b"")
    assert await client.ending() == "eof"
    await client.hang_up()
    await echo.stop()


def test_a_string_in_place_of_a_list_of_projects_is_refused() -> None:
    with pytest.raises(TypeError, match=r"projects: 'demo' is a single string; give a list, such as \['demo'\]"):
        RealtimeServer(projects="demo")


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
@pytest.mark.loopback
async def test_a_client_accepts_an_ipv6_endpoint() -> None:
    async with RealtimeServer(host="::1") as server, Realtime(server.endpoint, "demo") as realtime:
        assert server.endpoint == f"http://[::1]:{port_of(server)}/v1"
        assert repr(server) == f"<RealtimeServer [::1]:{port_of(server)} connections=0>"
        await realtime.connect()
        assert realtime.is_live


@pytest.mark.loopback
async def test_an_endpoint_without_v1_is_refused_as_by_a_real_server() -> None:
    async with RealtimeServer() as server:
        for target in ("/realtime?project=demo", "/v1/v1/realtime?project=demo", "/realtime/?project=demo"):
            client = await RawClient.dial(port_of(server), upgrade(target))
            assert client.head.startswith("HTTP/1.1 404 ")
            await client.hang_up()
        for target in (DEMO, "/?project=demo", "/anything?project=demo"):  # as recorded from one without its proxy
            client = await RawClient.dial(port_of(server), upgrade(target))
            assert await client.text() == GREETING
            await client.hang_up()
        endpoint = server.endpoint.removesuffix("/v1")
        async with Realtime(endpoint, "demo", retry=RetryPolicy(attempts=1)) as realtime:
            with pytest.raises(RetriesExhausted, match="HTTP 404"):
                await realtime.connect()


@pytest.mark.loopback
async def test_a_refused_dial_gets_an_answer_and_links_that_are_up_go_on() -> None:
    async with RealtimeServer() as server, connected(server) as before:
        await before.text()
        server.refuse_dials()
        refused = await RawClient.dial(port_of(server), upgrade(DEMO))
        assert refused.head.startswith("HTTP/1.1 503 ")
        await refused.hang_up()
        before.send(PING)
        assert await before.text() == PONG
        server.freeze()  # a proxy answers for a server that is silent
        refused = await RawClient.dial(port_of(server), upgrade(DEMO))
        assert refused.head.startswith("HTTP/1.1 503 ")
        await refused.hang_up()
        server.thaw()
        server.accept_dials()
        async with connected(server) as after:
            assert await after.text() == GREETING
        server.refuse_dials()
        await server.stop()
        await server.start()
        async with connected(server) as after:
            assert await after.text() == GREETING


@pytest.mark.parametrize("code", [401, 403, 1003, 1008])
@pytest.mark.loopback
async def test_the_error_of_a_denied_guest_names_the_remedy(code: int) -> None:
    async with RealtimeServer(deny_guests=True, guest_code=code) as server, Realtime(server.endpoint, "demo") as realtime:
        remedy = r"you are a guest, .*: give session or jwt, or call authenticate\(\)"
        with pytest.raises(SubscriptionRejected, match=remedy) as refusal:
            await realtime.subscribe("rows")
        assert (refusal.value.code, refusal.value.guest) == (code, True)
        assert server.subscriptions == 0
        await realtime.authenticate(server.add_user("alice"))
        rows = await realtime.subscribe("rows")
        assert server.publish("e", "rows", {"n": 1}) == 1
        assert (await anext(rows)).payload == {"n": 1}


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.loopback
async def test_the_code_of_that_refusal_may_be_a_text(masked: bool) -> None:
    async with (
        RealtimeServer(deny_guests=True, guest_code="42S02", masked=masked) as server,
        Realtime(server.endpoint, "demo", retry=RetryPolicy(attempts=1)) as realtime,
    ):
        with pytest.raises(SubscriptionRejected) as refusal:
            await realtime.subscribe("rows")
        assert (refusal.value.code, refusal.value.guest) == ("42S02", True)
        assert (refusal.value.message == "Error: Server Error") is masked


@pytest.mark.parametrize("deny_guests", [True, False])
@pytest.mark.parametrize("code", [None, True, 401.0, b"401", [401]])
def test_a_guest_code_that_is_not_a_code_is_refused_at_once(code: Any, deny_guests: bool) -> None:
    problem = f"guest_code: {code!r} is not a code; give a number such as 401, or a text such as '42S02'"
    with pytest.raises(BadOption, match=f"^{re.escape(problem)}$"):
        RealtimeServer(deny_guests=deny_guests, guest_code=code)


@pytest.mark.loopback
async def test_channels_in_the_url_are_denied_to_guests_as_well() -> None:
    async with RealtimeServer(deny_guests=True) as server:
        async with connected(server, DEMO + "&channels[]=rows") as client:
            assert await client.error_code() == 401
            assert await client.ending() == "eof"
        async with connected(server, DEMO + "&channels[]=rows", f"X-Appwrite-Session: {server.add_user('al')}") as client:
            assert (await client.json())["type"] == "connected"


@pytest.mark.parametrize("era", ["E1", "E2", "E3"])
def test_servers_of_older_eras_accept_all_guests(era: EraName) -> None:
    with pytest.raises(ValueError, match=f"deny_guests: no server of era {era} can deny guests"):
        RealtimeServer(era=era, deny_guests=True)
