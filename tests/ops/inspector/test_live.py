"""The facts of a live connection that no record tells."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm import RetryPolicy
from realtime_fsm.errors import DialFailed
from realtime_fsm.ops.inspector.board import Board
from realtime_fsm.ops.inspector.live import _update, shown
from realtime_fsm.ops.inspector.views import SUBSCRIPTIONS, SubscriptionView, View
from support.inspecting import browsing, content_of
from support.network import Network
from support.virtual import Stopwatch

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def told(*subscriptions: SimpleNamespace, later: float = 0.0, due: datetime | None = None) -> Any:
    """A connection that tells of its subscriptions at a moment."""
    facts = SimpleNamespace(
        at=NOW + timedelta(seconds=later), awaited="dial" if due else "", due=due, subscriptions=subscriptions
    )
    return SimpleNamespace(explain=lambda: facts)


def subscription(name: str, **facts: Any) -> SimpleNamespace:
    plain = {"acknowledged": True, "channels": ("rows",), "received": 5, "dropped": 1, "waiting": 0}
    return SimpleNamespace(id=name, **plain | facts)


def test_what_is_desired_stays_with_what_is_rejected_and_all_else_goes() -> None:
    view = View("c", 1, subscriptions={name: SubscriptionView(phase) for name, phase in (
        ("gone", "acknowledged"), ("bad", "rejected"), ("wanted", "acknowledged"),
    )})  # fmt: skip
    assert _update(view, told(subscription("wanted", acknowledged=False), subscription("new")))
    assert {name: one.phase for name, one in view.subscriptions.items()} == {
        "bad": "rejected", "wanted": "desired", "new": "acknowledged",
    }  # fmt: skip
    new = view.subscriptions["new"]
    assert (new.channels, new.received, new.dropped, new.waiting, new.behind) == (["rows"], 5, 1, 0, None)
    assert not _update(view, told(subscription("wanted", acknowledged=False), subscription("new"))), "nothing has changed"


def test_a_consumer_is_behind_since_events_wait_for_it() -> None:
    view, behind = View("c", 1), []
    for later, waiting in ((0.0, 1), (2.0, 3), (4.0, 0), (6.0, 2)):
        _update(view, told(subscription("s", waiting=waiting), later=later))
        behind.append(view.subscriptions["s"].behind)
    now = NOW.timestamp()
    assert behind == [now, now, None, now + 6.0]


def test_the_next_deadline_is_told_to_a_tenth_of_a_second() -> None:
    view = View("c", 1)
    assert _update(view, told(due=NOW + timedelta(seconds=1.26)))
    assert (view.awaited, view.due) == ("dial", NOW.timestamp() + 1.3)
    assert not _update(view, told(due=NOW + timedelta(seconds=1.29)))
    assert _update(view, told())
    assert (view.awaited, view.due) == ("", None)


async def test_counts_without_a_record_are_looked_at_each_half_second() -> None:
    network, board = Network(), Board("live")
    async with network.realtime() as realtime:
        subscription = await realtime.subscribe("rows")
        with shown((realtime,), board):
            (view,) = board.views
            one = view.subscriptions[subscription.id]
            assert (one.received, one.waiting) == (0, 0)
            network.publish("rows")
            await asyncio.sleep(0.49)
            assert (one.received, one.waiting) == (0, 0)
            await asyncio.sleep(0.02)
            assert (one.received, one.waiting) == (1, 1)
            async with browsing(board) as messages:
                await anext(subscription)
                watch = Stopwatch()
                assert content_of(await anext(messages))["views"][0]["subscriptions"][subscription.id]["waiting"] == 0
                assert watch.now < 1
        await asyncio.sleep(0)
        assert [task for task in asyncio.all_tasks() if task.get_name() == "realtime_fsm inspector"] == []
        network.publish("rows")
        await asyncio.sleep(1)
        assert one.received == 1, "the page has ended"


async def test_the_view_of_an_older_connection_begins_with_its_present_state() -> None:
    network, board, after = Network(), Board("live"), Board("live")
    network.script.append(DialFailed("refused"))
    async with network.realtime(retry=RetryPolicy(attempts=None)) as realtime:
        with shown((realtime,), board):
            assert [(view.link, view.attempt, view.era, view.closed, view.causes) for view in board.views] == [
                (0, 0, None, False, [])
            ]
        await realtime.subscribe("rows")
        with shown((realtime,), Board("full", most=0)), shown((realtime,), after):
            (view,) = after.views
            explained = realtime.explain()
            assert explained.since is not None
            assert explained.last_failure is not None
            assert (view.link, view.attempt, view.era, view.state, view.closed) == (2, 2, "E4", "subscribed", False)
            assert (view.last, view.since) == pytest.approx((explained.at.timestamp(), explained.since.timestamp()), abs=1)
            assert view.stays == [(view.since, "subscribed")]
            assert [(cause.at, cause.times) for cause in view.causes] == [(explained.last_failure.at.timestamp(), 1)]
            assert (view.outage, view.fault) == (None, None)
    late = Board("live")
    with shown((realtime,), late):
        assert [(view.state, view.closed) for view in late.views] == [("disposing", True)]
    await asyncio.sleep(0)  # in which the looks end


def test_subscriptions_without_a_place_are_counted_anew_each_time() -> None:
    view, many = View("c", 1), [subscription(f"s{number}") for number in range(SUBSCRIPTIONS + 3)]
    for _ in range(2):
        _update(view, told(*many))
        assert (len(view.subscriptions), view.left_out) == (SUBSCRIPTIONS, 3)
