"""The live inspector: watch connections of this program in a browser of this machine.

    from realtime_fsm import inspect

    async with inspect.attach(realtime) as inspector:
        print(inspector.url)
        ...

The command ``realtime-fsm inspect`` shows the same page for a log, and for a connection of its own.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from realtime_fsm.client.connection_info import ConnectionInfo
from realtime_fsm.client.portal import Portal
from realtime_fsm.errors import BadOption
from realtime_fsm.ops.inspector.board import MOST, Board
from realtime_fsm.ops.inspector.live import shown
from realtime_fsm.ops.inspector.server import InspectorServer, open_browser

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType
    from typing import Any

__all__ = ["Inspector", "attach"]


class Inspector:
    """A page about connections of this program; `attach` makes it.

    Enter it with ``async with``, or await it and call `aclose` at the end. A program without an event loop enters it with
    ``with``: then a thread of its own serves the page.
    """

    def __init__(self, connections: tuple[ConnectionInfo, ...], host: str, port: int, *, browser: bool) -> None:
        self._connections = connections
        self._board = Board("connections of this program")
        self._server = InspectorServer(self._board, host=host, port=port)
        self._browser = browser
        self._shown = ExitStack()
        self._portal: Portal | None = None

    @property
    def url(self) -> str:
        """The URL of the page, with its token: it lets each program of this machine read the page, so keep it out of logs."""
        return self._server.url

    async def _start(self) -> Self:
        await self._server.start()
        self._shown.enter_context(shown(self._connections, self._board))
        if self._browser:
            open_browser(self.url)
        return self

    async def aclose(self) -> None:
        """End the page. The connections go on."""
        self._shown.close()
        await self._server.aclose()

    def __await__(self) -> Generator[Any, Any, Self]:
        return self._start().__await__()

    async def __aenter__(self) -> Self:
        return await self._start()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        self._portal = Portal("this inspector")
        self._portal.last = self.aclose
        try:
            return self._portal.call(self._start)
        except BaseException:
            self._portal.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._portal is not None
        self._portal.close()

    def __repr__(self) -> str:
        return f"<Inspector of {len(self._connections)} connections, {self._server!r}>"


def attach(*connections: ConnectionInfo, host: str = "127.0.0.1", port: int = 0, browser: bool = False) -> Inspector:
    """Show connections on a page of this machine, from now on.

    Args:
        connections: each a `realtime_fsm.Realtime` or `realtime_fsm.sync.Realtime`; at most 24.
        host: the loopback address to listen on.
        port: the port; with 0 the system chooses one.
        browser: whether to open the page in the user's browser.

    Returns:
        The inspector, to be entered or awaited; its `url` is the page.

    Raises:
        BadOption: without a connection, with too many, for another object, or for a host beyond this machine.
        OSError: from entering or awaiting it, when the port cannot be taken.
    """
    if not 0 < len(connections) <= MOST:
        raise BadOption("connections", f"the page shows 1 to {MOST} connections, and not {len(connections)}")
    for each in connections:
        if not isinstance(each, ConnectionInfo):
            raise BadOption("connections", f"{type(each).__name__} is not a Realtime")
    return Inspector(connections, host, port, browser=browser)
