"""List the candidates, and run one on a load."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from bench import others, ours, raw
from bench.events import FIRST, distinct, event
from bench.load import Load
from bench.meter import Meter
from bench.process import NODE_MODULES

_RUN_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A client that receives events.

    Attributes:
        name: the name in reports.
        run: the coroutine that runs the client; None for a client in Node.
        needs: the module that the client needs.
    """

    name: str
    run: Callable[[Meter], Awaitable[None]] | None
    needs: str = "aiohttp"

    @property
    def missing(self) -> str | None:
        """Say why the candidate cannot run here; None if it can."""
        if self.run is None:
            there = shutil.which("node") is not None and (NODE_MODULES / "appwrite").is_dir()
            return None if there else "needs Node.js and the packages of tests/peers"
        return None if find_spec(self.needs) else f"needs the package {self.needs}"


CANDIDATES = {
    "picows": Candidate("picows + msgspec, payload raw", others.with_picows, "picows"),
    "b": Candidate("aiohttp + msgspec, payload raw (B)", raw.typed),
    "ours": Candidate("realtime_fsm, payload untouched", ours.untouched),
    "ours-batches": Candidate("realtime_fsm, batches()", ours.batches),
    "ours-uvloop": Candidate("realtime_fsm on uvloop", ours.untouched, "uvloop"),
    "ours-dict": Candidate("realtime_fsm, payload as a dict", ours.as_dict),
    "orjson": Candidate("aiohttp + orjson", raw.with_orjson, "orjson"),
    "json": Candidate("aiohttp + json", raw.with_json),
    "websockets": Candidate("websockets + json", others.with_websockets, "websockets"),
    "sdk": Candidate("Appwrite's JavaScript SDK (Node)", None),
    "centrifuge": Candidate("centrifuge-python", others.with_centrifuge, "centrifuge"),
    "supabase": Candidate("supabase realtime", others.with_supabase, "realtime"),
    "fan-out": Candidate("realtime_fsm, several subscriptions", ours.fan_out),
}


def stream(candidate: str, port: int, load: dict[str, int], *, verify: bool, profile: bool) -> dict[str, Any]:
    """Run a candidate on a load, in this process."""
    one = CANDIDATES[candidate]
    assert one.run is not None
    meter = Meter(port, Load(**load), verify=verify, profile=profile)
    with asyncio.Runner(loop_factory=_fast_loop if one.needs == "uvloop" else None) as runner:
        runner.run(_bounded(one.run(meter)))
    return {"cpu": meter.cpu, "payloads": meter.payloads, "hotspots": meter.hotspots}


async def _bounded(coroutine: Awaitable[None]) -> None:
    async with asyncio.timeout(_RUN_TIMEOUT):
        await coroutine


def _fast_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def check(load: Load, payloads: list[Any], *, every: bool) -> str | None:
    """Compare received payloads with sent ones; return the difference as text."""
    total = load.warm_up if every else load.warm_up + load.count
    numbers = range(total) if every else [total - 1]
    if len(payloads) != len(numbers):
        return f"{len(payloads)} events instead of {len(numbers)}"
    for number, payload in zip(numbers, payloads, strict=True):
        sent = json.loads(event(load.size, number % distinct(load.size), ["s1"]))["payload"]
        if payload != sent:
            return f"event {number} is {payload.get('n', 0) - FIRST}, or differs"
    return None
