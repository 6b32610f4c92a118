"""The options of a delivery are a value. A delivery tells gaps to callables, and ends them with itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from typing import Any

from realtime_fsm import Gap
from realtime_fsm.runtime.delivery import DeliveryOptions
from support.delivering import event_for, new_delivery
from support.some import some

secret: ContextVar[str] = ContextVar("secret")


def test_the_context_of_a_user_is_no_part_of_the_options_that_are_shown_and_compared() -> None:
    context = copy_context()
    context.run(secret.set, "geheim")
    given = DeliveryOptions(buffer=5, context=context)
    assert given == DeliveryOptions(buffer=5)
    assert "context" not in repr(given)


class Delivered:
    """A delivery, and the reports of its callables."""

    def __init__(self, **options: Any) -> None:
        self.reports: list[str] = []
        self.delivery = new_delivery(lambda failure, heading: self.reports.append(heading), **options)

    async def gaps(self, count: int) -> None:
        """Tell of some gaps, one dial longer each, and let the callables begin."""
        for number in range(count):
            self.delivery.record_gap(datetime.now(UTC), 1.0, number, None)
        await asyncio.sleep(1)


async def test_the_failures_that_wait_for_their_report_are_reported_at_the_end() -> None:
    def fails(gap: Gap) -> None:
        raise LookupError(gap.attempts)

    one = Delivered(on_gap=fails)
    await one.gaps(7)
    assert (one.delivery.failures, len(one.reports)) == (7, 5)
    one.delivery.end()
    assert [heading.rpartition(", ")[2] for heading in one.reports[5:]] == ["2 more since the last report; this is the latest"]


async def test_the_newest_hundred_gaps_are_kept() -> None:
    one = Delivered()
    await one.gaps(102)
    assert [gap.attempts for gap in one.delivery.gaps] == [*range(2, 102)]


async def test_the_end_cancels_the_callables_but_for_the_spared_one() -> None:
    one = Delivered(on_gap=lambda _: asyncio.sleep(10))
    await one.gaps(2)
    first, second = one.delivery.tasks
    assert (one.delivery.spare(asyncio.current_task()), one.delivery.spare(first)) == (False, True)
    one.delivery.end()
    await asyncio.sleep(1)
    assert (first.done(), second.cancelled(), one.delivery.tasks) == (False, True, [first])
    await first
    assert (one.delivery.tasks, one.reports) == ([], [])


async def test_a_subscription_is_established_with_its_first_acknowledgement() -> None:
    ways: dict[Callable[[asyncio.Future[None]], object], bool] = {
        lambda granted: None: False,
        lambda granted: granted.set_result(None): True,
        lambda granted: granted.set_exception(LookupError()): False,
        lambda granted: granted.cancel(): False,
    }
    for act, established in some(ways.items()):
        one = Delivered()
        act(one.delivery.granted)
        assert one.delivery.established is established
        if one.delivery.granted.done() and not one.delivery.granted.cancelled():
            one.delivery.granted.exception()


async def test_a_delivery_listens_to_its_channels_as_the_user_or_the_server_spells_them() -> None:
    one = Delivered()
    one.delivery.acknowledged = ("tables.rows",)
    channels: dict[Any, bool] = {("rows",): True, ("files", "tables.rows"): True, ("files",): False, (): False, (7,): False}
    for each, listens in some(channels.items()):
        assert one.delivery.listens_to(event_for(channels=each)) is listens
