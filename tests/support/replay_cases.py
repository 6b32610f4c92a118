"""Logs for replays: of a bench, and with an edited record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from realtime_fsm.replay.replayer import ReplayedStep
from support.bench import Bench
from support.brokenlogs import Record, Scribe, collected
from support.replaying import log_of, replayed
from support.wholelog import RECORDS


def lived(live: Callable[[Bench], object], **options: Any) -> list[Record]:
    """The log of a bench."""
    with collected() as records:
        bench = Bench(**options)
        Scribe(bench, "c1")
        live(bench)
    return records


def replay(path: Path, records: list[Record]) -> list[ReplayedStep]:
    return replayed(log_of(path / "log", records))


def edited(index: int, **fields: Any) -> list[Record]:
    return [*RECORDS[:index], {**RECORDS[index], **fields}, *RECORDS[index + 1 :]]


def without_fields(records: list[Record], *fields: str, after: int = 0) -> list[Record]:
    """A log as an older version writes it, from a record on."""
    return [{k: v for k, v in record.items() if k not in fields or record["seq"] <= after} for record in records]


def rows(played: list[ReplayedStep]) -> list[str | None]:
    return [None if step.result.transition is None else step.result.transition.row.id for step in played]


def steps_of(records: list[Record]) -> list[str]:
    """The rows of a log."""
    return [record["row"] for record in records if record["event"] == "realtime.transition"]
