"""``realtime-fsm relay``: publish the events of some channels to a stream of NATS JetStream."""

from __future__ import annotations

import os
import re
from contextlib import AsyncExitStack
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from realtime_fsm.catch_up import rows
from realtime_fsm.cli.arguments import seconds
from realtime_fsm.cli.failures import run_connection
from realtime_fsm.cli.identity import appwrite_client
from realtime_fsm.cli.listen import add_connection_arguments, open_connection, print_news, print_silent_channels
from realtime_fsm.cli.output import print_problem
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    import argparse

    from realtime_fsm.fsm.change import Gap
    from realtime_fsm.runtime.delivery import CatchUp

_LOGIN = {"user": "NATS_USER", "password": "NATS_PASSWORD", "token": "NATS_TOKEN", "user_credentials": "NATS_CREDS"}
_TABLE = re.compile(r"(?:databases|tablesdb)\.(.+)\.tables\.(.+?)\.rows(?:\.(?:create|update|upsert))?")


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "relay",
        help="publish the events of some channels to NATS JetStream",
        description="Publish the events of some channels to a stream of NATS JetStream, each at least once into the stream and"
        " once in it. Ends with Ctrl-C, or with one sentence and code 1 when an event cannot be stored.",
        epilog="The identities come from the environment, so no list of processes shows one. Appwrite: APPWRITE_SESSION,"
        " APPWRITE_JWT or APPWRITE_API_KEY, as for listen. NATS: NATS_USER and NATS_PASSWORD, NATS_TOKEN, or NATS_CREDS, the"
        " path of a credentials file. SSL_CERT_FILE names the authorities to trust.",
    )
    add_connection_arguments(parser)
    parser.add_argument("--to", required=True, metavar="URL", action="append", help="nats://HOST:4222, or tls://; may repeat")
    parser.add_argument("--stream", default="APPWRITE", metavar="NAME", help="the stream; created if missing (%(default)s)")
    parser.add_argument(
        "--outage", type=seconds(1, 604_800), default=600.0, metavar="SECONDS",
        help="the longest outage of the broker to be covered; the stream should know ids for as long (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--catch-up", action="store_true",
        help="publish the rows that changed while no relay ran, too; each channel is that of a table, and the API key in"
        " APPWRITE_API_KEY may read its rows",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Relay until Ctrl-C; return the exit code."""
    return run_connection(options, _relay(options))


async def _relay(options: argparse.Namespace) -> None:
    from realtime_fsm.relay import JetStream, Relay  # without nats-py, this alone fails

    login: dict[str, Any] = {option: os.environ[name] for option, name in _LOGIN.items() if os.environ.get(name)}

    def print_start() -> None:
        place = f"stream {sink.stream} at {sink.server}, which knows ids for {sink.duplicate_window:g} s"
        print(f"Relaying {', '.join(options.channels)} to {place}", flush=True)
        print_silent_channels(realtime, options.channels)

    try:
        sink = JetStream(
            options.to, stream=options.stream, outage=options.outage,
            on_trouble=lambda trouble: print_problem(f"{trouble}; events wait"), **login,
        )  # fmt: skip
    except BadOption as refusal:
        raise _in_words_of_the_command(refusal) from None
    catch_up = _catch_up(options) if options.catch_up else None

    async with AsyncExitStack() as stack:
        realtime = await open_connection(options, stack)
        print_news(realtime, stack)
        await Relay(realtime, options.channels, sink=sink, catch_up=catch_up, on_ready=print_start).run()


def _in_words_of_the_command(refusal: BadOption) -> BadOption:
    name = _LOGIN.get(refusal.option) or {"servers": "--to"}.get(refusal.option, f"--{refusal.option}")
    return BadOption(name, str(refusal).removeprefix(f"{refusal.option}: "))


def _catch_up(options: argparse.Namespace) -> CatchUp:
    """List the missed rows of all tables, in the order of their times."""
    tables = [_TABLE.fullmatch(channel) for channel in options.channels]
    client = appwrite_client(options, "--catch-up", "an API key must list the rows")
    from appwrite.services.tables_db import TablesDB

    if not all(tables):
        raise BadOption("--catch-up", "give channels of tables, such as databases.main.tables.orders.rows")
    listings = [rows(TablesDB(client), table[1], table[2]) for table in tables if table]

    async def catch_up(gap: Gap) -> list[Any]:
        found = [row for listing in listings for row in await listing(gap)]
        return sorted(found, key=itemgetter("$updatedAt"))

    return catch_up
