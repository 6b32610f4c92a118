"""The aiohttp transport on real loopback sockets: lost, refused, silent, frozen, and what each is called."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from realtime_fsm import Realtime, RetryPolicy, State
from realtime_fsm.errors import DialFailed, LinkFailure, NameNotResolved, StreamEnded, UpgradeRefused
from realtime_fsm.runtime.transport import AiohttpTransport, _classify_failure
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.listener import _BareSocket
from support.faultproxy import HttpProxy, descriptors, until
from support.frames import upgraded

pytestmark = pytest.mark.loops

QUICK = RetryPolicy(base=0.02, cap=0.1)


async def dial(url: str, **options: Any) -> Any:
    transport = AiohttpTransport(**options)
    try:
        return await transport.dial(url, {})
    finally:
        await transport.close()


async def answered_with(answer: bytes) -> LinkFailure:
    """Dial a server that answers every request so and closes, and return the failure."""
    async with HttpProxy(answer).open() as server:
        with pytest.raises(LinkFailure) as caught:
            await dial(f"{server.url.replace('http', 'ws')}/v1/ws/realtime?project=demo&jwt=secret")
    assert [head.split("\r\n")[0] for head in server.asked] == ["GET /v1/ws/realtime?project=demo&jwt=secret HTTP/1.1"]
    assert "secret" not in repr((caught.value, caught.value.__cause__, caught.value.__context__))
    return caught.value


@pytest.mark.loopback
async def test_what_failed_dials_are_called() -> None:
    status = await answered_with(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    assert isinstance(status, UpgradeRefused)
    assert status.status == 404
    for answer, text in (
        (b"", "the server hung up"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "the answer was not HTTP"),
        (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "not one to WebSocket: invalid upgrade header"),
    ):
        failure = await answered_with(answer)
        assert type(failure) is DialFailed
        assert text in str(failure)
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    with pytest.raises(DialFailed, match=r"(?i)refused|connect"):
        await dial(f"ws://127.0.0.1:{port}/")


def test_a_name_that_does_not_resolve_and_errors_without_a_text() -> None:
    key: Any = None
    assert isinstance(_classify_failure(aiohttp.ClientConnectorDNSError(key, OSError(-2, "unknown"))), NameNotResolved)
    assert _classify_failure(TimeoutError()).args == ("the dial failed: TimeoutError",)
    assert _classify_failure(aiohttp.ClientConnectorError(key, OSError())).args == ("the dial failed: OSError",)
    both = OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 1)\n[Errno 101] Connect call failed")
    assert _classify_failure(aiohttp.ClientConnectorError(key, both)).args == (
        "the dial failed: Connection refused; Network is unreachable",
    )
    assert _classify_failure(aiohttp.ClientPayloadError("secret")).args == ("the dial failed: ClientPayloadError",)


@pytest.mark.loopback
async def test_a_callers_session_is_used_and_left_open() -> None:
    async with RealtimeServer() as server, aiohttp.ClientSession() as session:
        async with Realtime(server.endpoint, "demo", http=session) as realtime:
            await realtime.connect()
        assert not session.closed
        await server.wait_for_connections(0)


@pytest.mark.loopback
async def test_a_burst_and_a_20_mb_event_arrive_whole_and_in_order() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo") as realtime:
        rows = await realtime.subscribe("rows")
        for number in range(5000):
            server.publish(["e"], ["rows"], {"n": number})
        server.publish(["e"], ["rows"], {"n": 5000, "blob": "z" * 20_000_000})
        async with asyncio.timeout(60):
            seen = [(await anext(rows)).payload["n"] for _ in range(5001)]
        assert seen == list(range(5001)), "a consumer that is fast enough is never overrun"
        assert rows.dropped == 0


@pytest.mark.loopback
async def test_a_link_that_the_server_drops_is_replaced() -> None:
    async with RealtimeServer() as server, Realtime(server.endpoint, "demo", retry=QUICK) as realtime:
        rows = await realtime.subscribe("rows")
        states = realtime.states()
        server.drop()
        lost = await anext(states)
        assert (lost.dest, getattr(lost.cause, "close_code", None)) == (State.RECONNECTING, 1006)
        await server.wait_for_subscriptions(1)
        server.publish(["e"], ["rows"], {"n": 1})
        assert (await anext(rows)).payload == {"n": 1}


@pytest.mark.loopback
async def test_a_server_that_restarts_is_found_again() -> None:
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


@pytest.mark.loopback
async def test_a_tidy_close_of_a_frozen_peer_is_bounded_and_sends_on_a_closed_socket_are_typed() -> None:
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
@pytest.mark.loopback
async def test_the_close_code_is_the_servers_or_tells_that_none_came(frame: bytes, code: int) -> None:
    async with upgraded(frame) as socket:
        assert await socket.pump(lambda _: asyncio.sleep(0)) == code


@pytest.mark.parametrize(
    ("frames", "heard"),
    [
        ([b"\x81\x7d" + b"x" * 125, b"\x88\x02\x03\xe8"], ([125], 1000)),
        ([b"\x81\x01x", b"\x81\x7e\x00\x7e"], ([1], "frame_too_large")),  # told by its head
        ([b"\x81\x7f" + b"\x7f" * 8], ([], "frame_too_large")),
        ([b"\x01\x7d" + b"x" * 125, b"\x80\x01x"], ([], "frame_too_large")),  # in two parts
    ],
)
@pytest.mark.loopback
async def test_a_message_above_the_limit_ends_the_link_before_it_is_read(
    frames: list[bytes], heard: tuple[list[int], object]
) -> None:
    sizes: list[int] = []
    async with upgraded(*frames, hang_up=False, max_frame=125) as socket:
        end = await socket.pump(lambda data: sizes.append(len(data)))
        assert (sizes, getattr(end, "kind", end)) == heard


@pytest.mark.loopback
async def test_what_comes_behind_a_ping_is_read_though_the_stream_has_ended() -> None:
    heard: list[bytes] = []
    async with upgraded(b"\x8a\x00", b"\x89\x01p", b"\x81\x01x") as socket:
        wire: Any = socket
        await until(lambda: bool(wire.transport.is_closing()))  # the end is there, unread
        assert await socket.pump(heard.append) == 1006
    assert heard == [b"x"]


@pytest.mark.loopback
async def test_a_tidy_close_says_goodbye_with_1000(monkeypatch: pytest.MonkeyPatch) -> None:
    goodbyes: list[tuple[int, str]] = []
    receive = _BareSocket.receive

    async def listening(self: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        message = await receive(self, timeout)
        if message.type is aiohttp.WSMsgType.CLOSE:
            goodbyes.append((message.data, message.extra))
        return message

    monkeypatch.setattr(_BareSocket, "receive", listening)
    async with RealtimeServer() as server:
        transport = AiohttpTransport()
        socket = await transport.dial(server.endpoint.replace("http", "ws") + "/realtime?project=demo", {})
        await socket.close(5)
        await until(lambda: bool(goodbyes))
        assert goodbyes == [(1000, "")]
        await transport.close()


@pytest.mark.loopback
async def test_a_peer_that_reads_nothing_cannot_hold_the_descriptor() -> None:
    async with upgraded(hang_up=False) as socket:
        held = descriptors()
        sending = asyncio.create_task(socket.send(b"x" * 20_000_000))
        await asyncio.sleep(0)
        assert not sending.done(), "megabytes wait to be sent"
        begin = time.monotonic()
        await socket.close(0.1)
        assert descriptors() == held - 1
        assert time.monotonic() - begin < 2
        with pytest.raises(StreamEnded):
            await sending
        with pytest.raises(StreamEnded):
            await socket.send(b"{}")


@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
@pytest.mark.loopback
async def test_a_dial_that_is_cancelled_holds_nothing(own: bool) -> None:
    heard = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):  # cancelled before it had asked
            await reader.readuntil(b"\r\n\r\n")
            heard.set()
            await reader.read()
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server, aiohttp.ClientSession() as session:
        held = descriptors()
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        for wait in (lambda: asyncio.sleep(0), lambda: asyncio.sleep(0.001), heard.wait):  # connecting, or sending, sent
            dialing = asyncio.create_task(dial(url, session=None if own else session))
            await wait()
            dialing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await dialing
            await until(lambda: descriptors() == held)


@pytest.mark.loopback
async def test_a_stream_that_ends_while_a_callers_session_is_busy_with_its_upgrade_is_a_typed_failure() -> None:
    async def linger(_: object, __: object, request: aiohttp.TraceRequestEndParams) -> None:
        connection = request.response.connection
        assert connection is not None
        await until(lambda: connection.transport is None or connection.transport.is_closing())  # the stream has ended

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(linger)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        with pytest.raises(DialFailed, match="the stream ended"):
            async with upgraded(session=session):
                pass


@pytest.mark.loopback
async def test_the_hundred_and_first_connection_does_not_wait() -> None:
    async with RealtimeServer() as server:
        transport = AiohttpTransport()
        url = server.endpoint.replace("http", "ws") + "/realtime?project=demo"
        async with asyncio.timeout(30):
            sockets = [await transport.dial(url, {}) for _ in range(101)]
        assert server.connections == 101
        assert transport._connector is not None
        assert transport._connector.force_close, "a connection that is used again may be dead"
        for socket in sockets:
            await socket.close(0)
        await transport.close()
        await server.wait_for_connections(0)
