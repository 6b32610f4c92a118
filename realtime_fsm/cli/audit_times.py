"""The times of an audit on the command line: which span it judges, and about which instant the user asks."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime_fsm.audit.sources import STDIN, is_read_once, newest_moment
from realtime_fsm.audit.times import FORMS, AskedTime, parse_time
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("at", "since", "until")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that take a time."""
    parser.add_argument(
        "--at", metavar="TIME", type=_time,
        help="tell which connections were not available at this time, the worst first: since when, why, until when, and which"
        " subscriptions missed what; as text or JSON",
    )  # fmt: skip
    parser.add_argument(
        "--since", metavar="TIME", type=_time,
        help=f"judge the records from this time on, such as {FORMS}; local time unless it has an offset; 03:12 is the newest"
        " such moment, and 1h an hour, before the end of the log",
    )  # fmt: skip
    parser.add_argument(
        "--until", metavar="TIME", type=_time,
        help="leave out the records after this time; an outage that is still open counts until then",
    )  # fmt: skip


def _time(word: str) -> AskedTime:
    try:
        return parse_time(word)
    except BadOption as refusal:
        raise argparse.ArgumentTypeError(str(refusal).partition(": ")[2]) from None


@contextmanager
def rereadable(options: argparse.Namespace, names: list[str]) -> Iterator[dict[str, str]]:
    """Copy standard input and pipes into files where the log must be read twice: first for its end, and then for the audit.

    Yields:
        The files to read in place of others, by their names.
    """
    streams = [name for name in dict.fromkeys(names) if is_read_once(name)] if needs_end(options) else []
    if not streams:
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:
        copies = {name: str(Path(folder) / str(number)) for number, name in enumerate(streams)}
        for name, copy in copies.items():
            with ExitStack() as files:
                given = sys.stdin.buffer if name == STDIN else files.enter_context(Path(name).open("rb"))
                shutil.copyfileobj(given, files.enter_context(Path(copy).open("wb")))
        yield copies


def needs_end(options: argparse.Namespace) -> bool:
    """Whether a time counts from the end of the log."""
    return any(asked is not None and asked.needs_end for asked in map(vars(options).get, NAMES))


def resolve(options: argparse.Namespace, files: list[str]) -> dict[str, Any]:
    """Find the moments of all options that take a time; None stands for an option that is not given.

    Args:
        options: as the parser gives them.
        files: the files whose newest moment is the end of the log; none for a log that grows now.

    Raises:
        BadOption: for a moment that no calendar has, or a span that ends before it begins.
    """
    end: datetime | None = None
    if needs_end(options):
        end = newest_moment(files, dict(options.map)) or datetime.now().astimezone()
    asked: dict[str, AskedTime | None] = {name: getattr(options, name) for name in NAMES}
    moments = {name: None if time is None else time.resolve(end) for name, time in asked.items()}
    since, until = moments["since"], moments["until"]
    if since is not None and until is not None and since > until:
        raise BadOption("--since", f"{options.since.word} is after --until {options.until.word}; name an earlier time")
    return moments
