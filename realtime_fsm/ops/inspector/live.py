"""The records of connections of this process, and what no record tells: channels, and events that wait for a consumer."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.causes import describe_cause
from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.auditlog.writer import observed
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from realtime_fsm.client.connection_info import ConnectionInfo
    from realtime_fsm.ops.inspector.board import Board
    from realtime_fsm.ops.inspector.views import View

_LOOK = 0.5  # seconds between looks at the buffers


@contextmanager
def shown(connections: Sequence[ConnectionInfo], board: Board) -> Iterator[None]:
    """Show connections on a board of the running loop. A connection may live on another loop, in another thread."""
    loop = asyncio.get_running_loop()
    known = {each.connection_id: each for each in connections}

    def observe(_: str, record: Any) -> None:
        if record.connection_id in known:
            with suppress(RuntimeError):  # the loop of the board has ended
                loop.call_soon_threadsafe(take, record)

    def take(record: Any) -> None:
        board.take(msgspec.convert(msgspec.to_builtins(record), FlatRecord))
        look(known[record.connection_id])

    def look(connection: ConnectionInfo) -> None:
        view = board.view(connection.connection_id)
        if view is not None and _update(view, connection):
            board.touch(connection.connection_id)

    async def watch() -> None:
        while True:
            await asyncio.sleep(_LOOK)
            for each in connections:
                look(each)

    for each in connections:
        _begin(each, board)
    watching = loop.create_task(watch(), name="realtime_fsm inspector")
    with observed(observe):
        try:
            yield
        finally:
            watching.cancel()


def _begin(connection: ConnectionInfo, board: Board) -> None:
    """Show what a connection has come to before its first record here."""
    view, driver = board.view(connection.connection_id), connection._driver  # noqa: SLF001  (for the picture alone)
    if view is None:
        return
    now, context = time.time(), driver._context  # noqa: SLF001
    entered = context.state_entered_at
    if entered is not None and driver._loop is not None:  # noqa: SLF001
        view.enter(connection.state.value, now - (driver._loop.time() - entered))  # noqa: SLF001
    view.last, view.link, view.closed = now, context.generation, connection.state is State.DISPOSING
    view.era = None if connection.era is None else connection.era.value
    failure = connection.last_failure
    if failure is not None:
        view.add_cause(failure.at.timestamp(), describe_cause(failure.error.kind))
    _update(view, connection)
    board.touch(connection.connection_id)


def _update(view: View, connection: ConnectionInfo) -> bool:
    """Update the subscriptions by their buffers; return whether something has changed."""
    changed = False
    for identifier, delivery in list(connection._driver._registry.subscribers.items()):  # noqa: SLF001
        one = view.subscription(identifier)
        if one is None:
            continue
        before = one.waiting, one.dropped, one.behind, one.channels
        if one.waiting is None and delivery.established and connection.is_live:  # since before the first record here
            one.phase = "acknowledged"
        one.waiting, one.dropped, one.room = len(delivery.buffer), delivery.dropped, delivery._options.buffer  # noqa: SLF001
        one.behind = None if not one.waiting else one.behind or time.time()
        one.channels = list(delivery.spec.channels)
        changed = changed or before != (one.waiting, one.dropped, one.behind, one.channels)
    return changed
