"""The rows that the table allows, and the numbers and times of a report, as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from realtime_fsm.audit.counts import count_of
from realtime_fsm.fsm.table import State, Trigger

if TYPE_CHECKING:
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.fsm.tablespec import Row

NOTHING = "none"


def describe_allowed(tracked: TrackedConnection, trigger: object) -> list[str]:
    """Describe the rows that the table allows in the state of a connection.

    Args:
        tracked: the connection.
        trigger: the trigger of the record; a known one restricts the answer to its cell.

    Returns:
        A line for each row, in the order of the table.
    """
    if tracked.state is None:
        return ["anything: records are missing before, so the state is not known"]
    table, steps = tracked.book
    if not steps:
        return ["anything: the table of this connection is not known"]
    state = State(tracked.state)
    known = next((each for each in Trigger if each == trigger), None)
    if known is None:
        return [describe_row(row) for row in table.rows if row.source is state]
    rows = table.cells.get((state, known), ())
    return [describe_row(row) for row in rows] or [f"{state} x {known}: no step. {table.ignored.get((state, known), '')}".strip()]


def describe_row(row: Row[State, Trigger]) -> str:
    """Describe a row in a line."""
    dest = f"stays {row.source}" if row.dest is None else f"-> {row.dest}"
    when = f" if {' and '.join(row.guards)}" if row.guards else ""
    return f"{row.id}: {row.source} x {row.trigger}{when} {dest}"


def format_duration(seconds: float | None) -> str:
    """Format a length of time briefly."""
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
    """Format per cent; only 100 is rounded to 100."""
    if share is None:
        return NOTHING
    return "100 %" if share == 100 else f"{min(share, 99.999):.3f} %"


def printable(line: str) -> str:
    """Escape what a log may have brought in and a terminal would obey: control characters, and marks of direction."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)


def printable_json(text: str) -> str:
    """Escape the same in JSON, where a string holds such a character; JSON has escapes of its own for it."""
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text)


def number(count: int) -> str:
    """Format a number with its thousands apart."""
    return f"{count:,}"


def pluralize(count: int, noun: str) -> str:
    """Format a number of things."""
    return count_of(count, noun, f"{noun}s")
