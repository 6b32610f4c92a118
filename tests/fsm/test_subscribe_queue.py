"""The subscribe queue repeats requests that met a server fault: apart, in halves or whole, as the fault and the pings tell."""

from __future__ import annotations

from realtime_fsm.fsm.commands import SubscriptionRefused
from realtime_fsm.fsm.control import Batch
from realtime_fsm.fsm.subscribe_queue import SubscribeQueue
from realtime_fsm.fsm.subscriptions import SubscriptionTracker
from realtime_fsm.protocol.faults import is_server_fault
from realtime_fsm.protocol.spec import SubscriptionSpec
from support.tracker import asked, grants, spec, tracker_with


def fail(tracker: SubscriptionTracker, *, whole: bool = False, attempts: int | None = 3) -> tuple[str, ...]:
    """Let a server fault answer the request in flight, and return the ids of the next request."""
    assert tracker.repeat(500, "Error: Server Error", attempts, whole=whole) == []
    return asked(tracker).ids


def accept_all(tracker: SubscriptionTracker) -> None:
    assert tracker.in_flight is not None
    tracker.handle_reply(grants(*tracker.in_flight.ids))


def established(*identifiers: str) -> SubscriptionTracker:
    """Return a tracker on a new link, with subscriptions that were acknowledged on the link before."""
    tracker = tracker_with(*identifiers)
    asked(tracker)
    accept_all(tracker)
    tracker.end_link()
    tracker.begin_link()
    return tracker


def test_the_codes_that_are_faults() -> None:
    assert all(is_server_fault(code) for code in (0, -1, 500, 503, 599, 1, 399, 600, 1011))
    assert all(is_server_fault(code) for code in ("42S02", "404", ""))
    assert not any(is_server_fault(code) for code in (1003, 1008, 1013, 400, 401, 403, 404, 499))


def test_those_that_were_acknowledged_are_asked_for_first_and_apart() -> None:
    tracker = established("s1", "s2")
    tracker.add(spec("s3"))
    tracker.add(spec("s4"))
    assert set(asked(tracker).ids) == {"s1", "s2", "s3", "s4"}
    assert set(fail(tracker)) == {"s1", "s2"}
    accept_all(tracker)
    assert set(asked(tracker).ids) == {"s3", "s4"}


def test_the_second_repetition_goes_out_in_halves_until_the_rejected_one_is_alone() -> None:
    tracker = tracker_with("s1", "s2", "s3")
    assert asked(tracker).ids == ("s1", "s2", "s3")
    assert fail(tracker) == ("s1", "s2", "s3")
    assert fail(tracker) == ("s1", "s2")
    accept_all(tracker)
    assert asked(tracker).ids == ("s3",)
    assert fail(tracker) == ("s3",)
    assert fail(tracker) == ("s3",)
    assert tracker.repeat(500, "text", 3, whole=False) == [SubscriptionRefused("s3", 500, "text")]
    assert not tracker.has_pending_request
    assert tracker.all_acknowledged


def test_while_pings_fail_it_is_repeated_whole_and_what_was_divided_is_put_together() -> None:
    tracker = established("s1", "s2", "s3")
    tracker.add(spec("s4"))
    asked(tracker)
    fail(tracker)
    assert fail(tracker) == ("s4",)
    assert fail(tracker) == ("s1", "s2")
    assert fail(tracker) == ("s3",)
    tracker.repeat(500, "", 3, whole=False)
    tracker.queue.reunite()
    assert set(asked(tracker).ids) == {"s1", "s2", "s3"}
    assert fail(tracker, whole=True) == ("s4",)
    assert set(fail(tracker, whole=True)) == {"s1", "s2", "s3"}
    accept_all(tracker)
    assert asked(tracker).ids == ("s4",)
    assert tracker.repeat(500, "", 3, whole=True) == [SubscriptionRefused("s4", 500, "")], "alone it keeps its count"


def test_an_acknowledged_one_is_repeated_without_limit() -> None:
    tracker = established("s1")
    asked(tracker)
    for _ in range(100):
        assert fail(tracker) == ("s1",)


def test_they_stay_apart_on_the_next_link() -> None:
    tracker = established("s1")
    tracker.add(spec("s2"))
    asked(tracker)
    assert fail(tracker) == ("s1",)
    tracker.end_link()
    tracker.begin_link()
    assert asked(tracker).ids == ("s1",)
    assert tracker.requeue_in_flight() == []
    assert asked(tracker).ids == ("s1",)
    accept_all(tracker)
    tracker.add(spec("s3"))
    assert asked(tracker).ids == ("s3",), "what is new comes first"
    accept_all(tracker)
    assert asked(tracker).ids == ("s2",)
    tracker.withdraw("s2")
    assert tracker.requeue_in_flight() != []
    assert not tracker.has_pending_request


def test_a_batch_that_does_not_fit_into_a_frame_goes_out_in_turn() -> None:
    tracker = SubscriptionTracker()
    tracker.begin_link()
    for identifier in ("s1", "s2"):
        tracker.add(spec(identifier, 40_000))
    assert asked(tracker).ids == ("s1",)
    assert fail(tracker) == ("s2",)
    tracker.repeat(500, "", 3, whole=True)
    tracker.queue.reunite()
    assert asked(tracker).ids == ("s1",)
    accept_all(tracker)
    assert asked(tracker).ids == ("s2",)
    tracker.withdraw("s2")
    assert [type(told).__name__ for told in tracker.repeat(500, "", 3, whole=False)] == ["SubscriptionRemoved"]


def test_a_kind_of_request_that_meets_a_fault_gives_way_to_the_others() -> None:
    tracker = established("s1", "s2")
    asked(tracker)
    accept_all(tracker)
    tracker.withdraw("s1")
    tracker.presence.set(b"{}")
    kinds = []
    for _ in range(5):
        request = tracker.next_request()
        assert request is not None
        kinds.append(request.kind)
        again = tracker.in_repetition
        tracker.repeat(500, "", 3, whole=False)
    assert kinds == ["unsubscribe", "presence"] * 2 + ["unsubscribe"]
    assert again


def test_a_subscription_that_is_withdrawn_leaves_every_request_that_waits() -> None:
    queue, kept = SubscribeQueue({}, ()), [Batch(("b",), 2), Batch(("b",), 3)]
    queue.pending = {"a": None, "b": None}
    queue.groups = (("a", "b"), ("a",))
    queue.batches = (Batch(("b", "a"), 2), Batch(("a",), 1), Batch(("b",), 3))
    queue.remove("a")
    assert (list(queue.pending), list(queue.groups), list(queue.batches)) == (["b"], [("b",)], kept)


def test_the_rest_of_a_batch_that_exceeds_a_frame_waits_behind_the_other_batches() -> None:
    large = "x" * 40_000
    queue = SubscribeQueue({name: SubscriptionSpec(name, (large,)) for name in "abc"}, ())
    queue.batches = Batch(("a", "b"), 1), Batch(("c",), 2)
    assert queue.take_batch().ids == ("a",)
    assert queue.batches == (Batch(("c",), 2), Batch(("b",), 1))
    assert [queue.take_batch().ids for _ in range(2)] == [("c",), ("b",)]
    assert not queue.has_new
    assert len(queue.batches) == 0
