"""``realtime-fsm inspect``: show connections on a page of this machine, from logs or live."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from realtime_fsm.audit.sources import STDIN, Unreadable, is_read_once, open_log
from realtime_fsm.audit.tail import find_problem, refuse_packed
from realtime_fsm.cli.arguments import add_connections, add_renamed_fields, port
from realtime_fsm.cli.identity import identity_from_environment
from realtime_fsm.cli.loop import run_until_interrupted, start_server
from realtime_fsm.cli.output import print_problem, warnings_printed
from realtime_fsm.client.realtime import Realtime
from realtime_fsm.client.threads import DaemonThreads
from realtime_fsm.errors import BadOption, Misuse, RealtimeError
from realtime_fsm.ops.inspector.board import MOST, Board
from realtime_fsm.ops.inspector.live import shown
from realtime_fsm.ops.inspector.logs import LogReader, explain_empty
from realtime_fsm.ops.inspector.server import InspectorServer, open_browser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "inspect",
        help="show connections live on a page of this machine: state diagram, timeline, subscriptions, causes",
        description="Show connections on a page of this machine: the state diagram with the current state, the timeline, the"
        " subscriptions and the last failures. Names are logs; with --listen they are channels to listen to. Ends with Ctrl-C.",
        epilog=f"The page shows {MOST} connections; a new one takes the place of a closed one. Only this machine can open the"
        " page, with the token in its URL. The identity for --listen comes from the environment: APPWRITE_SESSION or"
        " APPWRITE_JWT.",
    )
    parser.add_argument("names", metavar="NAME", nargs="+", help="a log, - for standard input; with --listen a channel")
    parser.add_argument("--follow", action="store_true", help="go on reading as the logs grow, like tail -F")
    add_connections(parser, "show only connections whose ids begin so; may be repeated")
    add_renamed_fields(parser)
    parser.add_argument("--listen", metavar="ENDPOINT", help="listen to the channels at this Appwrite endpoint, and show that")
    parser.add_argument("--project", metavar="ID", help="with --listen: the project's id")
    parser.add_argument("--port", type=port, default=0, help="the port of the page; 0 lets the system choose (%(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="only print the URL of the page, and open no browser")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show the page until Ctrl-C; return the exit code."""
    if options.listen is None:
        return run_until_interrupted(_inspect_logs(options))
    if options.project is None:
        raise BadOption("--project", "--listen needs the id of the project")
    for name in ("follow", "connection", "map"):
        if getattr(options, name):
            raise BadOption(f"--{name}", "it is for logs, and does not go with --listen")
    with warnings_printed():
        return run_until_interrupted(_inspect_connection(options))


async def _inspect_logs(options: argparse.Namespace) -> None:
    if options.project is not None:
        raise BadOption("--project", "it goes with --listen")
    if options.follow and STDIN in options.names:
        raise BadOption("--follow", "it is for files; standard input is read to its end anyway")
    if options.follow:
        refuse_packed("--follow", options.names)
        for name in options.names:
            if problem := find_problem(name):
                print_problem(f"{name}: {problem}; waiting for it")
    else:
        _refuse_unreadable(options.names)
        await _refuse_empty(options)
    board = Board(", ".join(options.names), options.connection)
    reader = LogReader(board, dict(options.map))
    await _serve(options, board, reader.follow(options.names) if options.follow else reader.read(options.names))


def _refuse_unreadable(names: list[str]) -> None:
    """Refuse a log that cannot be opened. A log that is damaged further on is shown up to there."""
    for name in names:
        try:
            if not is_read_once(name):
                open_log(name).close()
        except Unreadable as unreadable:
            raise BadOption("NAME", f"{name}: {unreadable}") from None


async def _refuse_empty(options: argparse.Namespace) -> None:
    """Refuse logs without a record that the page could show. A stream, which may still bring one, is not read ahead."""
    if any(map(is_read_once, options.names)):
        return
    with DaemonThreads("realtime_fsm inspector") as threads:  # a long log does not hold up Ctrl-C
        given = options.names, options.connection, dict(options.map)
        problem = await asyncio.get_running_loop().run_in_executor(threads, explain_empty, *given)
    if problem:
        raise BadOption("NAME", problem)


async def _inspect_connection(options: argparse.Namespace) -> None:
    async with Realtime(options.listen, options.project, trust_env=True, **identity_from_environment()) as realtime:
        board = Board(f"{options.project} at {options.listen}")
        with shown((realtime,), board):
            await _serve(options, board, _consume(realtime, options.names, board))


async def _consume(realtime: Realtime, channels: list[str], board: Board) -> None:
    """Take the events of the channels, and drop them: the page shows none."""
    try:
        async for _ in await realtime.subscribe(*channels):
            pass
    except Misuse:
        raise
    except RealtimeError as failure:  # the page goes on: it shows why
        board.problem = str(failure)
        board.touch()


async def _serve(options: argparse.Namespace, board: Board, work: Coroutine[Any, Any, None]) -> None:
    async with AsyncExitStack() as stack:
        stack.callback(work.close)
        server = await start_server(InspectorServer(board, port=options.port), stack, f"port {options.port}")
        print(f"The page is at {server.url}\nCtrl-C ends it.", flush=True)
        if not options.no_browser:
            open_browser(server.url)
        await work
        if board.problem:
            print_problem(board.problem)
        await asyncio.Event().wait()
