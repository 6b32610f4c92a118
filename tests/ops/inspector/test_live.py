"""The facts of a live connection that no record tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from realtime_fsm.ops.inspector.live import _update
from realtime_fsm.ops.inspector.views import SUBSCRIPTIONS, SubscriptionView, View

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


def test_subscriptions_without_a_place_are_counted_anew_each_time() -> None:
    view, many = View("c", 1), [subscription(f"s{number}") for number in range(SUBSCRIPTIONS + 3)]
    for _ in range(2):
        _update(view, told(*many))
        assert (len(view.subscriptions), view.left_out) == (SUBSCRIPTIONS, 3)
