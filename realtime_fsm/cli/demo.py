"""``realtime-fsm demo``: show events, a lost link and events again, on the embedded server."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from realtime_fsm.auditlog.writer import configure
from realtime_fsm.cli.describe import describe_change
from realtime_fsm.cli.loop import run_until_interrupted
from realtime_fsm.cli.serve import publish_row
from realtime_fsm.client.realtime import Realtime
from realtime_fsm.testing import RealtimeServer

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from realtime_fsm.client.subscription import Subscription
    from realtime_fsm.fsm.change import Change

_PATIENCE = 30.0


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "demo",
        help="show the main job in two seconds: events, a lost link, events again",
        description="Show a client and the embedded server: events arrive, the server drops the link, the client dials again, and"
        " events arrive again. Leaves an audit log for the commands audit and replay.",
    )
    parser.add_argument(
        "--log", metavar="FILE", default="demo-audit.jsonl",
        help="write the audit log to this file, which is replaced (%(default)s)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show the demonstration; return the exit code."""
    Path(options.log).unlink(missing_ok=True)
    return run_until_interrupted(show(options.log, sys.stdout))


async def show(log: str, out: TextIO) -> None:
    """Show the demonstration on ``out``, and write its audit log to ``log``."""
    printer = _Printer(out)
    with configure(log):
        async with RealtimeServer(projects=("demo",)) as server:
            printer.say("server", f"listens at {server.endpoint}")
            async with Realtime(server.endpoint, project="demo") as realtime:
                changes = asyncio.ensure_future(printer.print_changes(realtime.states()))
                changes.add_done_callback(lambda done: done.cancelled() or done.exception())  # with `| head`, our own print fails
                subscription = await realtime.subscribe("rows")
                for number in (1, 2, 3):
                    publish_row(server, f"row{number}", "create", {"title": f"order {number}"})
                await printer.print_events(subscription, 3)

                printer.say("server", "ends the stream without a close frame, as real servers do")
                server.drop()
                await server.wait_for_subscriptions(1, timeout=_PATIENCE)
                publish_row(server, "row1", "update", {"title": "order 1, after the outage"})
                await printer.print_events(subscription, 1)
                await subscription.unsubscribe()
            await changes
    printer.say("client", "is disposed of, and leaves no task or socket behind")
    print(f"\nThe path:      {' -> '.join(printer.path)}", file=out)
    print(f"The audit log: {_summary_of(log)}", file=out)


def _summary_of(log: str) -> str:
    path = Path(log).resolve()
    return f"{path} ({len(path.read_text(encoding='utf-8').splitlines())} records)"


class _Printer:
    """Prints a line for each step, with the seconds since the start."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._start = time.monotonic()
        self.path: list[str] = []

    def say(self, actor: str, text: str) -> None:
        print(f"{time.monotonic() - self._start:6.2f} s  {actor:<7} {text}", file=self._out, flush=True)

    async def print_changes(self, states: AsyncIterator[Change]) -> None:
        async for change in states:
            self.path += [change.dest.value] if self.path else [change.source.value, change.dest.value]
            self.say("state", describe_change(change))

    async def print_events(self, subscription: Subscription, count: int) -> None:
        async with asyncio.timeout(_PATIENCE):
            for _ in range(count):
                event = await anext(subscription)
                self.say("event", f"{event.events[0]}  {msgspec.json.encode(event.payload).decode()}")
