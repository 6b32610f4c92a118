"""The times that a user names: a moment, a time of the day, or a span before the end of the log.

Invariant: a time without an offset is local time, and a time with an offset or ``Z`` is taken as it is. A span, and a time
without a day, count from the end of the log: an engineer asks about the log, whenever the engineer reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

from realtime_fsm.errors import BadOption

FORMS = "03:12, 1h, 90s, 2d, 2026-11-27 03:12, or 2026-11-27T03:12:00Z"
"""One example of each form."""
_SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2})?", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class AskedTime:
    """A time as a user names it.

    Attributes:
        word: the text.
        value: the moment; the time of the day; or the span before the end of the log.
    """

    word: str
    value: datetime | time | timedelta

    @property
    def needs_end(self) -> bool:
        """Whether the time counts from the end of the log."""
        return not isinstance(self.value, datetime)

    def resolve(self, end: datetime | None) -> datetime:
        """Find the moment.

        Args:
            end: the newest moment of the log; None only where `needs_end` is False.

        Raises:
            BadOption: for a moment that no calendar has.
        """
        value = self.value
        try:
            if isinstance(value, datetime):
                return value
            assert end is not None
            if isinstance(value, timedelta):
                return (end - value).astimezone()
            day = end.astimezone().date()
            moment = datetime.combine(day, value).astimezone()
            return moment if moment <= end else datetime.combine(day - timedelta(days=1), value).astimezone()
        except OverflowError:
            raise _refuse(self.word) from None


def parse_time(word: str) -> AskedTime:
    """Parse a time.

    Args:
        word: a moment in ISO 8601, a time of the day such as ``03:12``, or a span such as ``1h``.

    Raises:
        BadOption: for any other word; the text names the word and the forms.
    """
    span = _SPAN.fullmatch(word)
    try:
        if span is not None:
            return AskedTime(word, timedelta(seconds=int(span[1]) * _SECONDS[span[2]]))
        if _CLOCK.fullmatch(word):
            return AskedTime(word, time.fromisoformat(word.zfill(5) if word.count(":") == 1 else word.zfill(8)))
        moment = datetime.fromisoformat(word)
        return AskedTime(word, moment if moment.tzinfo is not None else moment.astimezone())
    except (ValueError, OverflowError):
        raise _refuse(word) from None


def _refuse(word: str) -> BadOption:
    return BadOption("time", f"{word!r} is no time; give one such as {FORMS}")


def zone_of(asked: AskedTime) -> tzinfo | None:
    """Return the zone that a user names by an offset; None for local time."""
    return datetime.fromisoformat(asked.word).tzinfo if isinstance(asked.value, datetime) else None


def tell_moment(moment: datetime, zone: tzinfo | None = None) -> str:
    """Write a moment with its zone.

    Args:
        moment: the moment, aware.
        zone: the zone; None for local time.
    """
    local = moment.astimezone(zone)
    digits = "milliseconds" if local.microsecond else "seconds"
    return f"{local.replace(tzinfo=None).isoformat(sep=' ', timespec=digits)} {local.tzname()}"
