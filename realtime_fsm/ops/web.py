"""Serve small pages over HTTP: the only module of this room that imports aiohttp.

Design: a page is a function from a `Request` to a `Response`, which may also be a stream.
"""

from __future__ import annotations

from contextlib import ExitStack, aclosing, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, TypeAlias

from aiohttp import web

from realtime_fsm.client.portal import Portal
from realtime_fsm.protocol.options import host_in_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

Request: TypeAlias = web.Request
_CLOSE = 1.0  # seconds for readers to leave, before their streams are cut


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request.

    Attributes:
        body: the content; or a generator, each item of which is sent at once. It is closed when the reader has gone.
        status: the HTTP status.
        content_type: the content's type, with its character set.
        headers: further headers.
    """

    body: bytes | AsyncGenerator[bytes, None] = b""
    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class WebServer:
    """A server of pages, as an async context manager; in a plain ``with`` it runs in its own thread.

    Entering it raises ``OSError`` when host and port cannot be taken; with port 0 the system chooses one. ``pages`` holds the
    page of each path, and ``beside`` makes a context that lasts as long as the server listens.
    """

    def __init__(
        self,
        pages: Mapping[str, Callable[[Request], Awaitable[Response]]],
        *,
        host: str,
        port: int,
        beside: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._host, self._port = host, port
        self._beside, self._entered = beside, ExitStack()
        app = web.Application()
        for path, page in pages.items():
            app.router.add_get(path, _adapted(page))
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE,
            handler_cancellation=True,  # a stream ends as soon as its reader has gone
        )  # fmt: skip

    @property
    def url(self) -> str:
        """The URL of the server, without a path."""
        return f"http://{host_in_url(self._host)}:{self._port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
            self._port = self._runner.addresses[0][1]
            self._entered.enter_context(self._beside())
        except BaseException:
            await self.aclose()
            raise
        return self

    async def aclose(self) -> None:
        """Listen no more, and end all streams within a second."""
        self._entered.close()
        await self._runner.cleanup()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self._portal = Portal(f"this {type(self).__name__}")
        self._portal.last = self.aclose
        try:
            self._portal.call(self.__aenter__)
        except BaseException:
            self._portal.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._portal.close()


def _adapted(page: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[web.StreamResponse]]:
    async def answer(request: Request) -> web.StreamResponse:
        response = await page(request)
        headers = {"Cache-Control": "no-store", **response.headers, "Content-Type": response.content_type}
        if isinstance(response.body, bytes):
            return web.Response(body=response.body, status=response.status, headers=headers)
        stream = web.StreamResponse(status=response.status, headers=headers)
        async with aclosing(response.body) as items:
            await stream.prepare(request)
            if request.method == "HEAD":
                return stream
            with suppress(ConnectionError):  # the reader has gone
                async for item in items:
                    await stream.write(item)
        return stream

    return answer
