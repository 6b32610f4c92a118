"""The registry tells each subscription of a gap that it may have: after an outage, a fault, a deaf link or a handover."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from realtime_fsm.errors import Disconnected, SubscriptionEnded, SubscriptionRejected
from realtime_fsm.events import Event
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.runtime.delivery import DeliveryOptions, SubscriptionDelivery
from realtime_fsm.runtime.handover import Overlap
from realtime_fsm.runtime.outages import Outage
from realtime_fsm.runtime.registry import DeliveryRegistry

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)


def at(seconds: int) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat()


class Registry:
    """A registry with the deliveries `s1` and `s2`, which the server has acknowledged, and `s3`, which it has not."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.gaps: list[tuple[str, Any]] = []
        self.planned: list[bool] = []
        audit: Any = SimpleNamespace(subscription=lambda *given: self.told.append(given), gap=self._note_gap)
        self.outages: Any = SimpleNamespace(current=None, end_fault=lambda now: self.fault)
        self.fault: float | None = None
        self.registry = DeliveryRegistry(lambda failure, heading: pytest.fail(heading), audit, cast("Any", self.outages))
        self.loop = asyncio.get_running_loop()
        self.one, self.two, self.new = (self.register(f"s{number}") for number in (1, 2, 3))
        for identifier in ("s1", "s2"):
            self.acknowledge(identifier)
        self.told.clear()

    def register(self, identifier: str) -> SubscriptionDelivery:
        delivery = self.registry.register(SubscriptionSpec(identifier, ("rows",)), DeliveryOptions(), self.loop)
        delivery.last_timestamp = at(1)
        return delivery

    def _note_gap(self, identifier: str, gap: Any, *, planned: bool) -> None:
        self.gaps.append((identifier, gap))
        self.planned.append(planned)

    def acknowledge(self, identifier: str, now: float = 0.0) -> SubscriptionDelivery | None:
        return self.registry.acknowledge(identifier, ("rows",), now)

    def taken(self) -> list[tuple[str, Any, float, int]]:
        """Return the gaps since the last call: subscription, second of the beginning, length and dials."""
        gaps, self.gaps = self.gaps, []
        return [
            (identifier, None if gap.since is None else (gap.since - BEGIN).seconds, gap.outage_seconds, gap.attempts)
            for identifier, gap in gaps
        ]


def outage(losses: int = 1) -> Outage:
    return Outage(10.0, 7.0, "stream_ended", False, 2, losses)


async def test_an_outage_is_told_once_for_each_loss() -> None:
    it = Registry()
    it.outages.current = outage()
    assert it.acknowledge("s1", 12.0) is it.one
    it.acknowledge("s1", 13.0)
    it.acknowledge("s3", 14.0)
    assert it.taken() == [("s1", 1, 5.0, 2)], "what is new has missed nothing"
    assert it.one.acknowledged == ("rows",)
    it.outages.current.losses = 2
    it.acknowledge("s1", 15.0)
    it.acknowledge("s3", 15.0)
    assert it.taken() == [("s1", 1, 8.0, 2), ("s3", 1, 8.0, 2)]
    it.outages.current = outage(2)
    it.acknowledge("s1", 16.0)
    assert it.taken() == [("s1", 1, 9.0, 2)], "another outage"


async def test_another_loss_in_a_planned_outage_is_not_planned() -> None:
    it = Registry()
    it.outages.current = Outage(10.0, 10.0, "disconnect", True, 1)
    it.acknowledge("s1", 12.0)
    it.outages.current.losses = 2
    it.acknowledge("s1", 13.0)
    it.acknowledge("s2", 13.0)
    assert it.planned == [True, False, False]


async def test_the_end_of_a_fault_is_told_to_those_whom_the_link_serves() -> None:
    it = Registry()
    it.registry.gaps.recover(4.0)
    assert it.taken() == [("s1", 1, 4.0, 0), ("s2", 1, 4.0, 0)]
    it.registry.give_up("s2")
    it.registry.gaps.recover(4.0)
    assert it.taken() == [("s1", 1, 4.0, 0)]
    it.outages.current = outage()
    it.registry.gaps.recover(4.0)
    assert it.taken() == [], "the next link will tell them"
    it.acknowledge("s1", 12.0)
    it.taken()
    it.registry.gaps.recover(4.0)
    assert it.taken() == [("s1", 1, 4.0, 0)]


async def test_the_end_of_a_fault_on_the_old_link_is_told_to_those_whom_it_alone_serves() -> None:
    it = Registry()
    handover: Any = SimpleNamespace(depends_on_old_link=lambda delivery: delivery is it.two)
    it.registry.gaps.recover_draining(handover, 20.0)
    assert it.taken() == [], "there was no fault"
    it.fault = 6.0
    it.registry.gaps.recover_draining(handover, 20.0)
    assert it.taken() == [("s2", 1, 6.0, 0)]


async def test_deaf_links_make_one_gap_from_the_first_of_them() -> None:
    it = Registry()
    it.registry.gaps.note_deaf_link()
    it.one.last_timestamp = at(5)
    it.acknowledge("s3")
    it.new.last_timestamp = at(6)
    it.outages.current = outage()
    it.acknowledge("s1", 12.0)
    assert it.taken() == [], "the next link may be deaf, too"
    it.registry.gaps.note_deaf_link()
    it.registry.remove("s2")
    it.registry.gaps.end_deafness(datetime.now(UTC), 9.0, 3, None)
    assert it.taken() == [("s1", 1, 9.0, 3), ("s3", 6, 9.0, 3)]
    it.acknowledge("s1", 12.0)
    assert it.taken() == [("s1", 5, 5.0, 2)], "the deafness is over"
    it.registry.gaps.end_deafness(datetime.now(UTC), 9.0, 3, None)
    assert it.taken() == []


async def test_a_proof_after_the_last_event_is_where_the_gap_begins() -> None:
    it = Registry()
    it.registry.gaps.note_deaf_link()
    it.registry.gaps.end_deafness(datetime.now(UTC), 9.0, 3, at(4))
    assert it.taken() == [("s1", 4, 9.0, 3), ("s2", 4, 9.0, 3)]


@pytest.mark.parametrize(
    ("link", "newer", "last", "told"),
    [(2, 2, 1, True), (2, 3, 1, False), (2, 3, 4, True), (None, None, 1, False), (None, None, 4, True), (2, None, 1, False)],
)
async def test_a_possible_loss_is_told_now_unless_an_outage_will_tell_it(
    link: int | None, newer: int | None, last: int, told: bool
) -> None:
    it = Registry()
    it.one.last_timestamp = at(last)
    overlap = Overlap(at(1), link, BEGIN + timedelta(seconds=9), 3.0)
    handover: Any = SimpleNamespace(overlaps={it.one: overlap}, newer=newer, disordered=set())
    it.registry.gaps.report_possible_loss(handover)
    assert it.taken() == [("s1", 1, 3.0, 1)] * told
    it.registry.remove("s1")
    it.registry.gaps.report_possible_loss(handover)
    assert it.taken() == [], "the subscription has ended"


# --- the end of an id -------------------------------------------------------------------------------------------------


async def test_a_refusal_tells_the_call_and_the_iterator() -> None:
    it = Registry()
    for identifier, delivery in (("s1", it.one), ("s3", it.new)):
        it.registry.refuse(identifier, 1008, "no", guest=True)
        with pytest.raises(SubscriptionRejected) as raised:
            await anext(delivery.buffer)
        assert (raised.value.channels, raised.value.code, raised.value.guest) == (("rows",), 1008, True)
        assert (delivery.removed.done(), identifier in it.registry.deliveries) == (True, False)
    assert type(it.new.granted.exception()) is SubscriptionRejected
    assert it.told == [("s1", "rejected", 1008), ("s3", "rejected", 1008)]


async def test_what_is_withdrawn_fails_its_call_alone() -> None:
    it = Registry()
    granted = it.registry.begin_update(it.one, SubscriptionSpec("s4", ("rows",)), it.loop)
    it.registry.withdraw(["s3", "s4"], Disconnected())
    assert [type(future.exception()) for future in (it.new.granted, granted)] == [Disconnected] * 2
    assert (it.told, list(it.registry.deliveries)) == ([("s3", "removed"), ("s4", "removed")], ["s1", "s2"])
    assert (it.registry.pending_update_of(it.one), it.registry.give_up("s4")) == (None, False)


async def test_an_update_that_is_given_up_is_under_way_no_more_and_its_removal_fails_its_call() -> None:
    it = Registry()
    granted = it.registry.begin_update(it.one, SubscriptionSpec("s4", ("rows",)), it.loop)
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
    it = Registry()
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


def event(*identifiers: str, channels: tuple[str, ...] = ("rows",), timestamp: str | None = None) -> Event:
    return Event(msgspec.Raw(b"{}"), (), channels, timestamp, list(identifiers))


async def test_while_two_links_deliver_each_subscription_is_found_once_and_strays_are_counted() -> None:
    it = Registry()
    strays, canaries = list[int](), list[Event]()
    it.registry.on_strays, it.registry.on_canary = strays.append, canaries.append
    heard = event("s1", "canary", "s9", "s1", "s8", "s3")
    assert it.registry.resolve(heard, None) == [it.one, it.new]
    assert (strays, canaries) == ([2], [heard])
    assert it.registry.resolve(event("s2"), None) == [it.two]
    assert it.registry.resolve(event(), None) == [it.one, it.two], "its channels tell"
    assert it.registry.resolve(event(channels=("files",)), None) == []
    handover: Any = SimpleNamespace(find=lambda identifier, *_: {"s0": it.one, "s7": it.two}.get(identifier))
    assert it.registry.resolve(event("s0", "s1", "canary", "s9", "s7"), handover) == [it.one, it.two]
    assert (strays, canaries) == ([2], [heard]), "the old link may still serve what is given up"


async def test_an_event_behind_a_later_one_is_noted_where_the_old_link_brings_it() -> None:
    it = Registry()
    handover: Any = SimpleNamespace(disordered=set())
    assert it.registry.route_out_of_order(event("s1", "s2", timestamp=at(0)), None) is False
    assert handover.disordered == set()
    it.two.last_timestamp = None
    it.registry.route_out_of_order(event("s1", "s2", timestamp=at(0)), handover)
    assert handover.disordered == {it.one}
    assert (it.one.received, it.two.received, it.registry.counts) == (2, 2, (4, 0))


async def test_an_event_tells_its_time_and_hides_the_canary() -> None:
    it = Registry()
    canaries, strays = list[Event](), list[int]()
    it.registry.on_canary, it.registry.on_strays = canaries.append, strays.append
    heard = event("s1", "canary", "s2", timestamp=at(8))
    assert it.registry.route(heard) is False
    assert it.registry.route(event("s2", "s3")) is False
    assert (canaries, heard._subscriptions, strays) == ([heard], ["s1", "s2"], [])
    assert [one.last_timestamp for one in (it.one, it.two, it.new)] == [at(8), at(8), at(1)]
    assert [one.received for one in (it.one, it.two, it.new)] == [1, 2, 1]


@pytest.mark.parametrize("full", ["s1", "s2"])
async def test_a_half_full_buffer_of_any_subscription_lets_its_consumer_run(full: str) -> None:
    it = Registry()
    for _ in range(600):
        it.registry.deliveries[full].put(event(full))
    assert it.registry.route(event("s1", "s2")) is True
    assert it.registry.route_out_of_order(event("s1", "s2"), None) is True
