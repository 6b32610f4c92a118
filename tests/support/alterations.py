"""All ways to alter one record of a log."""

from __future__ import annotations

import random
from typing import Any

from realtime_fsm.fsm.table import TABLE, State, Trigger

ROWS = {row.id: row for row in TABLE.rows}


def like(row: str) -> list[str]:
    """The rows that differ by their id alone."""
    this = ROWS[row]
    same = (this.source, this.trigger, this.dest or this.source)
    return [other.id for other in TABLE.rows if (other.source, other.trigger, other.dest or other.source) == same]


def alterations(record: dict[str, Any], chance: random.Random) -> list[tuple[str, Any]]:
    """Other values of one field."""
    seq, link = record["seq"], record["link"]
    altered = [("seq", seq + 1), ("seq", seq - 1), ("seq", seq + chance.randint(2, 99))]
    altered += [("link", link + 1), ("link", link - 1), ("link", link + chance.randint(2, 9))]
    if record["event"] == "realtime.transition":
        altered += [("row", other) for other in (*like(record["row"]), chance.choice(list(ROWS)), "no such row")]
        altered += [(name, chance.choice(list(State)).value) for name in ("source", "dest") for _ in range(2)]
        altered += [("trigger", chance.choice(list(Trigger)).value), ("trigger", "nonsense")]
    return [(name, value) for name, value in altered if record[name] != value]
