"""Run ten thousand connections in one process: the real client on a simulated network, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from typing import Any

from bench.memory import resident
from realtime_fsm import RetryPolicy, State
from support.network import Network
from support.virtual import run

_MINUTE = 60.0


def live(count: int, minutes: int, *, traced: bool) -> dict[str, Any]:
    """Measure so many connections. A child runs this.

    Returns:
        Seconds of CPU of a connection, with its part of the simulated server: until subscribed, and for a minute. Bytes of a
        connection: of everything, or of our own lines if `traced`. The number of live connections at the end.
    """

    async def main() -> dict[str, Any]:
        network = Network(rate_limit=None)
        if traced:
            tracemalloc.start()
        before, began = resident(), time.process_time()
        fleet = [network.realtime(host="server", retry=RetryPolicy(dials_per_minute=None)) for _ in range(count)]
        await asyncio.gather(*(one.subscribe("rows") for one in fleet))
        subscribed = time.process_time()
        await asyncio.sleep(minutes * _MINUTE)
        finished = time.process_time()
        gc.collect()
        found = {
            "subscribe": (subscribed - began) / count,
            "minute": (finished - subscribed) / count / minutes,
            "bytes": (_own_bytes() if traced else resident() - before) / count,
            "live": sum(one.state in (State.SUBSCRIBED, State.PING) for one in fleet),
            "pings": sum(sent == b'{"type":"ping"}' for socket in network.sockets for sent in socket.sent),
        }
        tracemalloc.stop()
        await asyncio.gather(*(one.dispose() for one in fleet))
        return found

    return run(main)


def _own_bytes() -> int:
    kinds = tracemalloc.take_snapshot().statistics("filename")
    return sum(kind.size for kind in kinds if "realtime_fsm" in (path := kind.traceback[0].filename) and "testing" not in path)
