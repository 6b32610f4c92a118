"""Read the server times and versions of events. None stands for a value that is missing or malformed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from realtime_fsm.errors import MalformedEvent
from realtime_fsm.events import parse_timestamp

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Any

    from realtime_fsm.events import Event


def latest(*moments: datetime | None) -> datetime | None:
    """Return the latest of the moments that are known."""
    return max((moment for moment in moments if moment is not None), default=None)


def timestamp_or_none(event: Event) -> datetime | None:
    """Return when an event happened, by the server's clock."""
    with suppress(MalformedEvent):
        return event.timestamp
    return None


def version_or_none(event: Event) -> tuple[str, str] | None:
    """Return the id of an event's resource, and the version of the resource."""
    with suppress(MalformedEvent):
        return event.version
    return None  # reading the payload raises the error to the consumer


def parse_or_none(timestamp: Any) -> datetime | None:
    """Parse a server's time, as it came in a frame."""
    if timestamp is None:
        return None
    with suppress(MalformedEvent):
        return parse_timestamp(timestamp)
    return None
