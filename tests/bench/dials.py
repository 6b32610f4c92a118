"""From the dial to subscribed: ours beside bare aiohttp, each with a session of its own, and with one that is shared."""

from __future__ import annotations

import asyncio
import time

import aiohttp

from bench import raw
from bench.hotspots import Profile
from realtime_fsm import Realtime, RetryPolicy

_UNHURRIED = RetryPolicy(dials_per_minute=None)
_CHANNEL = "rows"


def dial(kind: str, port: int, count: int, *, shared: bool) -> float:
    """The child's part: seconds of CPU for one dial, its closing left out."""
    return asyncio.run(_dial(kind, port, count, shared=shared))


def profile(port: int, count: int, *, shared: bool) -> str:
    """Where the time of ours goes, closing included."""
    with Profile() as watch:
        dial("ours", port, count, shared=shared)
    return watch.text


async def _dial(kind: str, port: int, count: int, *, shared: bool) -> float:
    one = {"ours": _ours, "raw": _raw}[kind]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        given = session if shared else None
        for _ in range(count // 10 + 1):
            await one(port, given)
        return sum([await one(port, given) for _ in range(count)]) / count


async def _ours(port: int, session: aiohttp.ClientSession | None) -> float:
    began = time.process_time()
    async with Realtime(f"http://127.0.0.1:{port}/v1", project="bench", http=session, retry=_UNHURRIED) as realtime:
        await realtime.subscribe(_CHANNEL)
        return time.process_time() - began


async def _raw(port: int, session: aiohttp.ClientSession | None) -> float:
    began = time.process_time()
    if session is None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as own:
            return await _raw_on(own, port, began)
    return await _raw_on(session, port, began)


async def _raw_on(session: aiohttp.ClientSession, port: int, began: float) -> float:
    async with await raw.dial(session, port) as link:
        await link.send_str(raw.subscribe_message(_CHANNEL))
        await link.receive()
        return time.process_time() - began
