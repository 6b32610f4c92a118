"""All ways to alter one record of a log."""

from __future__ import annotations

import random
from typing import Any

from realtime_fsm.fsm.names import Effect
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


def judged_alterations(record: dict[str, Any], chance: random.Random) -> list[tuple[str, Any]]:
    """Other values of the fields that the rules of the audit are about."""
    altered = alterations(record, chance)
    match record["event"], record.get("change"):
        case "realtime.transition", _:
            altered += [(name, record[name] + step) for name in ("dwell", "at") for step in (1.0, 0.05)]
            altered.append(("attempt", record["attempt"] + 1))
            if not _tells_era(record["row"]):
                altered.append(("era", _other_era(record["era"])))
        case "realtime.subscription", change:
            altered.append(("subscription", "unknown"))
            altered += [("change", other) for other in _DESIRES if change in _DESIRES[1:] and other != change]
        case "realtime.outage", change:
            altered += [("change", "closed" if change == "opened" else "opened"), ("planned", not record["planned"])]
            altered += [("cause", "sleep"), ("seconds", record["seconds"] + 0.05), ("dials", record["dials"] + 2)]
        case "realtime.ping", _:
            altered.append(("round_trip", record["round_trip"] + 0.05))
        case "realtime.fault", "closed":
            altered.append(("seconds", record["seconds"] + 0.05))
        case "realtime.retired", _:
            altered.append(("retired", record["retired"] + 1))
        case "realtime.gap", _:
            altered.append(("subscription", "unknown"))
    return altered


_DESIRES = ("removed", "desired", "acknowledged", "withdrawn")


def _tells_era(row: str) -> bool:
    """Whether the step of a row may find an era, so that no other record can contradict it."""
    this = ROWS[row]
    return (this.dest or this.source).is_live > this.source.is_live or Effect.USE_URL_SUBSCRIPTIONS in this.effects


def _other_era(era: str | None) -> str:
    return "E4" if era in ("E1", "E2") else "E1"  # an answer to a ping tells E1 from E2
