"""The guard: what an event costs, over the bytes' own way through aiohttp and msgspec (B in the benchmarks), in one run.

It compares the CPU time of two processes that take turns on the same events: a ratio of their best rounds, never a time. Between
runs on two cores, idle or with up to six other busy processes, that ratio scattered by 12 %. The bounds stand 30 % above what it
is; what crosses them is a change of the code.
"""

from __future__ import annotations

from bench.events import SIZES
from bench.measure import Bench

BOUNDS = {"1.3 KB": 1.65, "10 KB": 1.45}
_ROUNDS = 5


def test_an_event_costs_little_more_than_its_way_through_aiohttp_and_msgspec() -> None:
    with Bench(quick=True) as bench:
        bench.rounds = _ROUNDS
        costs = {label: bench.compare(("b", "ours"), SIZES[label]) for label in BOUNDS}
    ratios = {label: found["ours"].least / found["b"].least for label, found in costs.items()}
    assert all(ratios[label] < bound for label, bound in BOUNDS.items()), ratios
