"""Measure connections: a dial, the memory of an idle connection, and ten thousand connections."""

from __future__ import annotations

from functools import partial

from bench.measure import MICRO, Bench, interleave
from bench.report import Section, Target, cell, figure

_KB = 1024
_BY_FILE = "bytes a connection by the file that allocated them"


def dial(bench: Bench) -> Section:
    """Measure the dial with its subscription."""
    count = 20 if bench.quick else 100
    bench.log(f"dial to subscribed: {count} times in each of {bench.rounds} rounds")
    candidates = {
        (kind, shared): partial(_dials, bench, kind, count, shared=shared) for kind in ("raw", "ours") for shared in (False, True)
    }
    costs = interleave(bench.rounds, candidates)
    section = Section(
        "From the dial to subscribed",
        "Microseconds of CPU to connect, receive the greeting, subscribe to one channel and receive the answer. Each dial makes "
        "its own session, or uses the user's (`http=`).",
        ["us of CPU a dial", "a session of its own", "a shared session"],
    )
    for kind, name in (("raw", "aiohttp"), ("ours", "realtime_fsm")):
        section.rows.append([name, *(cell(costs[kind, shared], MICRO) for shared in (False, True))])
    for shared, name in ((False, "a session of its own"), (True, "a shared session")):
        target = Target.ratio(f"ours / aiohttp, {name}", costs["ours", shared], costs["raw", shared], 1.15)
        section.targets.append(target)
        if not target.met:
            child = bench.child("dial ours")
            profile = child.call(function="bench.dials:profile", port=bench.port, count=count, shared=shared)
            section.profiles[f"ours, {name}"] = profile
    return section


def _dials(bench: Bench, kind: str, count: int, *, shared: bool) -> float:
    child = bench.child(f"dial {kind}")
    return float(child.call(function="bench.dials:dial", kind=kind, port=bench.port, count=count, shared=shared))


def memory(bench: Bench) -> Section:
    """Measure the memory of an idle connection."""
    count = 100 if bench.quick else 1_000
    names = {
        "raw": "aiohttp, greeted, with a reading task",
        "connected": "realtime_fsm, connected",
        "subscribed": "realtime_fsm, subscribed to one channel",
    }
    section = Section(
        "The memory of an idle connection",
        f"KB (of 1,024 bytes) for each of {count:,} live connections over loopback on one shared aiohttp session. The target "
        "applies to the memory that Python allocated and holds (`tracemalloc`). The last column shows the resident set.",
        ["KB a connection", "allocated", "resident"],
    )
    for kind, name in names.items():
        bench.log(f"memory: {count:,} connections, {name}")
        measure = partial(bench.call_once, "bench.memory:idle", kind=kind, port=bench.port, count=count)
        traced, grown = measure(traced=True), measure(traced=False)
        section.rows.append([name, figure(traced["bytes"] / _KB), figure(grown["bytes"] / _KB) if grown["bytes"] else "?"])
        if kind != "raw":
            section.targets.append(Target(name, traced["bytes"] / _KB, 14, "KB"))
            if not section.targets[-1].met:
                section.profiles[f"{name}, {_BY_FILE}"] = traced["hotspots"]
    for kind in ("connected", "subscribed"):
        name, part = f"the machine's part, {kind}", bench.call_once("bench.core:memory", kind=kind, count=count)
        section.rows.append([name, figure(part["bytes"] / _KB), ""])
        section.targets.append(Target(name, part["bytes"] / _KB, 1, "KB"))
        if not section.targets[-1].met:
            section.profiles[f"{name}, {_BY_FILE}"] = part["hotspots"]
    return section


def many(bench: Bench) -> Section:
    """Measure ten thousand connections."""
    count, minutes = (500, 2) if bench.quick else (10_000, 2)
    bench.log(f"many: {count:,} connections for {minutes} virtual minutes")
    found = bench.call_once("bench.many:live", count=count, minutes=minutes, traced=False)
    own = bench.call_once("bench.many:live", count=count // 10, minutes=1, traced=True)["bytes"]
    rows = [
        ["us of CPU to get subscribed", figure(found["subscribe"] * MICRO)],
        [f"us of CPU a minute, with {found['pings'] / count / minutes:.1f} heartbeats", figure(found["minute"] * MICRO)],
        ["KB of the resident set", figure(found["bytes"] / _KB)],
        ["KB that realtime_fsm allocated", figure(own / _KB)],
    ]
    return Section(
        f"{count:,} connections in one process",
        f"Real clients on a simulated network, in virtual time, for {minutes} minutes. CPU and resident memory hold the "
        "simulated sockets and the server's side too.",
        ["of one connection", ""],
        rows,
        [Target("live at the end", found["live"], count, "connections", at_least=True)],
    )
