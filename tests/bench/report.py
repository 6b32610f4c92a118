"""The report: sections of tables and targets, as Markdown that can be read on a terminal, too."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Self

from bench.measure import Series
from bench.process import TESTS

_PACKAGES = (
    "aiohttp", "msgspec", "transitions", "structlog", "uvloop", "orjson", "websockets", "picows", "centrifuge-python", "realtime",
)  # fmt: skip


def figure(value: float) -> str:
    """A number with the digits that mean something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(series: Series, scale: float = 1.0) -> str:
    """The best round, and the median round behind it."""
    return f"{figure(series.least * scale)} ({figure(series.middle * scale)})"


@dataclass(frozen=True, slots=True)
class Target:
    """A promise, and whether it is kept.

    Attributes:
        what: what is measured.
        value: what was found.
        bound: how much it may be at most; or at least, if `at_least`.
        unit: of both.
        at_least: which of the two.
        by_medians: a ratio as the medians of the rounds have it, beside the one of the best rounds, which counts.
    """

    what: str
    value: float
    bound: float
    unit: str = "x"
    at_least: bool = False
    by_medians: float | None = None

    @classmethod
    def ratio(cls, what: str, of: Series, over: Series, bound: float, *, at_least: bool = False) -> Self:
        """A promise of how one compares with another."""
        return cls(what, of.least / over.least, bound, at_least=at_least, by_medians=of.middle / over.middle)

    @property
    def met(self) -> bool:
        """Whether it is kept."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def cells(self) -> list[str]:
        """As cells of a table."""
        medians = "" if self.by_medians is None else f" ({figure(self.by_medians)})"
        bound = f"{'>=' if self.at_least else '<='} {self.bound:,g} {self.unit}"
        return [self.what, f"{figure(self.value)}{medians} {self.unit}", bound, "met" if self.met else "**not met**"]


@dataclass(slots=True)
class Section:
    """One benchmark.

    Attributes:
        title: its heading.
        text: what was done.
        header: of its table; the first cell says what the figures are.
        rows: of its table.
        targets: its promises.
        profiles: where the time (or the memory) goes of what missed its target, by name.
        notes: what else is to be said.
        figures: what its picture shows: by panel and row, a number.
        marked: the rows of the picture that are ours.
    """

    title: str
    text: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    profiles: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    marked: tuple[str, ...] = ()

    def lines(self, picture: str | None = None, *, profiles: bool = True) -> list[str]:
        """As Markdown."""
        lines = [f"## {self.title}", "", self.text, ""]
        if picture is not None:
            lines += [f"![{self.title}: the table below as a picture]({picture})", ""]
        lines += [*table(self.header, self.rows), ""]
        if self.targets:
            lines += [*table(["target", "found", "to reach", ""], [target.cells() for target in self.targets]), ""]
        for note in self.notes:
            lines += [note, ""]
        for name, profile in self.profiles.items() if profiles else ():
            lines += [f"Where it goes: {name}.", "", "```text", profile, "```", ""]
        return lines


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table whose columns are aligned."""
    grid = [header, *rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(header))]
    signs = "<" + ">" * (len(header) - 1)  # the first column is text, the other ones are figures
    lines = [" | ".join(f"{text:{sign}{width}}" for text, sign, width in zip(row, signs, widths, strict=True)) for row in grid]
    rules = ("-" * (width + 1) + (":" if sign == ">" else "-") for sign, width in zip(signs, widths, strict=True))
    return [f"| {lines[0]} |", f"|{'|'.join(rules)}|", *(f"| {line} |" for line in lines[1:])]


def document(sections: Iterable[Section], picture: str) -> str:
    """The whole of RESULTS.md."""
    lines = [
        "# Results of `make bench`",
        "",
        f"Machine: {_cpu()}, {os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}.",
        f"Versions: {_versions()}.",
        "",
        "The figure is CPU time of the client's process. The server is a process of its own, in which all events stand ready as",
        "bytes. Candidates take their turns round by round; a ratio is that of the best rounds, with that of the median rounds",
        "in brackets. Compare ratios within one run: absolute times are this machine's, on that day.",
        "",
    ]
    for section in sections:
        lines += section.lines(picture if section.figures else None)
    return "\n".join(lines).rstrip() + "\n"


def _cpu() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _versions() -> str:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    peers = json.loads((TESTS / "peers" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return ", ".join([*found, *(f"{package} {pinned} (JavaScript)" for package, pinned in peers.items())])
