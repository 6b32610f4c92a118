"""Logs of the simulation: what its clients wrote, faults of the logging aside."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any, NoReturn
from unittest.mock import patch

from simulation import records
from simulation.storm import simulate
from support.brokenlogs import Record


@cache
def logs_of(seed: int, seconds: float = 120.0) -> tuple[tuple[Record, ...], ...]:
    """The records of each connection of one run."""
    told: dict[str, list[Record]] = defaultdict(list)
    look = records.Records.__call__

    def keep(self: records.Records, logger: object, level: str, record: Any) -> NoReturn:
        told[record["connection_id"]].append({**record, "level": level})
        look(self, logger, level, record)

    with patch.object(records.Records, "__call__", keep):
        result = simulate(seed, seconds=seconds)
    assert result.violation is None, f"seed {seed}: {result.violation}"
    return tuple(map(tuple, told.values()))
