"""Measure the import of the package beside the import of the four libraries that it needs."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial

from bench.measure import Bench, interleave
from bench.report import Section, Target, cell

LIBRARIES = "import aiohttp, transitions, structlog, msgspec"
OURS = "from realtime_fsm import Realtime"
BOUND = 1.25
_ROUNDS = 10
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""An environment in which Python keeps what it has compiled, as it does for users; else each import of ours compiles again."""


def imports(bench: Bench) -> Section:
    """Measure both in fresh processes."""
    bench.log("import")
    candidates: dict[str, Callable[[], float]] = {code: partial(_cost, code) for code in (LIBRARIES, OURS)}
    for cost in candidates.values():
        cost()  # compile what is not compiled
    costs = interleave(_ROUNDS, candidates)
    return Section(
        "Import",
        f"CPU time of a process that imports, from start to end, user and system: the best of {_ROUNDS} rounds (median).",
        ["milliseconds", "CPU"],
        [[f"`{code}`", cell(series, 1e3)] for code, series in costs.items()],
        [Target.ratio("import over that of its libraries", costs[OURS], costs[LIBRARIES], BOUND)],
    )


def _cost(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run((sys.executable, "-c", code), env=_ENVIRONMENT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
