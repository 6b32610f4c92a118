"""Retries: which limit counts when, what a refusal means, what is asked of a server of a known era, and what is told of it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from realtime_fsm import Failure, IdentityUnavailable, RefusedByServer, RetriesExhausted, ServerError, State
from realtime_fsm.errors import DialFailed, StreamEnded
from realtime_fsm.fsm.commands import FailWaiters, OpenLink, ResumeLink, SubscriptionRefused
from realtime_fsm.fsm.inputs import (
    Acknowledged,
    Authenticate,
    Connect,
    DialFailure,
    Disconnect,
    ErrorReceived,
    GreetingReceived,
    Input,
    LinkClosed,
    Opened,
    Reconnect,
    SetPresence,
    Unsubscribe,
)
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.subscriptions import GREETING_ACK
from realtime_fsm.protocol.eras import Era
from realtime_fsm.testing.wire import error
from support.bench import Bench
from support.brokenlogs import Record, Scribe, audited, collected, lines_of
from support.network import Network
from support.replaying import log_of, replayed
from support.some import some
from support.virtual import eventually

R, S, E = State.RECONNECTING, State.SUBSCRIBED, State.ERROR
GREETING = b'{"type":"connected","data":{"channels":[],"subscriptions":[],"user":{"$id":"u1"}}}'
DART = RetryPolicy(attempts=3, reconnect_attempts=3)


def row(bench: Bench) -> str:
    assert bench.last.transition is not None
    return bench.last.transition.row.id


def fail_dials(bench: Bench, most: int) -> int:
    """Let dials fail until the connection gives up, or so many have failed. How many did."""
    for failed in range(1, most + 1):
        if bench.context.link is None:
            bench.expire()
        bench.fail_dial()
        if bench.state is not R:
            return failed
    return most


def refuse(bench: Bench) -> None:
    """Dial, if that is due; the link is greeted, and what it is asked for is answered by 1008 and the end."""
    if bench.context.link is None:
        bench.expire()
    if bench.state is R:
        bench.open()
        bench.greet()
    bench.err(1008)
    bench.lose()


# --- two limits -------------------------------------------------------------------------------------------------------


def test_the_way_to_the_first_link_is_given_up_after_attempts() -> None:
    bench = Bench().to(R)
    assert fail_dials(bench, 10) == 3
    assert isinstance(bench.machine.error, RetriesExhausted)
    assert (bench.machine.error.attempts, bench.machine.error.option) == (3, "attempts")


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
    assert isinstance(bench.machine.error, RetriesExhausted)
    assert bench.machine.error.option == "reconnect_attempts"


def test_a_link_that_never_had_everything_acknowledged_has_not_been_up() -> None:
    bench = Bench()
    bench.subscribe()
    bench.open()
    bench.greet()
    bench.lose()
    assert fail_dials(bench, 10) == 2
    assert isinstance(bench.machine.error, RetriesExhausted)
    assert (bench.machine.error.attempts, bench.machine.error.option) == (3, "attempts")


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
    assert isinstance(bench.machine.error, RetriesExhausted)
    assert bench.machine.error.option == "attempts"


def test_a_new_identity_counts_by_attempts_and_the_one_before_by_reconnect_attempts() -> None:
    bench = Bench(retry=RetryPolicy(attempts=3, reconnect_attempts=5)).to(S)
    bench.lose()
    bench.do(Authenticate(None))
    assert (bench.context.attempt, fail_dials(bench, 20)) == (1, 3 + 5)
    assert isinstance(bench.machine.error, RetriesExhausted)
    assert (bench.machine.error.attempts, bench.machine.error.option) == (5, "reconnect_attempts")


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


def acknowledged(count: int, **options: Any) -> Bench:
    """A connection with so many subscriptions that are acknowledged."""
    bench = Bench(**options).to(S)
    for n in range(2, count + 1):
        bench.subscribe(f"s{n}")
        bench.acknowledge()
    return bench


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
    assert isinstance(bench.machine.error, RefusedByServer)
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
    assert isinstance(bench.machine.error, RefusedByServer)
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
        server = realtime._driver._context.server
        assert caught.value.server == server
        assert server in str(caught.value)
        assert ":" in server
        assert "?" not in str(caught.value)


def test_before_a_link_has_been_up_one_refusal_is_enough() -> None:
    bench = Bench(era=Era.E4).to(R)
    bench.open()
    bench.err(1008)
    assert bench.state is E


# --- eras -------------------------------------------------------------------------------------------------------------


def test_a_server_that_takes_messages_is_not_asked_by_url_because_of_one_refusal() -> None:
    bench = Bench().to(S)
    bench.lose()
    bench.expire()
    bench.open()
    bench.err(1008)
    assert (row(bench), bench.machine.era) == ("rec27", Era.E4)
    bench.expire()
    assert [request.plan for request in bench.requests(OpenLink)] == [None]


def downgraded() -> Bench:
    """A server that takes messages, refused two dials in a row, and then was asked by its address, which it takes, too."""
    bench = Bench().to(S)
    bench.lose()
    for _ in range(2):
        bench.expire()
        bench.open()
        bench.err(1008)
    assert row(bench) == "rec94"
    bench.open()
    bench.greet()
    assert (bench.state, bench.machine.era) == (S, Era.E3)
    return bench


@pytest.mark.parametrize("how", ["lost", "reconnect"])
def test_what_greets_like_an_e3_in_the_place_of_an_e4_is_asked_once_more(how: str) -> None:
    bench = downgraded()
    _ = (bench.lose(), bench.expire()) if how == "lost" else bench.do(Reconnect())
    assert [request.plan for request in bench.requests(OpenLink)] == [None]
    bench.open()
    bench.greet()
    assert bench.machine.era is Era.E4


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
        assert (bench.state, bench.machine.era) == (S, Era.E3)


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
    assert (bench.state, bench.machine.era) == (E, Era.E4)
    bench.do(Reconnect())
    bench.open()
    bench.err(1008)
    assert (row(bench), bench.machine.era) == ("rec94", None)


# --- credentials ------------------------------------------------------------------------------------------------------


def refuse_credentials(bench: Bench, code: int, *, renewable: bool) -> None:
    bench.open()
    bench.hear(ErrorReceived(bench.generation, code, "no", renewable))


@pytest.mark.parametrize("code", [401, 403])
def test_refused_credentials_that_can_be_renewed_get_one_more_dial(code: int) -> None:
    bench = Bench().to(S)
    for _ in range(2):
        bench.lose()
        bench.expire()
        refuse_credentials(bench, code, renewable=True)
        (dial,) = bench.requests(OpenLink)
        assert (row(bench), dial.renewal.code) == ("rec130", code)
        bench.open()
        bench.greet()
        bench.acknowledge()
    bench.lose()
    bench.expire()
    refuse_credentials(bench, code, renewable=True)
    refuse_credentials(bench, code, renewable=True)
    assert bench.state is E
    assert isinstance(bench.machine.error, RefusedByServer)


@pytest.mark.parametrize("been_up", [False, True])
def test_refused_credentials_are_fatal_where_they_cannot_be_renewed_or_no_link_has_been_up(been_up: bool) -> None:
    bench = Bench().to(S if been_up else R)
    if been_up:
        bench.lose()
        bench.expire()
    refuse_credentials(bench, 401, renewable=not been_up)
    assert (bench.state, set(bench.context.subscriptions.desired)) == (E, {"s1"} if been_up else set())


@pytest.mark.parametrize("renewed", [False, True])
async def test_the_callable_is_asked_again_and_dialed_only_with_something_new(renewed: bool) -> None:
    network = Network()
    secrets = iter(["old", "old", "new"] if renewed else ["old"] * 3)
    given: list[str] = []

    def jwt() -> str:
        given.append(next(secrets))
        return given[-1]

    def headers() -> list[str]:
        return [sent["X-Appwrite-JWT"] for sent in network.headers]

    async with network.realtime(jwt=jwt, headers={}) as realtime:
        network.otherwise = "mute"
        connecting = asyncio.ensure_future(realtime.connect())
        await eventually(lambda: len(network.sockets) == 1)
        network.socket.push(GREETING)
        await connecting
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2)
        network.socket.push(error(401))
        if renewed:
            await eventually(lambda: len(network.sockets) == 3)
            network.socket.push(GREETING)
            await eventually(lambda: realtime.state is State.CONNECTED)
            assert headers() == ["old", "old", "new"]
        else:
            await eventually(lambda: realtime.state is E)
            assert (headers(), len(given)) == (["old", "old"], 3)
            assert isinstance(realtime.error, RefusedByServer)
            assert realtime.error.code == 401


# --- what is told -----------------------------------------------------------------------------------------------------


async def test_the_last_failure_is_told_with_the_moment_of_the_next_dial() -> None:
    network = Network()
    async with network.realtime(retry=DART) as realtime:
        assert realtime.last_failure is None
        await realtime.subscribe("rows")
        told: list[Failure] = []
        realtime._driver.failures.tell = told.append
        network.otherwise = DialFailed("refused")
        network.socket.cut()
        await eventually(lambda: realtime.state is R)
        lost = realtime.last_failure
        assert lost is not None
        assert (type(lost.error), lost.delay, told) == (StreamEnded, pytest.approx(1.5), [])
        assert str(lost.error) == "the stream ended (close code 1006)"
        await eventually(lambda: realtime.state is E)
        assert [failure.delay for failure in told] == [pytest.approx(6.0), None]
        assert realtime.last_failure == told[-1]
        server = realtime._driver._context.server
        assert server.endswith(":80")
        assert {str(failure.error) for failure in told} == {f"{server}: the dial failed: refused"}
        assert f"; the last one: {server}: the dial failed: refused" in str(realtime.error)
        assert "project" not in str(realtime.error)


async def test_a_dial_that_waits_for_its_turn_is_due_then() -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(base=1.0, attempts=5, dials_per_minute=1)) as realtime:
        await realtime.connect()
        network.socket.cut()
        await eventually(lambda: realtime.state is R)
        assert realtime.last_failure is not None
        assert realtime.last_failure.delay == pytest.approx(0.75)
        await asyncio.sleep(2)
        assert realtime.last_failure.delay is not None
        assert 55 < realtime.last_failure.delay < 61


# --- the log ----------------------------------------------------------------------------------------------------------


def logged(live: Callable[[Bench], object], **options: Any) -> list[Record]:
    with collected() as records:
        bench = Bench(**options)
        Scribe(bench)
        live(bench)
    return records


def an_outage(bench: Bench) -> None:
    bench.to(S).lose()
    fail_dials(bench, 6)
    bench.do(Reconnect(), after=0.01)
    bench.open()
    bench.greet()
    bench.acknowledge()


def given_up(bench: Bench) -> None:
    bench.to(S).lose()
    fail_dials(bench, 6)


def everything_refused(bench: Bench) -> None:
    bench.to(S).subscribe("s2")
    bench.acknowledge()
    bench.lose()
    for _ in range(3):
        refuse(bench)
    assert bench.state is E


def redial_refused(bench: Bench) -> None:
    bench.to(S).lose()
    for _ in range(3):
        bench.expire()
        bench.open()
        bench.err(1008)


def credentials_refused(bench: Bench) -> None:
    bench.to(S).lose()
    bench.expire()
    refuse_credentials(bench, 401, renewable=True)
    bench.do(DialFailure(bench.generation, ServerError(401, "no")))
    assert bench.state is E


def era_doubted(bench: Bench) -> None:
    bench.to(S).lose()
    for _ in range(2):
        bench.expire()
        bench.open()
        bench.err(1008)
    bench.open()
    bench.do(GreetingReceived(bench.generation, channels=("rows",)))
    bench.acknowledge() if bench.context.subscriptions.in_flight else None
    bench.do(LinkClosed(bench.generation))
    bench.expire()
    bench.do(Opened(bench.generation))
    bench.greet()


def era_settled(bench: Bench) -> None:
    """A doubtful E3 hands over to an E2, which can be no E4: the next dial asks by the URL."""
    bench.to(S).lose()
    for _ in range(2):
        bench.expire()
        bench.open()
        bench.err(1008)
    bench.open()
    bench.greet()
    bench.subscribe("s2")
    bench.expire()
    bench.open()
    bench.hear(GreetingReceived(bench.generation, channels=("rows",), has_subscription_ids=False))
    bench.do(Acknowledged(bench.generation, GREETING_ACK, ()))
    bench.lose()
    bench.expire()
    assert (bench.machine.era, [link.plan is None for link in bench.requests(OpenLink)]) == (Era.E2, [False])
    bench.open()
    bench.greet()


LOGS: dict[str, tuple[Callable[[Bench], object], dict[str, Any]]] = {
    "an outage": (an_outage, {}),
    "given up": (given_up, {"retry": RetryPolicy(attempts=None, reconnect_attempts=3)}),
    "everything refused": (everything_refused, {}),
    "redial refused": (redial_refused, {"era": Era.E4}),
    "credentials refused": (credentials_refused, {}),
    "era doubted": (era_doubted, {}),
    "era settled": (era_settled, {}),
}


@pytest.mark.parametrize("name", LOGS)
def test_what_the_policy_allows_is_conformant_and_is_replayed(name: str, tmp_path: Any) -> None:
    live, options = LOGS[name]
    records = logged(live, **options)
    report = audited(lines_of(records))
    assert (report.verdict, report.first) == ("conformant", None)
    assert replayed(log_of(tmp_path / "log.jsonl", records))


def settings(records: list[Record], **retry: Any) -> list[bytes]:
    opened, *rest = records
    return lines_of([{**opened, "retry": {**opened["retry"], **retry}}, *rest])


@pytest.mark.parametrize(
    ("name", "retry", "row"),
    [
        ("an outage", {"reconnect_attempts": 3}, "rec24"),  # one dial past the limit
        ("given up", {"reconnect_attempts": None}, "rec25"),  # given up, and the policy allows more
        ("given up", {"reconnect_attempts": 2}, "rec24"),
        ("redial refused", {"attempts": 2}, "rec27"),  # a refusal that was fatal
        ("redial refused", {"attempts": 4}, "rec26"),
    ],
)
def test_what_the_policy_does_not_allow_is_violated(name: str, retry: dict[str, Any], row: str) -> None:
    live, options = LOGS[name]
    report = audited(settings(logged(live, **options), **retry))
    assert report.verdict == "violated"
    assert report.first is not None
    assert report.first.rule == "row"
    assert f"row {row} was not to be taken" in report.first.text


def test_the_record_of_a_beginning_tells_both_limits() -> None:
    opened = logged(an_outage)[0]
    assert (opened["retry"]["attempts"], opened["retry"]["reconnect_attempts"]) == (3, None)


def test_what_a_callable_raises_is_no_refusal() -> None:
    bench = Bench().to(S)
    bench.lose()
    bench.expire()
    bench.do(DialFailure(bench.generation, IdentityUnavailable("ValueError")))
    assert bench.state is R
