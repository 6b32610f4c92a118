"""Measure several subscriptions on one link: the cost of each matching one, and of the ones that do not match."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from statistics import linear_regression
from typing import Any

from bench import ours
from bench.events import SIZES
from bench.load import Load
from bench.measure import MICRO, Bench, Series, interleave
from bench.meter import Consume, Meter
from bench.report import Section, Target, cell, figure

_LABEL = "0.4 KB"
_SIZE = SIZES[_LABEL]
_MATCHING = (1, 2, 4, 7, 10)
_HELD = (10, 1_000, 10_000)


def fan_out(bench: Bench) -> Section:
    """Measure subscriptions that all match."""
    bench.log(f"fan-out: an event for {_MATCHING[0]} to {_MATCHING[-1]} subscriptions, {bench.rounds} rounds")
    count = int(bench.round_seconds * MICRO / 15)
    costs = interleave(bench.rounds, {str(many): partial(_matching, bench, many, count) for many in _MATCHING})
    slope, _ = linear_regression(_MATCHING, [costs[str(many)].best for many in _MATCHING])
    section = Section(
        "One event for several subscriptions",
        f"Every event of {_LABEL} matches every subscription, and each subscription has its own task with an `async for`.",
        ["subscriptions", *map(str, _MATCHING)],
        [["us of CPU an event", *(cell(costs[str(many)]) for many in _MATCHING)]],
        [Target("each additional delivery of an event", slope, 0.4, "us")],
    )
    if not section.targets[0].met:
        load = bench.load(_SIZE, count // 5, count, subscriptions=_MATCHING[-1])
        section.profiles[f"{_MATCHING[-1]} subscriptions"] = bench.run("fan-out", load, profile=True)["hotspots"]
    return section


def _matching(bench: Bench, subscriptions: int, count: int) -> float:
    return bench.cost("fan-out", bench.load(_SIZE, count // 5, count, subscriptions=subscriptions))


def routing(bench: Bench) -> Section:
    """Measure many subscriptions of which one matches."""
    bench.log(f"routing: one of {_HELD[0]:,} to {_HELD[-1]:,} subscriptions, {bench.rounds} rounds")
    count = int(bench.round_seconds * MICRO / 10)
    found = _routed(bench, count, _HELD, bench.rounds, profile=False)
    costs = [Series(tuple(values)) for values in found["costs"]]
    section = Section(
        "One of many subscriptions",
        f"A link has so many subscriptions, and each event of {_LABEL} matches one. All three links live in one process.",
        ["subscriptions", *(f"{many:,}" for many in _HELD)],
        [["us of CPU an event", *map(cell, costs)]],
        [Target.ratio(f"{many:,} / {_HELD[0]:,}", costs[at], costs[0], 1.1) for at, many in enumerate(_HELD) if at],
        notes=[f"{_HELD[-1]:,} subscriptions took {figure(found['seconds'])} s of CPU."],
    )
    if not all(target.met for target in section.targets):
        section.profiles[f"{_HELD[-1]:,} subscriptions"] = _routed(bench, count, _HELD[-1:], 1, profile=True)["hotspots"]
    return section


def _routed(bench: Bench, count: int, held: tuple[int, ...], rounds: int, *, profile: bool) -> dict[str, Any]:
    lanes = [(many, asdict(bench.load(_SIZE, count // 5, count))) for many in held]
    return dict(bench.call_once("bench.spread:route", port=bench.port, lanes=lanes, rounds=rounds, profile=profile))


def route(port: int, lanes: list[tuple[int, dict[str, int]]], rounds: int, *, profile: bool) -> dict[str, Any]:
    """Measure the links of `routing`. A child runs this.

    Returns:
        Microseconds for an event by link and round, and the seconds of CPU for the subscriptions of the last link.
    """
    return asyncio.run(_route([(many, Meter(port, Load(**load), profile=profile)) for many, load in lanes], rounds))


async def _route(lanes: list[tuple[int, Meter]], rounds: int) -> dict[str, Any]:
    costs: list[list[float]] = [[] for _ in lanes]
    consumers: list[Consume] = []
    async with AsyncExitStack() as stack:
        for many, meter in lanes:
            realtime = await stack.enter_async_context(ours.client(meter.port))
            began = time.process_time()
            await asyncio.gather(*(realtime.subscribe(f"other.{number}") for number in range(many - 1)))
            seconds = time.process_time() - began
            consumers.append(partial(ours.take_events, await realtime.subscribe(meter.load.channel)))
            await meter.warm_up(consumers[-1])
        for _ in range(rounds):
            for (_, meter), consume, found in zip(lanes, consumers, costs, strict=True):
                await meter.measure(consume)
                found.append(meter.cpu / meter.load.count * MICRO)
    return {"costs": costs, "seconds": seconds, "hotspots": lanes[-1][1].hotspots}
