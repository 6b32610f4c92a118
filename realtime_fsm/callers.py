"""Point a warning at the line that called this library, also when another thread works for the caller."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

_PACKAGE = __name__.partition(".")[0]
_waiting: ContextVar[Iterable[FrameType]] = ContextVar("realtime_fsm frame of a waiting thread", default=())


@contextmanager
def on_behalf() -> Iterator[None]:
    """Let warnings of other threads, in a copy of this context, name the line of this thread until the block ends."""
    frames = [sys._getframe(2)]  # noqa: SLF001  (this generator has no caller while its block runs)
    token = _waiting.set(frames)
    try:
        yield
    finally:
        frames.clear()  # a copy of the context may outlive the call
        _waiting.reset(token)


def warn(text: str, category: type[Warning]) -> None:
    """Warn at the line that called this library, in this thread or in the thread that waits for it."""
    frame = next(iter(_waiting.get()), None) or sys._getframe()  # noqa: SLF001
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame = frame.f_back
    module, registry = frame.f_globals.get("__name__", "<string>"), frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(text, category, frame.f_code.co_filename, frame.f_lineno, module, registry)
