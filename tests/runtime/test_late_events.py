"""An event that comes behind a later one, while two links deliver: it makes a gap, unless catching up has delivered it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from realtime_fsm import Gap, PingPolicy
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.events import Event, parse_timestamp
from realtime_fsm.fsm.context import ConnectionContext
from realtime_fsm.protocol.spec import SubscriptionSpec
from realtime_fsm.runtime.delivery import DeliveryOptions
from realtime_fsm.runtime.handover import Handover, Overlap
from realtime_fsm.runtime.registry import DeliveryRegistry
from support.delivering import event_for, refuse
from support.virtual import eventually

BEFORE, BETWEEN, AFTER = (datetime(2026, 11, 24, 10, 0, second, tzinfo=UTC) for second in range(3))


def row(number: int, moment: datetime) -> dict[str, Any]:
    return {"$id": f"row{number}", "$updatedAt": moment.isoformat()}


def live(number: int, moment: datetime) -> Event:
    return event_for("s1", timestamp=moment.isoformat(), **row(number, moment))


@pytest.mark.parametrize(("number", "is_late"), [(2, False), (3, True)])
async def test_an_event_is_late_unless_catching_up_has_brought_it(number: int, is_late: bool) -> None:
    """Row 2 is heard on both links: its live duplicate is neither delivered again nor told; row 3 is truly late."""

    async def catch_up(_: Gap) -> list[dict[str, Any]]:
        return [row(2, BETWEEN)]

    audit = AuditWriter("c", print)
    audit.subscription("s1", "desired")
    registry = DeliveryRegistry(refuse, audit, cast("Any", None))
    spec, options = SubscriptionSpec("s1", ("rows",)), DeliveryOptions(catch_up=catch_up)
    delivery = registry.register(spec, options, asyncio.get_running_loop())
    facts = SimpleNamespace(budget=None, at_fault=False, ping_at=None, frames_received=0)
    old = SimpleNamespace(ended=False, pings_in_flight=0, unsure_answers=0, state=facts)
    owner = SimpleNamespace(context=ConnectionContext(ping=PingPolicy(enabled=False)), loop=asyncio.get_running_loop())
    handover = Handover(cast("Any", old), cast("Any", owner), {"s1": delivery}, lambda: None)
    delivery.last_timestamp = BEFORE.isoformat()
    handover.acknowledged(delivery)
    handover.greeted(at_fault=False)
    registry.route_out_of_order(live(1, AFTER), None)
    delivery.record_gap(AFTER, 1.0, 1, BEFORE)
    await eventually(lambda: len(delivery.buffer) == 2)

    registry.route_out_of_order(live(number, BETWEEN), handover)

    assert [event.id for event in delivery.buffer.take_nowait()] == ["row1", "row2", *(["row3"] if is_late else [])]
    handover.drained()
    assert [overlap.since for overlap in handover.overlaps.values()] == [BEFORE] * is_late
    registry.gaps.report_possible_loss(handover)
    assert len(delivery.gaps) == 1 + is_late
    await eventually(lambda: not delivery.tasks)
    delivery.end()


async def test_an_event_that_is_not_behind_another_one_is_not_late() -> None:
    registry = DeliveryRegistry(refuse, AuditWriter("c", print), cast("Any", None))
    delivery = registry.register(SubscriptionSpec("s1", ("rows",)), DeliveryOptions(), asyncio.get_running_loop())
    assert [delivery.note_out_of_order(live(n, moment)) for n, moment in enumerate((BEFORE, AFTER, AFTER, BETWEEN))] == [
        False, False, False, True,
    ]  # fmt: skip
    assert parse_timestamp(delivery.last_timestamp) == AFTER, "a late one does not put back where the next gap begins"
    delivery.end()


@pytest.mark.parametrize(("number", "expected"), [(0, (BETWEEN, 1)), (1, (AFTER, 0))])
def test_the_old_link_comes_as_far_as_its_event_and_what_came_ahead_of_it_is_not_missing(
    number: int, expected: tuple[datetime, int]
) -> None:
    overlap = Overlap(BEFORE, 2, BEFORE, 0.0)
    overlap.keep(live(1, BETWEEN))
    overlap.keep(live(2, AFTER))
    overlap.advance(live(0, BETWEEN))
    if number:
        overlap.advance(live(number, AFTER))
        overlap.advance(live(3, BETWEEN))
    assert (overlap.since, len(overlap.ahead)) == expected


def test_an_event_of_the_same_moment_advances_the_old_link() -> None:
    overlap = Overlap(BETWEEN, 2, BEFORE, 0.0)
    overlap.keep(live(1, BETWEEN))
    overlap.advance(live(0, BETWEEN))
    assert (overlap.since, len(overlap.ahead)) == (BETWEEN, 0)


def test_an_overlap_that_lasts_remembers_the_newest_events_and_holds_none_of_them() -> None:
    overlap = Overlap(None, 2, BEFORE, 0.0)
    for number in range(10_001):
        overlap.keep(live(number, AFTER))
    assert (len(overlap.ahead), overlap.ahead[0]) == (10_000, (AFTER, live(1, AFTER).version))


def test_an_event_without_a_time_is_kept_for_catching_up() -> None:
    overlap = Overlap(None, 2, BEFORE, 0.0)
    timeless = event_for("s1")
    overlap.advance(timeless)
    assert (overlap.since, [*overlap.ahead]) == (None, [(None, timeless.version)])
