"""A handover is given up: the machine goes back to the old link, which serves, proves itself and ends as any other."""

from __future__ import annotations

import math

import pytest

from realtime_fsm.errors import UpgradeRefused
from realtime_fsm.fsm.commands import (
    EndFault,
    OpenLink,
    ResumeLink,
    SendFrame,
)
from realtime_fsm.fsm.inputs import (
    Closed,
    Connect,
    DialFailure,
    Disconnect,
    GreetingReceived,
    Pong,
    Reconnect,
    Recovered,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.faults import FaultNews
from realtime_fsm.protocol.options import Timeouts
from support.bench import ONCE, Bench
from support.scenes import row_of

D, R, C, S, U, P, E, X = State


OLD = {"era": Era.E2}


def news_of(bench: Bench) -> FaultNews | None:
    """Return what the record of the last step tells of a server fault."""
    assert bench.last.transition is not None
    return bench.last.transition.fault


def given_up(bench: Bench) -> None:
    """Another link was wanted, and cannot be had: the old one is the current link again."""
    bench.do(Reconnect())
    bench.fail_dial()
    assert bench.requests(ResumeLink) != []
    assert bench.context.attempt == 0


def test_a_handover_that_is_given_up_leads_back_to_the_old_link() -> None:
    bench = Bench(retry=ONCE, **OLD).to(S)
    old = bench.generation
    bench.subscribe("s2")
    bench.expire()
    bench.fail_dial()
    assert (bench.state, bench.generation, row_of(bench)) == (S, old, "rec176")
    (resumed,) = bench.requests(ResumeLink)
    assert (resumed.generation, resumed.withdrawn) == (old, ("s2",)), "only another address could have asked for that"
    bench.subscribe("s3")
    assert (bench.requests(SendFrame), bench.context.subscriptions.needs_handover) == ([], True), "no message may ask on it"
    bench.do(Unsubscribe("s3"))
    bench.expire_until("sub64")
    assert bench.requests(SendFrame)[0].generation == old


def test_by_message_the_old_link_is_asked_for_what_is_new() -> None:
    bench = Bench(retry=ONCE).to(S)
    bench.do(Reconnect())
    bench.subscribe("s2")
    bench.fail_dial()
    assert (bench.state, row_of(bench), bench.requests(ResumeLink)[0].withdrawn) == (C, "rec178", ())
    assert b'"s2"' in bench.requests(SendFrame)[0].data
    bench.acknowledge()
    assert bench.state is S


def test_the_fault_of_a_resumed_link_goes_on_until_the_next_proof() -> None:
    bench = Bench(retry=ONCE).to(P)
    proven = bench.context.require_link.proven_at
    assert proven is not None
    assert proven < bench.now
    bench.err(500)
    bench.do(Reconnect(), after=5)
    assert bench.requests(EndFault) == [EndFault(bench.now - proven, lost=True)]
    bench.fail_dial()
    assert (bench.state, bench.requests(EndFault)) == (S, [])
    assert news_of(bench) == FaultNews(opened=True, seconds=bench.now - proven)
    bench.hear(Recovered(bench.generation))
    assert bench.requests(EndFault) == [EndFault(bench.now - proven, lost=False)]


def test_where_both_links_met_a_fault_the_record_of_the_later_one_goes_on() -> None:
    bench = Bench(retry=ONCE).to(P)
    bench.err(500)
    bench.do(Reconnect(), after=5)
    bench.open()
    bench.hear(GreetingReceived(bench.generation))
    began = bench.now
    bench.err(500)
    bench.lose()
    assert news_of(bench) is None
    assert bench.context.require_link.fault is not None
    assert bench.context.require_link.fault.since == began


def test_the_fault_of_a_failed_new_link_goes_on_as_that_of_the_resumed_one() -> None:
    bench = Bench(retry=ONCE).to(S)
    old, link = bench.generation, bench.context.require_link
    bench.do(Reconnect())
    bench.open()
    bench.hear(GreetingReceived(bench.generation))
    began = bench.now
    bench.err(500)
    assert news_of(bench) == FaultNews(opened=True, seconds=bench.now - began)
    bench.lose()
    assert (bench.generation, bench.context.link, link.at_fault, news_of(bench)) == (bench.generation, link, True, None)
    bench.hear(Recovered(old))
    assert bench.requests(EndFault) == [EndFault(bench.now - began, lost=False)]


def test_a_resumed_link_that_serves_everything_answers_a_ping_proves_itself_and_is_forgiven() -> None:
    bench = Bench(retry=RetryPolicy(attempts=1, stable_after=40.0)).to(S)
    bench.now += 10.0
    given_up(bench)
    began = bench.now
    assert (bench.state, bench.context.stable_at) == (S, began + 40.0)
    bench.expire_until("sub64")
    bench.hear(Pong(bench.generation))
    assert (bench.state, row_of(bench)) == (S, "pin42")
    bench.expire_until("sub65")
    assert bench.now == began + 40.0


def test_a_resumed_link_whose_last_subscription_was_removed_answers_a_ping_and_is_closed_when_idle() -> None:
    bench = Bench(retry=ONCE, timeouts=Timeouts(idle=50.0)).to(S)
    bench.do(Reconnect())
    bench.do(Unsubscribe("s1"))
    bench.fail_dial()
    began = bench.now
    assert (bench.state, bench.context.idle_at) == (U, began + 50.0)
    bench.expire_until("uns64")
    bench.hear(Pong(bench.generation))
    assert (bench.state, row_of(bench)) == (U, "pin43")
    bench.expire_until("uns63")
    assert bench.now == began + 50.0


def test_a_resumed_link_that_serves_nothing_is_connected_and_stays() -> None:
    bench = Bench(retry=ONCE, timeouts=Timeouts(idle=50.0)).to(C)
    given_up(bench)
    assert (bench.state, bench.context.idle_at) == (C, None)
    bench.expire_until("con64")
    bench.hear(Pong(bench.generation))
    assert (bench.state, row_of(bench)) == (C, "pin44")


def test_an_idle_link_that_is_resumed_is_kept_as_long_as_any_other() -> None:
    bench = Bench(retry=ONCE, timeouts=Timeouts(idle=50.0)).to(U)
    bench.now += 10.0
    given_up(bench)
    assert (bench.state, bench.context.idle_at) == (U, bench.now + 50.0)


@pytest.mark.parametrize("anew", [False, True])
def test_after_a_refusal_with_a_wait_the_next_dial_waits_unless_the_user_begins_anew(anew: bool) -> None:
    bench = Bench(retry=RetryPolicy(attempts=1)).to(S)
    bench.do(Reconnect())
    bench.do(DialFailure(bench.generation, UpgradeRefused(503, retry_after=100.0)))
    allowed = bench.now + 100.0
    assert (bench.state, bench.context.link is None) == (S, False)
    if anew:
        bench.do(Reconnect())
        bench.open()
        bench.greet()
        bench.acknowledge()
        bench.drain()
    bench.now += 10.0
    bench.lose()
    context = bench.context
    assert (bench.state, context.throttled) == (R, not anew)
    late = allowed + context.retry.base / 2
    assert context.attempt_at == (pytest.approx(bench.now, abs=10.0) if anew else pytest.approx(late))


def test_a_refusal_on_a_resumed_link_is_about_the_subscription_and_not_about_us() -> None:
    bench = Bench(retry=ONCE).to(S)
    given_up(bench)
    bench.subscribe("s2")
    bench.err(1008)
    bench.lose(1008)
    assert (bench.state, bench.context.refusals, bench.context.attempt) == (R, 0, 0)


def test_a_call_of_the_user_forgets_how_long_the_server_wanted_no_dial() -> None:
    bench = Bench(retry=ONCE).to(S)
    bench.do(Reconnect())
    bench.do(DialFailure(bench.generation, UpgradeRefused(503, retry_after=3_000.0)))
    assert (bench.state, bench.context.not_before) == (S, bench.now + 3_000)
    bench.do(Disconnect())
    bench.do(Closed(bench.generation))
    assert bench.context.not_before == bench.now + 3_000
    bench.do(Connect())
    assert (len(bench.requests(OpenLink)), bench.context.not_before) == (1, -math.inf)
