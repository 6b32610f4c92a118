"""The presence tracker sends the user's presence and the canary's messages, and an authentication ends in each way once."""

from __future__ import annotations

import pytest

from realtime_fsm.fsm.canary import CANARY
from realtime_fsm.fsm.commands import (
    AuthenticationRefused,
    CanaryOut,
    CanaryRefused,
    PresenceStored,
    SubscriptionAcknowledged,
    UserIdentified,
)
from realtime_fsm.fsm.control import AUTHENTICATE, PRESENCE, SUBSCRIBE
from realtime_fsm.fsm.inputs import Acknowledged, Authenticate
from realtime_fsm.fsm.subscriptions import SubscriptionTracker
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from support.bench import Bench
from support.tracker import asked, grants, spec, tracker_with

ONLINE = b'{"status":"online"}'


def probed(*, presence: bytes | None = b"{}") -> SubscriptionTracker:
    """Return a tracker with a canary due, on a link on which everything is acknowledged."""
    tracker = tracker_with("a")
    tracker.handle_reply(grants(*asked(tracker).ids))
    assert tracker.presence.probe(spec(CANARY), presence, "canary's") == []
    return tracker


def listening() -> SubscriptionTracker:
    """Return a tracker whose hidden subscription is acknowledged, with a presence of the canary in flight."""
    tracker = probed()
    assert kind_of_next(tracker) == SUBSCRIBE
    assert tracker.handle_reply(grants(CANARY)) == []
    assert kind_of_next(tracker) == PRESENCE
    return tracker


def kind_of_next(tracker: SubscriptionTracker) -> str | None:
    request = tracker.next_request()
    return None if request is None else request.kind


def test_a_canary_that_is_written_goes_out_with_its_hidden_subscription() -> None:
    tracker = probed(presence=None)
    assert kind_of_next(tracker) == SUBSCRIBE
    assert tracker.handle_reply(grants(CANARY)) == [CanaryOut()]
    assert tracker.presence.probe(spec(CANARY), None, "") == [CanaryOut()], "the link listens already"


def test_a_presence_for_the_canary_alone_is_not_told_to_the_user() -> None:
    tracker = listening()
    assert tracker.handle_reply((), b'{"$id":"canary"}') == [CanaryOut()]
    assert (tracker.presence.on_link, tracker.presence.message) == ("canary's", None)


def test_a_canary_sends_the_wanted_presence_again() -> None:
    tracker = probed()
    tracker.presence.set(ONLINE, "mine")
    kind_of_next(tracker)
    tracker.handle_reply(grants(CANARY))
    request = tracker.next_request()
    assert request is not None
    assert (request.kind, request.data) == (PRESENCE, ONLINE)
    assert tracker.handle_reply((), b"stored") == [PresenceStored(b"stored"), CanaryOut()]


@pytest.mark.parametrize("hidden", [True, False])
def test_a_canary_that_the_server_dropped_goes_out_again(hidden: bool) -> None:
    tracker = probed() if hidden else listening()
    kind = tracker.in_flight.kind if tracker.in_flight is not None else kind_of_next(tracker)
    assert tracker.requeue_in_flight() == []
    assert kind_of_next(tracker) == kind


def test_a_refused_presence_of_the_canary_proves_nothing() -> None:
    tracker = listening()
    assert tracker.handle_error(400, "no") == [CanaryRefused(400)]
    assert kind_of_next(tracker) is None


def test_another_user_does_not_hear_the_canary_of_the_one_before() -> None:
    tracker = listening()
    tracker.handle_reply((), b"{}")
    tracker.authenticate("session")
    assert tracker.handle_reply(()) == []
    assert tracker.presence.canary is not None
    assert not tracker.presence.canary.listening


@pytest.mark.parametrize("end", ["refused", "fault", "dropped"])
def test_an_authentication_that_fails_is_refused_and_not_repeated(end: str) -> None:
    tracker = tracker_with("a")
    tracker.handle_reply(grants(*asked(tracker).ids))
    tracker.authenticate("session")
    told = {
        "refused": lambda: tracker.handle_error(401, "no"),
        "fault": lambda: tracker.repeat(500, "no", 3, whole=False),
        "dropped": tracker.requeue_in_flight,
    }[end]()
    assert [type(command) for command in told] == [AuthenticationRefused]
    assert kind_of_next(tracker) is None


@pytest.mark.parametrize("code", [None, 401])
def test_the_answer_to_an_authentication_ends_the_trial_of_the_identity(code: int | None) -> None:
    bench = Bench().to(State.SUBSCRIBED)
    bench.do(Authenticate("session"))
    assert bench.context.trial
    if code is None:
        bench.hear(Acknowledged(bench.generation, AUTHENTICATE, (), user=b'{"$id":"u1"}'))
        assert bench.requests(UserIdentified) == [UserIdentified(b'{"$id":"u1"}')]
    else:
        bench.err(code)
        assert len(bench.requests(AuthenticationRefused)) == 1
    assert not bench.context.trial


def test_the_id_of_a_presence_ends_with_its_link() -> None:
    tracker = tracker_with()
    for name in ("first", "second"):
        tracker.presence.set(ONLINE, name)
        assert not tracker.presence.needs_link, "no other id is on this link"
        assert kind_of_next(tracker) == PRESENCE
        assert tracker.presence.taken_id == name
        assert tracker.handle_reply((), ONLINE) == [PresenceStored(ONLINE)]
        assert tracker.presence.on_link == name
        tracker.end_link()
        assert not tracker.presence.needs_link
        tracker.begin_link()


def test_a_url_asks_for_the_hidden_subscription_too() -> None:
    tracker = probed()
    tracker.end_link()
    assert "canary" not in tracker.desired
    tracker.build_url_plan()
    tracker.begin_link()
    tracker.link_subscribed_in_url(("rows",), Era.E3)
    assert tracker.acknowledge_url_subscriptions() == [SubscriptionAcknowledged("a", ("rows",))]
    assert tracker.presence.canary is not None
    assert tracker.presence.canary.listening


def test_a_link_serves_what_it_acknowledged_and_what_is_desired_no_more() -> None:
    tracker = probed()
    tracker.add(spec("b"))
    assert tracker.serves(["a", "never desired"])
    assert not tracker.serves(["a", "b"])
