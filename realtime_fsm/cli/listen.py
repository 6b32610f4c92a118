"""``realtime-fsm listen``: print the events of some channels, and on a terminal the changes of state."""

from __future__ import annotations

import asyncio
import math
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from realtime_fsm.audit.formats.text_utils import pluralize, printable_json
from realtime_fsm.auditlog.writer import configure
from realtime_fsm.cli.arguments import add_server, host_and_port, number
from realtime_fsm.cli.describe import describe_change, describe_failure, on_failed_dial
from realtime_fsm.cli.failures import WORDS, run_connection
from realtime_fsm.cli.identity import add_as_user, identity
from realtime_fsm.cli.loop import start_server
from realtime_fsm.cli.output import os_error_text, print_problem, write_line
from realtime_fsm.client.realtime import Realtime
from realtime_fsm.errors import IDENTITY_REMEDY, BadOption
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.protocol.channel_checks import NO_EVENT_FOR_GUESTS, is_silent_for

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

    from realtime_fsm.auditlog.file import AuditFile
    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.cli.screen import Screen
    from realtime_fsm.client.subscription import Subscription
    from realtime_fsm.events import Event
    from realtime_fsm.fsm.change import Change, Failure


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "listen",
        help="print the events of some channels, one JSON line each",
        description="Print the events of some channels to stdout, one JSON line each. Failed dials go to stderr, on a terminal"
        " each change of state as well. Ends with Ctrl-C.",
        epilog="The identity comes from the environment: APPWRITE_SESSION or APPWRITE_JWT; with --as-user,"
        " APPWRITE_API_KEY alone. So no list of processes shows it. The proxy comes from there, too: HTTPS_PROXY, ALL_PROXY and"
        " NO_PROXY.",
    )
    add_connection_arguments(parser)
    parser.add_argument(
        "--tui", action="store_true",
        help="draw the state, the counts of each channel, and the last events, changes and failed dials (extra tui)",
    )  # fmt: skip
    parser.set_defaults(run=run)


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of a command that listens to channels."""
    add_server(parser)
    parser.add_argument("channels", metavar="CHANNEL", nargs="+", help="a channel, such as rows or account")
    add_as_user(parser)
    parser.add_argument("--log", metavar="FILE", help="append the audit log to this file, as JSON lines")
    parser.add_argument(
        "--attempts", metavar="N", type=_attempts, default=RetryPolicy().attempts,
        help="failed dials in a row before giving up on the first link: a number or 'forever' (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--reconnect-attempts", metavar="N", type=_attempts, default=RetryPolicy().reconnect_attempts,
        help="the same after a link has been up (forever)",
    )  # fmt: skip
    parser.add_argument(
        "--health", metavar="HOST:PORT", type=host_and_port,
        help="answer the probes /livez and /readyz of an orchestrator there, over HTTP; port 0 lets the system choose",
    )  # fmt: skip


def _attempts(word: str) -> int | None:
    return None if word == "forever" else number(int, 1, math.inf, "a whole number from 1 on, or 'forever'")(word)


def run(options: argparse.Namespace) -> int:
    """Listen until Ctrl-C; return the exit code."""
    return run_connection(options, _listen(options))


async def _listen(options: argparse.Namespace) -> None:
    screen_type = _screen_type() if options.tui else None
    async with AsyncExitStack() as stack:
        realtime = await open_connection(options, stack)
        if screen_type is not None:
            await screen_type(realtime, options.channels).run()
            return
        print_news(realtime, stack)
        subscription = await realtime.subscribe(*options.channels, overflow="pause")
        print_silent_channels(realtime, options.channels)
        await _print_events(subscription)


async def open_connection(options: argparse.Namespace, stack: AsyncExitStack) -> Realtime:
    """Make the connection of the arguments, with its log and its probes; the stack disposes of it."""
    if options.log is not None:
        stack.enter_context(_open_log(options.log))
    retry = RetryPolicy(attempts=options.attempts, reconnect_attempts=options.reconnect_attempts)
    realtime = Realtime(options.endpoint, options.project, **identity(options), retry=retry, trust_env=True)
    if options.log is not None:
        _print_unwritten_records(realtime._driver.audit, options.log, stack)  # noqa: SLF001
    await stack.enter_async_context(realtime)
    if options.health is not None:
        from realtime_fsm.ops.health import serve  # it loads a web server

        host, port = options.health
        server = await start_server(serve(realtime, host=host, port=port), stack, f"--health {host}:{port}")
        print_problem(f"{server.url}/livez and /readyz tell the health")
    return realtime


def _open_log(path: str) -> AuditFile:
    try:
        return configure(path)
    except OSError as failure:
        raise OSError(f"--log {os_error_text(failure)}") from failure


def _print_unwritten_records(audit: AuditWriter, path: str, stack: AsyncExitStack) -> None:
    """Print the first failure of the log at once, and at the end the number of records that it lacks.

    A failure of another kind, such as of a hook, goes to the report of the connection.
    """
    report = audit.on_failure

    def print_failure(failure: BaseException) -> None:
        if isinstance(failure, OSError):
            print_problem(f"--log {path}: {failure.strerror or failure}; the log lacks records, and the command goes on")
        else:
            report(failure)

    def print_number() -> None:
        if audit.failures:
            print_problem(f"--log {path}: {pluralize(audit.failures, 'record')} could not be written")

    audit.on_failure = print_failure
    stack.callback(print_number)


def print_news(realtime: Realtime, stack: AsyncExitStack) -> None:
    """Print each failed dial to stderr, and on a terminal each change of state."""
    on_failed_dial(realtime, _print_failure)
    if sys.stderr.isatty():
        printer = asyncio.ensure_future(_print_changes(realtime.states(), sys.stderr))
        stack.push_async_callback(asyncio.wait, (printer,))  # the last change comes with the disposal
        stack.push_async_callback(realtime.dispose)


def print_silent_channels(realtime: Realtime, channels: list[str]) -> None:
    """Print a warning for each channel without events for the guest that the server greeted."""
    for channel in channels:
        if is_silent_for(realtime.user, channel):
            print_problem(f"warning: {channel}: {NO_EVENT_FOR_GUESTS}; {WORDS[IDENTITY_REMEDY]}")


def _screen_type() -> type[Screen]:
    try:
        from realtime_fsm.cli.screen import Screen
    except ImportError:
        raise BadOption("--tui", "the package rich is missing; install realtime-fsm[tui]") from None
    if not sys.stdout.isatty():
        raise BadOption("--tui", "standard output is no terminal; leave the option out")
    return Screen


def _print_failure(failure: Failure) -> None:
    if failure.delay:  # the last one ends the command, with its own sentence
        print_problem(describe_failure(failure))


async def _print_changes(states: AsyncIterator[Change], out: TextIO) -> None:
    async for change in states:
        print(describe_change(change), file=out, flush=True)


async def _print_events(subscription: Subscription) -> None:
    encode = msgspec.json.Encoder().encode
    on_terminal = sys.stdout.isatty()
    async for event in subscription:
        line = encode(_as_record(event))
        await write_line((printable_json(line.decode()).encode() if on_terminal else line) + b"\n")


def _as_record(event: Event) -> dict[str, object]:
    moment = event.timestamp
    return {
        "timestamp": None if moment is None else moment.isoformat(timespec="milliseconds"),
        "events": event.events,
        "channels": event.channels,
        "payload": event.payload,
    }
