"""Test a feature that follows Appwrite Realtime: with pytest, without a mock, a sleep or an account.

    pip install realtime-fsm pytest
    pytest test_suite.py

The fixtures come with the package. A lost link heals in milliseconds, and each connection is audited at the end of its test.
"""

import asyncio

import pytest

from realtime_fsm import Realtime, sync
from realtime_fsm.testing import AuditRecords, BlockingServer, RealtimeServer, VirtualClock, assert_rows

ORDERS = "databases.main.tables.orders.rows"


async def note_actions(realtime: Realtime, actions: asyncio.Queue[str | None]) -> None:
    """Put the action of each order's event into a queue: the feature under test."""
    async for event in await realtime.subscribe(ORDERS):
        actions.put_nowait(event.action)


@pytest.mark.realtime
async def test_it_continues_after_a_lost_link(realtime: Realtime, realtime_server: RealtimeServer) -> None:
    actions: asyncio.Queue[str | None] = asyncio.Queue()
    noting = asyncio.create_task(note_actions(realtime, actions))
    await realtime_server.wait_for_subscriptions(1)
    realtime_server.publish(f"{ORDERS}.1.create", ORDERS, {"$id": "1"})
    assert await actions.get() == "create"

    realtime_server.drop()
    await realtime_server.wait_for_subscriptions(1)
    realtime_server.publish(f"{ORDERS}.1.delete", ORDERS, {"$id": "1"})
    assert await actions.get() == "delete"
    noting.cancel()


@pytest.mark.realtime(virtual=True)
async def test_an_hour_without_a_server(
    realtime: Realtime, realtime_server: RealtimeServer, realtime_clock: VirtualClock, realtime_audit: AuditRecords
) -> None:
    orders = await realtime.subscribe(ORDERS)
    await realtime_server.stop()
    await realtime_clock.advance(3600)  # takes milliseconds
    await realtime_server.start()

    await realtime.wait_subscribed()
    realtime_server.publish(f"{ORDERS}.2.create", ORDERS, {"$id": "2"})
    assert (await anext(orders)).id == "2"
    assert orders.gaps[-1].outage_seconds > 3600
    assert_rows(realtime_audit, "sub58")  # the link was lost while everything was subscribed


def test_a_plain_function_has_the_same_fixtures(realtime: sync.Realtime, realtime_server: BlockingServer) -> None:
    orders = realtime.subscribe(ORDERS)
    realtime_server.publish(f"{ORDERS}.3.update", ORDERS, {"$id": "3"})
    assert orders.get(timeout=5).action == "update"


@pytest.mark.realtime(era="E2")
async def test_an_older_server_of_appwrite(realtime: Realtime, realtime_server: RealtimeServer) -> None:
    orders = await realtime.subscribe(ORDERS)
    realtime_server.publish(f"{ORDERS}.4.create", ORDERS, {"$id": "4"})
    assert (await anext(orders)).id == "4"
    assert realtime.era == "E2"
