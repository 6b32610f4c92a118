"""Point a warning at the line that called this library, also when another thread works for the caller."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_PACKAGE = __name__.partition(".")[0]


class _Caller:
    """A thread that waits for another thread.

    Attributes:
        frame: a frame of the waiting thread; None after the call, whose context may outlive it.
    """

    __slots__ = ("frame",)

    def __init__(self, frame: FrameType) -> None:
        self.frame: FrameType | None = frame


_caller: ContextVar[_Caller | None] = ContextVar("realtime_fsm caller in another thread", default=None)


@contextmanager
def on_behalf() -> Iterator[None]:
    """Let warnings of other threads, in a copy of this context, name the line of this thread until the block ends."""
    caller = _Caller(sys._getframe(2))  # noqa: SLF001  (this generator has no caller while its block runs)
    token = _caller.set(caller)
    try:
        yield
    finally:
        caller.frame = None
        _caller.reset(token)


def warn(text: str, category: type[Warning]) -> None:
    """Warn at the line that called this library, in this thread or in the thread that waits for it."""
    caller = _caller.get()
    frame = (None if caller is None else caller.frame) or sys._getframe()  # noqa: SLF001
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    module, registry = frame.f_globals.get("__name__", "<string>"), frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, module, registry)
