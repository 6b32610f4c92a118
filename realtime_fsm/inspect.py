"""The live inspector: watch connections of this program in a browser of this machine.

    from realtime_fsm import inspect

    async with inspect.attach(realtime) as inspector:
        print(inspector.url)
        ...

The command ``realtime-fsm inspect`` shows the same page for a log, and for a connection of its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from realtime_fsm.client.connection_info import ConnectionInfo
from realtime_fsm.errors import BadOption
from realtime_fsm.ops.inspector.board import MOST, Board
from realtime_fsm.ops.inspector.live import shown
from realtime_fsm.ops.inspector.server import InspectorServer, open_browser

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

__all__ = ["Inspector", "attach"]


class Inspector(InspectorServer):
    """A page about connections of this program; `attach` makes it.

    Enter it with ``async with``, or await it and call `aclose` at the end. A program without an event loop enters it with
    ``with``: then a thread of its own serves the page.
    """

    def __init__(self, connections: tuple[ConnectionInfo, ...], host: str, port: int, *, browser: bool) -> None:
        board = Board("connections of this program")

        @contextmanager
        def source() -> Iterator[None]:
            with shown(connections, board):
                if browser:
                    open_browser(self.url)
                yield

        super().__init__(board, host=host, port=port, source=source)

    def __await__(self) -> Generator[Any, Any, Self]:
        return self.__aenter__().__await__()


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
