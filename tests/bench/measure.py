"""Measure candidates round by round, so that a disturbance of the machine affects all of them alike."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from bench.events import distinct
from bench.load import Load
from bench.process import Process, Server, child, node
from bench.streams import CANDIDATES, check

K = TypeVar("K")
MICRO = 1e6
_PILOT_BYTES = 200_000
"""Bytes of events in the run that determines the size of a round."""
_MIN_EVENTS = 8
_NODE_WARM_UP = 20
"""The factor by which Node's warm-up is longer: its compiler makes frequent code twice as fast."""
_MAX_VERIFIED = 100


@dataclass(frozen=True, slots=True)
class Series:
    """The figures of one candidate, by round."""

    values: tuple[float, ...]

    @property
    def best(self) -> float:
        """Return the best round, which had the smallest disturbance."""
        return min(self.values)

    @property
    def median(self) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.values)


def interleave(rounds: int, candidates: Mapping[K, Callable[[], float]]) -> dict[K, Series]:
    """Run each candidate once a round, and every other round in reverse order."""
    values: dict[K, list[float]] = {name: [] for name in candidates}
    for number in range(rounds):
        for name in candidates if number % 2 == 0 else reversed(tuple(candidates)):
            values[name].append(candidates[name]())
    return {name: Series(tuple(found)) for name, found in values.items()}


class Bench:
    """The server, the children, and the length of the rounds.

    Args:
        quick: measure fewer rounds and events.
        log: print the progress.
    """

    def __init__(self, *, quick: bool = False, log: Callable[[str], None] = print) -> None:
        self.quick = quick
        self.log = log
        self.rounds = 3 if quick else 5
        self.round_seconds = 0.06 if quick else 0.2  # of one candidate's CPU
        self._numbers = itertools.count(1)
        self._stack = ExitStack()
        self._children: dict[str, Process] = {}
        self._verified: set[tuple[str, int]] = set()

    def __enter__(self) -> Self:
        self.port = self._stack.enter_context(Server()).port
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def child(self, name: str) -> Process:
        """Return the child of a name. The child lives to the end, and idles between its rounds."""
        if name not in self._children:
            in_node = name in CANDIDATES and CANDIDATES[name].run is None
            self._children[name] = self._stack.enter_context(node() if in_node else child())
        return self._children[name]

    def call_once(self, function: str, **arguments: Any) -> Any:
        """Call a function in a fresh child."""
        with child() as process:
            return process.call(function=function, **arguments)

    def load(self, size: int, warm_up: int, count: int, **more: int) -> Load:
        """Return a load with a unique number."""
        return Load(next(self._numbers), size, warm_up, count, **more)

    def run(self, name: str, load: Load, *, verify: bool = False, profile: bool = False) -> dict[str, Any]:
        """Run a candidate on a load, and check the received events."""
        if CANDIDATES[name].run is None:
            arguments = {"channel": load.channel, "warmUp": load.warm_up, "count": load.count}
            found = self.child(name).call(port=self.port, verify=verify, **arguments)
        else:
            arguments = {"function": "bench.streams:stream", "candidate": name, "load": asdict(load)}
            found = self.child(name).call(port=self.port, verify=verify, profile=profile, **arguments)
        if wrong := check(load, found["payloads"], every=verify):
            raise AssertionError(f"{CANDIDATES[name].name} at {load.size} bytes: {wrong}")
        return dict(found)

    def cost(self, name: str, load: Load) -> float:
        """Return the microseconds of CPU of a candidate for one event."""
        return float(self.run(name, load)["cpu"]) / load.count * MICRO

    def round_size(self, name: str, size: int) -> int:
        """Return the number of events in a round. Before the first round, verify each event."""
        if (name, size) not in self._verified:
            self.run(name, self.load(size, min(distinct(size) + 2, _MAX_VERIFIED), 0), verify=True)
            self._verified.add((name, size))
        pilot = max(_MIN_EVENTS, min(500, _PILOT_BYTES // size))
        warm_up = pilot if CANDIDATES[name].run else pilot * _NODE_WARM_UP
        return max(_MIN_EVENTS, int(self.round_seconds * MICRO / self.cost(name, self.load(size, warm_up, pilot))))

    def compare(self, names: Iterable[str], size: int) -> dict[str, Series]:
        """Measure the cost of an event for each candidate at full speed."""
        return interleave(self.rounds, {name: partial(self._round, name, size, self.round_size(name, size)) for name in names})

    def _round(self, name: str, size: int, count: int) -> float:
        return self.cost(name, self.load(size, count // 5 + 1, count))

    def profile(self, name: str, size: int) -> str:
        """Profile a candidate."""
        count = self.round_size(name, size)
        return str(self.run(name, self.load(size, count // 5 + 1, count), profile=True)["hotspots"])
