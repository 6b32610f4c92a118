"""Measure the cost of an event, for each candidate: at full speed, and at a fixed rate."""

from __future__ import annotations

from functools import partial

from bench.events import SIZES
from bench.measure import Bench, Series, interleave
from bench.report import Section, Target, cell
from bench.streams import CANDIDATES

# (label, candidate, base candidate, bound by size)
_AT_MOST = (
    ("payload untouched, over B", "ours", "b", (1.4, 1.25, 1.1, 1.05)),
    ("payload untouched, over aiohttp + json", "ours", "json", (0.4, 0.4, 0.2, 0.15)),
    ("payload as a dict, over aiohttp + orjson", "ours-dict", "orjson", (1.2, 1.3, 1.3, 1.3)),
)
_AT_LEAST = (("the JavaScript SDK, over payload as a dict", "sdk", "ours-dict", (3, 5, 4, 4)),)
_RATE, _SECONDS = 2_000, 1.5
_PACED = ("0.4 KB", "1.3 KB", "10 KB")
_PACED_AT_MOST = 1.1


def events(bench: Bench) -> Section:
    """Measure every candidate in four sizes."""
    candidates = {name: one for name, one in CANDIDATES.items() if name != "fan-out"}
    names = [name for name, one in candidates.items() if not one.missing]
    section = Section(
        "Cost of an event",
        "Microseconds of CPU for one event at full speed: the best round (the median round). All candidates receive the same "
        "events, and the benchmark compares received events with sent ones. B is the limit of aiohttp and msgspec: one "
        "`receive()` and one typed decode. The decode reads the ids of the subscriptions and leaves the rest as bytes.",
        ["us of CPU an event", *SIZES],
        notes=[f"{one.name} is missing here: it {one.missing}." for one in candidates.values() if one.missing],
        marked=tuple(one.name for name, one in candidates.items() if name.startswith("ours")),
    )
    costs: dict[str, dict[str, Series]] = {}
    for label, size in SIZES.items():
        bench.log(f"events of {label}: {len(names)} candidates, {bench.rounds} rounds")
        costs[label] = bench.compare(names, size)
        section.figures[label] = {candidates[name].name: series.best for name, series in costs[label].items()}
    section.rows = [[candidates[name].name, *(cell(costs[label][name]) for label in SIZES)] for name in names]
    for at_least, pairs in ((False, _AT_MOST), (True, _AT_LEAST)):
        for name, one, other, bounds in pairs:
            for label, bound in zip(SIZES, bounds, strict=True):
                if one in names and other in names:
                    target = Target.ratio(f"{label}, {name}", costs[label][one], costs[label][other], bound, at_least=at_least)
                    section.targets.append(target)
                    if not target.met:
                        _add_profile(bench, section, other if at_least else one, label)
    return section


def _add_profile(bench: Bench, section: Section, name: str, label: str) -> None:
    title = f"{CANDIDATES[name].name}, {label}"
    if title not in section.profiles:
        section.profiles[title] = bench.profile(name, SIZES[label])


def paced(bench: Bench) -> Section:
    """Measure events that arrive one by one."""
    section = Section(
        f"At {_RATE:,} events a second",
        "Microseconds of CPU for one event when each event arrives in its own packet: the best round (the median).",
        ["us of CPU an event", *_PACED],
    )
    count = int(_RATE * _SECONDS / (3 if bench.quick else 1))
    costs: dict[str, dict[str, Series]] = {}
    for label in _PACED:
        bench.log(f"paced events of {label}: {bench.rounds} rounds of {count / _RATE:g} s")
        costs[label] = interleave(bench.rounds, {name: partial(_one_by_one, bench, name, label, count) for name in ("b", "ours")})
        target = Target.ratio(f"{label}, over B", costs[label]["ours"], costs[label]["b"], _PACED_AT_MOST)
        section.targets.append(target)
        if not target.met:
            load = bench.load(SIZES[label], 200, count, rate=_RATE)
            section.profiles[f"ours, paced, {label}"] = bench.run("ours", load, profile=True)["hotspots"]
    section.rows = [[CANDIDATES[name].name, *(cell(costs[label][name]) for label in _PACED)] for name in ("b", "ours")]
    return section


def _one_by_one(bench: Bench, name: str, label: str, count: int) -> float:
    return bench.cost(name, bench.load(SIZES[label], 200, count, rate=_RATE))
