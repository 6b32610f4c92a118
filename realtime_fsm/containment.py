"""Keep exceptions of user code away from the code that calls it."""

from __future__ import annotations

import asyncio
import threading


def contain(failure: BaseException) -> None:
    """Contain an exception of user code, except for a `KeyboardInterrupt` in the main thread.

    The event loop raises that one after the current step; without a running loop it is raised at once. In other threads Python
    raises none, so there it is the callable's own.
    """
    if isinstance(failure, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise failure from None
        loop.call_soon(_raise, failure)


def _raise(failure: BaseException) -> None:
    raise failure
