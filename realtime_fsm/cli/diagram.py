"""``realtime-fsm diagram``: draw the state table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_fsm.audit.formats.text_utils import printable
from realtime_fsm.cli.output import pretty_json, write_all
from realtime_fsm.diagram import FORMATS, VIEWS, diagram
from realtime_fsm.diagram.difference import as_lines, compare
from realtime_fsm.diagram.exported import decode_table, read_exported
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    import argparse

_EPILOG = """\
With --diff the exit code is 0 without a change, and 1 with changes; 2 is a misuse. OLD.json is the output of --format json of
another version.
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "diagram",
        help="draw the states and their transitions, or compare two tables",
        description="Draw the states and their transitions, from the table that the client runs, or show how an older table"
        " differs from it. Only png needs Graphviz.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "--format", metavar="FORMAT", help=f"one of {', '.join(FORMATS)} ({FORMATS[0]}); with --diff, text or json"
    )
    parser.add_argument("--view", default=VIEWS[0], metavar="VIEW", help=f"one of {', '.join(VIEWS)} (%(default)s)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to this file instead of stdout")
    parser.add_argument("--diff", metavar="OLD.json", help="draw nothing, but show how the table differs from this exported one")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw to a file or to stdout; return the exit code."""
    if options.diff is not None:
        return _compare(options)
    form = options.format or FORMATS[0]
    if form == "png" and options.output is None and sys.stdout.isatty():
        raise BadOption("--format", "a terminal cannot show a PNG; add -o FILE, or pipe it into a program")
    drawing = diagram(form, options.view)
    _write(drawing if isinstance(drawing, bytes) else drawing.encode(), options.output)
    return 0


def _compare(options: argparse.Namespace) -> int:
    if options.format not in (None, "text", "json"):
        raise BadOption("--format", f"{options.format!r} is not known with --diff; use text or json")
    if options.view != VIEWS[0]:
        raise BadOption("--view", "--diff compares whole tables; leave the view out")
    old, new = read_exported(options.diff, "--diff"), decode_table(diagram("json", "full"), "--diff")
    difference = compare(old, new)
    if options.format == "json":
        text = pretty_json(difference) + "\n"
    else:
        text = "".join(f"{printable(line)}\n" for line in as_lines(difference))
    _write(text.encode(), options.output)
    return 1 if difference.changes else 0


def _write(data: bytes, output: str | None) -> None:
    if output is None:
        write_all(data)
    else:
        Path(output).write_bytes(data)
