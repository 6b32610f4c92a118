"""``realtime-fsm serve``: run the embedded server, and publish sample events."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from typing import TYPE_CHECKING, Any

from realtime_fsm.cli.arguments import port, seconds
from realtime_fsm.cli.loop import run_until_interrupted, start_server
from realtime_fsm.protocol.options import realtime_url
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.eras import ERAS

if TYPE_CHECKING:
    import argparse

_SAMPLES = ("create", "update", "update", "delete")


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "serve",
        help="run the embedded server on loopback, with sample events",
        description="Run the embedded server on loopback, and publish sample events. Ends with Ctrl-C.",
    )
    eras = ", ".join(f"{era.name} for {era.releases}" for era in ERAS.values())
    parser.add_argument("--port", type=port, default=8090, help="the port; 0 lets the system choose (%(default)s)")
    parser.add_argument("--project", default="demo", metavar="ID", help="the project's id (%(default)s)")
    parser.add_argument(
        "--era", choices=tuple(ERAS), default="E4", help=f"the releases of Appwrite to imitate: {eras} (%(default)s)"
    )
    parser.add_argument(
        "--every", type=seconds(0, 3600), default=1.0, metavar="SECONDS",
        help="seconds between events; 0 publishes none (%(default)s)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C; return the exit code."""
    realtime_url("http://127.0.0.1", options.project)  # refuses a project that no client can name
    return run_until_interrupted(_serve(options))


async def _serve(options: argparse.Namespace) -> None:
    server = RealtimeServer(projects=(options.project,), port=options.port, era=options.era)
    async with AsyncExitStack() as stack:
        await start_server(server, stack, f"port {options.port}")
        command = f"realtime-fsm listen {server.endpoint} --project {options.project} rows"
        print(f"Serving project {options.project!r} at {server.endpoint}; in another terminal:\n  {command}", flush=True)
        if not options.every:
            await asyncio.Event().wait()
        for index in count():
            await asyncio.sleep(options.every)
            sample, row = index % len(_SAMPLES), index // len(_SAMPLES) + 1
            publish_row(server, f"row{row}", _SAMPLES[sample], {"title": f"sample {index + 1}"})


def publish_row(server: RealtimeServer, row: str, action: str, fields: dict[str, Any]) -> None:
    """Publish the event of a row with a few of the names and channels that a real server sends (about 64 and 16)."""
    tables = ("databases.main.tables.orders.rows", "tablesdb.main.tables.orders.rows")
    server.publish(
        [*(f"{table}.{row}.{action}" for table in tables), f"databases.*.tables.*.rows.*.{action}"],
        ["rows", f"rows.{action}", *(name for table in tables for name in (table, f"{table}.{row}"))],
        {"$id": row, **fields},
    )
