"""The registry gives each event to its subscriptions, and counts the ids that no subscription has."""

from __future__ import annotations

import pytest

from support.network import Network, take_numbers
from support.virtual import eventually


@pytest.mark.parametrize("handing_over", [False, True], ids=["one link", "two links"])
async def test_only_ids_that_no_subscription_has_are_counted_as_unknown(handing_over: bool) -> None:
    network = Network()
    async with network.realtime() as realtime:
        rows = await realtime.subscribe("rows")
        if handing_over:
            await realtime.reconnect()
        network.publish("rows", payload={"n": 1})
        await eventually(lambda: take_numbers(rows) == [1])
        assert realtime.malformed == {}
        network.socket.push(network.event(b'"payload":{"n":2}', "nobody", "nothing"))
        await eventually(lambda: take_numbers(rows) == [2])
        assert realtime._driver._links.is_overlapping is handing_over
        assert realtime.malformed == {"unknown_subscription": 2}
