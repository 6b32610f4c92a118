"""Run a subcommand on an event loop until its end, Ctrl-C, SIGTERM, or the end of its terminal; start its server there."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager, AsyncExitStack

S = TypeVar("S")


def run_until_interrupted(work: Coroutine[None, None, int | None]) -> int:
    """Run a coroutine, and return the exit code: its own, or 128 and the number of the signal that ended it.

    Ctrl-C, SIGTERM and SIGHUP cancel it, so that it closes everything in order. Ctrl-C does so even where a script has started
    the command in the background, with SIGINT ignored; SIGHUP does not where ``nohup`` has it ignored.
    """
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_until_interrupted(work))


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM raise a KeyboardInterrupt in a block without an event loop, even where they came in ignored."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def start_server(server: AbstractAsyncContextManager[S], stack: AsyncExitStack, place: str) -> S:
    """Start a server that ends with a stack.

    Raises:
        OSError: when it cannot listen at ``place``; the text names the remedy.
    """
    try:
        return await stack.enter_async_context(server)
    except OSError as failure:
        code = failure.errno or 0  # a negative one is of the resolver
        reason = os.strerror(code) if code > 0 else failure.strerror or failure
        is_of_port = code in (errno.EADDRINUSE, errno.EACCES)
        remedy = "choose another port, or 0 for one that is free" if is_of_port else "give an address of this machine"
        raise OSError(code, f"{reason}; {remedy}", place) from failure


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's maker of event loops where uvloop is installed (extra ``speed``); None for that of asyncio."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        return None
    return new_event_loop


async def _until_interrupted(work: Coroutine[None, None, int | None]) -> int:
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def interrupt(number: int) -> None:
        received.append(number)
        task.cancel()

    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    for number in (signal.SIGINT, signal.SIGTERM, *hangup):
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    try:
        return await task or 0
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]
