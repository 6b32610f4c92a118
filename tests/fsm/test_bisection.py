"""An error that answers a request is narrowed down to the bad items: the tracker asks for each half apart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_fsm.fsm.commands import SubscriptionRefused, SubscriptionRemoved
from support.tracker import (
    BAD_MESSAGE,
    POLICY,
    Account,
    Server,
    ask,
    asked,
    converge,
    grants,
    spec,
    tracker_with,
)


@pytest.mark.parametrize("code", [BAD_MESSAGE, 0, "42S02"])
def test_a_lonely_item_is_rejected_with_the_message_of_the_server(code: int | str) -> None:
    tracker = tracker_with("a")
    asked(tracker)
    assert tracker.handle_error(code, "why") == [SubscriptionRefused("a", code, "why")]
    assert (tracker.desired, tracker.all_removed) == ({}, True)
    assert ask(tracker) is None


def test_a_batch_is_halved_until_the_rejected_item_is_alone() -> None:
    tracker = tracker_with(*"abcd")
    tried = []
    while control := ask(tracker):
        tried.append("".join(control.ids))
        _ = tracker.handle_error(0, "") if "c" in control.ids else tracker.handle_reply(grants(*control.ids))
    assert tried == ["abcd", "ab", "cd", "c", "d"]
    assert tracker.acknowledged == set("abd")


def test_pending_subscriptions_go_before_the_bisection_groups_and_apart_from_them() -> None:
    tracker = tracker_with("a", "b")
    asked(tracker)
    tracker.handle_error(0, "")
    tracker.add(spec("c"))
    controls = []
    while control := ask(tracker):
        controls.append((control.ids, control.bisecting))
        tracker.handle_reply(grants(*control.ids))
    assert controls == [(("c",), False), (("a",), True), (("b",), True)]


@pytest.mark.parametrize("interrupt", ["end_link", "requeue_in_flight"])
@pytest.mark.parametrize("in_flight", [False, True])
@pytest.mark.parametrize("code", [BAD_MESSAGE, POLICY])
def test_bisection_groups_stay_apart_over_throttling_and_the_next_links(code: int, interrupt: str, in_flight: bool) -> None:
    tracker = tracker_with(*"abcd")
    asked(tracker)
    tracker.handle_error(code, "")
    if in_flight:
        assert asked(tracker).ids == ("a", "b")
    assert getattr(tracker, interrupt)() == []
    for expected in (("a", "b"), ("c", "d")):
        control = asked(tracker)
        assert (control.ids, control.bisecting, control.batch is not None) == (expected, code != POLICY, code == POLICY)
        tracker.handle_reply(grants(*control.ids))


def test_the_items_of_a_bisection_group_can_be_withdrawn() -> None:
    tracker = tracker_with("a", "b", "c")
    asked(tracker)
    tracker.handle_error(0, "")
    assert tracker.withdraw("a") == [SubscriptionRemoved("a")]
    assert asked(tracker).ids == ("b",)
    assert tracker.withdraw("b") == []
    assert tracker.requeue_in_flight() == [SubscriptionRemoved("b")]
    assert tracker.withdraw("c") == [SubscriptionRemoved("c")]
    assert ask(tracker) is None


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.dictionaries(st.integers(0, 59), st.sampled_from([BAD_MESSAGE, POLICY]), max_size=4))
def test_only_bad_items_are_rejected_within_a_bound(count: int, codes: dict[int, int]) -> None:
    names = [f"s{n}" for n in range(count)]
    bad = {f"s{n}": code for n, code in codes.items() if n < count}
    tracker, server, account = tracker_with(*names), Server(bad), Account()
    tracker.add(spec("good"))
    names.append("good")
    # A halving costs two requests a level for each rejected one; each end of a link costs one more for what was acknowledged.
    # Until something is accepted each group has a link of its own, and the search begins anew then.
    halvings = 1 + 2 * len(bad) * (1 + math.ceil(math.log2(count + 1)))
    converge(tracker, server, account, 4 * halvings + 3 * count)
    assert account.rejected == set(bad)
    assert tracker.acknowledged == server.holds == set(names) - set(bad)
    assert account.removed == set()
