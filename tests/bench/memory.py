"""The memory of connections that are live and idle, on real sockets and a shared aiohttp session.

It is counted by `tracemalloc`: what Python allocated and still holds, the C parts of aiohttp included, the kernel's buffers and
the fragmentation of the heap left out; and beside it, in another process, by how much the resident set grew.
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

_UNHURRIED = RetryPolicy(dials_per_minute=None)
Closer = Callable[[], Awaitable[object]]
_AT_ONCE = 50
_BEFORE = 20
"""Connections that are there before, so that what is made once is not counted."""
_STATM = Path("/proc/self/statm")
_FILES = 14


def idle(kind: str, port: int, count: int, *, traced: bool) -> dict[str, Any]:
    """The child's part: bytes for one connection (0 where the resident set cannot be read), and which files allocated most."""
    return asyncio.run(_idle(kind, port, count, traced=traced))


async def _idle(kind: str, port: int, count: int, *, traced: bool) -> dict[str, Any]:
    open_one = {"raw": _raw, "connected": _connected, "subscribed": _subscribed}[kind]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        closers = [await open_one(session, port) for _ in range(_BEFORE)]
        if traced:
            tracemalloc.start()
        before = resident()
        for begin in range(0, count, _AT_ONCE):
            many = min(_AT_ONCE, count - begin)
            closers += await asyncio.gather(*(open_one(session, port) for _ in range(many)))
        found = allocated(count) if traced else {"bytes": (resident() - before) / count}
        for close in closers:
            await close()
        return found


def allocated(count: int) -> dict[str, Any]:
    """What is held of what was traced, for each of so many, and which files allocated most. It ends the tracing."""
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    files = tracemalloc.take_snapshot().statistics("filename")[:_FILES]
    tracemalloc.stop()
    shown = (f"{file.size / count:9,.0f}  {'/'.join(Path(file.traceback[0].filename).parts[-2:])}" for file in files)
    return {"bytes": held / count, "hot": "\n".join(shown)}


def resident() -> int:
    """Bytes of this process that are in memory; 0 where nobody says."""
    gc.collect()
    return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize() if _STATM.exists() else 0


async def _raw(session: aiohttp.ClientSession, port: int) -> Closer:
    """A link, and the task that reads it: nobody has the one without the other."""
    link = await raw.dial(session, port)
    reader = asyncio.create_task(_read(link))

    async def close() -> None:
        reader.cancel()
        await link.close()

    return close


async def _read(link: raw.Link) -> None:
    while (await link.receive()).type is raw.TEXT:
        pass


async def _connected(session: aiohttp.ClientSession, port: int) -> Closer:
    realtime = Realtime(f"http://127.0.0.1:{port}/v1", project="bench", http=session, retry=_UNHURRIED)
    await realtime.connect()
    return realtime.dispose


async def _subscribed(session: aiohttp.ClientSession, port: int) -> Closer:
    realtime = Realtime(f"http://127.0.0.1:{port}/v1", project="bench", http=session, retry=_UNHURRIED)
    await realtime.subscribe("rows")
    return realtime.dispose
