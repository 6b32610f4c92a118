"""Keep exceptions of the user's code away from the code that calls it."""

from __future__ import annotations

import asyncio
import threading


def contain(failure: BaseException) -> None:
    """Keep what the user's code raised from the code that called it.

    A `KeyboardInterrupt` in the main thread leaves the event loop, as soon as everything that runs now has run. In another
    thread Python raises none, so there it is the callable's own.

    Raises:
        KeyboardInterrupt: in the main thread, where no event loop runs.
    """
    if isinstance(failure, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise failure from None
        loop.call_soon(_raise, failure)


def _raise(failure: BaseException) -> None:
    raise failure
