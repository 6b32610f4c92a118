"""Catching up delivers what was missed first, and each version once, for as long as it remembers the version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime_fsm import Gap
from realtime_fsm.events import Event
from support.delivering import event_for, new_delivery
from support.virtual import VirtualLoop

MOMENT = "2026-11-24T10:00:00.000+00:00"
END = datetime(2026, 11, 24, 11, tzinfo=UTC)


def row(number: int) -> dict[str, Any]:
    return {"$id": f"row{number}", "$updatedAt": MOMENT, "n": number}


def live(number: int) -> Event:
    return event_for("s1", timestamp=MOMENT, **row(number))


class CaughtUp:
    """A delivery whose `catch_up` gives one list of numbers after the other."""

    def __init__(self, *answers: list[int], catch_up: Callable[[Gap], Any] | None = None) -> None:
        self._answers = list(answers)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self.loop = loop
        self.delivery = new_delivery(catch_up=catch_up or self._catch_up)

    async def _catch_up(self, _: Gap) -> list[Any]:
        return [row(number) for number in self._answers.pop(0)]

    async def gap(self, *had: int) -> list[int]:
        """Tell of a gap, and return what is delivered for it."""
        self.tell(*had)
        await self.rest()
        return self.taken()

    def tell(self, *had: int) -> None:
        self.delivery.record_gap(END, 1.0, 1, None, [live(number).version for number in had])

    async def rest(self) -> None:
        """Wait until no callable runs."""
        if self.delivery.tasks:
            await asyncio.wait(tuple(self.delivery.tasks))

    def put(self, *these: int) -> list[int]:
        """Bring live events, and return what is delivered."""
        for number in these:
            self.delivery.put(live(number))
        return self.taken()

    def taken(self) -> list[int]:
        return [event.payload["n"] for event in self.delivery.buffer.take_nowait()]


async def test_a_delivery_drops_a_caught_up_version_for_a_minute() -> None:
    one = CaughtUp([1, 2])
    assert await one.gap() == [1, 2]
    await asyncio.sleep(59.9)
    assert one.put(1, 2, 3) == [3]
    await asyncio.sleep(0.2)
    assert one.put(1, 2, 3) == [1, 2, 3]
    assert one.delivery.put == one.delivery.buffer.put, "an event takes no further call"


@pytest.mark.parametrize(("late", "delivered"), [(0.9, [1]), (1.1, [])])
async def test_a_process_that_slept_remembers_for_another_minute(late: float, delivered: list[int]) -> None:
    one = CaughtUp([1])
    await one.gap()
    one.loop._clock.now += 60 + late
    await asyncio.sleep(0.001)  # the timers that are due come first
    assert one.put(1) == delivered
    if not delivered:
        await asyncio.sleep(59.9)
        assert one.put(1) == []
        await asyncio.sleep(0.2)
        assert one.put(1) == [1]


async def test_catching_up_skips_a_version_once_that_came_since_the_outage() -> None:
    one = CaughtUp([1, 2], [1, 2])
    assert await one.gap(1) == [2]
    await asyncio.sleep(61)
    assert await one.gap() == [1, 2]


async def test_another_gap_cancels_the_callable_and_keeps_what_came_since_the_first_outage() -> None:
    calls: list[str] = []

    async def catch_up(_: Gap) -> list[Any]:
        calls.append("begun")
        try:
            await asyncio.sleep(10 if len(calls) == 1 else 0)
        except asyncio.CancelledError:
            calls.append("cancelled")
            raise
        return [row(number) for number in range(1, 4)]

    one = CaughtUp(catch_up=catch_up)
    one.tell(1)
    await asyncio.sleep(1)
    assert one.put(4) == [], "it waits behind what was missed"
    assert await one.gap(2) == [3, 4]
    assert calls == ["begun", "cancelled", "begun"]


async def test_after_the_end_a_callable_that_refuses_its_cancellation_delivers_nothing() -> None:
    async def catch_up(_: Gap) -> list[Any]:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            return [row(1)]
        pytest.fail("it was not cancelled")

    one = CaughtUp(catch_up=catch_up)
    one.tell()
    await asyncio.sleep(1)
    assert one.put(2) == []
    one.delivery.end()
    assert one.taken() == [2], "what waited behind it is given"
    await one.rest()
    assert one.taken() == []


async def test_the_versions_that_come_while_a_gap_is_expected_are_delivered_and_not_repeated() -> None:
    one = CaughtUp([1, 2, 3])
    one.delivery.expect_gap()
    assert one.put(1, 2) == [1, 2]
    assert [*one.delivery.end_expectation()] == [live(1).version, live(2).version]
    assert await one.gap(1, 2) == [3]
    assert one.put(4) == [4]
    assert [*one.delivery.end_expectation()] == [], "no gap is expected any more"


class Spans(CaughtUp):
    """A delivery whose `catch_up` gives all rows from the second at which a gap begins to the present second."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.present = 0
        self.heard: list[int] = []
        self.asked: list[tuple[int | None, int]] = []
        self._seconds = seconds
        super().__init__(catch_up=self._span)

    async def _span(self, gap: Gap) -> list[dict[str, Any]]:
        begin = None if gap.since is None else (gap.since - END).seconds
        self.asked.append((begin, (gap.until - END).seconds))
        await asyncio.sleep(self._seconds)
        return [row_at(number) for number in range((begin or 0) + 1, self.present + 1)]

    def hear(self, number: int) -> None:
        """Bring the live event of a second."""
        self.present, self.delivery.last_timestamp = number, at(number).isoformat()
        self.heard.append(number)
        self.delivery.put(live_at(number))

    async def now(self, second: int) -> list[int]:
        """Tell of a gap that ends now, and return what is delivered since the last call."""
        self.present = second
        self.delivery.record_gap(at(second), 1.0, 1, self.delivery.seen_until)
        await self.rest()
        return self.taken()

    def tell_late(self, begin: int | None, end: int) -> None:
        since = None if begin is None else at(begin)
        self.delivery.record_gap(at(end), 1.0, 1, since, [live_at(number).version for number in self.heard])

    async def late(self, begin: int | None, end: int) -> list[int]:
        """Tell late of a gap, and return what is delivered since the last call."""
        self.tell_late(begin, end)
        await self.rest()
        return self.taken()


def at(second: int) -> datetime:
    return END + timedelta(seconds=second)


def row_at(second: int) -> dict[str, Any]:
    return row(second) | {"$updatedAt": at(second).isoformat()}


def live_at(second: int) -> Event:
    return event_for("s1", timestamp=at(second).isoformat(), **row_at(second))


async def test_a_late_gap_that_begins_before_another_one_is_told_and_caught_up_with_from_its_own_beginning() -> None:
    one = Spans()
    one.hear(5)
    assert await one.now(7) == [5, 6, 7]
    assert await one.late(2, 4) == [3, 4], "the events that came, or were caught up with, are not repeated"
    assert one.asked == [(5, 7), (2, 4)]
    assert [None if gap.since is None else (gap.since - END).seconds for gap in one.delivery.gaps] == [5, 2]


@pytest.mark.parametrize("begin", [2, 3, 5])
async def test_a_late_gap_that_begins_within_what_was_caught_up_with_begins_behind_that(begin: int) -> None:
    one = Spans()
    one.hear(2)
    assert await one.now(4) == [2, 3, 4]
    assert await one.now(6) == [5, 6], "it goes on where the last one has ended"
    one.present = 7
    assert await one.late(begin, 7) == [7]
    assert one.asked == [(2, 4), (4, 6), (6, 7)]


async def test_another_catch_up_from_the_first_event_on_covers_each_late_gap() -> None:
    one = Spans()
    assert await one.now(2) == [1, 2]
    one.present = 3
    assert await one.late(None, 3) == [3]
    assert one.asked == [(None, 2), (2, 3)]


async def test_a_late_gap_before_the_first_event_is_not_covered_by_a_catch_up_from_an_event_on() -> None:
    one = Spans()
    one.hear(3)
    assert await one.now(4) == [3, 4]
    assert await one.late(None, 2) == [1, 2]


async def test_an_event_between_two_catch_ups_parts_what_they_cover() -> None:
    one = Spans()
    one.hear(1)
    assert await one.now(2) == [1, 2]
    one.hear(4)
    assert await one.now(6) == [4, 5, 6]
    assert await one.late(2, 4) == [3]


async def test_two_gaps_at_once_are_asked_for_from_the_first_beginning_to_the_last_end() -> None:
    one = Spans(seconds=10)
    one.hear(5)
    one.taken()
    one.present = 7
    one.delivery.record_gap(at(7), 1.0, 1, one.delivery.seen_until)
    await asyncio.sleep(1)
    one.tell_late(2, 4)
    await asyncio.sleep(1)
    one.delivery.record_gap(at(8), 1.0, 1, one.delivery.seen_until)
    await one.rest()
    assert one.asked == [(5, 7), (2, 7), (2, 8)]
    assert one.taken() == [3, 4, 6, 7]


async def test_the_versions_that_are_caught_up_with_while_a_gap_is_expected_are_not_repeated() -> None:
    one = CaughtUp([1, 2])
    one.delivery.expect_gap()
    assert await one.gap() == [1, 2]
    assert {*one.delivery.end_expectation()} == {live(1).version, live(2).version}


async def test_a_late_live_event_does_not_put_back_the_gap_that_goes_on() -> None:
    one = Spans(seconds=10)
    one.hear(5)
    one.present = 7
    one.delivery.record_gap(at(7), 1.0, 1, one.delivery.seen_until)
    one.delivery.last_timestamp = at(3).isoformat()
    await one.now(8)
    assert one.asked == [(5, 8)]
