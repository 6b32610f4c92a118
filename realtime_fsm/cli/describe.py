"""Describe a change of state, or a failed attempt, in one line for people, without control characters of a server's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import printable
from realtime_fsm.fsm.descriptions import STATES

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.client.realtime import Realtime
    from realtime_fsm.fsm.change import Change, Failure


def describe_change(change: Change) -> str:
    """Describe a change: ``subscribed -> reconnecting: getting a link, because the stream ended (close code 1006)``."""
    because = f", because {change.cause}" if change.cause is not None else ""
    return printable(f"{change.source} -> {change.dest}: {STATES[change.dest].brief}{because}")


def describe_failure(failure: Failure) -> str:
    """Describe a failed attempt: ``localhost:80: the dial failed: Connection refused; the next dial is in 1.5 s``."""
    delay = failure.delay
    return printable(f"{failure.error}; {'no dial follows' if delay is None else f'the next dial is in {delay:.1f} s'}")


def on_failed_dial(realtime: Realtime, tell: Callable[[Failure], object]) -> None:
    """Call ``tell`` with each failed attempt; it must not raise."""
    realtime._driver.failures.on_failure = tell  # noqa: SLF001  (`states` has no change for each attempt)
