"""The server of the page. It answers requests from this machine that carry the token.

Invariant: nothing but a loopback address is bound, and every answer needs the token. The name in the Host header must be one of
this machine: else a web page elsewhere could point its own name here, and read the answers.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import webbrowser
from contextlib import nullcontext
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from realtime_fsm.errors import BadOption
from realtime_fsm.ops.web import NO_STORE, Response, WebServer, stream

if TYPE_CHECKING:
    from realtime_fsm.ops.inspector.board import Board
    from realtime_fsm.ops.web import ContextFactory, Page, Request, StreamResponse

BROWSERS = 8
"""The most browsers at once."""
_HEADERS = NO_STORE | {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class InspectorServer(WebServer):
    """Serves a board.

    Args:
        board: the board.
        host: a loopback address.
        port: the port; with 0 the system chooses one.
        source: makes a context in which the board gets its records; it lasts as long as the server listens.

    Raises:
        BadOption: for another host than a loopback address.
    """

    def __init__(self, board: Board, *, host: str = "127.0.0.1", port: int = 0, source: ContextFactory = nullcontext) -> None:
        if not _is_loopback(host):
            remedy = "the inspector is for this machine alone; use 127.0.0.1, and `ssh -L` from another machine"
            raise BadOption("host", f"{host!r:.60} is no loopback address, and {remedy}")
        self._board = board
        self._token = secrets.token_urlsafe(24)
        pages = {"/": self._guarded(self._page), "/events": self._guarded(self._events)}
        super().__init__(pages, host="127.0.0.1" if host == "localhost" else host, port=port, beside=source)

    @property
    def url(self) -> str:
        """The URL of the page, with its token: it lets each program of this machine read the page, so keep it out of logs."""
        return f"{super().url}/?token={self._token}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {super().url}>"

    async def aclose(self) -> None:
        """End the streams of all browsers, and listen no more."""
        self._board.close()
        await super().aclose()

    def _guarded(self, page: Page) -> Page:
        async def guard(request: Request) -> StreamResponse:
            if not _is_loopback(_host_of(request)):
                return _refusal(403, "the Host header names another machine; open the URL that the inspector printed\n")
            if not hmac.compare_digest(request.query.get("token", "").encode(), self._token.encode()):
                return _refusal(403, "the token is missing or wrong; open the whole URL that the inspector printed\n")
            return await page(request)

        return guard

    async def _page(self, _: Request) -> Response:
        from realtime_fsm.ops.inspector.page import page  # a command line that shows no page loads no diagram

        content, policy = page()
        headers = _HEADERS | {"Content-Security-Policy": policy}
        return Response(body=content, content_type="text/html", charset="utf-8", headers=headers)

    async def _events(self, request: Request) -> StreamResponse:
        if self._board.browsers >= BROWSERS:
            return _refusal(503, f"{BROWSERS} pages of this inspector are open; close one\n")
        return await stream(request, self._board.messages(), _HEADERS | {"Content-Type": "text/event-stream"})


def open_browser(url: str) -> None:
    """Open the page in the user's browser; a browser of the terminal may block, so it gets a thread."""
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True, name="realtime_fsm browser").start()


def _host_of(request: Request) -> str:
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(status: int, sentence: str) -> Response:
    return Response(text=sentence, status=status, headers=_HEADERS)
