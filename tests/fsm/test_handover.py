"""The machine while one link takes over from another, and where a server lacks, or refuses, something."""

from __future__ import annotations

import pytest

from realtime_fsm.fsm.commands import (
    CloseLink,
    OpenLink,
    ReleaseLink,
    RetireLink,
    SendFrame,
    SubscriptionAcknowledged,
    SubscriptionRefused,
    SubscriptionRemoved,
    SubscriptionUnsupported,
)
from realtime_fsm.fsm.context import HANDOVER_DEBOUNCE
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Authenticate,
    Disconnect,
    Dispose,
    GreetingReceived,
    LinkClosed,
    LogOut,
    Pong,
    Reconnect,
    Subscribe,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import PingPolicy
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.spec import SubscriptionSpec
from support.bench import ONCE, Bench
from support.scenes import row_of

D, R, C, S, U, P, E, X = State


OLD = {"era": Era.E2}


QUERY = ('{"method":"isNull","attribute":"n"}',)


def test_another_subscription_gets_a_link_of_its_own_while_the_old_one_delivers() -> None:
    bench = Bench(**OLD).to(S)
    old = bench.generation
    bench.subscribe("s2", "files")
    assert (bench.state, bench.last.commands) == (S, ())
    bench.expire()
    assert (bench.state, row_of(bench)) == (R, "sub96")
    assert [type(request) for request in bench.last.commands] == [RetireLink, OpenLink]
    assert bench.requests(OpenLink)[0].plan.query == "channels[]=rows&channels[]=files"
    bench.open()
    bench.hear(GreetingReceived(bench.generation, channels=("rows", "files"), has_subscription_ids=False))
    assert not bench.requests(ReleaseLink)
    bench.do(Acknowledged(bench.generation, GREETING_ACK, ()))
    assert bench.requests(ReleaseLink) == [ReleaseLink(old)]
    assert (bench.state, bench.requests(SubscriptionAcknowledged)) == (
        S,
        [SubscriptionAcknowledged("s1", ("rows",)), SubscriptionAcknowledged("s2", ("files",))],
    )
    assert not bench.requests(SendFrame)


def test_what_is_desired_in_a_row_shares_one_other_link() -> None:
    bench = Bench(**OLD).to(S)
    for number in range(2, 6):
        bench.subscribe(f"s{number}")
        bench.now += HANDOVER_DEBOUNCE / 10
    bench.expire()
    assert len(bench.requests(OpenLink)[0].plan.plain["rows"]) == 5
    bench.open()
    bench.greet()
    assert (bench.state, bench.context.handover_at) == (S, None)


def test_what_is_desired_while_another_link_is_dialed_gets_the_next_one() -> None:
    bench = Bench(**OLD).to(C)
    bench.subscribe("s1")
    bench.expire()
    bench.subscribe("s2")
    bench.open()
    bench.greet()
    assert (bench.state, bench.context.handover_at) == (C, None), "not before the draining link is closed"
    bench.drain()
    bench.expire()
    bench.open()
    bench.greet()
    assert bench.state is S


def test_a_handover_waits_for_a_pong() -> None:
    bench = Bench(**OLD).to(P)
    bench.subscribe("s2")
    bench.now += 1
    bench.hear(Pong(bench.generation))
    bench.expire()
    assert row_of(bench) == "sub96"


def test_a_handover_that_fails_goes_on_while_the_old_link_delivers() -> None:
    bench = Bench(**OLD).to(S)
    bench.subscribe("s2")
    bench.expire()
    bench.fail_dial()
    assert bench.state is R
    assert bench.requests(CloseLink) == [CloseLink(bench.generation, graceful=False)]
    assert bench.context.draining_generation is not None
    bench.expire()
    bench.open()
    bench.greet()
    assert bench.state is S
    assert bench.context.draining_generation is None


@pytest.mark.parametrize("ends", [Disconnect(), Dispose(), LogOut()])
def test_a_draining_link_is_closed_when_no_other_link_takes_over(ends: Disconnect | Dispose | LogOut) -> None:
    bench = Bench(**OLD).to(S)
    bench.subscribe("s2")
    bench.expire()
    draining = bench.context.draining_generation
    assert draining is not None
    bench.do(ends)
    assert CloseLink(draining, graceful=True) in bench.requests(CloseLink)
    assert bench.context.draining_generation is None


@pytest.mark.parametrize("change", [Reconnect(), Authenticate("session")])
def test_by_message_the_old_link_delivers_until_the_replies_have_come(change: Reconnect | Authenticate) -> None:
    bench = Bench(ping=PingPolicy(interval=300.0)).to(P if isinstance(change, Authenticate) else S)
    old = bench.generation
    bench.do(change)
    assert [type(command) for command in bench.last.commands] == [RetireLink, OpenLink]
    bench.open()
    bench.greet()
    assert (bench.state, bench.context.draining_generation, bench.requests(ReleaseLink)) == (C, old, [])
    bench.acknowledge()
    assert (bench.state, bench.context.draining_generation, bench.requests(ReleaseLink)) == (S, None, [ReleaseLink(old)])


def test_a_link_is_renewed_while_it_delivers_and_again_after_a_tenth_of_its_age() -> None:
    bench = Bench(retry=ONCE, max_link_age=300.0, ping=PingPolicy(enabled=False)).to(S)
    bench.expire_until("sub73")
    assert [type(command) for command in bench.last.commands] == [RetireLink, OpenLink]
    bench.fail_dial()
    failed = bench.now
    bench.expire_until("sub73")
    assert bench.now == failed + 30.0
    bench.open()
    bench.greet()
    bench.acknowledge()
    assert bench.context.renew_at is None, "not before the old link is closed"
    bench.drain()
    assert bench.context.renew_at is not None


def test_where_the_new_link_ends_before_it_serves_everything_the_old_one_goes_on() -> None:
    bench = Bench().to(S)
    old = bench.generation
    bench.do(Reconnect())
    bench.open()
    bench.greet()
    bench.lose()
    assert (bench.state, bench.context.draining_generation, row_of(bench)) == (R, old, "con58")


def test_another_change_replaces_the_new_link_and_not_the_old_one() -> None:
    bench = Bench().to(S)
    old = bench.generation
    bench.do(Reconnect())
    bench.open()
    bench.greet()
    new = bench.generation
    bench.do(Reconnect())
    assert (bench.state, bench.context.draining_generation) == (R, old)
    assert bench.requests(CloseLink) == [CloseLink(new, graceful=True)]


def test_where_the_user_changes_the_old_link_goes_with_the_greeting() -> None:
    bench = Bench().to(S)
    old = bench.generation
    bench.do(Authenticate(None))
    bench.open()
    bench.hear(GreetingReceived(bench.generation, b'{"$id":"bob"}', user_changed=True))
    assert (row_of(bench), bench.context.draining_generation) == ("rec170", None)
    assert bench.requests(CloseLink) == [CloseLink(old, graceful=True)]


def test_what_is_not_wanted_any_more_is_not_waited_for() -> None:
    bench = Bench().to(S)
    bench.do(Reconnect())
    bench.open()
    bench.greet()
    bench.do(Unsubscribe("s1"))
    assert bench.context.draining is None
    assert bench.context.lingering is not None


def test_the_end_of_a_draining_link_is_no_loss_for_the_machine() -> None:
    bench = Bench(**OLD).to(S)
    bench.subscribe("s2")
    bench.expire()
    draining, deadline = bench.context.draining_generation, bench.last.deadline
    assert draining is not None
    bench.do(LinkClosed(draining))
    assert (bench.last.transition, bench.last.commands) == (None, (CloseLink(draining, graceful=False),))
    assert (bench.state, bench.last.deadline) == (R, deadline)
    bench.do(LinkClosed(draining))
    assert bench.last.commands == ()


def test_a_renewal_that_waited_for_the_draining_link_is_due_when_that_link_ends() -> None:
    bench = Bench(max_link_age=0.5).to(S)
    old = bench.generation
    bench.do(Reconnect())
    bench.open()
    bench.greet()
    bench.err(500)
    due = bench.now + 0.5
    assert (bench.state, bench.context.renew_at, bench.last.deadline == due) == (C, None, False)
    bench.do(LinkClosed(old), after=0.1)
    assert (bench.context.renew_at, bench.last.deadline) == (due, due)


def test_what_is_removed_is_gone_at_once_and_the_link_stays() -> None:
    bench = Bench(**OLD).to(S)
    bench.do(Unsubscribe("s1"))
    assert (bench.state, bench.last.commands) == (U, (SubscriptionRemoved("s1"),))
    bench.subscribe("s2")
    assert bench.state is C
    bench.expire()
    assert row_of(bench) == "con96"


def test_what_is_removed_while_it_is_dialed_for_is_not_granted() -> None:
    bench = Bench(**OLD)
    bench.subscribe("s1")
    bench.subscribe("s2")
    bench.do(Unsubscribe("s1"))
    bench.open()
    bench.greet()
    assert (bench.state, bench.requests(SubscriptionAcknowledged)) == (C, [])
    bench.expire()
    bench.open()
    bench.greet()
    assert bench.state is S


def test_an_acknowledgement_by_greeting_means_nothing_where_messages_ask() -> None:
    bench = Bench().to(C)
    bench.do(Acknowledged(bench.generation, GREETING_ACK, ()))
    assert bench.last.transition is None


# --- what a server lacks, or refuses ----------------------------------------------------------------------------------


def test_queries_are_refused_where_the_greeting_shows_that_the_server_has_none() -> None:
    bench = Bench(**OLD)
    bench.do(Subscribe(SubscriptionSpec("s1", ("rows",), QUERY)))
    bench.open()
    bench.greet()
    assert (bench.state, bench.requests(SubscriptionUnsupported)) == (C, [SubscriptionUnsupported("s1", Era.E2)])
    assert not bench.context.subscriptions.desired


def test_queries_are_served_by_the_era_that_has_them() -> None:
    bench = Bench(era=Era.E3)
    bench.do(Subscribe(SubscriptionSpec("s1", ("rows",), QUERY)))
    bench.open()
    bench.greet()
    assert (bench.state, bench.requests(SubscriptionAcknowledged)) == (S, [SubscriptionAcknowledged("s1", ("rows",))])


def test_a_newcomer_that_the_server_refuses_does_not_take_the_others_with_it() -> None:
    bench = Bench(**OLD).to(S)
    bench.ask_anew("s2", up=False)
    bench.err(1008)
    assert (bench.state, bench.requests(SubscriptionRefused)) == (R, [SubscriptionRefused("s2", 1008, "Error: Server Error")])
    assert bench.requests(OpenLink)[0].plan.plain == {"rows": ("s1",)}
    bench.open()
    bench.greet()
    assert bench.state is S


@pytest.mark.parametrize("code", [401, 1013])
def test_who_dials_and_how_often_is_no_newcomers_fault(code: int) -> None:
    bench = Bench(**OLD).to(S)
    bench.ask_anew("s2", up=False)
    bench.err(code)
    assert not bench.requests(SubscriptionRefused)


def test_identity_belongs_into_the_dial() -> None:
    bench = Bench(**OLD).to(S)
    bench.do(Authenticate("session"))
    assert (bench.state, bench.requests(SendFrame)) == (R, [])
