"""Dials that the application's own code breaks, answers that are odd and proper, and the closing handshake."""

from __future__ import annotations

import asyncio
import base64
import gc
import hashlib
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from realtime_fsm import DialFailed, Disposed, Realtime, RetriesExhausted, RetryPolicy, State, Timeouts, WrongLoop
from realtime_fsm.runtime.transport import AiohttpTransport, _classify_failure
from realtime_fsm.testing import RealtimeServer
from support.faultproxy import FaultProxy, HttpProxy, header, until

ONCE = RetryPolicy(attempts=1)
GREETING = b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":null}}'


@asynccontextmanager
async def reported() -> AsyncIterator[list[Any]]:
    """Collect the reports to the event loop meanwhile."""
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    yield told
    gc.collect()


async def failure_of(session: aiohttp.ClientSession | None, endpoint: str) -> DialFailed:
    async with reported() as told, Realtime(endpoint, "demo", http=session, retry=ONCE) as realtime:
        with pytest.raises(RetriesExhausted) as caught:
            await realtime.connect()
        assert realtime.state is State.ERROR
    assert told == [], "the typed error is all"
    assert isinstance(caught.value.cause, DialFailed)
    return caught.value.cause


class Stop(BaseException):
    """Of the application's own."""


@pytest.mark.parametrize("raised", [KeyError("geheim"), SystemExit("geheim"), asyncio.CancelledError("geheim"), Stop("geheim")])
@pytest.mark.loopback
async def test_a_middleware_that_breaks_is_named_by_its_exception(raised: BaseException) -> None:
    async def broken(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise raised

    async with RealtimeServer() as server, aiohttp.ClientSession(middlewares=(broken,)) as session:
        failure = await failure_of(session, server.endpoint)
    name = type(raised).__name__
    assert str(failure).partition(": ")[2] == f"the dial failed: {name}, raised within the aiohttp session given as http="


@pytest.mark.loopback
async def test_a_resolver_that_breaks_is_named_by_its_exception() -> None:
    class Broken(aiohttp.abc.AbstractResolver):
        async def resolve(self, *_: object, **__: object) -> list[aiohttp.abc.ResolveResult]:
            raise RuntimeError("geheim")

        async def close(self) -> None:
            pass

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Broken())) as session:
        failure = await failure_of(session, "http://appwrite.example/v1")
    assert "RuntimeError" in str(failure)
    assert "geheim" not in str(failure)


def test_without_a_session_of_the_callers_the_name_stands_alone() -> None:
    assert str(_classify_failure(RuntimeError("geheim"))) == "the dial failed: RuntimeError"


def test_ctrl_c_within_a_dial_is_raised() -> None:
    async def interrupt(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise KeyboardInterrupt

    async def main() -> None:
        async with aiohttp.ClientSession(middlewares=(interrupt,)) as session:
            await AiohttpTransport(session).dial("ws://127.0.0.1:1/", {})

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())


@pytest.mark.parametrize(
    "call",
    [
        *("connect", "reconnect", "disconnect", "wait_connected", "wait_subscribed"),
        *("subscribe", "authenticate", "set_presence", "__aenter__"),
    ],
)
def test_a_session_of_another_loop_is_refused_at_the_call(call: str) -> None:
    async def foreign(ready: threading.Event, over: threading.Event, sessions: list[aiohttp.ClientSession]) -> None:
        async with aiohttp.ClientSession() as session:
            sessions.append(session)
            ready.set()
            await asyncio.to_thread(over.wait)

    async def main(session: aiohttp.ClientSession) -> None:
        realtime = Realtime("http://127.0.0.1:1/v1", "demo", http=session)
        arguments: dict[str, Any] = {
            "subscribe": "rows", "authenticate": "secret", "set_presence": "online",
            "wait_connected": 0.01, "wait_subscribed": 0.01,
        }  # fmt: skip
        given = [arguments[call]] if call in arguments else []
        with pytest.raises(WrongLoop, match="http= belongs to another event loop"):
            await getattr(realtime, call)(*given)
        assert realtime.state is State.DISCONNECTED
        await realtime.dispose()

    ready, over, sessions = threading.Event(), threading.Event(), list[aiohttp.ClientSession]()
    other = threading.Thread(target=lambda: asyncio.run(foreign(ready, over, sessions)))
    other.start()
    try:
        assert ready.wait(5)
        asyncio.run(main(sessions[0]))
    finally:
        over.set()
        other.join()


# --- answers that are odd and proper ----------------------------------------------------------------------------------


@asynccontextmanager
async def answering(*headers: str) -> AsyncIterator[str]:
    """A server that upgrades with further headers, and greets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = header((await reader.readuntil(b"\r\n\r\n")).decode(), "Sec-WebSocket-Key")[0]
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())  # noqa: S324
        head = ["HTTP/1.1 101 X", "Upgrade: websocket", f"Sec-WebSocket-Accept: {accept.decode()}", *headers, "", ""]
        writer.write("\r\n".join(head).encode() + bytes([0x81, len(GREETING)]) + GREETING)
        await reader.read()
        writer.close()

    async with asyncio.timeout(10), await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


@pytest.mark.parametrize(
    "headers",
    [
        ["Connection: Upgrade"],
        ["Connection: keep-alive, Upgrade"],
        ["Connection: UPGRADE,close"],
        ["Connection: keep-alive", "Connection: upgrade"],
    ],
)
@pytest.mark.parametrize("own", [True, False], ids=["own session", "caller's session"])
@pytest.mark.loopback
async def test_a_connection_header_may_be_a_list(headers: list[str], own: bool) -> None:
    async with (
        answering(*headers) as endpoint,
        aiohttp.ClientSession() as session,
        Realtime(endpoint, "demo", http=None if own else session, retry=ONCE) as realtime,
    ):
        await realtime.connect()
        assert realtime.is_live


@pytest.mark.parametrize("headers", [[], ["Connection: keep-alive"], ["Connection: not-upgrade"]])
@pytest.mark.loopback
async def test_a_connection_header_without_the_token_is_no_upgrade(headers: list[str]) -> None:
    async with answering(*headers) as endpoint:
        assert "invalid connection header" in str(await failure_of(None, endpoint))


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        (["X: " + "x" * 9000], "a header of the answer has more than 8190 bytes; give http= .* a larger max_field_size"),
        ([f"X{n}: y" for n in range(200)], "the answer has too many headers; give http= .* a larger max_headers"),
    ],
)
@pytest.mark.loopback
async def test_headers_beyond_a_limit_name_the_option_that_helps(headers: list[str], text: str) -> None:
    async with answering("Connection: Upgrade", *headers) as endpoint:
        assert re.search(text, str(await failure_of(None, endpoint)))
        limits: dict[str, Any] = {"max_field_size": 20_000, "max_headers": 300}
        async with aiohttp.ClientSession(**limits) as session, Realtime(endpoint, "demo", http=session) as realtime:
            await realtime.connect()


# --- the closing handshake --------------------------------------------------------------------------------------------


async def spent(work: Callable[[], Any]) -> float:
    began = time.monotonic()
    await work()
    return time.monotonic() - began


@asynccontextmanager
async def delayed(**options: Any) -> AsyncIterator[tuple[RealtimeServer, FaultProxy, Realtime]]:
    """A server, what stands before it, and a client of it."""
    async with (
        asyncio.timeout(20),
        RealtimeServer() as server,
        FaultProxy(server.endpoint) as proxy,
        Realtime(proxy.endpoint, "demo", **options) as realtime,
    ):
        yield server, proxy, realtime


@pytest.mark.parametrize("end", ["dispose", "disconnect"])
@pytest.mark.parametrize("paused", [False, True], ids=["reading", "paused"])
@pytest.mark.loopback
async def test_the_end_waits_for_the_servers_close_frame(end: str, paused: bool) -> None:
    async with delayed(timeouts=Timeouts(close=5)) as (server, proxy, realtime):
        options: dict[str, Any] = {"buffer": 1, "overflow": "pause"} if paused else {}
        rows = await realtime.subscribe("rows", **options)
        if paused:
            for number in range(3):
                server.publish(["e"], ["rows"], {"n": number})
            await until(lambda: bool(getattr(realtime._driver.links.current, "paused", False)))
        forwarded, proxy.delay = proxy.forwarded, 0.2
        assert 0.2 <= await spent(getattr(realtime, end)) < 4
        assert proxy.forwarded - forwarded >= 4, "a close frame with a code"
        assert rows.dropped == 0


@pytest.mark.loopback
async def test_the_end_waits_no_longer_than_its_timeout() -> None:
    async with delayed(timeouts=Timeouts(close=0.2)) as (_, proxy, realtime):
        await realtime.subscribe("rows")
        proxy.freeze()
        assert 0.2 <= await spent(realtime.dispose) < 2


@pytest.mark.loopback
async def test_nothing_is_delivered_while_the_handshake_lasts() -> None:
    async with delayed() as (server, proxy, realtime):
        rows = await realtime.subscribe("rows")
        proxy.delay = 0.2
        server.publish(["e"], ["rows"], {"n": 1})
        await realtime.dispose()
        assert [event async for event in rows] == []


@pytest.mark.loopback
async def test_a_dial_that_is_given_up_closes_at_once() -> None:
    async with HttpProxy().open() as silent, Realtime(silent.url + "/v1", "demo") as realtime:
        connecting = asyncio.create_task(realtime.connect())
        await asyncio.sleep(0)
        assert await spent(realtime.dispose) < 2
        with pytest.raises(Disposed):
            await connecting
