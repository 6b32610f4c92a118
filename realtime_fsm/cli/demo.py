"""The demonstration: the main job on the embedded server, in front of your eyes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from realtime_fsm.auditlog.writer import configure
from realtime_fsm.cli.describe import describe_change
from realtime_fsm.client.realtime import Realtime
from realtime_fsm.testing import RealtimeServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from realtime_fsm.auditlog.file import AuditFile
    from realtime_fsm.client.subscription import Subscription
    from realtime_fsm.fsm.change import Change

_PATIENCE = 30.0


def publish_row(server: RealtimeServer, row: str, action: str, fields: dict[str, Any]) -> int:
    """Publish the event of a row as a server would, in short: a real one has about 64 names and 16 channels.

    Args:
        server: the embedded server.
        row: the row's id.
        action: ``"create"``, ``"update"`` or ``"delete"``.
        fields: the row's columns.

    Returns:
        How many connections received it.
    """
    table = "databases.main.tables.orders.rows"
    return server.publish(
        [f"{table}.{row}.{action}", f"databases.*.tables.*.rows.*.{action}"],
        ["rows", table, f"{table}.{row}", f"rows.{action}"],
        {"$id": row, **fields},
    )


class _DemoPrinter:
    """Prints what happens, with the seconds since the beginning."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._begin = time.monotonic()
        self.path: list[str] = []

    def say(self, who: str, what: str) -> None:
        print(f"{time.monotonic() - self._begin:6.2f} s  {who:<7} {what}", file=self._out, flush=True)

    async def follow(self, states: AsyncIterator[Change]) -> None:
        async for change in states:
            self.path += [change.dest.value] if self.path else [change.source.value, change.dest.value]
            self.say("state", describe_change(change))

    async def receive(self, subscription: Subscription, count: int) -> None:
        async with asyncio.timeout(_PATIENCE):
            for _ in range(count):
                event = await anext(subscription)
                self.say("event", f"{event.events[0]}  {event.payload}")


async def run(log: str, out: TextIO) -> None:
    """Show it.

    Args:
        log: where the audit log goes; an earlier one is replaced.
        out: where to print.

    Raises:
        OSError: when the log cannot be written.
    """
    printer = _DemoPrinter(out)
    with _fresh(log):
        async with RealtimeServer(projects=("demo",)) as server:
            printer.say("server", f"listening at {server.endpoint}")
            async with Realtime(server.endpoint, project="demo") as realtime:
                follower = asyncio.ensure_future(printer.follow(realtime.states()))
                follower.add_done_callback(lambda done: done.cancelled() or done.exception())  # with `| head`, ours is told
                subscription = await realtime.subscribe("rows")
                for number in (1, 2, 3):
                    publish_row(server, f"row{number}", "create", {"title": f"order {number}"})
                await printer.receive(subscription, 3)

                printer.say("server", "ends the stream, without a close frame, as real ones do")
                server.drop()
                await server.wait_for_subscriptions(1, timeout=_PATIENCE)
                publish_row(server, "row1", "update", {"title": "order 1, after the outage"})
                await printer.receive(subscription, 1)
                await subscription.unsubscribe()
            await follower
    printer.say("client", "disposed of; nothing is left running")
    path, records = _written(log)
    print(f"\nThe path:      {' -> '.join(printer.path)}", file=out)
    print(f"The audit log: {path} ({records} records)", file=out)


def _fresh(log: str) -> AuditFile:
    Path(log).unlink(missing_ok=True)
    return configure(log)


def _written(log: str) -> tuple[Path, int]:
    path = Path(log).resolve()
    return path, len(path.read_text(encoding="utf-8").splitlines())
