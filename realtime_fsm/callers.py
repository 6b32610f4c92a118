"""The caller's line: where a warning points, also when another thread works for the caller."""

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
    """A call that another thread does the work of.

    Attributes:
        frame: a frame of the thread that waits; None when the call is over. What the call has started may live on in its context.
    """

    __slots__ = ("frame",)

    def __init__(self, frame: FrameType) -> None:
        self.frame: FrameType | None = frame


_caller: ContextVar[_Caller | None] = ContextVar("realtime_fsm caller in another thread", default=None)


@contextmanager
def on_behalf() -> Iterator[None]:
    """Let warnings name the line of this thread, wherever the context of this block is copied to, until the block ends."""
    caller = _Caller(sys._getframe(2))  # noqa: SLF001  (this generator has no caller while its block runs)
    token = _caller.set(caller)
    try:
        yield
    finally:
        caller.frame = None
        _caller.reset(token)


def warn(text: str, category: type[Warning]) -> None:
    """Warn at the line that called this library: of this thread, or of the thread that waits for this one.

    Args:
        text: what the warning says.
        category: its type.

    Raises:
        Warning: where a filter makes an exception of the warning.
    """
    caller = _caller.get()
    frame = (None if caller is None else caller.frame) or sys._getframe()  # noqa: SLF001
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    module, registry = frame.f_globals.get("__name__", "<string>"), frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, module, registry)
