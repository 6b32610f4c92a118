"""The times that a user names: a moment, a time of the day, or a span before the end of the log.

Invariant: a time without an offset is local time, and a time with an offset or ``Z`` is taken as it is. A span, and a time
without a day, count from the end of the log: an engineer asks about the log, whenever the engineer reads it. Each time that
`tell_moment` writes is one that `parse_time` reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo

from realtime_fsm.audit.decoding import EPOCH_TEXT, parse_moment
from realtime_fsm.errors import BadOption

FORMS = "03:12, 03:12Z, 1h, 90s, 2d, 2026-11-27 03:12, 2026-11-27T03:12:00Z, or 1795749120"
"""One example of each form."""
_SPAN = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(?:\D.*)?", re.ASCII)
_ZONED = re.compile(r"(.*\d) ([A-Z+-].*)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class AskedTime:
    """A time as a user names it."""

    word: str
    value: datetime | time | timedelta  # the moment; the time of the day; or the span before the end of the log
    zone: tzinfo | None = None  # that the text names; None for local time

    @property
    def needs_end(self) -> bool:
        """Whether the time counts from the end of the log."""
        return not isinstance(self.value, datetime)

    def resolve(self, end: datetime | None) -> datetime:
        """Find the moment; `end` is the newest one of the log, and None only where `needs_end` is False.

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
            day = end.astimezone(self.zone).date()
            moment = datetime.combine(day, value).astimezone(self.zone)
            return moment if moment <= end else datetime.combine(day - timedelta(days=1), value).astimezone(self.zone)
        except OverflowError:
            raise _refuse(self.word) from None


def parse_time(word: str) -> AskedTime:
    """Parse a time.

    Args:
        word: a moment in ISO 8601, as a report writes it, or as a number since 1970, in seconds, milliseconds, microseconds or
            nanoseconds; a time of the day such as ``03:12``; or a span such as ``1h``.

    Raises:
        BadOption: for any other word; the text names the word and the forms.
    """
    text = word.strip()
    try:
        if (span := _SPAN.fullmatch(text)) is not None:
            return AskedTime(word, timedelta(seconds=int(span[1]) * _SECONDS[span[2]]))
        if EPOCH_TEXT.fullmatch(text) is not None and (since_1970 := parse_moment(text)) is not None:
            return AskedTime(word, since_1970)
        if (zoned := _ZONED.fullmatch(text)) is not None:
            if not zoned[2].startswith("UTC"):
                return AskedTime(word, _in_local_zone(zoned[1], zoned[2]))
            text = zoned[1] + (zoned[2].removeprefix("UTC") or "Z")
        if _CLOCK.fullmatch(text):
            clock = time.fromisoformat(text.zfill(len(text) + (text[1] == ":")))
            return AskedTime(word, clock, clock.tzinfo)
        moment = datetime.fromisoformat(text)
        return AskedTime(word, moment if moment.tzinfo is not None else moment.astimezone(), moment.tzinfo)
    except (ValueError, OverflowError):
        raise _refuse(word) from None


def _in_local_zone(text: str, name: str) -> datetime:
    """Parse a moment behind which the name of the local zone stands; in autumn, the name tells which of two hours it is."""
    moments = [datetime.fromisoformat(text).replace(fold=fold).astimezone() for fold in (0, 1)]
    if (moment := next((each for each in moments if each.tzname() == name), None)) is None:
        raise ValueError(name)
    return moment


def _refuse(word: str) -> BadOption:
    return BadOption("time", f"{word!r} is no time; give one such as {FORMS}")


def tell_moment(moment: datetime, zone: tzinfo | None = None) -> str:
    """Write an aware moment in a zone, and with it; None for local time."""
    local = moment.astimezone(zone)
    digits = "milliseconds" if local.microsecond else "seconds"
    return f"{local.replace(tzinfo=None).isoformat(sep=' ', timespec=digits)} {local.tzname()}"
