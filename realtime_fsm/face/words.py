"""Plain words for people: what a change of state means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.vocabulary.table import State

if TYPE_CHECKING:
    from realtime_fsm.vocabulary.change import Change

_MEANING = {
    State.DISCONNECTED: "no link, and none is wanted",
    State.RECONNECTING: "getting a link",
    State.CONNECTED: "the link is up",
    State.SUBSCRIBED: "the link is up and everything is subscribed",
    State.UNSUBSCRIBED: "the link is up and nothing is left to listen for",
    State.PING: "asking the server for a sign of life",
    State.ERROR: "no link, and no attempt will be made",
    State.DISPOSING: "the end",
}


def in_words(change: Change) -> str:
    """A change of state in one line.

    Args:
        change: the change.

    Returns:
        Such as ``subscribed -> reconnecting: getting a link, because the stream ended (close code 1006)``.
    """
    because = f", because {change.cause}" if change.cause is not None else ""
    return f"{change.source} -> {change.dest}: {_MEANING[change.dest]}{because}"
