"""Guard the cost of an event, as a ratio to aiohttp with msgspec (B in the benchmarks).

The guard compares the CPU time of two processes that alternate on the same events: a ratio of their best rounds, never a time.
On two cores with up to six busy processes, this ratio scattered by 12 %. The bounds are 14 and 25 % above the measured ratios,
1.41 and 1.12, and the guard measures a disturbed size up to three times. So only a change of the code exceeds them.
"""

from __future__ import annotations

from bench.events import SIZES
from bench.measure import Bench

BOUNDS = {"1.3 KB": 1.6, "10 KB": 1.4}
_ROUNDS = 5
_TRIES = 3


def test_ratio_to_aiohttp_and_msgspec() -> None:
    with Bench(quick=True) as bench:
        bench.rounds = _ROUNDS
        ratios = {label: least_ratio(bench, label, bound) for label, bound in BOUNDS.items()}
    assert all(ratios[label] < bound for label, bound in BOUNDS.items()), ratios


def least_ratio(bench: Bench, label: str, bound: float) -> float:
    """The ratio of an event of a size, measured again where something disturbed it: no disturbance repeats itself exactly."""
    ratio = float("inf")
    for _ in range(_TRIES):
        found = bench.compare(("b", "ours"), SIZES[label])
        ratio = min(ratio, found["ours"].best / found["b"].best)
        if ratio < bound:
            break
    return ratio
