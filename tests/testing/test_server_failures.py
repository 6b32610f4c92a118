"""The failures of the embedded server: those that a test asks for, and those that a client or the system causes."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from realtime_fsm.testing import RealtimeServer, listener
from support.loopback import DEMO, GREETING, PING, PONG, connected, port_of, subscribe
from support.raw_client import RawClient, upgrade


@pytest.mark.parametrize(
    ("payload", "op", "fin"),
    [(b"abc", "cont", True), (b"x" * 126, "ping", True), (b"x", "ping", False), (b"\xff", "text", True), (b"x", 3, True)],
)
@pytest.mark.loopback
async def test_an_illegal_frame_ends_the_stream_without_a_close_frame(payload: bytes, op: str | int, fin: bool) -> None:
    async with RealtimeServer() as server, connected(server) as client:
        await client.text()
        client.send(payload, op, fin=fin)
        assert await client.ending() == "eof"
        await server.wait_for_connections(0)


@pytest.mark.loopback
async def test_a_client_that_vanishes_leaves_no_connection() -> None:
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        assert (server.connections, server.subscriptions) == (1, 1)
        await client.hang_up()
        await server.wait_for_connections(0)
        assert server.subscriptions == 0
        assert server.publish("e", "rows", {}) == 0


@pytest.mark.loopback
async def test_a_restart_on_the_same_port() -> None:
    server = RealtimeServer()
    with pytest.raises(RuntimeError, match="no port"):
        _ = server.endpoint
    await server.stop()
    await server.start()
    with pytest.raises(RuntimeError, match="already started"):
        await server.start()
    endpoint, port = server.endpoint, port_of(server)
    assert repr(server) == f"<RealtimeServer 127.0.0.1:{port} connections=0>"
    session = server.add_user("alice")
    async with connected(server) as client, connected(server) as other:
        assert [await client.text(), await other.text()] == [GREETING] * 2
        await server.stop()
        assert [await client.ending(), await other.ending()] == ["eof", "eof"]
        assert server.connections == 0
        assert server.publish("e", "rows", {}) == 0
    with pytest.raises(ConnectionRefusedError):
        await RawClient.connect(port, [])
    await server.stop()

    await server.start()
    assert server.endpoint == endpoint
    async with connected(server, DEMO, f"Cookie: a_session_demo={session}") as client:
        assert '"$id":"alice"' in await client.text()
    await server.stop()


@pytest.mark.loopback
async def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        server = RealtimeServer(port=occupied.getsockname()[1])
        with pytest.raises(OSError, match="address"):
            await server.start()
    async with server, connected(server) as client:
        assert await client.text() == GREETING


@pytest.mark.loopback
async def test_a_client_that_reads_nothing_does_not_delay_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_STOP_GRACE", 0.2)
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        client.stop_reading()
        assert server.publish("e", "rows", {"blob": "z" * 20_000_000}) == 1
        await server.stop()
        assert server.connections == 0
        assert 0 < await client.read_on() < 20_000_000, "the rest is lost"


@pytest.mark.loopback
async def test_a_stop_waits_until_a_client_has_read_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_STOP_GRACE", 60.0)  # a busy machine may take more than a second
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        client.stop_reading()
        server.publish("e", "rows", {"blob": "z" * 20_000_000})
        port, stopping = port_of(server), asyncio.create_task(server.stop())
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await RawClient.connect(port, [])
        assert not stopping.done()
        assert await client.read_on() > 20_000_000
        assert client.ended == "eof"
        await stopping


@pytest.mark.loopback
async def test_an_idle_tcp_connection_does_not_delay_a_stop() -> None:
    async with RealtimeServer() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        await server.stop()
        assert await reader.read() == b"", "the server ends the stream"
        writer.close()
        await writer.wait_closed()


@pytest.mark.loopback
async def test_drop() -> None:
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        server.publish("e", "rows", {})
        server.drop()
        assert (server.connections, server.subscriptions, server.publish("e", "rows", {})) == (0, 0, 0)
        assert (await client.json())["type"] == "event"
        assert await client.ending() == "eof"
        async with connected(server) as another:
            assert await another.text() == GREETING


@pytest.mark.loopback
async def test_a_frozen_server_answers_nothing_until_it_thaws() -> None:
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        server.freeze()
        client.send(PING)
        client.send("x", "ping")
        late = await RawClient.connect(port_of(server), upgrade(DEMO))
        assert server.publish("e", "rows", {}) == 1
        # A server that is not frozen would answer before a neighbour has answered three times.
        async with RealtimeServer() as neighbour, connected(neighbour) as witness:
            await witness.text()
            for _ in range(3):
                await witness.quiet()
        assert server.received == [[]]
        assert server.connections == 1

        server.thaw()
        assert (await client.json())["type"] == "event"
        assert await client.text() == PONG
        assert (await client.frame()).payload == b"x"
        await client.quiet()
        await late.answered()
        assert await late.text() == GREETING
        await late.hang_up()
        await server.wait_for_connections(1)


@pytest.mark.loopback
async def test_a_frozen_server_can_be_dropped_and_stopped(caplog: pytest.LogCaptureFixture) -> None:
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        server.freeze()
        late = await RawClient.connect(port_of(server), upgrade(DEMO))
        leaver = await RawClient.connect(port_of(server), upgrade(DEMO))
        async with RealtimeServer() as neighbour, connected(neighbour) as witness:
            await witness.text()
            await witness.quiet()
        await leaver.hang_up()
        server.publish("e", "rows", {})
        server.drop()
        assert await client.ending() == "eof"
        await server.stop()
        assert await late.ending() == "eof"
        await late.hang_up()
    assert caplog.messages == [], "aiohttp has met no exception"


@pytest.mark.loopback
async def test_a_server_freezes_on_one_loop_after_another() -> None:
    server = RealtimeServer()

    async def freeze() -> None:
        async with server:
            server.freeze()
            late = await RawClient.connect(port_of(server), upgrade(DEMO))
            async with RealtimeServer() as neighbour, connected(neighbour) as witness:
                await witness.text()
                await witness.quiet()
            server.thaw()
            await late.answered()
            assert await late.text() == GREETING
            await late.hang_up()

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, freeze())


@pytest.mark.loopback
async def test_a_dropped_link_stays_silent_when_the_server_thaws() -> None:
    async with RealtimeServer() as server, connected(server, DEMO + "&channels[]=rows") as client:
        await client.text()
        server.freeze()
        client.send(PING)
        server.publish("e", "rows", {})
        server.drop()
        server.thaw()
        assert await client.ending() == "reset", "no frame comes before the end, and the ping is never read"


@pytest.mark.loopback
async def test_a_server_that_does_not_greet() -> None:
    async with RealtimeServer() as server:
        server.greet = False
        async with connected(server) as client:
            await client.quiet()
            await server.wait_for_connections(1)
            client.send(PING)
            assert await client.text() == PONG
            server.greet = True
            await client.quiet()
            async with connected(server) as another:
                assert await another.text() == GREETING
        assert server.greet


@pytest.mark.loopback
async def test_a_late_greeting_follows_a_message_that_came_too_early() -> None:
    subscribing = '{"type":"subscribe","data":[{"channels":["rows"]}]}'
    async with RealtimeServer() as server:
        server.greet = "late"
        async with connected(server) as client:
            await client.quiet()
            client.send(subscribing)
            assert await client.text() == GREETING
            assert await client.error_code() == 1008
            assert await client.ending() == "eof"
        async with connected(server) as client:
            client.send(PING)
            assert [await client.text(), await client.text()] == [GREETING, PONG]
            await subscribe(client, "rows")
            assert server.received[1][0] == {"type": "ping"}
        async with connected(server, "/?project=nope") as client:
            client.send(subscribing)
            assert (await client.json())["data"]["message"] == "Missing or unknown project ID"
            assert await client.ending() == "eof"
        async with connected(server):
            await server.wait_for_connections(1)
        await server.wait_for_connections(0)


@pytest.mark.loopback
async def test_replies_out_of_order() -> None:
    async with RealtimeServer(shuffle=lambda messages: messages.reverse()) as server, connected(server) as client:
        await client.text()
        items = [json.dumps({"type": "subscribe", "data": [{"subscriptionId": name, "channels": ["rows"]}]}) for name in "abc"]
        client.send(PING, more=True)
        for item in items:
            client.send(item, more=item is not items[-1])
        replies = [await client.json() for _ in range(4)]
        assert [reply["data"]["subscriptions"][0]["subscriptionId"] for reply in replies[:3]] == ["c", "b", "a"]
        assert replies[3] == {"type": "pong"}
        client.send('{"type":"subscribe","data":[{"channels":["console.tail.demo"]}]}', more=True)
        client.send(PING)
        assert await client.text() == PONG
        assert await client.error_code() == 1008
        assert await client.ending() == "eof"


@pytest.mark.loopback
async def test_messages_that_came_at_once_are_not_answered_on_a_dropped_link() -> None:
    async with RealtimeServer() as server:
        server = RealtimeServer(shuffle=lambda _: server.drop())
        async with server, connected(server) as client:
            await client.text()
            client.send(PING, more=True)
            client.send(PING)
            assert await client.ending() == "eof"


@pytest.mark.loopback
async def test_waiting_for_a_condition() -> None:
    async with RealtimeServer() as server:
        await server.wait_for_connections(0)
        await server.wait_for_subscriptions(0)
        both = asyncio.gather(server.wait_for_connections(2), server.wait_for_connections(1))
        async with connected(server) as client, connected(server):
            await both
            one = asyncio.create_task(server.wait_for_subscriptions(1))
            await client.text()
            await subscribe(client, "rows")
            await one
            with pytest.raises(TimeoutError):
                await server.wait_for_subscriptions(2, timeout=0.001)
        await server.wait_for_connections(0)


@pytest.mark.loopback
async def test_a_deaf_server_answers_and_loses_its_events() -> None:
    now = [0.0]
    async with RealtimeServer(clock=lambda: now[0]) as server, connected(server) as client:
        await client.text()
        await subscribe(client, "rows")
        server.deafen()
        now[0] += 1_000_000
        client.send(PING)
        assert await client.text() == PONG
        assert server.publish("lost", "rows", {}) == 0
        async with connected(server) as late:
            assert await late.text() == GREETING
            await subscribe(late, "rows")
            assert server.publish("lost", "rows", {}) == 0, "a new link is deaf, too"
        await server.wait_for_connections(1)
        server.heal()
        assert server.publish("heard", "rows", {}) == 1
        assert (await client.json())["data"]["events"] == ["heard"]


@pytest.mark.loopback
async def test_deafness_ends_by_the_clock_of_the_server() -> None:
    now = [0.0]
    async with RealtimeServer(clock=lambda: now[0]) as server, connected(server) as client:
        await client.text()
        await subscribe(client, "rows")
        server.deafen(5)
        now[0] = 4.9
        assert server.publish("lost", "rows", {}) == 0
        now[0] = 5
        assert server.publish("heard", "rows", {}) == 1


@pytest.mark.loopback
async def test_a_deaf_server_loses_the_events_that_clients_cause() -> None:
    async with RealtimeServer() as server:
        header = f"X-Appwrite-Session: {server.add_user('alice')}"
        async with connected(server, DEMO, header) as client:
            await client.text()
            await subscribe(client, "presences")
            server.deafen()
            client.send('{"type":"presence","data":{"status":"a"}}')
            assert (await client.json())["type"] == "response"
            server.heal()
            client.send('{"type":"presence","data":{"status":"b"}}')
            kinds = {(await client.json())["type"] for _ in range(2)}
            assert kinds == {"response", "event"}
