"""Retries: which limit counts when, and what a refusal means."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from realtime_fsm import RefusedByServer, RetriesExhausted, State
from realtime_fsm.fsm.commands import FailWaiters, OpenLink, ResumeLink, SubscriptionRefused
from realtime_fsm.fsm.inputs import (
    Authenticate,
    Connect,
    Disconnect,
    Input,
    LinkClosed,
    Reconnect,
    SetPresence,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.protocol.eras import Era
from support.bench import Bench
from support.network import Network
from support.retrying import DART, E, R, S, acknowledged, fail_dials, refuse, row
from support.some import some

# --- two limits -------------------------------------------------------------------------------------------------------


def test_the_way_to_the_first_link_is_given_up_after_attempts() -> None:
    bench = Bench().to(R)
    assert fail_dials(bench, 10) == 3
    assert isinstance(bench.context.error, RetriesExhausted)
    assert (bench.context.error.attempts, bench.context.error.option) == (3, "attempts")


@pytest.mark.parametrize("state", [State.CONNECTED, State.SUBSCRIBED, State.UNSUBSCRIBED])
def test_after_a_link_has_been_up_a_server_is_waited_for_for_ever(state: State) -> None:
    bench = Bench().to(state)
    bench.lose()
    assert fail_dials(bench, 200) == 200
    assert bench.state is R


def test_reconnect_attempts_limits_what_comes_after_a_link_has_been_up() -> None:
    bench = Bench(retry=RetryPolicy(attempts=1, reconnect_attempts=4)).to(S)
    bench.expire_until("sub65")  # the dial of the link that was lost is forgiven
    bench.lose()
    assert fail_dials(bench, 10) == 4
    assert isinstance(bench.context.error, RetriesExhausted)
    assert bench.context.error.option == "reconnect_attempts"


def test_a_link_that_never_had_everything_acknowledged_has_not_been_up() -> None:
    bench = Bench()
    bench.subscribe()
    bench.open()
    bench.greet()
    bench.lose()
    assert fail_dials(bench, 10) == 2
    assert isinstance(bench.context.error, RetriesExhausted)
    assert (bench.context.error.attempts, bench.context.error.option) == (3, "attempts")


ANEW: dict[str, Callable[[Bench], object]] = {
    "connect": lambda b: (b.do(Disconnect()), b.do(Connect())),
    "subscribe": lambda b: (b.do(Disconnect()), b.subscribe("s2")),
    "presence": lambda b: (b.do(Disconnect()), b.do(SetPresence(b"{}"))),
    "reconnect": lambda b: (b.do(Disconnect()), b.do(Reconnect())),
}


@pytest.mark.parametrize("how", ANEW)
def test_a_new_beginning_counts_by_attempts_again(how: str) -> None:
    bench = Bench().to(S)
    ANEW[how](bench)
    assert (bench.context.attempt, fail_dials(bench, 10)) == (1, 3)
    assert isinstance(bench.context.error, RetriesExhausted)
    assert bench.context.error.option == "attempts"


def test_a_new_identity_counts_by_attempts_and_the_one_before_by_reconnect_attempts() -> None:
    bench = Bench(retry=RetryPolicy(attempts=3, reconnect_attempts=5)).to(S)
    bench.lose()
    bench.do(Authenticate(None))
    assert (bench.context.attempt, fail_dials(bench, 20)) == (1, 3 + 5)
    assert isinstance(bench.context.error, RetriesExhausted)
    assert (bench.context.error.attempts, bench.context.error.option) == (5, "reconnect_attempts")


@pytest.mark.parametrize("wants", [Reconnect(), Authenticate(None)])
def test_while_the_old_link_delivers_attempts_counts_and_leads_back_to_it(wants: Input) -> None:
    bench = Bench(retry=RetryPolicy(attempts=3, reconnect_attempts=5)).to(S)
    bench.do(wants)
    assert (bench.context.attempt, fail_dials(bench, 20)) == (1, 3)
    assert (bench.state, row(bench), bench.context.attempt) == (S, "rec176", 0)
    (resumed,) = bench.requests(ResumeLink)
    assert isinstance(resumed.error, RetriesExhausted)
    assert (resumed.error.attempts, resumed.error.option) == (3, "attempts")
    bench.lose()
    assert fail_dials(bench, 20) == 5, "the link had been up"


def test_where_the_old_link_ends_an_outage_is_no_new_beginning() -> None:
    bench = Bench().to(S)
    bench.do(Reconnect())
    bench.do(LinkClosed(bench.generation - 1))
    assert (bench.context.attempt, fail_dials(bench, 50)) == (1, 50)


@pytest.mark.parametrize("waits", [False, True])
def test_reconnect_in_an_outage_dials_now_and_keeps_the_count(waits: bool) -> None:
    bench = Bench(retry=DART).to(S)
    bench.expire_until("sub65")
    bench.lose()
    bench.expire()
    if waits:
        bench.fail_dial()
    before = bench.context.attempt
    bench.do(Reconnect())
    assert (row(bench), bench.context.attempt, len(bench.requests(OpenLink))) == ("rec11", before + 1, 1)
    assert fail_dials(bench, 10) == 2


def test_none_never_gives_up_on_the_first_link_either() -> None:
    assert fail_dials(Bench(retry=RetryPolicy(attempts=None)).to(R), 100) == 100


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 40])
@pytest.mark.parametrize("attempts", [1, 3, 5])
def test_a_server_that_refuses_everything_costs_no_subscription(count: int, attempts: int) -> None:
    bench = acknowledged(1, retry=RetryPolicy(attempts=attempts))
    for n in range(2, count + 1):
        bench.context.subscriptions.add(bench.context.subscriptions.desired["s1"].__class__(f"s{n}", ("rows",)))
    while bench.context.subscriptions.in_flight or bench.context.subscriptions.has_pending_request:
        if bench.context.subscriptions.in_flight is None:
            bench.subscribe("more")
        bench.acknowledge()
    desired = set(bench.context.subscriptions.desired)
    bench.lose()
    moments = []
    while bench.state is not E:
        refuse(bench)
        moments.append(bench.now)
        assert not bench.requests(SubscriptionRefused)
    least = 1 if len(desired) == 1 else 3  # two disjoint groups, after all together
    assert len(moments) == max(attempts, least)
    assert (set(bench.context.subscriptions.desired), bench.requests(FailWaiters)[0].withdrawn) == (desired, ())
    assert isinstance(bench.context.error, RefusedByServer)
    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert pauses == sorted(pauses), "they grow"
    bench.do(Reconnect())
    bench.open()
    bench.greet()
    while bench.state is not S:
        bench.acknowledge()
    assert set(bench.context.subscriptions.acknowledged) == desired


def test_for_ever_is_for_ever_when_everything_is_refused_and_then_all_come_back_at_once() -> None:
    bench = acknowledged(20, retry=RetryPolicy(attempts=None))
    bench.lose()
    for _ in range(100):
        refuse(bench)
    assert (bench.state, len(bench.context.subscriptions.desired)) == (R, 20)
    bench.expire()
    bench.open()
    bench.greet()
    requests = 0
    while bench.state is not S:
        bench.acknowledge()
        requests += 1
    assert (requests, len(bench.context.subscriptions.acknowledged)) == (2, 20)


def test_one_that_is_refused_alone_is_found_while_the_others_come_back() -> None:
    bench = acknowledged(8)
    bench.lose()
    guilty, links = "s5", 0
    rejected: list[SubscriptionRefused] = []
    while not rejected:
        if bench.context.link is None:
            links += 1
            bench.expire()
            bench.open()
            bench.greet()
        asked = bench.context.subscriptions.in_flight
        assert asked is not None
        if guilty in asked.ids:
            bench.err(1008)
            rejected = bench.requests(SubscriptionRefused)
            bench.lose()
        else:
            bench.acknowledge()
    assert ([one.id for one in rejected], bench.state) == ([guilty], R)
    assert links <= 6
    bench.expire()
    bench.open()
    bench.greet()
    while bench.state is not S:
        bench.acknowledge()
    assert len(bench.context.subscriptions.acknowledged) == 7


def test_the_only_one_that_was_never_acknowledged_is_refused_and_not_the_connection() -> None:
    bench = Bench(retry=RetryPolicy(attempts=1)).to(State.CONNECTED)
    bench.subscribe()
    bench.err(1008)
    assert bench.requests(SubscriptionRefused) == [SubscriptionRefused("s1", 1008, "Error: Server Error")]
    bench.lose()
    assert bench.state is R


def test_a_group_that_is_withdrawn_while_it_is_refused_tells_nothing() -> None:
    bench = acknowledged(2, retry=RetryPolicy(attempts=1))
    bench.lose()
    bench.expire()
    bench.open()
    bench.greet()
    for one in ("s1", "s2"):
        bench.do(Unsubscribe(one))
    bench.err(1008)
    bench.lose()
    assert bench.state is R


@pytest.mark.parametrize("end", [1008, 1006])
def test_a_proven_link_that_is_ended_by_a_refusal_is_replaced(end: int) -> None:
    bench = Bench(retry=RetryPolicy(attempts=1)).to(S)
    for _ in range(5):
        if end == 1006:
            bench.err(1008)
        bench.lose(end)
        assert (bench.state, bench.context.refusals) == (R, 0)
        bench.expire()
        bench.open()
        bench.greet()
        bench.acknowledge()


@pytest.mark.parametrize("said", ["frame", "close"])
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_refused_redial_passes_until_it_comes_attempts_times_in_a_row(said: str, attempts: int) -> None:
    bench = Bench(era=Era.E4, retry=RetryPolicy(attempts=attempts)).to(S)
    bench.lose()
    for before in some(range(attempts)):
        assert (bench.state, bench.context.refusals) == (R, before)
        bench.expire()
        bench.open()
        _ = bench.err(1008) if said == "frame" else bench.lose(1008)
    assert bench.state is E
    assert isinstance(bench.context.error, RefusedByServer)
    assert set(bench.context.subscriptions.desired) == {"s1"}


def test_another_failure_in_between_begins_the_row_of_refusals_anew() -> None:
    bench = Bench(era=Era.E4).to(S)
    bench.lose()
    for _ in range(5):
        for failure in (lambda: (bench.open(), bench.err(1008)), bench.fail_dial):
            bench.expire()
            failure()
    assert bench.state is R


async def test_an_error_for_good_names_host_and_port_and_no_query() -> None:
    network = Network(projects=("other",))
    async with network.realtime(session="hidden") as realtime:
        with pytest.raises(RefusedByServer) as caught:
            await realtime.connect()
        server = realtime._driver.context.server
        assert caught.value.server == server
        assert server in str(caught.value)
        assert ":" in server
        assert "?" not in str(caught.value)


def test_before_a_link_has_been_up_one_refusal_is_enough() -> None:
    bench = Bench(era=Era.E4).to(R)
    bench.open()
    bench.err(1008)
    assert bench.state is E
