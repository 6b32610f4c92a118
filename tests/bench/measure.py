"""Measuring: candidates take their turns round by round, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from types import TracebackType
from typing import Any, Self, TypeVar

from bench.events import distinct
from bench.load import Load
from bench.process import Process, Server, child, node
from bench.streams import CANDIDATES, check

K = TypeVar("K")
MICRO = 1e6
_PILOT = 200_000
"""Bytes of events in the run that finds out how many events make a round."""
_FEWEST = 8
_BURN_IN = 20
"""How many times as many events Node gets first: its compiler makes what runs often twice as fast."""
_MOST_VERIFIED = 100


@dataclass(frozen=True, slots=True)
class Series:
    """What the rounds of one candidate gave."""

    values: tuple[float, ...]

    @property
    def least(self) -> float:
        """The best round: the one that was disturbed least."""
        return min(self.values)

    @property
    def middle(self) -> float:
        """The median of the rounds."""
        return median(self.values)


def interleave(rounds: int, turns: Mapping[K, Callable[[], float]]) -> dict[K, Series]:
    """Let each take its turn in each round, every other round backwards."""
    values: dict[K, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name in turns if number % 2 == 0 else reversed(tuple(turns)):
            values[name].append(turns[name]())
    return {name: Series(tuple(found)) for name, found in values.items()}


class Bench:
    """The server, the children, and how long everything may take.

    Args:
        quick: whether to be content with less.
        say: what is told of the progress.
    """

    def __init__(self, *, quick: bool = False, say: Callable[[str], None] = print) -> None:
        self.quick = quick
        self.say = say
        self.rounds = 3 if quick else 5
        self.seconds = 0.06 if quick else 0.2  # of CPU, of one candidate in one round
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
        """The child of a name; it lives to the end, and idles when it has no turn."""
        if name not in self._children:
            in_node = name in CANDIDATES and CANDIDATES[name].take is None
            self._children[name] = self._stack.enter_context(node() if in_node else child())
        return self._children[name]

    def once(self, do: str, **arguments: Any) -> Any:
        """Call a function in a fresh child."""
        with child() as fresh:
            return fresh.ask(do=do, **arguments)

    def load(self, size: int, warm: int, count: int, **more: int) -> Load:
        """A load that no other run has."""
        return Load(next(self._numbers), size, warm, count, **more)

    def take(self, name: str, load: Load, *, verify: bool = False, profile: bool = False) -> dict[str, Any]:
        """Let a candidate take a load, and see that it got what was sent."""
        if CANDIDATES[name].take is None:
            words = {"channel": load.channel, "warm": load.warm, "count": load.count}
            found = self.child(name).ask(port=self.port, verify=verify, **words)
        else:
            words = {"do": "bench.streams:stream", "candidate": name, "load": asdict(load)}
            found = self.child(name).ask(port=self.port, verify=verify, profile=profile, **words)
        if wrong := check(load, found["payloads"], every=verify):
            raise AssertionError(f"{CANDIDATES[name].name} at {load.size} bytes: {wrong}")
        return dict(found)

    def cost(self, name: str, load: Load) -> float:
        """Microseconds of CPU that a candidate takes for an event."""
        return float(self.take(name, load)["cpu"]) / load.count * MICRO

    def count_for(self, name: str, size: int) -> int:
        """How many events make a round. Before the first one, events are looked at, each of them."""
        if (name, size) not in self._verified:
            self.take(name, self.load(size, min(distinct(size) + 2, _MOST_VERIFIED), 0), verify=True)
            self._verified.add((name, size))
        pilot = max(_FEWEST, min(500, _PILOT // size))
        warm = pilot if CANDIDATES[name].take else pilot * _BURN_IN
        return max(_FEWEST, int(self.seconds * MICRO / self.cost(name, self.load(size, warm, pilot))))

    def compare(self, names: Iterable[str], size: int) -> dict[str, Series]:
        """What an event costs each candidate, as fast as it takes them."""
        return interleave(self.rounds, {name: partial(self._round, name, size, self.count_for(name, size)) for name in names})

    def _round(self, name: str, size: int, count: int) -> float:
        return self.cost(name, self.load(size, count // 5 + 1, count))

    def profile(self, name: str, size: int) -> str:
        """Where the time of a candidate goes."""
        count = self.count_for(name, size)
        return str(self.take(name, self.load(size, count // 5 + 1, count), profile=True)["hot"])
