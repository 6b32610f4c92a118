"""The board: the views of all connections, and the browsers that follow them.

Invariant: a browser costs no memory that grows. It gets each changed view as the view is now, not each change: a slow browser
misses steps in between, and never holds up a connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.audit.secret_scan import masked
from realtime_fsm.ops.inspector.views import View

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from realtime_fsm.audit.decoding import FlatRecord

MOST = 24
"""The most connections on the page."""
_KNOWN = 10_000
_PACE, _HEARTBEAT = 0.1, 10.0  # seconds between messages: at least, and at most


class Board:
    """The views.

    Args:
        title: the name of the source of the records.
        only: the beginnings of the ids to show; all by default.
        most: the most connections to keep. A new connection takes the place of one that is closed; if none is, it is
            left out.

    Attributes:
        live: whether records may still come. If not, the clock of the page stands at the newest record.
        problem: a sentence about the source; empty where all is well.
    """

    def __init__(self, title: str, only: Iterable[str] = (), most: int = MOST) -> None:
        self.live: bool = True
        self.problem: str = ""
        self.only: tuple[str, ...] = tuple(only)
        self._title, self._most = title, most
        self._views: dict[str, View] = {}
        self._numbers = 0
        self._left_out: set[str] = set()
        self._browsers: dict[asyncio.Event, set[str]] = {}  # which views have changed since the last message to each
        self._closed = False

    @property
    def browsers(self) -> int:
        """How many browsers follow the board."""
        return len(self._browsers)

    @property
    def views(self) -> list[View]:
        """The connections, in the order of their numbers."""
        return list(self._views.values())

    def take(self, record: FlatRecord) -> None:
        """Take a record of a connection."""
        view = self.view(record.connection_id)
        if view is not None and view.take(record):
            self.touch(record.connection_id)

    def view(self, connection: str) -> View | None:
        """Return the view of a connection, which is new at its first record; None where it is not shown."""
        view = self._views.get(connection)
        if view is None and connection.startswith(self.only or "") and self._has_room(connection):
            self._numbers += 1
            view = self._views[connection] = View(masked(connection), self._numbers)
        return view

    def touch(self, connection: str = "") -> None:
        """Tell the browsers that the view of a connection, or the board itself, has changed."""
        for news, changed in self._browsers.items():
            changed.add(connection)
            news.set()

    def close(self) -> None:
        """End the streams of all browsers."""
        self._closed = True
        self.touch()

    def _has_room(self, connection: str) -> bool:
        if len(self._views) < self._most:
            return True
        gone = next((each for each, view in self._views.items() if view.closed), connection)
        if len(self._left_out) < _KNOWN:
            self._left_out.add(gone)
        if gone == connection:
            return False
        del self._views[gone]
        for changed in self._browsers.values():
            changed.discard(gone)
        return True

    async def messages(self) -> AsyncGenerator[bytes, None]:
        """Give the messages for one browser, as server-sent events: first all views, then those that change."""
        news, changed = asyncio.Event(), set(self._views)
        self._browsers[news] = changed
        try:
            yield b"retry: 1000\n\n"
            while not self._closed:
                message = self._message(changed)
                news.clear()
                changed.clear()
                yield message  # changes come also while the browser takes the message
                with suppress(TimeoutError):
                    async with asyncio.timeout(_HEARTBEAT):
                        await news.wait()
                await asyncio.sleep(_PACE)
        finally:
            del self._browsers[news]

    def _message(self, changed: set[str]) -> bytes:
        content: dict[str, Any] = {
            "title": self._title,
            "live": self.live,
            "problem": self.problem,
            "end": max((view.last for view in self.views), default=0.0),
            "numbers": [view.number for view in self.views],
            "left_out": len(self._left_out),
            "more": len(self._left_out) >= _KNOWN,
            "views": [view for connection, view in self._views.items() if connection in changed],
        }
        return b"data: " + msgspec.json.encode(content) + b"\n\n"
