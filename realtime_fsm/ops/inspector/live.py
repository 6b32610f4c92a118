"""Show connections of this process: their records, and the facts without a record, such as channels and waiting events."""

# ruff: noqa: SLF001  (it reads the driver, and changes nothing)
from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm import hooks
from realtime_fsm.audit.causes import describe_cause
from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.client.health import faulty_since
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

    watching = loop.create_task(watch(), name="realtime_fsm inspector")
    with hooks.added(hooks.records, observe):
        for each in connections:
            _begin(each, board)
        try:
            yield
        finally:
            watching.cancel()


def _begin(connection: ConnectionInfo, board: Board) -> None:
    """Show the state and the failures of a connection that are older than its first record here."""
    view, told, driver = board.view(connection.connection_id), connection.explain(), connection._driver
    if view is None:
        return
    view.last, view.closed = told.at.timestamp(), told.state is State.DISPOSING
    view.link, view.attempt, view.era = driver.context.generation, told.attempt, None if told.era is None else told.era.value
    if told.since is not None:
        view.enter(told.state.value, told.since.timestamp())
    if told.last_failure is not None:
        view.add_cause(told.last_failure.at.timestamp(), describe_cause(told.last_failure.error.kind))
    if driver.bound_loop is not None:
        start, outage, fault = view.last - driver.bound_loop.time(), driver.outages.current, faulty_since(driver)
        view.fault = None if fault is None else start + fault
        if outage is not None:
            view.outage = start + outage.began, "planned" if outage.planned else "outage", describe_cause(outage.cause)
    _update(view, connection)
    board.touch(connection.connection_id)


def _update(view: View, connection: ConnectionInfo) -> bool:
    """Update the facts without a record: the counts of subscriptions, and the next deadline; return whether one has changed."""
    told = connection.explain()
    before = msgspec.json.encode(view)
    view.awaited, view.due = told.awaited, None if told.due is None else round(told.due.timestamp(), 1)
    desired = {one.id: one for one in told.subscriptions}
    view.subscriptions = {name: one for name, one in view.subscriptions.items() if name in desired or one.phase == "rejected"}
    view.left_out = 0
    for each in desired.values():
        one = view.subscription(each.id)
        if one is None:
            view.left_out += 1
            continue
        one.phase, one.channels = "acknowledged" if each.acknowledged else "desired", list(each.channels)
        one.received, one.dropped, one.waiting = each.received, each.dropped, each.waiting
        one.behind = None if not each.waiting else one.behind or told.at.timestamp()
    return before != msgspec.json.encode(view)
