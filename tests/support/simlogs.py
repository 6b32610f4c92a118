"""Logs of the simulation: what its clients wrote, faults of the logging aside.

``python -m support.simlogs [SEEDS]``, in the folder tests/, names a few seeds whose logs hold all rows that those of the first
so many hold (500 unless told), and all eras. Where the simulation has changed, it finds new `SEEDS`.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from functools import cache
from typing import Any, NoReturn
from unittest.mock import patch

from simulation import records
from simulation.storm import simulate
from support.brokenlogs import Record

SEEDS = (0, 2, 4, 9, 10, 18, 20, 23, 44, 45, 71, 134, 213, 148, 244, 245, 252, 286)
"""Servers of every era, and all rows that storms take but the rarest."""


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


def number_of(row: str) -> str:
    """The number of a row, which is the same in all states."""
    return row.lstrip("abcdefghijklmnopqrstuvwxyz")


def main() -> None:
    held: dict[int, set[str]] = {}
    for seed in range(int(sys.argv[1]) if sys.argv[1:] else 500):
        try:
            steps = [record for log in logs_of(seed) for record in log if "row" in record]
        except AssertionError as broken:
            print(broken)
            continue
        logs_of.cache_clear()
        held[seed] = {number_of(record["row"]) for record in steps} | {record["era"] for record in steps} - {None}
    missing, chosen = set().union(*held.values()), []
    while missing:
        chosen.append(max(held, key=lambda seed: len(held[seed] & missing)))
        missing -= held[chosen[-1]]
    print(sorted(seed for seed in chosen))


if __name__ == "__main__":
    main()
