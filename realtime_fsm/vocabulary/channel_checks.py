"""Channels that cannot be meant: a server takes any text for a channel, and publishes nothing where no channel is.

A channel that is merely unknown is none of them: a newer server may have it.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from realtime_fsm.vocabulary.callers import warn
from realtime_fsm.vocabulary.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONSOLE = "console"
"""The project of the server's own console."""

_TAIL = "console.tail"
_ACTIONS = ("create", "update", "upsert", "delete")
_GENERAL = ("account", "documents", "rows", "files", "executions", "teams", "memberships", "presences", "reports")
"""The channels of everything of a kind."""
_ANYTHING = "rows"
_LEADS_TO = {
    "databases": "documents",
    "documentsdb": "documents",
    "vectorsdb": "documents",
    "tablesdb": "rows",
    "buckets": "files",
    "functions": "executions",
}
"""What other channels begin with, and the channel of everything of the kind that they lead to."""
_HEADS = (*_GENERAL, *_LEADS_TO, "project", "projects", CONSOLE)
_WITHOUT_IDS = ("documents", "rows", "files")
_ALIKE = 0.8  # of 1: "row" and "rows" are 0.86 alike, "sites" and "files" 0.6


class ChannelWarning(UserWarning):
    """A channel that cannot be meant, such as ``"row"``, ``" rows"`` or ``"rows.*"``: no known server publishes there."""


def refuse_console(channels: Iterable[str], project: str, option: str = "channels") -> None:
    """Refuse the console's live tail outside the console: the server ends the link over it (PROTOCOL: "Messages", rule 12).

    Args:
        channels: the channels that a user asks for.
        project: the id of the connection's project.
        option: the argument that holds them.

    Raises:
        BadOption: for a channel of the live tail; it names the channel.
    """
    for channel in channels:
        if channel.startswith(f"{_TAIL}.") and project != CONSOLE:
            raise BadOption(option, f"{channel!r:.80} is for project {CONSOLE!r} alone; connect to that project for it")


def warn_of(channels: Iterable[str]) -> None:
    """Warn of each channel that cannot be meant, at the line that asks for it.

    Args:
        channels: the channels that a user asks for.
    """
    for channel in channels:
        if doubt := doubt_about(channel):
            warn(doubt, ChannelWarning)


def doubt_about(channel: str) -> str | None:
    """Say why a channel cannot be meant, and which one can.

    Args:
        channel: the channel.

    Returns:
        A sentence that names the nearest known channel; None for a channel that is known, or may be known to a newer server.
    """
    nearest = _nearest(channel)
    if nearest == channel:
        return None
    return f"no known server publishes on channel {channel!r:.80}; the nearest known channel is {nearest!r:.80}"


def _nearest(channel: str) -> str:
    """The channel itself, unless it cannot be meant."""
    parts = [part for part in re.sub(r"\s", "", channel).split(".") if part]
    if "*" in channel:
        parts = _without_wildcards([part for part in parts if "*" not in part])
    if not parts:
        return _ANYTHING
    head, *rest = parts
    head = _meant(head, _HEADS)
    if head in _WITHOUT_IDS and len(rest) == 1:
        rest = [_meant(rest[0], _ACTIONS)]
    return ".".join([head, *rest])


def _meant(word: str, known: Sequence[str]) -> str:
    """The known word that is misspelled; the word itself where that is in doubt. A word with digits is a name."""
    alike = difflib.get_close_matches(word.lower(), known, 1, _ALIKE) if word.isalpha() else []
    return word if word in known or not alike else alike[0]


def _without_wildcards(parts: list[str]) -> list[str]:
    """A subscription has no wildcards: the channel of everything of the kind stands for them."""
    action = parts[-1:] if parts and parts[-1] in _ACTIONS else []
    kinds = [_LEADS_TO.get(part, part) for part in parts if part in _GENERAL or part in _LEADS_TO]
    if kinds:
        return [*kinds[-1:], *action]
    return [_ANYTHING, *action] if parts == action else parts
