"""The subscription tracker loses nothing desired, whatever server and link do, and rejects a subscription only alone."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
from hypothesis import settings

from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.commands import CanaryRefused, SubscriptionAcknowledged, SubscriptionRefused, SubscriptionRemoved
from realtime_fsm.fsm.control import PRESENCE, SUBSCRIBE, UNSUBSCRIBE
from realtime_fsm.fsm.subscriptions import SubscriptionTracker
from support.some import some
from support.tracker import (
    BAD_MESSAGE,
    FRAME_LIMIT,
    Account,
    Server,
    TrackerMachine,
    acknowledged,
    ask,
    asked,
    converge,
    frame_size,
    grants,
    spec,
    tracker_with,
)

LARGE = 30_000


# --- asking -----------------------------------------------------------------------------------------------------------


def test_everything_that_waits_goes_into_one_request_in_order() -> None:
    control = asked(tracker_with("a", "b", "c"))
    assert (control.kind, control.ids, control.bisecting) == (SUBSCRIBE, ("a", "b", "c"), False)


def test_what_comes_while_a_request_is_in_flight_waits_for_its_answer() -> None:
    tracker = tracker_with("a")
    asked(tracker)
    tracker.add(spec("b"))
    assert not tracker.has_pending_request
    assert tracker.next_request() is None
    assert tracker.handle_reply(grants("a")) == [SubscriptionAcknowledged("a", ("rows",))]
    assert asked(tracker).ids == ("b",)


def test_a_reply_to_nothing_changes_nothing() -> None:
    tracker = tracker_with("a")
    assert tracker.handle_reply(()) == []
    assert asked(tracker).ids == ("a",)


def test_only_a_refusal_of_several_lets_the_other_kinds_go_first() -> None:
    """A bad message blames its items, so the subscriptions behind them keep their turn."""
    tracker = tracker_with(*"abcdefgh")
    for _ in range(2):
        asked(tracker)
        assert tracker.handle_error(1008, "") == []
    assert asked(tracker).ids == ("e", "f", "g", "h")
    tracker.handle_reply(grants(*"efgh"))
    tracker.withdraw("e")
    assert asked(tracker).ids == ("a", "b"), "an acknowledgement restores the order"
    assert tracker.handle_error(1003, "") == []
    for alone in some("ab"):
        assert asked(tracker).ids == (alone,)
        assert tracker.handle_error(1003, "") == [SubscriptionRefused(alone, 1003, "")]
    assert asked(tracker).ids == ("c", "d"), "and these were not refused"
    assert tracker.handle_error(1008, "") == []
    assert asked(tracker).kind == UNSUBSCRIBE


@pytest.mark.parametrize("answer", ["refusal", "fault"])
def test_an_error_that_answers_the_canarys_subscription_is_told_and_repeats_nothing(answer: str) -> None:
    tracker = tracker_with("a")
    asked(tracker)
    tracker.handle_reply(grants("a"))
    tracker.presence.probe(spec(CANARY), b"{}", "mine")
    listening = tracker.next_request()
    assert listening is not None
    assert listening.ids == (CANARY,)
    told = tracker.handle_error(1003, "") if answer == "refusal" else tracker.repeat(0, "", 3, whole=False)
    assert told == [CanaryRefused(1003 if answer == "refusal" else 0)]
    assert not tracker.has_pending_request


def test_a_server_fault_that_answers_a_presence_of_the_canarys_own_repeats_nothing() -> None:
    tracker = tracker_with("a")
    asked(tracker)
    tracker.handle_reply(grants("a"))
    assert tracker.presence.probe(spec(CANARY), b"{}", "mine") == []
    listening = tracker.next_request()
    assert listening is not None
    assert listening.ids == (CANARY,)
    assert tracker.handle_reply(grants(CANARY)) == []
    shown = tracker.next_request()
    assert shown is not None
    assert shown.kind == PRESENCE
    assert tracker.repeat(0, "", 3, whole=False) == [CanaryRefused(0)]
    assert not tracker.has_pending_request


ENDS: dict[str, Callable[[SubscriptionTracker], object]] = {
    "acknowledged": lambda tracker: deepcopy(tracker).handle_reply(grants("b", "d")),
    "refused": lambda tracker: deepcopy(tracker).handle_error(1003, ""),
    "the link ends": lambda tracker: deepcopy(tracker).end_link(),
}


def test_a_reply_behind_a_1013_answers_the_request_that_was_put_back() -> None:
    tracker = tracker_with("a", "b", "d")
    asked(tracker)
    tracker.add(spec("c"))
    assert tracker.withdraw("d") == []
    assert tracker.requeue_in_flight() == [SubscriptionRemoved("d")]
    assert not tracker.matches_in_flight(SUBSCRIBE, grants("a"))
    assert not tracker.matches_in_flight(UNSUBSCRIBE, grants("a", "b", "d"))
    assert tracker.matches_in_flight(SUBSCRIBE, grants("d", "b", "a"))
    assert tracker.withdraw("b") == [SubscriptionRemoved("b")]
    assert tracker.handle_reply(grants("a", "b", "d")) == [SubscriptionAcknowledged("a", ("rows",))]
    assert not tracker.matches_in_flight(SUBSCRIBE, grants("a", "b", "d")), "once"
    assert asked(tracker).ids == ("c",)
    tracker.handle_reply(grants("c"))
    removal = asked(tracker)
    assert (removal.kind, removal.ids) == (UNSUBSCRIBE, ("b", "d")), "the server has them, and the user does not want them"
    assert {end: end_of(tracker) for end, end_of in ENDS.items()} == {end: [] for end in ENDS}, "they count as gone already"


@pytest.mark.parametrize("later", ["asked again", "another link"])
def test_a_request_that_was_put_back_is_answered_by_no_reply(later: str) -> None:
    tracker = tracker_with("a")
    asked(tracker)
    tracker.requeue_in_flight()
    if later == "another link":
        tracker.end_link()
        tracker.begin_link()
        assert not tracker.matches_in_flight(SUBSCRIBE, grants("a"))
    else:
        tracker.add(spec("b"))
        assert asked(tracker).ids == ("a", "b")
        assert not tracker.matches_in_flight(SUBSCRIBE, grants("a")), "the request in flight has other ids"
        assert tracker.matches_in_flight(SUBSCRIBE, grants("a", "b"))


def test_a_late_reply_acknowledges_a_bisection_group_that_was_put_back() -> None:
    tracker = tracker_with("a", "b")
    asked(tracker)
    tracker.handle_error(BAD_MESSAGE, "bad")
    assert asked(tracker).ids == ("a",)
    tracker.requeue_in_flight()
    assert tracker.matches_in_flight(SUBSCRIBE, grants("a"))
    assert tracker.handle_reply(grants("a")) == [SubscriptionAcknowledged("a", ("rows",))]
    assert asked(tracker).ids == ("b",)


@pytest.mark.parametrize(("beyond", "first"), [(-8, ("a", "b")), (1, ("a",)), (99, ("a",))])
def test_a_batch_is_split_when_its_frame_would_be_too_large(beyond: int, first: tuple[str, ...]) -> None:
    tracker = SubscriptionTracker()
    tracker.add(spec("a", LARGE))
    tracker.add(spec("b", 1))
    least = frame_size(asked(tracker).data)
    tracker = SubscriptionTracker()
    tracker.add(spec("a", LARGE))
    tracker.add(spec("b", FRAME_LIMIT - least + 1 + beyond))
    assert asked(tracker).ids == first


def test_the_repr_of_a_request_shows_no_frame() -> None:
    request = tracker_with().authenticate("geheim")
    assert b"geheim" in request.data
    assert repr(request) == "ControlRequest(kind='authentication', ids=(), bisecting=False, batch=None)"


def test_removals_go_out_together_after_all_that_is_desired() -> None:
    tracker = acknowledged("a", "b", "c")
    tracker.withdraw("a")
    tracker.withdraw("c")
    tracker.add(spec("d"))
    assert asked(tracker).ids == ("d",)
    tracker.handle_reply(grants("d"))
    control = asked(tracker)
    assert (control.kind, control.ids) == (UNSUBSCRIBE, ("a", "c"))
    assert tracker.handle_reply(grants("c", "a")) == [SubscriptionRemoved("c"), SubscriptionRemoved("a")]
    assert ask(tracker) is None


@pytest.mark.parametrize("size", [1, 3000])
def test_many_removals_keep_within_a_frame_too(size: int) -> None:
    names = [f"s{n}" for n in range(size)]
    tracker = tracker_with(*names)
    server, account = Server(), Account()
    converge(tracker, server, account, 10)
    for name in some(names):
        assert tracker.withdraw(name) == []
    converge(tracker, server, account, 10)
    assert account.removed == set(names)
    assert server.holds == set()


# --- replies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "names", "is_it"),
    [
        (SUBSCRIBE, ("a", "b"), True),
        (SUBSCRIBE, ("b", "a"), True),
        (UNSUBSCRIBE, ("a", "b"), False),
        ("authentication", (), False),
        (SUBSCRIBE, (), False),
        (SUBSCRIBE, ("a",), False),
        (SUBSCRIBE, ("a", "c"), False),
        (SUBSCRIBE, ("a", "b", "c"), False),
    ],
)
def test_a_reply_is_known_by_what_it_answers_and_its_ids(to: str, names: tuple[str, ...], is_it: bool) -> None:
    tracker = tracker_with("a", "b")
    assert not tracker.matches_in_flight(to, grants(*names))
    asked(tracker)
    assert tracker.matches_in_flight(to, grants(*names)) is is_it


def test_all_acknowledged_is_noted_and_later_additions_do_not_undo_it() -> None:
    tracker = tracker_with("a", "b")
    asked(tracker)
    assert not tracker.all_acknowledged
    tracker.handle_reply(grants("a", "b"))
    assert tracker.all_acknowledged
    tracker.add(spec("c"))
    assert tracker.all_acknowledged
    tracker.begin_link()
    assert not tracker.all_acknowledged


def test_the_last_one_removed_is_noted_and_a_new_one_undoes_it() -> None:
    tracker = acknowledged("a")
    assert not tracker.all_removed
    tracker.withdraw("a")
    assert (tracker.all_acknowledged, tracker.all_removed) == (False, True)
    tracker.add(spec("b"))
    assert not tracker.all_removed


# --- withdrawals -----------------------------------------------------------------------------------------------------


def test_what_was_not_asked_is_gone_at_once_and_only_once() -> None:
    tracker = tracker_with("a", "b")
    assert tracker.withdraw("a") == [SubscriptionRemoved("a")]
    assert tracker.withdraw("a") == []
    assert tracker.withdraw("never heard of") == []
    assert asked(tracker).ids == ("b",)


@pytest.mark.parametrize("end", ["granted", "refused", "throttled", "lost"])
def test_what_is_withdrawn_while_it_is_asked_is_told_as_removed_when_that_is_sure(end: str) -> None:
    tracker = tracker_with("a", "b")
    asked(tracker)
    assert tracker.withdraw("a") == []
    if end == "granted":  # the server has it now, so it is to be told
        assert tracker.handle_reply(grants("a", "b")) == [SubscriptionAcknowledged("b", ("rows",))]
        control = asked(tracker)
        assert (control.kind, control.ids) == (UNSUBSCRIBE, ("a",))
        assert tracker.handle_reply(grants("a")) == [SubscriptionRemoved("a")]
        assert ask(tracker) is None
        return
    told = {"refused": lambda: tracker.handle_error(0, ""), "throttled": tracker.requeue_in_flight, "lost": tracker.end_link}[
        end
    ]()
    assert told == [SubscriptionRemoved("a")]
    assert asked(tracker).ids == ("b",)


def test_a_lonely_item_that_is_withdrawn_before_it_is_refused_is_removed_and_not_rejected() -> None:
    tracker = tracker_with("a")
    asked(tracker)
    tracker.withdraw("a")
    assert tracker.handle_error(BAD_MESSAGE, "") == [SubscriptionRemoved("a")]
    assert ask(tracker) is None


@pytest.mark.parametrize("end", ["granted", "refused", "throttled", "lost"])
def test_a_removal_is_told_once_however_it_ends(end: str) -> None:
    tracker = acknowledged("a", "b")
    tracker.withdraw("a")
    asked(tracker)
    if end == "throttled":
        assert tracker.requeue_in_flight() == []
        assert asked(tracker).kind == UNSUBSCRIBE
        end = "granted"
    told = {
        "granted": lambda: tracker.handle_reply(grants("a")),
        "refused": lambda: tracker.handle_error(500, ""),
        "lost": tracker.end_link,
    }[end]()
    assert told == [SubscriptionRemoved("a")]
    assert tracker.end_link() == []


def test_a_removal_that_was_not_asked_is_done_by_the_end_of_the_link() -> None:
    tracker = acknowledged("a", "b")
    tracker.withdraw("a")
    assert tracker.end_link() == [SubscriptionRemoved("a")]
    assert asked(tracker).ids == ("b",)


def test_when_no_link_can_be_had_what_was_never_acknowledged_is_struck() -> None:
    tracker = acknowledged("a", "b")
    tracker.add(spec("c"))
    tracker.end_link()
    tracker.add(spec("d"))
    assert tracker.withdraw_never_acknowledged() == ("c", "d")
    assert tracker.withdraw_never_acknowledged() == ()
    tracker.withdraw("b")
    tracker.add(spec("b"))  # wanted again, and not acknowledged since
    assert tracker.withdraw_never_acknowledged() == ("b",)
    assert asked(tracker).ids == ("a",)


# --- the link ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [False, True])
def test_a_new_link_is_asked_for_everything_desired(in_flight: bool) -> None:
    tracker = acknowledged("a", "b")
    tracker.add(spec("c"))
    if in_flight:
        asked(tracker)
    assert tracker.end_link() == []
    assert tracker.acknowledged == set()
    assert asked(tracker).ids == ("a", "b", "c")


def test_an_error_without_a_request_changes_nothing() -> None:
    tracker = acknowledged("a")
    assert tracker.handle_error(500, "") == []
    assert tracker.requeue_in_flight() == []
    assert (set(tracker.acknowledged), tracker.all_acknowledged) == ({"a"}, True)


TestAnyOrder = TrackerMachine.TestCase
TestAnyOrder.settings = settings(deadline=None, max_examples=50, stateful_step_count=40)


def test_what_is_left_is_not_acknowledged_because_something_else_was() -> None:
    tracker = SubscriptionTracker()
    tracker.begin_link()
    tracker.add(spec("s1"))
    tracker.handle_reply(grants(*asked(tracker).ids))
    tracker.begin_link()
    tracker.all_acknowledged = False
    tracker.add(spec("s2"))
    tracker.withdraw("s1")
    assert not tracker.all_acknowledged
