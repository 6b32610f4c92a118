"""Measure a dial with its subscription: ours beside bare aiohttp, each with its own session and with a shared one."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from bench import raw
from bench.hotspots import Profile
from realtime_fsm import Realtime, RetryPolicy

_UNPACED = RetryPolicy(dials_per_minute=None)
_CHANNEL = "rows"


def dial(kind: str, port: int, count: int, *, shared: bool) -> float:
    """Return the seconds of CPU for one dial without its close. A child runs this."""
    return asyncio.run(_dial(kind, port, count, shared=shared))


def profile(port: int, count: int, *, shared: bool) -> str:
    """Profile our dial, close included."""
    with Profile() as profiler:
        dial("ours", port, count, shared=shared)
    return profiler.text


async def _dial(kind: str, port: int, count: int, *, shared: bool) -> float:
    one = {"ours": _ours, "raw": _raw}[kind]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        shared_session = session if shared else None
        for _ in range(count // 10 + 1):
            await one(port, shared_session)
        return sum([await one(port, shared_session) for _ in range(count)]) / count


async def _ours(port: int, session: aiohttp.ClientSession | None) -> float:
    began = time.process_time()
    async with Realtime(f"http://127.0.0.1:{port}/v1", project="bench", http=session, retry=_UNPACED) as realtime:
        await realtime.subscribe(_CHANNEL)
        return time.process_time() - began


async def _raw(port: int, session: aiohttp.ClientSession | None) -> float:
    began = time.process_time()
    if session is None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as own:
            return await _raw_on(own, port, began)
    return await _raw_on(session, port, began)


async def _raw_on(session: aiohttp.ClientSession, port: int, began: float) -> float:
    async with await raw.dial(session, port) as websocket:
        await websocket.send_str(raw.subscribe_message(_CHANNEL))
        await websocket.receive()
        return time.process_time() - began
