"""``realtime-fsm doctor``: check each step of the way to a server, and name the most probable cause of missing events."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from realtime_fsm.cli.arguments import add_server, number, seconds
from realtime_fsm.cli.identity import add_as_user, identity
from realtime_fsm.cli.loop import run_until_interrupted
from realtime_fsm.cli.output import columns, fold, pretty_json
from realtime_fsm.cli.replay_view import palette_for
from realtime_fsm.ops.doctor import Status, examine
from realtime_fsm.ops.doctor.observed import MOST_CHANNELS, MOST_PINGS

if TYPE_CHECKING:
    import argparse

    from realtime_fsm.ops.doctor import Check

_COLUMNS = "{:<8} {:<10} {}"
_LEAST_WIDTH = 50  # columns, which leave room for more than a word beside the indent
_INDENT = " " * len(_COLUMNS.format("", "", ""))
_COLOURS = {Status.OK: "32", Status.WARNING: "33", Status.FAILED: "31"}


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "doctor",
        usage="%(prog)s [-h] --project ID [OPTION ...] ENDPOINT [CHANNEL ...]",
        help="find out why no events arrive: check name, TLS, proxy, identity, channels and more",
        description="Check each step of the way to a server, one line each: name, TCP, proxy, TLS, clock, upgrade, greeting,"
        " identity, pings, era, channels and budget. A warning or failure comes with its remedy. The last line names the most"
        " probable cause of missing events. Exits with 0 for ok and warnings, with 1 for a failure, and with 2 for a misuse.",
        epilog="The identity comes from the environment, so that no list of processes shows it: APPWRITE_SESSION or APPWRITE_JWT;"
        " with --as-user, APPWRITE_API_KEY alone. The proxy comes from there, too: HTTPS_PROXY, ALL_PROXY and NO_PROXY.",
    )
    add_server(parser)
    channels = parser.add_argument(
        "channels",
        metavar="CHANNEL",
        nargs="+",
        default=[],
        help=f"up to {MOST_CHANNELS} channels that bring no events, such as rows or account",
    )
    channels.required = False  # with nargs="*", argparse before 3.12 takes no channel that follows an option
    parser.add_argument("--session", metavar="SECRET", help="the session; better give it as APPWRITE_SESSION")
    add_as_user(parser)
    parser.add_argument(
        "--pings", metavar="N", type=number(int, 1, MOST_PINGS, f"a whole number from 1 to {MOST_PINGS}"), default=3,
        help=f"pings from 1 to {MOST_PINGS}: four a second apart, then one every 5 s (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--echo", action="store_true",
        help="set a presence of the user and await its event; other users may see it for a moment",
    )  # fmt: skip
    parser.add_argument(
        "--idle", metavar="SECONDS", type=seconds(0.1, 3600),
        help="check whether the link survives so long without traffic, such as 120",
    )  # fmt: skip
    parser.add_argument("--format", choices=("text", "json"), default="text", help="format of the report (%(default)s)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Examine, and print each check as it comes, or the report as JSON; return the exit code."""
    return run_until_interrupted(_examine(options))


async def _examine(options: argparse.Namespace) -> int:
    as_text = options.format == "text"
    who = identity(options) if options.session is None else {"session": options.session}
    report = await examine(
        options.endpoint, options.project, *options.channels, pings=options.pings, echo=options.echo, idle=options.idle,
        on_check=_print_check if as_text else None, trust_env=True, **who,
    )  # fmt: skip
    if as_text:
        not_checked = f"Not checked: {', '.join(report.not_checked)}" if report.not_checked else ""
        print(*_folded(not_checked), *_folded(report.cause), sep="\n")
    else:
        print(pretty_json(report))
    return int(report.status is Status.FAILED)


def _print_check(check: Check) -> None:
    palette = palette_for(sys.stdout)
    first, *lines = _folded(check.text, _INDENT, _INDENT)
    line = _COLUMNS.format(check.status, check.name, first.lstrip())
    if palette is not None:
        line = palette.text(check.status, _COLOURS[check.status]) + line[len(check.status) :]
    remedy = _folded(check.remedy, _INDENT + "-> ", _INDENT + "   ")
    print(line, *lines, *remedy, sep="\n", flush=True)


def _folded(text: str, first: str = "", others: str = "") -> list[str]:
    return fold(text, max(_LEAST_WIDTH, columns()), first, others)
