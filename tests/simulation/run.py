"""The command: ``python -m simulation.run``, in the folder tests/. ``--help`` says the rest."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from realtime_fsm.fsm.table import TABLE
from simulation.calm import HEAL_BOUND
from simulation.coverage import Coverage
from simulation.known import KNOWN
from simulation.storm import Result, simulate
from simulation.world import DIAL, ENDING, INBOUND, LATE, LOG, OUTBOUND, USERS, WEATHER

_GROUPS = {
    "dials": DIAL,
    "frames from the server": INBOUND,
    "frames to the server": OUTBOUND,
    "released sockets": LATE,
    "the weather": WEATHER,
    "limits of the server": ENDING,
    "users' code": USERS,
    "the logging": LOG,
}


class Total:
    """All runs together."""

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self.worst: tuple[float, int] = 0.0, 0
        self.virtual = self.real = 0.0
        self.sums: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.actions: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self.eras: Counter[str] = Counter()
        self.coverage = Coverage()

    def add(self, result: Result, real: float) -> None:
        """Count a run."""
        self.seeds.append(result.seed)
        self.worst = max(self.worst, (result.healed, result.seed))
        self.virtual += result.virtual
        self.real += real
        self.sums.update(steps=result.steps, links=result.links, events=result.events, records=result.records)
        self.sums.update(handovers=result.handovers)
        self.eras[" to ".join(result.eras)] += 1
        self.faults += result.faults
        self.actions += result.actions
        self.known += result.known
        self.coverage.add(result.coverage)

    @property
    def injected(self) -> int:
        """All faults, of every kind."""
        return self.faults.total()

    def table(self) -> Iterator[str]:
        """The figures."""
        a_minute = self.injected / self.real * 60 if self.real else 0.0
        yield f"seeds              {self.seeds[0]} to {self.seeds[-1]}"
        yield f"time               {self.virtual / 3600:.1f} virtual hours in {self.real:.1f} s"
        yield f"injected faults    {self.injected:,}; {a_minute:,.0f} a minute of real time"
        yield f"servers            {_listed(self.eras)}"
        yield f"links              {self.sums['links']:,}; {self.sums['handovers']:,} of them while the one before delivered"
        yield f"steps              {self.sums['steps']:,}, the invariants looked at after each"
        yield f"events delivered   {self.sums['events']:,}; records {self.sums['records']:,}"
        yield f"calls by users     {self.actions.total():,}: {_listed(self.actions)}"
        yield f"slowest to heal    {self.worst[0]:.1f} virtual s (seed {self.worst[1]}); the bound is {HEAL_BOUND:g} s"
        yield ""
        for group, kinds in _GROUPS.items():
            yield f"{group}: {sum(self.faults[kind] for kind in kinds):,}"
            yield from (f"    {self.faults[kind]:>8,}  {kind}" for kind in kinds)
        if KNOWN:
            yield "known defects"
            yield from (f"    {self.known[name]:>8,}  {what}" for name, what in KNOWN.items())
        yield ""
        rows, missing = len(TABLE.rows), self.coverage.rows_missing()
        yield f"rows taken         {rows - len(missing)} of {rows}{_but(missing)}"
        outcomes, unseen = len(self.coverage.guards_possible()), self.coverage.guards_missing()
        yield f"guard outcomes     {outcomes - len(unseen)} of {outcomes} (holds and fails, in each cell)"
        yield from (f"    never: {result}" for result in unseen)
        cells = len(TABLE.states) * len(TABLE.triggers)
        yield f"cells met          {len(self.coverage.cells)} of {cells}, the ignored ones included"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def _but(missing: Sequence[str]) -> str:
    return f"; never: {', '.join(missing)}" if missing else ""


def run(seeds: Iterable[int], total: Total, *, faults: int | None, hours: float | None, quiet: bool) -> str | None:
    """Make runs until there are enough.

    Args:
        seeds: which ones.
        total: where they are counted.
        faults: enough of these; None for no such end.
        hours: of real time; None for no such end.
        quiet: whether to say nothing of single runs.

    Returns:
        The first violation, with how to see it again.
    """
    begin = time.monotonic()
    for seed in seeds:
        before = time.monotonic()
        result = simulate(seed)
        total.add(result, time.monotonic() - before)
        if not quiet:
            _say(f"seed {seed}: {result.faults.total()} faults, {result.steps} steps, trace {result.trace}")
        if result.violation is not None:
            return f"{result.violation}\n\nseed {seed} breaks an invariant. To see it again:\n    {replay(seed)}"
        if (faults and total.injected >= faults) or (hours and time.monotonic() - begin >= hours * 3600):
            break
    return None


def replay(seed: int) -> str:
    """The command that replays a seed."""
    return f"cd tests && python -m simulation.run --seed {seed} --runs 1"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m simulation.run",
        description="The real client on a simulated network and clock. Each seed is one run, and replays exactly.",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed (default 0)")
    parser.add_argument("--runs", type=int, metavar="N", help="how many seeds, from the first on")
    parser.add_argument("--faults", type=int, metavar="N", help="run until so many faults are injected (default 10000)")
    parser.add_argument("--hours", type=float, metavar="H", help="run for so many hours of real time")
    parser.add_argument("--quiet", action="store_true", help="say nothing of single runs")
    options = parser.parse_args(arguments)
    if options.runs is None and options.faults is None and options.hours is None:
        options.faults = 10_000
    seeds: Iterable[int] = itertools.count(options.seed)
    if options.runs is not None:
        seeds = range(options.seed, options.seed + max(1, options.runs))
    total = Total()
    violation = run(seeds, total, faults=options.faults, hours=options.hours, quiet=options.quiet)
    _say("")
    for line in total.table():
        _say(line)
    if violation is not None:
        _say(f"\nVIOLATION: {violation}")
        return 1
    _say("\nevery invariant held after every step")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
