"""The registry gives each event to its subscriptions, and counts the ids that no subscription has."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm import Gap
from realtime_fsm.errors import Disconnected, Disposed, SubscriptionEnded, SubscriptionRejected
from support.delivering import Registered, event_for
from support.network import Network, take_numbers
from support.virtual import eventually

EARLIER, LATER = "2026-11-24T10:00:00.000+00:00", "2026-11-24T10:00:01.000+00:00"


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


def delivered(it: Registered, identifier: str) -> int:
    """Count the events that the first delivery gets from one for an id."""
    it.registry.route(event_for(identifier))
    return len(it.one.buffer.take_nowait())


async def test_an_id_is_known_from_its_acknowledgement_to_its_removal_and_delivered_until_an_update_replaces_it() -> None:
    it = Registered()
    assert [one.established for one in (it.one, it.new)] == [True, False]
    it.update(it.one, "s4")
    assert (delivered(it, "s1"), delivered(it, "s4"), it.strays) == (1, 0, [1])
    assert it.acknowledge("s4") is it.one
    assert (delivered(it, "s1"), delivered(it, "s4"), it.strays) == (0, 1, [1])
    assert it.acknowledge("s1") is None, "another link serves what is replaced"
    it.registry.remove("s1")
    assert (delivered(it, "s1"), delivered(it, "s4"), it.strays) == (0, 1, [1, 1])


async def test_an_id_is_given_up_once_and_delivered_until_it_is_removed() -> None:
    it = Registered()
    assert [it.registry.give_up("s1") for _ in range(2)] == [True, False]
    assert (it.registry.is_active("s1"), delivered(it, "s1")) == (False, 1)
    it.registry.remove("s1")
    assert not it.registry.give_up("s1")
    assert it.told == [("s1", "removed")]
    assert (it.one.removed.done(), delivered(it, "s1"), it.strays) == (True, 0, [1])


async def test_the_task_of_a_callable_is_known_and_spared_after_the_end_of_its_subscription_too() -> None:
    called = asyncio.Event()

    async def on_gap(_: Gap) -> None:
        called.set()
        await asyncio.Event().wait()

    it = Registered(on_gap=on_gap)
    it.one.record_gap(datetime.now(UTC), 1.0, 1, None)
    await called.wait()
    (task,) = it.one.tasks
    assert [it.registry.spare(each) for each in (task, asyncio.current_task(), None)] == [True, False, False]
    it.registry.remove("s1")
    assert [it.registry.spare(each) for each in (task, asyncio.current_task(), None)] == [True, False, False]
    await it.registry.wait_cancelled(task)
    assert not task.done()
    await it.registry.wait_cancelled(None)
    assert task.cancelled()


async def test_each_id_of_an_event_counts_once_and_the_counts_outlive_a_subscription() -> None:
    it = Registered(buffer=2)
    for ids in (["s1", "s1"], ["s1"], ["s1", "s9", "s9"]):
        it.registry.route(event_for(*ids))
    assert (it.registry.counts, it.strays) == ((3, 1), [1])
    it.registry.remove("s1")
    it.registry.route(event_for("s2"))
    assert it.registry.counts == (4, 1)
    it.registry.end()
    assert it.registry.counts == (4, 1)
    assert it.registry.deliveries == {}
    with pytest.raises(Disposed):
        await it.new.granted


async def test_the_end_fails_the_call_of_an_update_as_well() -> None:
    it = Registered()
    granted = it.update(it.one, "s4")
    assert it.registry.pending_update_of(it.one) == "s4"
    it.registry.end()
    with pytest.raises(Disposed):
        await granted
    assert it.registry.pending_update_of(it.one) is None
    with pytest.raises(StopAsyncIteration):
        await anext(it.one.buffer)


async def test_an_update_revives_a_subscription_whose_present_id_was_refused_meanwhile() -> None:
    it = Registered()
    it.update(it.one, "s4")
    it.registry.refuse("s1", 1008, "no", guest=False)
    with pytest.raises(SubscriptionRejected):
        await anext(it.one.buffer)
    it.acknowledge("s4")
    waiting = asyncio.ensure_future(anext(it.one.buffer))
    await asyncio.sleep(0)
    event = event_for("s4")
    it.registry.route(event)
    assert await waiting is event


# --- the end of an id -------------------------------------------------------------------------------------------------


async def test_a_refusal_tells_the_call_and_the_iterator() -> None:
    it = Registered()
    for identifier, delivery in (("s1", it.one), ("s3", it.new)):
        it.registry.refuse(identifier, 1008, "no", guest=True)
        with pytest.raises(SubscriptionRejected) as raised:
            await anext(delivery.buffer)
        assert (raised.value.channels, raised.value.code, raised.value.guest) == (("rows",), 1008, True)
        assert (delivery.removed.done(), identifier in it.registry.deliveries) == (True, False)
    assert type(it.new.granted.exception()) is SubscriptionRejected
    assert it.told == [("s1", "rejected", 1008), ("s3", "rejected", 1008)]


async def test_a_withdrawal_fails_the_call_and_records_a_removal() -> None:
    it = Registered()
    granted = it.update(it.one, "s4")
    it.registry.withdraw(["s3", "s4"], Disconnected())
    assert [type(future.exception()) for future in (it.new.granted, granted)] == [Disconnected] * 2
    assert (it.told, list(it.registry.deliveries)) == ([("s3", "removed"), ("s4", "removed")], ["s1", "s2"])
    assert (it.registry.pending_update_of(it.one), it.registry.give_up("s4")) == (None, False)


async def test_an_update_that_is_given_up_no_longer_counts_and_its_removal_fails_its_call() -> None:
    it = Registered()
    granted = it.update(it.one, "s4")
    assert (it.registry.pending_update_of(it.one), it.registry.pending_update_of(it.two)) == ("s4", None)
    assert it.registry.give_up("s4")
    assert it.registry.pending_update_of(it.one) is None
    it.registry.remove("s4")
    assert type(granted.exception()) is SubscriptionEnded
    assert not it.one.removed.done()
    it.registry.remove("s1")
    assert it.one.removed.done()
    with pytest.raises(StopAsyncIteration):
        await anext(it.one.buffer)


async def test_an_error_of_the_connection_reaches_each_iterator_until_a_link_may_bring_events() -> None:
    it = Registered()
    it.registry.fail_streams(Disconnected())
    for delivery in (it.one, it.two, it.new):
        with pytest.raises(Disconnected):
            await anext(delivery.buffer)
    it.registry.clear_errors()
    waiting = [asyncio.ensure_future(anext(delivery.buffer)) for delivery in (it.one, it.two)]
    await asyncio.sleep(1)
    assert not any(task.done() for task in waiting)
    it.registry.end()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StopAsyncIteration] * 2


# --- two links --------------------------------------------------------------------------------------------------------


async def test_two_links_find_each_subscription_of_an_event_once_and_count_strays() -> None:
    it = Registered()
    heard = event_for("s1", "canary", "s9", "s1", "s8", "s3")
    assert it.registry.resolve(heard, heard._subscriptions, None) == [it.one, it.new]
    assert (it.strays, it.canaries) == ([2], [heard])
    assert it.registry.resolve(event_for("s2"), ["s2"], None) == [it.two]
    assert it.registry.listening_on(event_for()) == ["s1", "s2"], "its channels tell"
    assert it.registry.listening_on(event_for(channels=("files",))) == []
    handover: Any = SimpleNamespace(find=lambda identifier, *_: {"s0": it.one, "s7": it.two}.get(identifier))
    assert it.registry.resolve(event_for(), ["s0", "s1", "canary", "s9", "s7"], handover) == [it.one, it.two]
    assert (it.strays, it.canaries) == ([2], [heard]), "the old link may still serve what is given up"


async def test_a_handover_notes_a_subscription_whose_old_link_brings_an_older_event() -> None:
    it, handover = Registered(), SimpleNamespace(disordered=set())
    it.one.last_timestamp = LATER
    assert it.registry.route_out_of_order(event_for("s1", "s2", timestamp=EARLIER), None) is False
    it.two.last_timestamp = None
    it.registry.route_out_of_order(event_for("s1", "s2", timestamp=EARLIER), handover)  # type: ignore[arg-type]
    assert handover.disordered == {it.one}
    assert (it.one.received, it.two.received, it.registry.counts) == (2, 2, (4, 0))


async def test_a_route_notes_the_time_of_an_event_and_hides_the_canary() -> None:
    it = Registered()
    it.new.last_timestamp = EARLIER
    heard = event_for("s1", "canary", "s2", timestamp=LATER)
    assert it.registry.route(heard) is False
    assert it.registry.route(event_for("s2", "s3")) is False
    assert (it.canaries, heard._subscriptions, it.strays) == ([heard], ["s1", "s2"], [])
    assert [one.last_timestamp for one in (it.one, it.two, it.new)] == [LATER, LATER, EARLIER]
    assert [one.received for one in (it.one, it.two, it.new)] == [1, 2, 1]


@pytest.mark.parametrize("full", ["s1", "s2"])
async def test_a_half_full_buffer_of_any_subscription_lets_its_consumer_run(full: str) -> None:
    it = Registered()
    for _ in range(600):
        it.registry.deliveries[full].put(event_for(full))
    assert it.registry.route(event_for("s1", "s2")) is True
    assert it.registry.route_out_of_order(event_for("s1", "s2"), None) is True
