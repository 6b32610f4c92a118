"""The era: how the machine finds it with one question, and when it asks again."""

from __future__ import annotations

import pytest

from realtime_fsm.errors import StreamEnded
from realtime_fsm.fsm.commands import OpenLink
from realtime_fsm.fsm.inputs import GreetingReceived, PingEnabledChanged, Pong, Reconnect
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from support.bench import Bench
from support.retrying import E, R, S, downgraded, row

C, P = State.CONNECTED, State.PING
OLD = {"era": Era.E2}


# --- which era --------------------------------------------------------------------------------------------------------


def test_a_dial_without_channels_that_is_refused_is_tried_with_them_and_that_is_remembered() -> None:
    bench = Bench()
    bench.subscribe()
    assert bench.requests(OpenLink)[0].plan is None
    bench.open()
    bench.err(1008)
    (dial,) = bench.requests(OpenLink)
    assert (row(bench), dial.plan.query, bench.context.era) == ("rec94", "channels[]=rows", None)
    bench.open()
    bench.greet()
    assert bench.state is S
    bench.lose()
    bench.expire()
    assert bench.requests(OpenLink)[0].plan is not None


def test_a_refusal_with_channels_is_fatal_and_the_next_start_makes_no_guess() -> None:
    bench = Bench()
    bench.subscribe()
    for _ in range(2):
        bench.open()
        bench.err(1008)
    assert (bench.state, row(bench)) == (E, "rec26")
    bench.do(Reconnect())
    assert bench.requests(OpenLink)[0].plan is None


@pytest.mark.parametrize(
    ("numbered", "era"), [(True, Era.E3), (False, Era.E2)], ids=["ids in the greeting", "no ids in the greeting"]
)
def test_a_greeting_tells_the_era(numbered: bool, era: Era) -> None:
    bench = Bench()
    bench.subscribe()
    bench.open()
    bench.err(1008)
    bench.open()
    bench.hear(GreetingReceived(bench.generation, channels=("rows",), has_subscription_ids=numbered))
    assert bench.context.era is era
    assert bench.last.transition is not None
    assert bench.last.transition.era is era


def test_a_link_that_is_up_without_channels_in_its_url_is_the_newest_era() -> None:
    bench = Bench().to(C)
    assert bench.context.era is Era.E4


def test_a_refused_ping_is_the_pong_of_the_first_era_and_is_remembered() -> None:
    bench = Bench(**OLD).to(P)
    bench.now += 0.5
    bench.err(1003)
    assert (bench.state, bench.context.era) == (S, Era.E1)
    assert bench.last.transition is not None
    assert bench.last.transition.round_trip == 0.5
    bench.lose()
    bench.expire()
    bench.open()
    bench.hear(GreetingReceived(bench.generation, channels=("rows",), has_subscription_ids=False))
    assert bench.context.era is Era.E1


def test_a_refused_ping_tells_nothing_about_a_newer_era() -> None:
    bench = Bench().to(P)
    bench.err(1003)
    assert bench.context.era is Era.E4


def test_a_pong_tells_that_a_server_of_the_first_era_is_one_of_the_second_now() -> None:
    bench = Bench(era=Era.E1).to(P)
    bench.hear(Pong(bench.generation))
    assert (bench.state, bench.context.era) == (S, Era.E2)


def test_a_refused_ping_that_was_settled_before_means_nothing() -> None:
    bench = Bench(**OLD).to(P)
    bench.do(PingEnabledChanged(enabled=False))
    deadline = bench.last.deadline
    bench.err(1003)
    assert (bench.last.transition, bench.state, bench.last.deadline) == (None, S, deadline)
    bench.lose()
    assert bench.last.transition is not None
    assert isinstance(bench.last.transition.cause, StreamEnded), "and explains no end"


def test_a_configured_era_is_taken_as_it_is() -> None:
    bench = Bench(era=Era.E4)
    bench.subscribe()
    bench.open()
    bench.err(1008)
    assert bench.state is E
    old = Bench(era=Era.E1)
    old.subscribe()
    assert (old.requests(OpenLink)[0].plan is not None, old.context.era) == (True, Era.E1)


# --- another server in its place --------------------------------------------------------------------------------------


def test_a_server_that_takes_messages_is_not_asked_by_url_because_of_one_refusal() -> None:
    bench = Bench().to(S)
    bench.lose()
    bench.expire()
    bench.open()
    bench.err(1008)
    assert (row(bench), bench.context.era) == ("rec27", Era.E4)
    bench.expire()
    assert [request.plan for request in bench.requests(OpenLink)] == [None]


@pytest.mark.parametrize("how", ["lost", "reconnect"])
def test_what_greets_like_an_e3_in_the_place_of_an_e4_is_asked_once_more(how: str) -> None:
    bench = downgraded()
    _ = (bench.lose(), bench.expire()) if how == "lost" else bench.do(Reconnect())
    assert [request.plan for request in bench.requests(OpenLink)] == [None]
    bench.open()
    bench.greet()
    assert bench.context.era is Era.E4


def test_in_a_handover_the_url_keeps_its_channels() -> None:
    bench = downgraded()
    bench.ask_anew("s2", up=False)
    bench.fail_dial()
    bench.expire()
    assert bench.requests(OpenLink)[0].plan is not None


def test_what_is_an_e3_is_asked_no_more_after_that() -> None:
    bench = downgraded()
    for again in (True, False):
        bench.lose()
        bench.expire()
        bench.open()
        if again:
            bench.err(1008)
            assert row(bench) == "rec94"
            bench.open()
        bench.greet()
        assert (bench.state, bench.context.era) == (S, Era.E3)


def test_a_guess_is_not_kept_for_the_next_dial() -> None:
    bench = Bench().to(R)
    bench.open()
    bench.err(1008)
    assert bench.requests(OpenLink)[0].plan is not None
    bench.fail_dial()
    bench.expire()
    assert bench.requests(OpenLink)[0].plan is None


def test_after_a_refusal_for_good_the_era_is_found_out_anew() -> None:
    bench = Bench(retry=RetryPolicy(attempts=1)).to(S)
    bench.lose()
    bench.expire()
    bench.open()
    bench.err(1008)
    assert (bench.state, bench.context.era) == (E, Era.E4)
    bench.do(Reconnect())
    bench.open()
    bench.err(1008)
    assert (row(bench), bench.context.era) == ("rec94", None)
