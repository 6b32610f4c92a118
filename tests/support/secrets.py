"""Plant a mark in every secret, and find the mark in errors and in tracebacks with locals."""

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
    """An object with a secret repr, which JSON cannot encode."""

    def __repr__(self) -> str:
        return MARK


def chain(failure: BaseException) -> Iterator[BaseException]:
    """Yield an exception with its causes, contexts and group members, suppressed ones included."""
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
    """List the places that show the mark, except frames of the tests, which play the application."""
    found = []
    for one in chain(failure):
        if MARK in "".join((str(one), repr(one), repr(vars(one)), repr(getattr(one, "object", None)))):
            found.append(f"{type(one).__name__} itself")
        for frame, line in traceback.walk_tb(one.__traceback__):
            code = frame.f_code
            if not Path(code.co_filename).is_relative_to(HERE):
                names = (name for name, value in frame.f_locals.items() if MARK in repr(value))
                found += [f"{type(one).__name__}: {name} in {code.co_qualname}, line {line}" for name in names]
        printed = traceback.TracebackException.from_exception(one, capture_locals=True, lookup_lines=False)
        for summary in printed.stack:
            if not Path(summary.filename).is_relative_to(HERE) and MARK in repr(summary.locals):
                found.append(f"{summary.name} in the printed traceback")
    return found


def assert_silent(*failures: BaseException | None) -> None:
    """Assert that each failure exists and shows no secret."""
    for failure in failures:
        assert failure is not None
        assert leaks(failure) == []


async def failed(realtime: Realtime) -> BaseException:
    """Fail a connect(), and assert that every place with its error shows no secret."""
    states = realtime.states()
    with pytest.raises(Exception) as caught:  # noqa: PT011  (any error)
        await realtime.connect()
    changes = [await anext(states) for _ in range(2)]  # dials, then gives up
    assert_silent(caught.value, realtime.error, changes[-1].cause, getattr(caught.value, "cause", caught.value))
    return caught.value
