"""A planned change of link makes before it breaks: nothing is lost, nothing is told as a gap. In virtual time, on every era."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from realtime_fsm import Realtime
from support.eras import ON_EVERY_ERA
from support.network import Network, take_numbers

pytestmark = ON_EVERY_ERA

CHANGES = 4
AGE = 20.0


async def publish(network: Network, count: int, pause: float = 0.007) -> list[int]:
    for number in range(count):
        network.publish("rows", payload={"n": number})
        await asyncio.sleep(pause)
    return list(range(count))


async def ages(network: Network, realtime: Realtime) -> None:
    await asyncio.sleep(AGE)


async def reconnects(network: Network, realtime: Realtime) -> None:
    await realtime.reconnect()


async def authenticates(network: Network, realtime: Realtime) -> None:
    await realtime.authenticate(realtime.session)  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", [ages, reconnects, authenticates])
async def test_planned_changes_lose_nothing(change: Callable[[Network, Realtime], Awaitable[None]]) -> None:
    network = Network()
    session = network.backend.add_user("alice")
    async with network.realtime(session=session, max_link_age=AGE if change is ages else None) as realtime:
        realtime.session = session  # type: ignore[attr-defined]
        rows = await realtime.subscribe("rows", "account", buffer=100_000)
        publishing = asyncio.ensure_future(publish(network, 16_000))
        for _ in range(CHANGES):
            await change(network, realtime)
            await asyncio.sleep(2)
        published = await publishing
        await asyncio.sleep(5)
        assert len(network.dials) >= 1 + CHANGES
        assert (take_numbers(rows) == published, rows.gaps, realtime.malformed) == (True, (), {})
