"""The registry gives each event to its subscriptions, and counts the ids that no subscription has."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from realtime_fsm import Gap
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.errors import Disposed, SubscriptionRejected
from realtime_fsm.events import Event
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.runtime.delivery import DeliveryOptions, SubscriptionDelivery
from realtime_fsm.runtime.outages import OutageTracker
from realtime_fsm.runtime.registry import DeliveryRegistry
from support.brokenlogs import collected
from support.network import Network, take_numbers
from support.some import some
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
        network.socket.push(network.event(b'"payload":{"n":2}', "s8", "s9"))
        await eventually(lambda: take_numbers(rows) == [2])
        assert realtime._driver.links.is_overlapping is handing_over
        assert realtime.malformed == {"unknown_subscription": 2}


class Registered:
    """A registry with one delivery, `s1`, which the server has acknowledged."""

    def __init__(self, **options: Any) -> None:
        audit = AuditWriter("c", lambda failure: pytest.fail(repr(failure)))
        audit.subscription("s1", "desired")
        self.registry = DeliveryRegistry(lambda failure, heading: pytest.fail(heading), audit, OutageTracker(audit))
        self.strays: list[int] = []
        self.registry.on_strays = self.strays.append
        spec = SubscriptionSpec("s1", ("rows",))
        self.delivery = self.registry.register(spec, DeliveryOptions(**options), asyncio.get_running_loop())
        assert not self.delivery.established
        assert self.acknowledge("s1") is self.delivery

    def acknowledge(self, identifier: str) -> SubscriptionDelivery | None:
        return self.registry.acknowledge(identifier, ("rows",), 0.0)

    def delivered(self, identifier: str) -> int:
        """Count the events that the delivery gets from one for an id."""
        self.registry.route(Event(msgspec.Raw(b"{}"), (), ("rows",), None, [identifier]))
        return len(self.delivery.buffer.take_nowait())


async def test_an_id_is_known_from_its_acknowledgement_to_its_removal_and_delivered_until_an_update_replaces_it() -> None:
    with collected():  # an audit would miss the step to the other link
        one = Registered()
        assert one.delivery.established
        one.registry.begin_update(one.delivery, SubscriptionSpec("s2", ("rows",)), asyncio.get_running_loop())
        assert (one.delivered("s1"), one.delivered("s2"), one.strays) == (1, 0, [1])
        assert one.acknowledge("s2") is one.delivery
        assert (one.delivered("s1"), one.delivered("s2"), one.strays) == (0, 1, [1])
        assert one.acknowledge("s1") is None, "another link serves what is replaced"
        one.registry.remove("s1")
        assert (one.delivered("s1"), one.delivered("s2"), one.strays) == (0, 1, [1, 1])
        one.delivery.end()


async def test_an_id_is_given_up_once_and_delivered_until_it_is_removed() -> None:
    with collected() as records:
        one = Registered()
        assert [one.registry.give_up("s1") for _ in range(2)] == [True, False]
        assert (one.registry.is_active("s1"), one.delivered("s1")) == (False, 1)
        one.registry.remove("s1")
        assert not one.registry.give_up("s1")
    assert [record["change"] for record in records] == ["desired", "acknowledged", "removed"]
    assert (one.delivery.removed.done(), one.delivered("s1"), one.strays) == (True, 0, [1])


async def test_the_task_of_a_callable_is_known_and_spared_after_the_end_of_its_subscription_too() -> None:
    called = asyncio.Event()

    async def on_gap(_: Gap) -> None:
        called.set()
        await asyncio.Event().wait()

    with collected():
        one = Registered(on_gap=on_gap)
        one.delivery.record_gap(datetime.now(UTC), 1.0, 1, None)
        await called.wait()
        (task,) = one.delivery.tasks
        assert [one.registry.spare(each) for each in (task, asyncio.current_task(), None)] == [True, False, False]
        one.registry.remove("s1")
        assert [one.registry.spare(each) for each in (task, asyncio.current_task(), None)] == [True, False, False]
        await one.registry.wait_cancelled(task)
        assert not task.done()
        await one.registry.wait_cancelled(None)
        assert task.cancelled()


async def test_each_id_of_an_event_counts_once_and_the_counts_outlive_a_subscription() -> None:
    with collected():
        one = Registered(buffer=2)
        for ids in some([["s1", "s1"], ["s1"], ["s1", "s9", "s9"]]):
            one.registry.route(Event(msgspec.Raw(b"{}"), (), ("rows",), None, ids))
        assert (one.registry.counts, one.strays) == ((3, 1), [1])
        one.registry.remove("s1")
        other = one.registry.register(SubscriptionSpec("s2", ("rows",)), DeliveryOptions(), asyncio.get_running_loop())
        one.registry.route(Event(msgspec.Raw(b"{}"), (), ("rows",), None, ["s2"]))
        assert one.registry.counts == (4, 1)
        one.registry.end()
        assert one.registry.counts == (4, 1)
        assert one.registry.deliveries == {}
        with pytest.raises(Disposed):
            await other.granted


async def test_the_end_fails_the_call_of_an_update_as_well() -> None:
    with collected():
        one = Registered()
        granted = one.registry.begin_update(one.delivery, SubscriptionSpec("s2", ("rows",)), asyncio.get_running_loop())
        assert one.registry.pending_update_of(one.delivery) == "s2"
        one.registry.end()
        with pytest.raises(Disposed):
            await granted
        assert one.registry.pending_update_of(one.delivery) is None
        with pytest.raises(StopAsyncIteration):
            await anext(one.delivery.buffer)


async def test_an_update_revives_a_subscription_whose_present_id_was_refused_meanwhile() -> None:
    with collected():  # an audit would miss the steps
        one = Registered()
        one.registry.begin_update(one.delivery, SubscriptionSpec("s2", ("rows",)), asyncio.get_running_loop())
        one.registry.refuse("s1", 1008, "no", guest=False)
        with pytest.raises(SubscriptionRejected):
            await anext(one.delivery.buffer)
        one.acknowledge("s2")
        waiting = asyncio.ensure_future(anext(one.delivery.buffer))
        await asyncio.sleep(0)
        event = Event(msgspec.Raw(b"{}"), (), ("rows",), None, ["s2"])
        one.registry.route(event)
        assert await waiting is event
        one.delivery.end()
