"""Standard output, to its last byte: a line is written in full, and while nobody reads it, the event loop goes on.

A pipe may be full, or non-blocking because a program that shares it made it so; ``sys.stdout`` loses what does not fit, or holds
up the loop and with it the heartbeat and Ctrl-C. POSIX only, as the rest of the command line is.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from select import PIPE_BUF, select

STDOUT = 1
_GRACE = 1.0


def reopen_standard_streams() -> None:
    """Put the null device in the place of standard streams that whoever started us has closed: uvloop aborts without them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free, which is this one
    sys.stdout = sys.stdout or open(STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  (it lives as long as the process)
    sys.stderr = sys.stderr or open(STDOUT + 1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def discard_stdout() -> None:
    """Nobody reads any more (`... | head`): what is still held for standard output goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)


async def write_line(line: bytes) -> None:
    """Write to standard output, and let the loop go on until there is room.

    A cancellation leaves a second for the rest of the line, so that a reader is not left with the half of it.

    Args:
        line: what to write.

    Raises:
        BrokenPipeError: nobody reads any more.
        OSError: it cannot be written.
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
    """Write to standard output, and wait until there is room.

    Args:
        data: what to write.
        patience: seconds after which the rest is left out; None waits for ever.

    Raises:
        BrokenPipeError: nobody reads any more.
        OSError: it cannot be written.
    """
    end = None if patience is None else time.monotonic() + patience
    rest = _write_available(memoryview(data))
    while rest and select((), (STDOUT,), (), None if end is None else max(0.0, end - time.monotonic()))[1]:
        rest = _write_available(rest)


def _write_available(rest: memoryview) -> memoryview:
    """Write what there is room for. A piece of ``PIPE_BUF`` bytes never blocks where ``select`` sees room."""
    while rest and select((), (STDOUT,), (), 0)[1]:
        try:
            rest = rest[os.write(STDOUT, rest[:PIPE_BUF]) :]
        except BlockingIOError:  # another process that writes there was quicker
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
