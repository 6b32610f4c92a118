"""The command line: listen to a server, serve an embedded one, look at the table and at logs, or see a demonstration."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

import msgspec

from realtime_fsm.auditlog.writer import configure
from realtime_fsm.cli import audit as audit
from realtime_fsm.cli import demo
from realtime_fsm.cli import replay as replaying
from realtime_fsm.cli.describe import describe_change, failure_in_words
from realtime_fsm.cli.output import discard_stdout, reopen_standard_streams, write_all, write_line
from realtime_fsm.client.realtime import Realtime
from realtime_fsm.diagram import FORMATS, VIEWS, diagram
from realtime_fsm.errors import Misuse, RealtimeError
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.protocol.options import realtime_url
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.eras import ERAS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from realtime_fsm.client.subscription import Subscription
    from realtime_fsm.events import Event
    from realtime_fsm.fsm.change import Change, Failure

N = TypeVar("N", int, float)
_BUFFER = 128  # events that wait for whoever reads; a large one takes as much memory as its frame
OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
_SAMPLES = ("create", "update", "update", "delete")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: the words after the command's name; None for those of the process.

    Returns:
        The exit code: 0 for a tidy end, 1 for a failure (with one sentence on stderr), 2 for a misuse, 130 after Ctrl-C.
    """
    reopen_standard_streams()
    options = _parser().parse_args(arguments)
    if options.run in (audit.run, replaying.run):  # they read files, and need no event loop
        code: int = options.run(options)
        return code
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_until_interrupted(options.run(options)))
    except Misuse as misuse:
        return _fail(f"realtime-fsm: {misuse}", USAGE)
    except RealtimeError as failure:
        where = f"project {options.project!r} at {options.endpoint}: " if options.run is _listen else ""
        return _fail(f"realtime-fsm: {where}{failure}", FAILED)
    except BrokenPipeError:  # `realtime-fsm listen ... | head`: the reader has had enough
        discard_stdout()
        return OK
    except OSError as failure:
        where = "" if failure.filename is None else f"{failure.filename}: "
        return _fail(f"realtime-fsm: {where}{failure.strerror or failure}", FAILED)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes event loops: uvloop where it is installed (extra ``speed``), or else asyncio itself."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="realtime-fsm", description="Appwrite Realtime, as a formal state machine.")
    parser.add_argument("--version", action="version", version=f"realtime-fsm {version('realtime-fsm')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listen = commands.add_parser(
        "listen",
        help="print the events of some channels, one JSON line each",
        description="Print the events of some channels on stdout, one JSON line each; on a terminal also the changes of state,"
        " in words, on stderr; stderr shows each failed dial in any case. Ends with Ctrl-C.",
        epilog="Identity comes from the environment, so that it stays out of the list of processes: APPWRITE_SESSION or"
        " APPWRITE_JWT.",
    )
    listen.add_argument("endpoint", metavar="ENDPOINT", help="the Appwrite endpoint, such as https://cloud.appwrite.io/v1")
    listen.add_argument("--project", required=True, metavar="ID", help="the project's id")
    listen.add_argument("channels", metavar="CHANNEL", nargs="+", help="what to listen to, such as rows or account")
    listen.add_argument("--log", metavar="FILE", help="append the audit log to this file, as JSON lines")
    listen.add_argument(
        "--attempts", metavar="N", type=_attempts, default=RetryPolicy().attempts,
        help="how many dials in a row may fail before a link has been up: a number or 'forever' (%(default)s)",
    )  # fmt: skip
    listen.add_argument(
        "--reconnect-attempts", metavar="N", type=_attempts, default=RetryPolicy().reconnect_attempts,
        help="how many dials in a row may fail after a link has been up: a number or 'forever' (forever)",
    )  # fmt: skip
    listen.set_defaults(run=_listen)

    serve = commands.add_parser(
        "serve",
        help="run the embedded server on loopback, with sample events",
        description="Run the embedded server on loopback and publish a sample event every so often. Ends with Ctrl-C.",
    )
    serve.add_argument("--port", type=_port, default=8090, help="the port; 0 lets the system choose (%(default)s)")
    serve.add_argument("--project", default="demo", metavar="ID", help="the project's id (%(default)s)")
    eras = ", ".join(f"{era.name} for {era.releases}" for era in ERAS.values())
    serve.add_argument("--era", choices=tuple(ERAS), default="E4", help=f"which servers it is like: {eras} (%(default)s)")
    serve.add_argument(
        "--every", type=_pause, default=1.0, metavar="SECONDS", help="from event to event; 0 for none (%(default)s)"
    )
    serve.set_defaults(run=_serve)

    draw = commands.add_parser(
        "diagram",
        help="draw the table that runs",
        description="Draw the states and transitions from the table that runs. svg and png need Graphviz.",
    )
    draw.add_argument("--format", default=FORMATS[0], metavar="FORMAT", help=f"one of {', '.join(FORMATS)} (%(default)s)")
    draw.add_argument("--view", default=VIEWS[0], metavar="VIEW", help=f"one of {', '.join(VIEWS)} (%(default)s)")
    draw.add_argument("-o", "--output", metavar="FILE", help="write to this file instead of stdout")
    draw.set_defaults(run=_diagram)

    audit.add_parser(commands)
    replaying.add_parser(commands)

    show = commands.add_parser("demo", help="show the main job in a minute: events, a lost link, events again")
    show.add_argument("--log", metavar="FILE", default="demo-audit.jsonl", help="where the audit log goes (%(default)s)")
    show.set_defaults(run=lambda options: demo.run(options.log, sys.stdout))
    return parser


def _attempts(word: str) -> int | None:
    return None if word == "forever" else _number(word, int, 1, math.inf, "a whole number from 1 on, or 'forever'")


def _port(word: str) -> int:
    return _number(word, int, 0, 65_535, "a port from 0 to 65535")


def _pause(word: str) -> float:
    return _number(word, float, 0, 3600, "a number of seconds from 0 to 3600")


def _number(word: str, sort: type[N], least: float, most: float, wanted: str) -> N:
    try:
        value = sort(word)
    except ValueError:
        value = sort(-1)  # which is out of every range here
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{word!r} is not {wanted}")
    return value


async def _until_interrupted(work: Coroutine[None, None, None]) -> int:
    """Run to the end, or until Ctrl-C or a TERM, which cancel the work so that everything is closed in order."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def interrupt(number: int) -> None:
        received.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]
    return OK


async def _listen(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        if options.log is not None:
            stack.enter_context(configure(options.log))
        realtime = await stack.enter_async_context(
            Realtime(
                options.endpoint,
                options.project,
                session=os.environ.get("APPWRITE_SESSION") or None,
                jwt=os.environ.get("APPWRITE_JWT") or None,
                retry=RetryPolicy(attempts=options.attempts, reconnect_attempts=options.reconnect_attempts),
            )
        )
        realtime._driver.failures.tell = _tell_failure  # noqa: SLF001  (the states do not show each attempt)
        if sys.stderr.isatty():
            follower = asyncio.ensure_future(_follow(realtime.states(), sys.stderr))
            stack.push_async_callback(asyncio.wait, (follower,))  # to its last line, after the end
            stack.push_async_callback(realtime.dispose)
        await _print(await realtime.subscribe(*options.channels, buffer=_BUFFER, overflow="pause"))


def _tell_failure(failure: Failure) -> None:
    if not failure.delay:  # the end of the command tells the last one
        return
    with suppress(OSError, ValueError):  # stderr is gone; listening goes on
        print(f"realtime-fsm: {failure_in_words(failure)}", file=sys.stderr, flush=True)


async def _follow(states: AsyncIterator[Change], out: TextIO) -> None:
    async for change in states:
        print(describe_change(change), file=out, flush=True)


async def _print(subscription: Subscription) -> None:
    encode = msgspec.json.Encoder().encode
    async for event in subscription:
        await write_line(encode(_as_record(event)) + b"\n")


def _as_record(event: Event) -> dict[str, object]:
    moment = event.timestamp
    return {
        "timestamp": None if moment is None else moment.isoformat(timespec="milliseconds"),
        "events": event.events,
        "channels": event.channels,
        "payload": event.payload,
    }


async def _serve(options: argparse.Namespace) -> None:
    realtime_url("http://127.0.0.1", options.project)  # refuses what no client could ask for
    server = RealtimeServer(projects=(options.project,), port=options.port, era=options.era)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except OSError as failure:
            problem = f"{os.strerror(failure.errno or 0)}; choose another port, or 0 for one that is free"
            raise OSError(failure.errno, problem, f"port {options.port}") from failure
        print(f"Serving project {options.project!r} at {server.endpoint}; in another terminal:", flush=True)
        print(f"  realtime-fsm listen {server.endpoint} --project {options.project} rows", flush=True)
        number = 0
        while True:
            if options.every <= 0:
                await asyncio.Event().wait()
            await asyncio.sleep(options.every)
            action = _SAMPLES[number % len(_SAMPLES)]
            row = f"row{number // len(_SAMPLES) + 1}"
            number += 1
            demo.publish_row(server, row, action, {"title": f"sample {number}"})


async def _diagram(options: argparse.Namespace) -> None:
    drawn = diagram(options.format, options.view)
    _write(drawn if isinstance(drawn, bytes) else drawn.encode(), options.output)


def _write(data: bytes, path: str | None) -> None:
    if path is None:
        write_all(data)
    else:
        Path(path).write_bytes(data)


def _fail(sentence: str, code: int) -> int:
    print(sentence, file=sys.stderr)
    return code
