"""A mark in everything that is secret, and where a traceback that is shown with its locals lets it be seen."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm import Realtime, RetryPolicy

MARK = "geheim"
HERE = Path(__file__).parents[1]
ONCE = RetryPolicy(attempts=1)
SECRETS: dict[str, Any] = {
    "session": f"{MARK}-session",
    "headers": {"X-Appwrite-Dev-Key": f"{MARK}-header"},
    "cookies": {"a_session_demo": f"{MARK}-cookie"},
    "proxy": f"http://user:{MARK}-password@127.0.0.1:1",
}


class Marked:
    """Something whose repr is secret, and of which JSON knows nothing."""

    def __repr__(self) -> str:
        return MARK


def chain(failure: BaseException) -> Iterator[BaseException]:
    """An exception and all that hangs on it, hidden or not."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [failure]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
        yield one


def leaks(failure: BaseException) -> list[str]:
    """Where the mark shows itself, but in the frames of the tests, which are the application's."""
    found = []
    for one in chain(failure):
        if MARK in "".join((str(one), repr(one), repr(vars(one)), repr(getattr(one, "object", None)))):
            found.append(f"{type(one).__name__} itself")
        for frame, line in traceback.walk_tb(one.__traceback__):
            code = frame.f_code
            if not Path(code.co_filename).is_relative_to(HERE):
                names = (name for name, value in frame.f_locals.items() if MARK in repr(value))
                found += [f"{type(one).__name__}: {name} in {code.co_qualname}, line {line}" for name in names]
        shown = traceback.TracebackException.from_exception(one, capture_locals=True, lookup_lines=False)
        for summary in shown.stack:
            if not Path(summary.filename).is_relative_to(HERE) and MARK in repr(summary.locals):
                found.append(f"{summary.name} as it is printed")
    return found


def assert_silent(*failures: BaseException | None) -> None:
    """Each is there, and shows nothing."""
    for failure in failures:
        assert failure is not None
        assert leaks(failure) == []


async def failed(realtime: Realtime) -> BaseException:
    """A connect() that fails, and every other place where its error is kept."""
    states = realtime.states()
    with pytest.raises(Exception) as caught:  # noqa: PT011  (each of them)
        await realtime.connect()
    changes = [await anext(states) for _ in range(2)]  # it dials, and gives up
    assert_silent(caught.value, realtime.error, changes[-1].cause, getattr(caught.value, "cause", caught.value))
    return caught.value
