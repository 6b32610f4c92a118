"""Measure the memory of idle live connections, on real sockets and a shared aiohttp session.

`tracemalloc` counts the memory that Python allocated and holds, the C parts of aiohttp included. The count excludes the kernel's
buffers and the fragmentation of the heap. Another process measures the growth of the resident set.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from bench import raw
from realtime_fsm import Realtime, RetryPolicy

_UNPACED = RetryPolicy(dials_per_minute=None)
Closer = Callable[[], Awaitable[object]]
_CONCURRENT_DIALS = 50
_WARM_UP = 20
"""Connections before the measurement, so that allocations that happen once do not count."""
_STATM = Path("/proc/self/statm")
_SHOWN_FILES = 14


def idle(kind: str, port: int, count: int, *, traced: bool) -> dict[str, Any]:
    """Measure the bytes of one connection, and the files that allocated most. A child runs this."""
    return asyncio.run(_idle(kind, port, count, traced=traced))


async def _idle(kind: str, port: int, count: int, *, traced: bool) -> dict[str, Any]:
    open_one = {"raw": _raw, "connected": _connected, "subscribed": _subscribed}[kind]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        closers = [await open_one(session, port) for _ in range(_WARM_UP)]
        if traced:
            tracemalloc.start()
        before = resident()
        for start in range(0, count, _CONCURRENT_DIALS):
            size = min(_CONCURRENT_DIALS, count - start)
            closers += await asyncio.gather(*(open_one(session, port) for _ in range(size)))
        found = allocated(count) if traced else {"bytes": (resident() - before) / count}
        for close in closers:
            await close()
        return found


def allocated(count: int) -> dict[str, Any]:
    """Return the traced memory of one of `count` connections, and the files that allocated most. End the tracing."""
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    files = tracemalloc.take_snapshot().statistics("filename")[:_SHOWN_FILES]
    tracemalloc.stop()
    lines = (f"{file.size / count:9,.0f}  {'/'.join(Path(file.traceback[0].filename).parts[-2:])}" for file in files)
    return {"bytes": held / count, "hotspots": "\n".join(lines)}


def resident() -> int:
    """Return the resident bytes of the process; 0 where the system does not count them."""
    gc.collect()
    return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize() if _STATM.exists() else 0


async def _raw(session: aiohttp.ClientSession, port: int) -> Closer:
    """Open a websocket with its reading task, which every client needs."""
    websocket = await raw.dial(session, port)
    reader = asyncio.create_task(_read(websocket))

    async def close() -> None:
        reader.cancel()
        await websocket.close()

    return close


async def _read(websocket: raw.WebSocket) -> None:
    while (await websocket.receive()).type is raw.TEXT:
        pass


async def _connected(session: aiohttp.ClientSession, port: int) -> Closer:
    realtime = Realtime(f"http://127.0.0.1:{port}/v1", project="bench", http=session, retry=_UNPACED)
    await realtime.connect()
    return realtime.dispose


async def _subscribed(session: aiohttp.ClientSession, port: int) -> Closer:
    realtime = Realtime(f"http://127.0.0.1:{port}/v1", project="bench", http=session, retry=_UNPACED)
    await realtime.subscribe("rows")
    return realtime.dispose
