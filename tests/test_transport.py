"""The aiohttp transport on real loopback sockets: lost, refused, silent, frozen, and what each is called."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from realtime_fsm import PingPolicy, Realtime, RetriesExhausted, RetryPolicy, State, Timeouts
from realtime_fsm.edges.transport import AiohttpTransport, _why
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.vocabulary.errors import (
    CertificateRefused,
    DialFailed,
    LinkFailure,
    NameNotResolved,
    StreamEnded,
    UpgradeRefused,
)

CERTIFICATE = Path(__file__).parent / "data" / "self-signed.pem"
QUICK = RetryPolicy(base=0.02, cap=0.1)
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def dial(url: str) -> Any:
    transport = AiohttpTransport()
    try:
        return await transport.dial(url, {})
    finally:
        await transport.close()


async def answered_with(answer: bytes, **options: Any) -> LinkFailure:
    """What a dial is told by a server that answers every request so, and hangs up."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LinkFailure) as caught:
            await dial(f"{'wss' if options else 'ws'}://127.0.0.1:{port}/v1/realtime?project=demo&jwt=secret")
    assert "secret" not in str(caught.value)
    return caught.value


def test_what_failed_dials_are_called() -> None:
    async def main() -> None:
        status = await answered_with(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        assert isinstance(status, UpgradeRefused)
        assert status.status == 404
        assert type(await answered_with(b"")) is DialFailed
        async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
        with pytest.raises(DialFailed, match=r"(?i)refused|connect"):
            await dial(f"ws://127.0.0.1:{port}/")

    asyncio.run(main())


def test_a_certificate_that_is_not_trusted_names_itself() -> None:
    async def main() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CERTIFICATE)
        assert isinstance(await answered_with(b"", ssl=context), CertificateRefused)

    asyncio.run(main())


def test_a_name_that_does_not_resolve_and_errors_without_a_text() -> None:
    key: Any = None
    assert isinstance(_why(aiohttp.ClientConnectorDNSError(key, OSError(-2, "unknown"))), NameNotResolved)
    assert _why(TimeoutError()).args == ("the dial failed: TimeoutError",)
    assert _why(aiohttp.ClientConnectorError(key, OSError())).args == ("the dial failed: ClientConnectorError",)


def test_a_callers_session_is_used_and_left_open() -> None:
    async def main() -> None:
        async with RealtimeServer() as server, aiohttp.ClientSession() as session:
            async with Realtime(server.endpoint, "demo", http=session) as realtime:
                await realtime.connect()
            assert not session.closed
            await server.wait_for_connections(0)

    asyncio.run(main())


def test_a_burst_and_a_20_mb_event_arrive_whole_and_in_order() -> None:
    async def main() -> None:
        async with RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime:
            rows = await realtime.subscribe("rows")
            for number in range(5000):
                server.publish(["e"], ["rows"], {"n": number})
            server.publish(["e"], ["rows"], {"n": 5000, "blob": "z" * 20_000_000})
            async with asyncio.timeout(60):
                seen = [(await anext(rows)).payload["n"] for _ in range(5001)]
            assert seen == list(range(5001)), "a consumer that is fast enough is never overrun"
            assert rows.dropped == 0

    asyncio.run(main())


def test_a_link_that_the_server_drops_is_replaced() -> None:
    async def main() -> None:
        async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=QUICK) as realtime:
            rows = await realtime.subscribe("rows")
            states = realtime.states()
            server.drop()
            lost = await anext(states)
            assert (lost.dest, getattr(lost.cause, "close_code", None)) == (State.RECONNECTING, 1006)
            await server.wait_for_subscriptions(1)
            server.publish(["e"], ["rows"], {"n": 1})
            assert (await anext(rows)).payload == {"n": 1}

    asyncio.run(main())


def test_a_server_that_restarts_is_found_again() -> None:
    async def main() -> None:
        patient = RetryPolicy(attempts=None, base=0.02, cap=0.05)
        async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=patient) as realtime:
            await realtime.subscribe("rows")
            states = realtime.states()
            await server.stop()
            changes = [await anext(states)]
            await server.start()
            await server.wait_for_subscriptions(1)
            changes += [await anext(states) for _ in range(2)]
            assert [change.dest for change in changes] == [State.RECONNECTING, State.CONNECTED, State.SUBSCRIBED]

    asyncio.run(main())


@pytest.mark.parametrize(("fault", "awaited"), [("freeze", "upgrade"), ("silent", "greeting")])
def test_a_server_that_accepts_and_says_nothing_is_noticed(fault: str, awaited: str) -> None:
    async def main() -> None:
        async with RealtimeServer() as server:
            if fault == "freeze":
                server.freeze()
            else:
                server.greet = False
            quick = Timeouts(dial=0.1, greeting=0.1, close=0.1)
            async with Realtime(server.endpoint, "demo", retry=RetryPolicy(attempts=1), timeouts=quick) as realtime:
                with pytest.raises(RetriesExhausted, match=f"no {awaited} within 0.1 seconds"):
                    await realtime.connect()
            server.thaw()

    asyncio.run(main())


def test_a_server_that_freezes_on_a_live_link_is_noticed_and_disposed_of_in_time() -> None:
    async def main() -> None:
        async with RealtimeServer() as server:
            realtime = Realtime(server.endpoint, "demo", ping=PingPolicy(interval=0.1, timeout=0.1), timeouts=Timeouts(close=0.2))
            await realtime.subscribe("rows")
            states = realtime.states()
            server.freeze()
            async for change in states:
                if change.dest is State.RECONNECTING:
                    break
            assert str(change.cause) == "no pong within 0.1 seconds"
            begin = time.monotonic()
            await realtime.dispose()
            assert time.monotonic() - begin < 2
            server.thaw()

    asyncio.run(main())


def test_a_tidy_close_of_a_frozen_peer_is_bounded_and_sends_on_a_closed_socket_are_typed() -> None:
    async def main() -> None:
        async with RealtimeServer() as server:
            transport = AiohttpTransport()
            url = server.endpoint.replace("http", "ws") + "/realtime?project=demo"
            socket = await transport.dial(url, {})
            server.freeze()
            begin = time.monotonic()
            await socket.close(0.1)
            assert time.monotonic() - begin < 2
            with pytest.raises(StreamEnded):
                await socket.send(b"{}")
            server.thaw()
            await transport.close()

    asyncio.run(main())


async def closed_by_server(frame: bytes) -> int:
    """The close code that a client reports when a server upgrades, sends a raw frame and ends the stream."""
    import base64
    import hashlib

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()  # noqa: S324  (RFC 6455)
        accept = base64.b64encode(digest).decode()
        writer.write(
            f"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        writer.write(frame)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        transport = AiohttpTransport()
        socket = await transport.dial(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
        code = await socket.pump(lambda data: data == b"ok")
        await socket.close(0.1)
        await transport.close()
    return code


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\x88\x02" + (1001).to_bytes(2, "big"), 1001),
        (b"\x88\x02" + (1013).to_bytes(2, "big"), 1013),
        (b"\x88\x00", 1005),
        (b"", 1006),
        (b"\x83\x01x", 1002),
        (b"\x82\x02ok\x88\x02" + (1000).to_bytes(2, "big"), 1000),
    ],
)
def test_the_close_code_is_the_servers_or_tells_that_none_came(frame: bytes, code: int) -> None:
    assert asyncio.run(closed_by_server(frame)) == code


def test_the_hundred_and_first_connection_does_not_wait() -> None:
    async def main() -> None:
        async with RealtimeServer() as server:
            transport = AiohttpTransport()
            url = server.endpoint.replace("http", "ws") + "/realtime?project=demo"
            async with asyncio.timeout(30):
                sockets = [await transport.dial(url, {}) for _ in range(101)]
            assert server.connections == 101
            for socket in sockets:
                await socket.close(0)
            await transport.close()
            await server.wait_for_connections(0)

    asyncio.run(main())
