"""Plain words for people: what a change of state means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.vocabulary.meanings import STATES

if TYPE_CHECKING:
    from realtime_fsm.vocabulary.change import Change


def in_words(change: Change) -> str:
    """A change of state in one line.

    Args:
        change: the change.

    Returns:
        Such as ``subscribed -> reconnecting: getting a link, because the stream ended (close code 1006)``.
    """
    because = f", because {change.cause}" if change.cause is not None else ""
    return f"{change.source} -> {change.dest}: {STATES[change.dest].brief}{because}"
