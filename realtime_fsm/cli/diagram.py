"""``realtime-fsm diagram``: draw the state table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_fsm.cli.output import write_all
from realtime_fsm.diagram import FORMATS, VIEWS, diagram
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    import argparse


def add_parser(commands: Any) -> None:
    """Add the subcommand to the command line."""
    parser = commands.add_parser(
        "diagram",
        help="draw the states and their transitions",
        description="Draw the states and their transitions, from the table that the client runs. Only png needs Graphviz.",
    )
    parser.add_argument("--format", default=FORMATS[0], metavar="FORMAT", help=f"one of {', '.join(FORMATS)} (%(default)s)")
    parser.add_argument("--view", default=VIEWS[0], metavar="VIEW", help=f"one of {', '.join(VIEWS)} (%(default)s)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write to this file instead of stdout")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw to a file or to stdout; return the exit code."""
    if options.format == "png" and options.output is None and sys.stdout.isatty():
        raise BadOption("--format", "a terminal cannot show a PNG; add -o FILE, or pipe it into a program")
    drawing = diagram(options.format, options.view)
    data = drawing if isinstance(drawing, bytes) else drawing.encode()
    if options.output is None:
        write_all(data)
    else:
        Path(options.output).write_bytes(data)
    return 0
