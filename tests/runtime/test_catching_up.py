"""Catching up delivers what was missed first, and each version once, for as long as it remembers the version."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
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
