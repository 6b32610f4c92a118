"""The sentence about a log that lacks what was asked for: what that was, and what the log holds instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.secret_scan import REDACTED, looks_secret
from realtime_fsm.audit.times import tell_moment

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from realtime_fsm.audit.window import Window

_LISTED = 20
"""The most connections that a sentence lists."""


def redacted_id(identifier: str) -> str:
    """Quote an id for the screen; hide an id that looks like a secret."""
    return REDACTED if looks_secret(identifier) else repr(identifier)


class KnownConnections:
    """The connections that a log holds, by their ids; of very many, the first ones."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._ids)

    def add(self, identifier: str) -> None:
        """Note a connection."""
        if len(self._ids) <= _LISTED:
            self._ids.setdefault(identifier)

    def __str__(self) -> str:
        listed = ", ".join([redacted_id(identifier) for identifier in self._ids][:_LISTED])
        return f"it holds {listed}{' and more' * (len(self._ids) > _LISTED)}"


def describe_absence(lines: int, hint: str = "", asked: str = "this library") -> str:
    """Describe a log without a record.

    Args:
        lines: the number of its lines.
        hint: the reason for which a line is no record, or what the log holds; empty where nothing is known.
        asked: whose record is looked for.
    """
    return f"no record of {asked} is in it: {pluralize(lines, 'line')}{hint and f'; {hint}'}" if lines else "it is empty"


def describe_asked(only: Collection[str], window: Window) -> str:
    """Describe the connections and the span of time that a user asks about."""
    since = "" if window.since is None else f" from {_shown(window.since)}{' on' * (window.until is None)}"
    until = "" if window.until is None else f" until {_shown(window.until)}"
    return f"{_named(only) or 'a connection'}{since}{until}"


def describe_span(only: Collection[str], window: Window, begins: datetime | None, ends: datetime | None) -> str:
    """Describe the end or the beginning of records that lie outside of the span of time; an empty text for any others.

    Args:
        only: the connections that a user asks about; without them, the records are those of the whole log.
        window: the span of time.
        begins: the moment of the first record.
        ends: the moment of the last record.
    """
    if window.since is not None and ends is not None and ends < window.since:
        last = f"the last record of {_named(only)} is" if only else "the log ends"
        return f"{last} at {tell_moment(ends, window.since.tzinfo)}"
    if window.until is not None and begins is not None and begins > window.until:
        first = f"the first record of {_named(only)} is" if only else "the log begins"
        return f"{first} at {tell_moment(begins, window.until.tzinfo)}"
    return ""


def _named(only: Collection[str]) -> str:
    return f"connection {' or '.join(map(redacted_id, only))}" if only else ""


def _shown(moment: datetime) -> str:
    return tell_moment(moment, moment.tzinfo)
