"""Run a subcommand on an event loop until its end, Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def run_until_interrupted(work: Coroutine[None, None, None]) -> int:
    """Run a coroutine, and return the exit code. Ctrl-C and SIGTERM cancel it, so that it closes everything in order."""
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_until_interrupted(work))


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's maker of event loops where uvloop is installed (extra ``speed``); None for that of asyncio."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop


async def _until_interrupted(work: Coroutine[None, None, None]) -> int:
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def interrupt(number: int) -> None:
        received.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]
    return 0
