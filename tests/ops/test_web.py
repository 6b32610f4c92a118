"""The pages of operators over a real socket."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, nullcontext

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from realtime_fsm.ops.web import Request, Response, StreamResponse, WebServer, stream

pytestmark = pytest.mark.loopback


async def fetch(url: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as reply:
        return reply.status, reply.headers["Content-Type"], await reply.read()


async def test_a_page_answers_with_its_status_and_type() -> None:
    async def page(request: Request) -> Response:
        return Response(body=request.query["q"].encode(), status=503, content_type="application/json")

    async with WebServer({"/page": page}, host="127.0.0.1", port=0) as server:
        assert await fetch(f"{server.url}/page?q=42") == (503, "application/json", b"42")
        assert (await fetch(f"{server.url}/other"))[0] == 404


async def test_a_stream_sends_each_item_at_once_and_ends_with_the_server() -> None:
    sent = asyncio.Event()

    async def items() -> AsyncGenerator[bytes, None]:
        yield b"first\n"
        sent.set()
        await asyncio.Event().wait()

    async def page(request: Request) -> StreamResponse:
        return await stream(request, items(), {"X-Kind": "stream"})

    server = WebServer({"/": page}, host="127.0.0.1", port=0)
    async with aiohttp.ClientSession() as session:
        await server.__aenter__()
        async with session.get(server.url) as reply:
            assert (reply.status, reply.headers["X-Kind"]) == (200, "stream")
            assert await reply.content.readline() == b"first\n"
            await sent.wait()
            await server.aclose()
            with pytest.raises(aiohttp.ClientError):
                await reply.content.readline()


async def test_the_head_of_a_stream_has_no_body_and_ends() -> None:
    async def items() -> AsyncGenerator[bytes, None]:
        yield b"first\n"

    async def page(request: Request) -> StreamResponse:
        return await stream(request, items(), {"Content-Type": "text/event-stream"})

    async with asyncio.timeout(10), WebServer({"/": page}, host="127.0.0.1", port=0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        for _ in range(2):  # the same connection serves another request
            writer.write(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"text/event-stream" in head
        writer.write(b"GET /other HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 404 ")
        writer.close()


async def test_a_stream_ends_as_soon_as_its_reader_has_gone() -> None:
    closed = asyncio.Event()

    async def items() -> AsyncGenerator[bytes, None]:
        try:
            yield b"first\n"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def page(request: Request) -> StreamResponse:
        return await stream(request, items(), {})

    async with asyncio.timeout(10), WebServer({"/": page}, host="127.0.0.1", port=0) as server:
        async with aiohttp.ClientSession() as session, session.get(server.url) as reply:
            assert await reply.content.readline() == b"first\n"
        await closed.wait()
        assert (await fetch(f"{server.url}/other"))[0] == 404


async def test_a_taken_port_raises_and_leaves_no_server() -> None:
    async def page(_: Request) -> Response:
        return Response()

    async with WebServer({"/": page}, host="127.0.0.1", port=0) as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            await WebServer({"/": page}, host="127.0.0.1", port=port).__aenter__()


async def test_a_context_beside_lasts_as_long_as_the_server_which_leaves_signals_alone() -> None:
    steps: list[str] = []

    @contextmanager
    def beside() -> Iterator[None]:
        steps.append("begins")
        yield
        steps.append("ends")

    async with WebServer({}, host="127.0.0.1", port=0, beside=beside):
        assert steps == ["begins"]
        assert not asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
    assert steps == ["begins", "ends"]


async def test_a_context_beside_that_fails_leaves_no_server() -> None:
    server = WebServer({}, host="127.0.0.1", port=0, beside=lambda: nullcontext(1 // 0))
    with pytest.raises(ZeroDivisionError):
        await server.__aenter__()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))


def test_the_repr_of_a_request_hides_its_token() -> None:
    request = make_mocked_request("GET", "/?token=secret", {"Cookie": "secret"})
    assert (request.query["token"], "secret" in repr(request)) == ("secret", False)


def test_the_url_of_an_ipv6_host_has_brackets() -> None:
    assert WebServer({}, host="::1", port=80).url == "http://[::1]:80"
