"""Contain the exceptions of user code, so that they cannot end the connection."""

from __future__ import annotations

import asyncio
import threading


def contain(failure: BaseException) -> None:
    """Contain an exception of user code, except for a `KeyboardInterrupt` in the main thread.

    The event loop raises the interrupt after its current step; without a running loop, this function raises it at once. Python
    interrupts the main thread only, so in another thread the user code itself has raised the exception.
    """
    if isinstance(failure, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise failure from None
        loop.call_soon(_raise, failure)


def _raise(failure: BaseException) -> None:
    raise failure
