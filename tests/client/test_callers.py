"""The line that a warning names: the caller's, also where another thread does the work."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextvars import copy_context

import pytest

from realtime_fsm import ChannelWarning, MissingChannelWarning, callers
from realtime_fsm.sync import Realtime
from support.served import Served, connected


def _subscribe(realtime: Realtime) -> None:
    realtime.subscribe("files", "row")


def _on(realtime: Realtime) -> None:
    realtime.on("row", print)


def _update(realtime: Realtime) -> None:
    realtime.subscribe("files").update(channels=["row"])


def _miss(realtime: Realtime) -> None:
    realtime.subscribe("files", "account.bob")


def last_line(function: Callable[..., None]) -> tuple[str, int]:
    """Where a function of one line does its work."""
    return __file__, function.__code__.co_firstlineno + 1


@pytest.mark.loops
@pytest.mark.parametrize(
    ("ask", "kind"),
    [(_subscribe, ChannelWarning), (_on, ChannelWarning), (_update, ChannelWarning), (_miss, MissingChannelWarning)],
)
def test_the_synchronous_face_warns_at_the_line_that_asks(
    served: Served, ask: Callable[[Realtime], None], kind: type[Warning]
) -> None:
    with connected(served) as realtime, pytest.warns(kind) as caught:
        ask(realtime)
    # The embedded server warns of a channel, too.
    own = [warning for warning in caught if not str(warning.message).startswith("a client")]
    assert [(warning.filename, warning.lineno) for warning in own] == [last_line(ask)]


def _warn() -> None:
    callers.warn("here", UserWarning)


def test_a_caller_that_waits_is_named_and_not_its_own_caller() -> None:
    with callers.on_behalf(), pytest.warns(UserWarning, match="here") as caught:
        copy_context().run(_warn)
    (warning,) = caught
    begin = test_a_caller_that_waits_is_named_and_not_its_own_caller.__code__.co_firstlineno
    assert (warning.filename, warning.lineno) == (__file__, begin + 2)


def test_the_line_that_waits_is_named_again_after_an_inner_wait() -> None:
    with callers.on_behalf():
        with callers.on_behalf():
            pass
        with pytest.warns(UserWarning, match="here") as caught:
            copy_context().run(_warn)
    begin = test_the_line_that_waits_is_named_again_after_an_inner_wait.__code__.co_firstlineno
    assert [(warning.filename, warning.lineno) for warning in caught] == [(__file__, begin + 5)]


def test_work_that_outlives_the_call_does_not_warn_in_its_name() -> None:
    with callers.on_behalf():
        during = copy_context()
    with pytest.warns(UserWarning, match="here") as caught:
        during.run(_warn)
    assert [(warning.filename, warning.lineno) for warning in caught] == [last_line(_warn)]


def test_a_line_warns_once_where_the_filter_says_so() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            _warn()
    assert [str(warning.message) for warning in caught] == ["here"]
