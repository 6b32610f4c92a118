"""Keep arguments out of tracebacks, for tools that show locals (rich, Sentry, `capture_locals`).

Design: `sealed` guards the few functions that hold credentials, presences or URLs. An exception that leaves such a function keeps
its lines, and loses the locals of every frame below. An exception of another library may quote a value, so it must not become a
cause or context. The code raises outside of the handler, or `from None`; then `seal` drops the context that Python keeps.
"""

from __future__ import annotations

import inspect
import traceback
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from realtime_fsm.errors import RealtimeError

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def sealed(function: Callable[P, R]) -> Callable[P, R]:
    """Hide the arguments and locals of a function, or coroutine function, from its exceptions."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as failure:
            del args, kwargs
            seal(failure)
            raise

    @wraps(function)
    async def call_async(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return await cast("Any", function(*args, **kwargs))
        except BaseException as failure:
            del args, kwargs
            seal(failure)
            raise

    return cast("Callable[P, R]", call_async) if inspect.iscoroutinefunction(function) else call


def seal(failure: BaseException) -> None:
    """Clear the locals of each frame that an exception has left, and drop a context that `from None` only hides.

    The frames of the cause and the context keep their locals, because a caller may still use them.
    """
    traceback.clear_frames(failure.__traceback__)
    if isinstance(failure, RealtimeError) and failure.__suppress_context__:
        failure.__context__ = None
