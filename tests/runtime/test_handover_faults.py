"""A server fault during a handover: a gap tells of what the old link may have lost by it, whichever link has met the fault."""

from __future__ import annotations

import asyncio

import pytest

from realtime_fsm import PingPolicy, Realtime, RetryPolicy, State, Subscription
from support.eras import BY_MESSAGE, ON_EVERY_ERA
from support.handing import begins, publish, replace_link
from support.network import GREET, HANG, Network, take_numbers
from support.virtual import eventually

pytestmark = ON_EVERY_ERA

PATIENT = RetryPolicy(attempts=None)


async def at_fault(network: Network, realtime: Realtime) -> Subscription:
    """Replace the link. The new link meets a fault."""
    rows: Subscription = await realtime.subscribe("rows")
    publish(network, 1)
    await eventually(lambda: len(rows._delivery.buffer) == 1)
    network.fault = 0
    replace_link(realtime)
    await eventually(lambda: realtime._driver.context.link is not None and realtime._driver.context.link.at_fault)
    assert realtime._driver.links.draining_serves
    return rows


async def met_by_the_new_link(network: Network, realtime: Realtime) -> Subscription:
    """Let a new link meet a fault, and end. The server works again."""
    rows = await at_fault(network, realtime)
    network.otherwise, network.fault = HANG, None
    network.socket.cut()
    await eventually(lambda: realtime.state is not State.CONNECTED)
    return rows


@BY_MESSAGE
async def test_a_fault_of_the_new_link_is_told_with_the_next_event_of_the_old_one() -> None:
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await met_by_the_new_link(network, realtime)
        await asyncio.sleep(0.5)
        assert begins(rows) == [], "the old link may still hold what happened in the fault"
        publish(network, 2)
        await eventually(lambda: len(rows._delivery.buffer) == 2)
        assert begins(rows) == [1]
        network.otherwise = GREET
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        await asyncio.sleep(20)
        assert (take_numbers(rows), begins(rows)) == ([1, 2], [1])


@BY_MESSAGE
@pytest.mark.parametrize("enabled", [True, False])
async def test_a_fault_of_an_earlier_new_link_is_told_when_the_old_link_is_drained(enabled: bool) -> None:
    network = Network()
    async with network.realtime(retry=PATIENT, ping=PingPolicy(enabled=enabled)) as realtime:
        rows = await met_by_the_new_link(network, realtime)
        network.otherwise = GREET
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        await eventually(lambda: realtime._driver.links.handover is None)
        assert begins(rows) == [1]
        publish(network, 2)
        await eventually(lambda: len(rows._delivery.buffer) == 2)
        assert (take_numbers(rows), begins(rows)) == ([1, 2], [1])


@BY_MESSAGE
async def test_an_event_on_the_old_link_ends_the_fault_of_the_new_one_before_it_is_delivered() -> None:
    network = Network()
    async with network.realtime(retry=PATIENT) as realtime:
        rows = await at_fault(network, realtime)
        publish(network, 3)
        await eventually(lambda: len(rows._delivery.buffer) == 2)
        assert begins(rows) == [1], "an event before that one may be lost"
        network.fault = None
        await eventually(lambda: realtime.state is State.SUBSCRIBED)
        await asyncio.sleep(20)
        assert (take_numbers(rows), begins(rows)) == ([1, 3], [1])


@BY_MESSAGE
async def test_after_the_return_to_the_old_link_its_next_event_ends_the_fault() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=1)) as realtime:
        rows = await met_by_the_new_link(network, realtime)
        assert (realtime.state, realtime._driver.links.handover) == (State.SUBSCRIBED, None)
        assert (begins(rows), realtime.health().ready) == ([], False), "the fault may go on"
        publish(network, 2)
        await eventually(lambda: len(rows._delivery.buffer) == 2)
        assert (take_numbers(rows), begins(rows)) == ([1, 2], [1])
