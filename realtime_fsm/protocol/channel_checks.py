"""Channels that cannot be meant: a server takes any text for a channel, and publishes nothing where no channel is.

A channel that is merely unknown is none of them: a newer server may have it.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from realtime_fsm.callers import warn
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONSOLE = "console"
"""The project of the server's own console."""

_TAIL = "console.tail"
_ACTIONS = ("create", "update", "upsert", "delete")
_WITHOUT_IDS = ("documents", "rows", "files")
_WITH_IDS = ("account", "executions", "teams", "memberships", "presences", "reports")
_GENERAL = (*_WITH_IDS, *_WITHOUT_IDS)
"""The channels of everything of a kind."""
_ANYTHING = "rows"
_ONE_OR_ALL = (
    "databases.?.collections.?.documents",
    "databases.?.tables.?.rows",
    "tablesdb.?.tables.?.rows",
    "documentsdb.?.collections.?.documents",
    "vectorsdb.?.collections.?.documents",
    "buckets.?.files",
    "reports.?.insights",
)
_SPELLED = (
    *_GENERAL,
    *(f"{kind}.?" for kind in _WITH_IDS),
    *_ONE_OR_ALL,
    *(f"{path}.?" for path in _ONE_OR_ALL),
    *("functions.?", CONSOLE, "project", "projects.?", f"{_TAIL}.?"),
)
"""Every channel of the protocol, but for its action; ``?`` is an id (PROTOCOL: "Channels")."""
_TEMPLATES = [(*spelled.split("."), *action) for spelled in _SPELLED for action in ((), ("!",))]
"""The same in parts; ``!`` is an action."""
_UNFINISHED = [tuple(path.split(".")) for path in _ONE_OR_ALL if not path.startswith("reports")]
_PATHS = "|".join(_SPELLED).replace(".", r"\.").replace("?", r"[\w-]+")
_KNOWN = re.compile(rf"(?:{_PATHS})(?:\.(?:{'|'.join(_ACTIONS)}))?")
_KINDS = {
    "databases": "documents",
    "documentsdb": "documents",
    "vectorsdb": "documents",
    "collections": "documents",
    "tablesdb": "rows",
    "tables": "rows",
    "buckets": "files",
    "functions": "executions",
    "users": "account",
    CONSOLE: CONSOLE,
    **{kind: kind for kind in _GENERAL},
}
"""Words of a path, and the channel of everything of the kind that they lead to."""
_NO_HEADS = ("tables", "collections", "users")
"""Words that no channel begins with; the first two stand behind a database, the last one in the names of events."""
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
        if _squeezed(channel).lower().startswith(f"{_TAIL}.") and project != CONSOLE:
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
    """The channel itself, unless it cannot be meant; else one of the protocol."""
    parts = channel.split(".")
    if _KNOWN.fullmatch(channel):
        return channel
    if all(map(_is_plain, parts)):
        return _corrected(parts) or channel
    for piece in (_squeezed(channel), *re.split(r"[^\w.*-]+", channel)):
        parts = [part for part in piece.split(".") if part]
        if "*" in piece:
            parts = _of_the_kind([part for part in parts if "*" not in part])
        if found := _corrected(parts):
            return found
    return _ANYTHING


def _squeezed(channel: str) -> str:
    """The channel without white space, and without what cannot be seen."""
    return "".join(character for character in channel if character.isprintable() and not character.isspace())


def _is_plain(part: str) -> bool:
    return re.fullmatch(r"[\w-]+", part) is not None


def _corrected(parts: list[str]) -> str | None:
    """The channel of the protocol that is misspelled, is left unfinished or says too much; None where that is in doubt."""
    if _KNOWN.fullmatch(".".join(parts)):
        return ".".join(parts)
    found = [fitting for template in _TEMPLATES if (fitting := _fitted(parts, template))]
    found += [f"{fitting}.{path[-1]}" for path in _UNFINISHED if (fitting := _fitted(parts, path[:-1]))]
    if not found and parts:
        if parts[0] in _WITHOUT_IDS and all(part in _ACTIONS for part in parts[1:]):
            return ".".join(parts[:2])
        if head := _meant(parts[0], _NO_HEADS):
            return ".".join(_of_the_kind([head, *parts[1:]]))
    return found[0] if found else None


def _fitted(parts: list[str], template: Sequence[str]) -> str | None:
    """What the parts mean, if the template is meant."""
    if len(parts) != len(template):
        return None
    meant = [
        (part if _is_plain(part) else None) if place == "?" else _meant(part, _ACTIONS if place == "!" else (place,))
        for part, place in zip(parts, template, strict=True)
    ]
    return None if None in meant else ".".join(filter(None, meant))


def _meant(word: str, known: Sequence[str]) -> str | None:
    """The known word that is meant; None where that is in doubt. A word with digits is a name."""
    if word in known:
        return word
    alike = difflib.get_close_matches(word.lower(), known, 1, _ALIKE) if word.isalpha() else []
    return alike[0] if alike else None


def _of_the_kind(parts: list[str]) -> list[str]:
    """The channel of everything of the kind that a path leads to; a subscription has no wildcards."""
    action = parts[-1:] if parts and parts[-1] in _ACTIONS else []
    kinds = [_KINDS[part] for part in parts if part in _KINDS]
    if kinds:
        return [*kinds[-1:], *action]
    return [_ANYTHING, *action] if parts == action else parts
