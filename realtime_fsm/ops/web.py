"""Serve small pages over HTTP: the only module of this room that imports aiohttp.

Design: a page is a coroutine function from a `Request` to a `Response`, or to a `stream`.
"""

from __future__ import annotations

from contextlib import ExitStack, aclosing, nullcontext, suppress
from typing import TYPE_CHECKING, Self, TypeAlias

from aiohttp import web

from realtime_fsm.client.portal import Portal
from realtime_fsm.protocol.options import host_in_url

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

Request: TypeAlias = web.Request
Response: TypeAlias = web.Response
StreamResponse: TypeAlias = web.StreamResponse
Page: TypeAlias = "Callable[[Request], Awaitable[StreamResponse]]"
ContextFactory: TypeAlias = "Callable[[], AbstractContextManager[object]]"
NO_STORE = {"Cache-Control": "no-store"}
"""A header that keeps an answer out of caches."""
_CLOSE = 1.0  # seconds for readers to leave, before their streams are cut


class WebServer:
    """A server of pages, as an async context manager; in a plain ``with`` it runs in its own thread.

    Entering it raises ``OSError`` when host and port cannot be taken; with port 0 the system chooses one. ``pages`` holds the
    page of each path, and ``beside`` makes a context that lasts as long as the server listens.
    """

    def __init__(self, pages: Mapping[str, Page], *, host: str, port: int, beside: ContextFactory = nullcontext) -> None:
        self._host, self._port = host, port
        self._beside, self._entered = beside, ExitStack()
        app = web.Application()
        app.add_routes(web.get(path, page) for path, page in pages.items())
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


async def stream(request: Request, items: AsyncGenerator[bytes, None], headers: Mapping[str, str]) -> StreamResponse:
    """Answer with a stream that sends each item at once, and close the generator when the reader has gone."""
    response = StreamResponse(headers=headers)
    async with aclosing(items):
        await response.prepare(request)
        if request.method != "HEAD":
            with suppress(ConnectionError):  # the reader has gone
                async for item in items:
                    await response.write(item)
    return response
