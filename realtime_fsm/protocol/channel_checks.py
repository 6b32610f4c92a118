"""Find misspelled channels: a server accepts any text as a channel, and publishes nothing on an unknown channel.

A plain unknown channel passes, because a newer server may have it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from realtime_fsm.callers import warn
from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.channels import ACTIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CONSOLE = "console"
"""The project of the server's own console."""

NO_EVENT_FOR_GUESTS = "a guest receives no event there"
_TAIL = "console.tail"
_OF_USERS = ("account", "teams", "memberships")
_WITHOUT_IDS = ("documents", "rows", "files")
_WITH_IDS = ("account", "executions", "teams", "memberships", "presences", "reports")
_GENERAL = (*_WITH_IDS, *_WITHOUT_IDS)
"""The channels that cover all things of one kind."""
_FALLBACK = "rows"
_ONE_OR_ALL = (
    "databases.?.collections.?.documents",
    "databases.?.tables.?.rows",
    "tablesdb.?.tables.?.rows",
    "documentsdb.?.collections.?.documents",
    "vectorsdb.?.collections.?.documents",
    "buckets.?.files",
    "reports.?.insights",
)
_CHANNELS = (
    *_GENERAL,
    *(f"{kind}.?" for kind in _WITH_IDS),
    *_ONE_OR_ALL,
    *(f"{path}.?" for path in _ONE_OR_ALL),
    *("functions.?", CONSOLE, "project", "projects.?", f"{_TAIL}.?"),
)
"""Every channel of the protocol without its action; ``?`` is an id (PROTOCOL: "Channels")."""
_TEMPLATES = [(*channel.split("."), *action) for channel in _CHANNELS for action in ((), ("!",))]
"""The parts of each channel, without an action and with one (``!``)."""
_UNFINISHED = [tuple(path.split(".")) for path in _ONE_OR_ALL if not path.startswith("reports")]
_PATHS = "|".join(_CHANNELS).replace(".", r"\.").replace("?", r"[\w-]+")
_KNOWN = rf"(?:{_PATHS})(?:\.(?:{'|'.join(ACTIONS)}))?"  # compiled when used: that takes as long as the rest of this module
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
"""The general channel for each word of a path."""
_NO_HEADS = ("tables", "collections", "users")
"""Words that begin no channel, but that a caller may put first."""
_HEADS = (*dict.fromkeys(template[0] for template in _TEMPLATES), *_NO_HEADS)
_SIMILARITY = 0.8  # of 1: "row" and "rows" have 0.86, "sites" and "files" 0.6


class ChannelWarning(UserWarning):
    """No known server publishes on a channel, such as ``"row"``, ``" rows"`` or ``"rows.*"``."""


def refuse_console(channels: Iterable[str], project: str, option: str = "channels") -> None:
    """Refuse a channel ``console.tail.*`` outside the console, where the server ends the link (PROTOCOL: "Messages", rule 12)."""
    for channel in channels:
        if _visible(channel).lower().startswith(f"{_TAIL}.") and project != CONSOLE:
            raise BadOption(option, f"{channel!r:.80} is for project {CONSOLE!r} alone; connect to that project")


def warn_of(channels: Iterable[str]) -> None:
    """Warn of each misspelled channel, at the caller's line."""
    for channel in channels:
        if doubt := doubt_about(channel):
            warn(doubt, ChannelWarning)


def doubt_about(channel: str) -> str | None:
    """Explain that a channel is misspelled, and name the nearest known channel; return None for any other channel."""
    nearest = _nearest(channel)
    if nearest == channel:
        return None
    return f"no known server publishes on channel {channel!r:.80}; the nearest known channel is {nearest!r:.80}"


def is_silent_for(user: object | None, channel: str) -> bool:
    """Tell whether a user gets no event on a channel: its events go to users or members of teams alone, and None is a guest."""
    return user is None and channel.partition(".")[0] in _OF_USERS


def needs_e4(channel: str) -> bool:
    """Tell whether servers before era E4 publish nothing on a channel."""
    return channel.rpartition(".")[2] in ACTIONS or channel.partition(".")[0] == "presences"


def _nearest(channel: str) -> str:
    """Return the nearest known channel, or the channel itself if it is plausible."""
    parts = channel.split(".")
    if re.fullmatch(_KNOWN, channel):
        return channel
    if all(map(_is_plain, parts)):
        return _correct(parts) or channel
    for piece in (_visible(channel), *re.split(r"[^\w.*-]+", channel)):
        parts = [part for part in piece.split(".") if part]
        if "*" in piece:
            parts = _generalize([part for part in parts if "*" not in part])
        if found := _correct(parts):
            return found
    return _FALLBACK


def _visible(channel: str) -> str:
    """Remove white space and invisible characters."""
    return "".join(character for character in channel if character.isprintable() and not character.isspace())


def _is_plain(part: str) -> bool:
    return re.fullmatch(r"[\w-]+", part) is not None


def _correct(parts: list[str]) -> str | None:
    """Correct a channel that is misspelled, unfinished or too long; return None if no correction is certain."""
    if not parts or not _closest(parts[0], _HEADS):
        return None
    if re.fullmatch(_KNOWN, ".".join(parts)):
        return ".".join(parts)
    size = len(parts)
    found = [spelled for template in _TEMPLATES if len(template) == size and (spelled := _fit(parts, template))]
    found += [f"{spelled}.{path[-1]}" for path in _UNFINISHED if len(path) == size + 1 and (spelled := _fit(parts, path[:-1]))]
    if not found:
        if parts[0] in _WITHOUT_IDS and all(part in ACTIONS for part in parts[1:]):
            return ".".join(parts[:2])
        if head := _closest(parts[0], _NO_HEADS):
            return ".".join(_generalize([head, *parts[1:]]))
    return found[0] if found else None


def _fit(parts: list[str], template: Sequence[str]) -> str | None:
    """Spell the parts like a template of as many parts; return None if the parts do not fit."""
    fitting = []
    for part, slot in zip(parts, template, strict=True):
        spelled = (part if _is_plain(part) else None) if slot == "?" else _closest(part, ACTIONS if slot == "!" else (slot,))
        if spelled is None:
            return None
        fitting.append(spelled)
    return ".".join(fitting)


@lru_cache(256)  # thousands of unknown channels share their words: without the cache, each channel takes 0.1 ms
def _closest(word: str, known: Sequence[str]) -> str | None:
    """Return the known word with the most similar spelling; None if no word is similar. A word with digits is an id."""
    if word in known:
        return word
    import difflib  # few programs misspell a channel

    alike = difflib.get_close_matches(word.lower(), known, cutoff=_SIMILARITY) if word.isalpha() else []
    return alike[0] if alike else None


def _generalize(parts: list[str]) -> list[str]:
    """Replace a path with wildcards by the channel of its last kind, because no channel has wildcards."""
    action = parts[-1:] if parts and parts[-1] in ACTIONS else []
    kinds = [_KINDS[part] for part in parts if part in _KINDS]
    if kinds:
        return [*kinds[-1:], *action]
    return [_FALLBACK, *action] if parts == action else parts
