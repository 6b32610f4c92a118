"""Plain words for people: what a change of state means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.fsm.descriptions import STATES

if TYPE_CHECKING:
    from realtime_fsm.fsm.change import Change, Failure


def describe_change(change: Change) -> str:
    """A change of state in one line.

    Args:
        change: the change.

    Returns:
        Such as ``subscribed -> reconnecting: getting a link, because the stream ended (close code 1006)``.
    """
    because = f", because {change.cause}" if change.cause is not None else ""
    return f"{change.source} -> {change.dest}: {STATES[change.dest].brief}{because}"


def failure_in_words(failure: Failure) -> str:
    """Tell a failed attempt in one line.

    Args:
        failure: the attempt.

    Returns:
        Such as ``localhost:80: the dial failed: Connection refused; the next dial is in 1.5 s``.
    """
    delay = failure.delay
    return f"{failure.error}; {'no dial follows' if delay is None else f'the next dial is in {delay:.1f} s'}"
