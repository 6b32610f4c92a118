"""Logs for replays: what a bench lived, and a record of the whole log that is edited."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from realtime_fsm.replay.replayer import ReplayedStep
from support.bench import Bench
from support.brokenlogs import Record, Scribe, collected
from support.replaying import replayed, story_of
from support.wholelog import RECORDS


def lived(live: Callable[[Bench], object], **options: Any) -> list[Record]:
    """The log of a workbench's connection."""
    with collected() as records:
        bench = Bench(**options)
        Scribe(bench, "c1")
        live(bench)
    return records


def replay(path: Path, records: list[Record]) -> list[ReplayedStep]:
    return replayed(story_of(path / "log", records))


def edited(index: int, **fields: Any) -> list[Record]:
    return [*RECORDS[:index], {**RECORDS[index], **fields}, *RECORDS[index + 1 :]]
