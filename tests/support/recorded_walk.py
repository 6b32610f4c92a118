"""A random walk that is written down as an audit log, and judged at its end."""

from __future__ import annotations

from abc import abstractmethod

from support.bench import Bench
from support.brokenlogs import Scribe, collected
from support.walk import Walk


class RecordedWalk(Walk):
    """A walk with its log, in `records`."""

    def __init__(self) -> None:
        super().__init__()
        self.collecting = collected()
        self.records = self.collecting.__enter__()

    @property
    def bench(self) -> Bench:
        return self._bench

    @bench.setter
    def bench(self, bench: Bench) -> None:
        self._bench = bench
        self.watch(bench)

    def watch(self, bench: Bench) -> None:
        """Write what happens on a new workbench into `records`."""
        Scribe(bench)

    def teardown(self) -> None:
        self.collecting.__exit__(None, None, None)
        if self.records:
            self.judge()

    @abstractmethod
    def judge(self) -> None:
        """Judge the log, which has at least one record."""
