"""Write to standard output in full, also where the reader is slow, without blocking the event loop.

A pipe may be full, or non-blocking because a program that shares it made it so. ``sys.stdout`` loses what does not fit, or blocks
the loop and with it the heartbeat and Ctrl-C. POSIX only, as the rest of the command line is.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from errno import ENOENT
from pathlib import Path
from select import PIPE_BUF, select
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.formats.text_utils import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Iterator

STDOUT = 1
WIDTH = 100
"""The most columns of a folded text."""
_NARROWEST = 40
_GRACE = 1.0


def reopen_standard_streams() -> None:
    """Open the null device for each closed standard stream: uvloop aborts without them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system gives the lowest free number, which is this one
    sys.stdout = sys.stdout or open(STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  (open until the process ends)
    sys.stderr = sys.stderr or open(STDOUT + 1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def discard_stdout() -> None:
    """Send the rest of standard output nowhere: the reader has gone (`... | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


def discard_unwritable() -> None:
    """Send the rest of a standard stream nowhere where its terminal has gone: else the process ends with code 120."""
    for number, stream in ((STDOUT, sys.stdout), (STDOUT + 1, sys.stderr)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def pretty_json(value: object) -> str:
    """Write a value as indented JSON, without characters that a terminal would obey."""
    return printable_json(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def columns() -> int:
    """Count the columns of a folded text: those of the terminal, or of ``COLUMNS``, within bounds."""
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        return WIDTH
    return max(_NARROWEST, min(WIDTH, get_terminal_size((WIDTH, 1)).columns))


def fold(text: str, width: int, first: str = "", others: str = "") -> list[str]:
    """Fold a text for a terminal at its spaces, with an indent for the first line and one for the others."""
    return wrap(
        printable(text), width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def print_problem(sentence: str, command: str = "realtime-fsm") -> None:
    """Print a sentence to standard error, after the name of the command; a stream that is gone ends nothing."""
    with suppress(OSError, ValueError):
        print(printable(f"{command}: {sentence}"), file=sys.stderr)


def os_error_text(failure: OSError) -> str:
    """Name the file of a failure, and its reason: a missing folder, or the text of the system."""
    path, reason = failure.filename, failure.strerror or str(failure)
    if path is None:
        return reason
    if isinstance(path, str) and failure.errno == ENOENT and reason == os.strerror(ENOENT) and not Path(path).parent.exists():
        reason = f"the folder {Path(path).parent} does not exist"
    return f"{path}: {reason}"


def fail(sentence: str, code: int, command: str = "realtime-fsm") -> int:
    """Print a sentence as a problem, and return the exit code."""
    print_problem(sentence, command)
    return code


@contextmanager
def warnings_printed() -> Iterator[None]:
    """Print the warnings in a block as problems."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print_problem(f"warning: {message}")
        yield


async def write_line(line: bytes) -> None:
    """Write a line to standard output; the loop runs on until the pipe has room.

    A cancellation leaves a second for the rest of the line, so that the reader gets no half of it.
    """
    rest = _write_available(memoryview(line))
    while rest:
        try:
            await _wait_writable()
        except asyncio.CancelledError:
            write_all(rest, _GRACE)
            raise
        rest = _write_available(rest)


def write_all(data: bytes | memoryview, patience: float | None = None) -> None:
    """Write to standard output; wait until the pipe has room, or drop the rest after ``patience`` seconds."""
    deadline = None if patience is None else time.monotonic() + patience
    rest = _write_available(memoryview(data))
    while rest and select((), (STDOUT,), (), None if deadline is None else max(0.0, deadline - time.monotonic()))[1]:
        rest = _write_available(rest)


def _write_available(rest: memoryview) -> memoryview:
    """Write as much as fits; return the rest. A piece of ``PIPE_BUF`` bytes never blocks where ``select`` sees room."""
    while rest and select((), (STDOUT,), (), 0)[1]:
        try:
            rest = rest[os.write(STDOUT, rest[:PIPE_BUF]) :]
        except BlockingIOError:  # another process took the room
            break
        except OSError as failure:
            raise OSError(failure.errno, failure.strerror, "standard output") from None
    return rest


async def _wait_writable() -> None:
    loop = asyncio.get_running_loop()
    room = asyncio.Event()
    loop.add_writer(STDOUT, room.set)
    try:
        await room.wait()
    finally:
        loop.remove_writer(STDOUT)
