"""Measure the state machine: its triggers and its audit records."""

from __future__ import annotations

from functools import partial

from bench.measure import MICRO, Bench, interleave
from bench.report import Section, Target, cell


def trigger(bench: Bench) -> Section:
    """Measure a trigger of the table."""
    count = 1_000 if bench.quick else 4_000
    bench.log(f"trigger: {count:,} times in each of {bench.rounds} rounds")
    candidates = {kind: partial(_triggers, bench, kind, count) for kind in ("bare", "cells", "table")}
    costs = interleave(bench.rounds, candidates)
    section = Section(
        "A trigger of the table",
        "Microseconds of CPU of a trigger of `transitions`: heartbeats and their answers alternate, with all guards and effects "
        "of their cells. A bare `Machine` has its own model, two transitions, no guard and no effect.",
        ["us of CPU a trigger", ""],
        [
            ["a bare Machine", cell(costs["bare"], MICRO)],
            ["a Machine with the same cells, guards and effects", cell(costs["cells"], MICRO)],
            ["the table's", cell(costs["table"], MICRO)],
        ],
        [
            Target.ratio("the table's / the same cells in a Machine", costs["table"], costs["cells"], 1.3),
            Target.ratio("the table's / a bare Machine", costs["table"], costs["bare"], 1.3),
        ],
    )
    if not all(target.met for target in section.targets):
        section.profiles["the table's triggers"] = bench.call_once("bench.core:trigger_profile", count=count)
    return section


def _triggers(bench: Bench, kind: str, count: int) -> float:
    return float(bench.child(f"trigger {kind}").call(function="bench.core:trigger", kind=kind, count=count))


def audit(bench: Bench) -> Section:
    """Measure an audit record."""
    count = 1_000 if bench.quick else 5_000
    bench.log(f"audit: {count:,} records in each of {bench.rounds} rounds")
    cost = interleave(bench.rounds, {"record": partial(_records, bench, count)})["record"]
    section = Section(
        "An audit record",
        "Microseconds of CPU of one `realtime.transition`, from the call to the file, as `audit.configure()` sets up.",
        ["us of CPU a record", ""],
        [["realtime.transition", cell(cost, MICRO)]],
        [Target("one record", cost.best * MICRO, 12, "us")],
    )
    if not section.targets[0].met:
        found = bench.child("audit").call(function="bench.core:record", count=count, profile=True)
        section.profiles["records"] = found["hotspots"]
    return section


def _records(bench: Bench, count: int) -> float:
    return float(bench.child("audit").call(function="bench.core:record", count=count, profile=False)["cpu"])
