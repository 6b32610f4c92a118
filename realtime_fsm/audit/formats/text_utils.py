"""The numbers, times and texts of a report, as a terminal shows them."""

from __future__ import annotations

import json

NOTHING = "none"


def format_duration(seconds: float | None) -> str:
    """Format a length of time with its two largest units."""
    if seconds is None:
        return NOTHING
    if seconds < 0.9995:  # a longer time is 1 s in three digits
        return f"{seconds * 1000:.3g} ms" if seconds >= 0.0009995 or seconds == 0 else f"{seconds * 1e6:.3g} us"
    if seconds < 120:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{rest} s"]
    return " ".join([part for part in parts if part][:2])


def percent(share: float | None) -> str:
    """Format a percentage. A share below 100 never becomes 100."""
    if share is None:
        return NOTHING
    return "100 %" if share == 100 else f"{min(share, 99.999):.3f} %"


def printable(line: str) -> str:
    """Escape characters that control a terminal or the direction of its text; any log may hold some."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def printable_json(text: str) -> str:
    """Escape the same characters in a JSON text, by the escapes of JSON."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def number(count: int) -> str:
    """Format a number with commas between thousands."""
    return f"{count:,}"


def pluralize(count: int, one: str, several: str = "") -> str:
    """Format a number of things: ``1 line``, ``2 lines``; with `several` the words for any other number than one."""
    return f"{number(count)} {one if count == 1 else several or f'{one}s'}"
