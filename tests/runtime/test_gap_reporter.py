"""The gap reporter tells each subscription of a gap that it may have: after an outage, a fault, a deaf link or a handover."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm import Gap
from realtime_fsm.runtime.handover import Overlap
from realtime_fsm.runtime.outages import Outage
from support.delivering import Registered, event_for
from support.virtual import eventually

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)


def at(seconds: int) -> str:
    return (BEGIN + timedelta(seconds=seconds)).isoformat()


class Told(Registered):
    """A registry whose subscriptions got their last event after a second."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for delivery in (self.one, self.two, self.new):
            delivery.last_timestamp = at(1)

    def lose(self, current: Outage) -> None:
        """Lose a link, in an outage."""
        self.outages.current = current
        self.registry.gaps.note_loss()

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
    it = Told()
    it.lose(outage())
    assert it.acknowledge("s1", 12.0) is it.one
    it.acknowledge("s1", 13.0)
    it.acknowledge("s3", 14.0)
    assert it.taken() == [("s1", 1, 5.0, 2)], "what is new has missed nothing"
    assert it.one.acknowledged == ("rows",)
    it.lose(outage(2))
    it.acknowledge("s1", 15.0)
    it.acknowledge("s3", 15.0)
    assert it.taken() == [("s1", 1, 8.0, 2), ("s3", 1, 8.0, 2)]
    it.lose(outage(2))
    it.acknowledge("s1", 16.0)
    assert it.taken() == [("s1", 1, 9.0, 2)], "another outage"


async def test_an_event_before_the_acknowledgement_does_not_put_off_the_beginning_of_the_gap() -> None:
    it = Told()
    it.lose(outage())
    it.one.last_timestamp = at(5)  # the server sends an event before its reply
    it.lose(outage(2))
    it.acknowledge("s1", 12.0)
    it.one.last_timestamp = at(6)
    it.lose(outage(3))
    it.registry.remove("s2")
    it.acknowledge("s1", 14.0)
    assert it.taken() == [("s1", 1, 5.0, 2), ("s1", 6, 7.0, 2)]


async def test_a_catch_up_after_an_outage_does_not_repeat_an_event_that_came_before_the_acknowledgement() -> None:
    async def catch_up(_: Gap) -> list[Any]:
        return [{"$id": f"row{number}", "$updatedAt": at(number)} for number in (2, 3)]

    it = Told(catch_up=catch_up)
    it.lose(outage())
    row: dict[str, Any] = {"$id": "row3", "$updatedAt": at(3)}
    it.one.put(event_for("s1", timestamp=at(3), **row))
    it.acknowledge("s1", 12.0)
    await eventually(lambda: len(it.one.buffer) == 2)
    assert [event.id for event in it.one.buffer.take_nowait()] == ["row3", "row2"]


async def test_another_loss_in_a_planned_outage_is_not_planned() -> None:
    it = Told()
    it.lose(Outage(10.0, 10.0, "disconnect", True, 1))
    it.acknowledge("s1", 12.0)
    it.lose(Outage(10.0, 10.0, "disconnect", True, 1, 2))
    it.acknowledge("s1", 13.0)
    it.acknowledge("s2", 13.0)
    assert it.planned == [True, False, False]


async def test_the_end_of_a_fault_is_told_to_the_subscriptions_that_the_link_serves() -> None:
    it = Told()
    it.registry.gaps.recover(4.0)
    assert it.taken() == [("s1", 1, 4.0, 0), ("s2", 1, 4.0, 0)]
    it.registry.give_up("s2")
    it.registry.gaps.recover(4.0)
    assert it.taken() == [("s1", 1, 4.0, 0)]
    it.lose(outage())
    it.registry.gaps.recover(4.0)
    assert it.taken() == [], "the next link will tell them"
    it.acknowledge("s1", 12.0)
    it.taken()
    it.registry.gaps.recover(4.0)
    assert it.taken() == [("s1", 1, 4.0, 0)]


async def test_the_end_of_a_fault_on_the_old_link_is_told_to_the_subscriptions_that_it_serves() -> None:
    it = Told()
    handover: Any = SimpleNamespace(serves=lambda delivery: delivery is it.two, overlaps={})
    it.registry.gaps.recover_draining(handover, 20.0)
    assert it.taken() == [], "there was no fault"
    it.fault = 6.0
    it.registry.gaps.recover_draining(handover, 20.0)
    assert it.taken() == [("s2", 1, 6.0, 0)]
    it.fault, it.two.last_timestamp = 6.0, at(3)
    handover.overlaps[it.two] = Overlap(BEGIN + timedelta(seconds=2), 2, datetime.now(UTC), 1.0)
    it.registry.gaps.recover_draining(handover, 20.0)
    assert it.taken() == [("s2", 2, 6.0, 0)], "the new link brought the later event"


async def test_deaf_links_make_one_gap_from_the_first_of_them() -> None:
    it = Told()
    it.registry.gaps.note_deaf_link()
    it.one.last_timestamp = at(5)
    it.acknowledge("s3")
    it.new.last_timestamp = at(6)
    it.lose(outage())
    it.acknowledge("s1", 12.0)
    assert it.taken() == [], "the next link may be deaf, too"
    it.registry.gaps.note_deaf_link()
    it.registry.remove("s2")
    it.registry.gaps.end_deafness(datetime.now(UTC), 9.0, 3, None)
    assert it.taken() == [("s1", 1, 9.0, 3), ("s3", 6, 9.0, 3)]
    it.acknowledge("s1", 12.0)
    assert it.taken() == [], "that gap has told of the loss, too"
    it.lose(outage(2))
    it.acknowledge("s1", 12.0)
    assert it.taken() == [("s1", 5, 5.0, 2)], "the deafness is over"
    it.registry.gaps.end_deafness(datetime.now(UTC), 9.0, 3, None)
    assert it.taken() == []


async def test_a_proof_after_the_last_event_is_where_the_gap_begins() -> None:
    it = Told()
    it.registry.gaps.note_deaf_link()
    it.registry.gaps.end_deafness(datetime.now(UTC), 9.0, 3, at(4))
    assert it.taken() == [("s1", 4, 9.0, 3), ("s2", 4, 9.0, 3)]


@pytest.mark.parametrize(
    ("link", "newer", "last", "told"),
    [(2, 2, 1, True), (2, 3, 1, False), (2, 3, 4, True), (None, None, 1, False), (None, None, 4, True), (2, None, 1, False)],
)
@pytest.mark.parametrize("is_resumed", [True, False])
async def test_a_possible_loss_is_told_now_unless_an_outage_will_tell_it(
    link: int | None, newer: int | None, last: int, told: bool, is_resumed: bool
) -> None:
    it = Told()
    it.one.last_timestamp = at(last)
    overlap = Overlap(BEGIN + timedelta(seconds=1), link, BEGIN + timedelta(seconds=9), 3.0)
    handover: Any = SimpleNamespace(overlaps={it.one: overlap}, newer=newer, is_resumed=is_resumed, disordered=set())
    it.registry.gaps.report_possible_loss(handover)
    assert it.taken() == [("s1", 1, 3.0, 1)] * (told or is_resumed)
    it.registry.remove("s1")
    it.registry.gaps.report_possible_loss(handover)
    assert it.taken() == [], "the subscription has ended"
