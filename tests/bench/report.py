"""Write the report: sections of tables and targets, as Markdown that a terminal shows too."""

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
    """Format a number with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(series: Series, scale: float = 1.0) -> str:
    """Format the best round, and the median round in brackets."""
    return f"{figure(series.best * scale)} ({figure(series.median * scale)})"


@dataclass(frozen=True, slots=True)
class Target:
    """A measured value and its bound.

    Attributes:
        name: the measured thing.
        value: the measured value.
        bound: the largest value that meets the target; the smallest one, if `at_least`.
        unit: the unit of both.
        at_least: whether the bound is a minimum.
        by_medians: the ratio of the median rounds, for comparison; `value` is the ratio of the best rounds.
    """

    name: str
    value: float
    bound: float
    unit: str = "x"
    at_least: bool = False
    by_medians: float | None = None

    @classmethod
    def ratio(cls, name: str, measured: Series, base: Series, bound: float, *, at_least: bool = False) -> Self:
        """Build a target for the ratio of two series."""
        return cls(name, measured.best / base.best, bound, at_least=at_least, by_medians=measured.median / base.median)

    @property
    def met(self) -> bool:
        """Tell whether the value meets the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def cells(self) -> list[str]:
        """Return the cells of a table row."""
        medians = "" if self.by_medians is None else f" ({figure(self.by_medians)})"
        bound = f"{'>=' if self.at_least else '<='} {self.bound:,g} {self.unit}"
        return [self.name, f"{figure(self.value)}{medians} {self.unit}", bound, "met" if self.met else "**not met**"]


@dataclass(slots=True)
class Section:
    """The results of one benchmark.

    Attributes:
        title: the heading.
        text: the description of the measurement.
        header: the header of the table; the first cell names the unit.
        rows: the rows of the table.
        targets: the values with a bound.
        profiles: the profile of time or memory for each missed target, by name.
        notes: further remarks.
        figures: the figures of the picture, by panel and row.
        marked: our rows of the picture.
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
        """Return the lines of Markdown."""
        lines = [f"## {self.title}", "", self.text, ""]
        if picture is not None:
            lines += [f"![{self.title}: the table below as a picture]({picture})", ""]
        lines += [*table(self.header, self.rows), ""]
        if self.targets:
            lines += [*table(["target", "found", "bound", ""], [target.cells() for target in self.targets]), ""]
        for note in self.notes:
            lines += [note, ""]
        for name, profile in self.profiles.items() if profiles else ():
            lines += [f"Profile: {name}.", "", "```text", profile, "```", ""]
        return lines


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Format a Markdown table with aligned columns."""
    grid = [header, *rows]
    widths = [max(len(row[column]) for row in grid) for column in range(len(header))]
    signs = "<" + ">" * (len(header) - 1)  # the first column is text, the other ones are figures
    lines = [" | ".join(f"{text:{sign}{width}}" for text, sign, width in zip(row, signs, widths, strict=True)) for row in grid]
    rules = ("-" * (width + 1) + (":" if sign == ">" else "-") for sign, width in zip(signs, widths, strict=True))
    return [f"| {lines[0]} |", f"|{'|'.join(rules)}|", *(f"| {line} |" for line in lines[1:])]


def document(sections: Iterable[Section], picture: str) -> str:
    """Write RESULTS.md."""
    lines = [
        "# Results of `make bench`",
        "",
        f"Machine: {_cpu()}, {os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}.",
        f"Versions: {_versions()}.",
        "",
        "A figure is CPU time of the client's process. The server runs in its own process and holds all events as bytes. The",
        "candidates alternate round by round. A ratio compares the best rounds; the ratio of the median rounds is in brackets.",
        "Compare ratios within one run, because absolute times depend on the machine and the day.",
        "",
    ]
    for section in sections:
        lines += section.lines(picture if section.figures else None)
    return "\n".join(lines).rstrip() + "\n"


def _cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _versions() -> str:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    peers = json.loads((TESTS / "peers" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return ", ".join([*found, *(f"{package} {pinned} (JavaScript)" for package, pinned in peers.items())])
