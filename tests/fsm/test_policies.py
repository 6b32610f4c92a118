"""When to dial again, when to ping, and what each class of failure means."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_fsm.errors import (
    BadOption,
    CertificateRefused,
    DialFailed,
    LinkFailure,
    NameNotResolved,
    Overdue,
    ServerError,
    StreamEnded,
    UpgradeRefused,
)
from realtime_fsm.fsm.policies import RATE_LIMIT_WINDOW, PingPolicy, RetryPolicy, Verdict, verdict
from realtime_fsm.protocol.faults import POLICY
from support.some import some

few = settings(deadline=None, max_examples=100)
draws = st.floats(0, 1)


@st.composite
def retry_policies(draw: st.DrawFn) -> RetryPolicy:
    base = draw(st.floats(0.001, 100))
    return RetryPolicy(base=base, factor=draw(st.floats(1, 10)), cap=draw(st.floats(base, 1000)))


# --- RetryPolicy ------------------------------------------------------------------------------------------------------


def test_the_default_delays_are_two_and_eight_seconds_and_three_dials() -> None:
    policy = RetryPolicy()
    assert policy == RetryPolicy(attempts=3, reconnect_attempts=None, base=2, factor=4, cap=30, stable_after=30)
    assert [policy.allows(attempt) for attempt in range(5)] == [True, True, True, False, False]
    assert [policy.delay(attempt, 1) for attempt in (1, 2, 3, 4)] == [2, 8, 30, 30]


@pytest.mark.parametrize("draw", [0, 0.25, 0.5, 1])
def test_the_first_dial_after_a_loss_waits_anything_up_to_the_base(draw: float) -> None:
    assert RetryPolicy(base=2).delay(0, draw) == draw * 2


@pytest.mark.parametrize(("attempt", "whole"), [(1, 2), (2, 6), (3, 18), (4, 50), (5, 50), (50, 50)])
@pytest.mark.parametrize("draw", [0, 0.25, 0.5, 1])
def test_later_delays_grow_to_the_cap_half_fixed_and_half_random(attempt: int, whole: float, draw: float) -> None:
    policy = RetryPolicy(base=2, factor=3, cap=50)
    assert policy.delay(attempt, draw) == pytest.approx(whole / 2 + draw * whole / 2)


@few
@given(retry_policies(), st.integers(1, 60), draws)
def test_delays_never_shrink_and_stay_between_half_the_base_and_the_cap(policy: RetryPolicy, attempt: int, draw: float) -> None:
    assert policy.base / 2 <= policy.delay(attempt, draw) <= policy.cap
    assert policy.delay(attempt, draw) <= policy.delay(attempt + 1, draw)
    assert 0 <= policy.delay(0, draw) <= policy.base


@pytest.mark.parametrize("attempt", [10**3, 10**6, 10**12, 10**30])
@pytest.mark.parametrize("factor", [1.5, 4.0, 1e300])
def test_for_ever_means_for_ever(attempt: int, factor: float) -> None:
    policy = RetryPolicy(attempts=None, factor=factor, cap=30)
    assert policy.allows(attempt)
    assert policy.delay(attempt, 0) == 15
    assert policy.delay(attempt, 1) == 30


def test_a_factor_of_one_keeps_the_delay() -> None:
    assert {RetryPolicy(factor=1, base=5).delay(attempt, 1) for attempt in range(1, 100)} == {5}


@pytest.mark.parametrize("attempts", [1, 2, 10])
@pytest.mark.parametrize("been_up", [False, True])
def test_attempts_counts_dials_the_first_included(attempts: int, been_up: bool) -> None:
    policy = RetryPolicy(reconnect_attempts=attempts) if been_up else RetryPolicy(attempts=attempts)
    dials = 1
    while policy.allows(dials, been_up=been_up):
        dials += 1
    assert dials == attempts


def test_a_server_that_was_there_once_is_waited_for_for_ever_by_default() -> None:
    assert RetryPolicy().allows(10**9, been_up=True)
    assert not RetryPolicy(attempts=None, reconnect_attempts=3).allows(3, been_up=True)
    assert RetryPolicy(attempts=None, reconnect_attempts=3).allows(10**9)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("attempts", [0, -1, 2.0, True, "3", float("inf")]),
        ("reconnect_attempts", [0, -1, 2.0, True, "3", float("inf")]),
        ("base", [0, -1, float("nan"), float("inf"), None, True, "2"]),
        ("factor", [0, -1, 0.999, float("nan"), float("inf"), None, True, "4"]),
        ("cap", [0, -1, float("nan"), float("inf"), None, True, "30", 1.9]),
        ("stable_after", [0, -1, float("nan"), float("inf"), None, True, "30"]),
    ],
)
def test_a_retry_policy_that_makes_no_sense_is_refused_by_name(option: str, values: list[Any]) -> None:
    for value in some(values):
        with pytest.raises(BadOption) as refusal:
            RetryPolicy(**{option: value})
        assert refusal.value.option == f"RetryPolicy.{option}"


def test_a_cap_equal_to_the_base_is_a_constant_delay() -> None:
    assert RetryPolicy(base=7, cap=7).delay(9, 1) == 7


# --- PingPolicy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("interval", "pace"), [(3.75, [3.75] * 6), (3.7, [3.7] * 4 + [5.0] * 2)])
def test_an_interval_that_the_budget_does_not_carry_is_kept_for_four_pings(interval: float, pace: list[float]) -> None:
    policy = PingPolicy(interval=interval, timeout=1.0)
    assert [policy.interval_after(pings) for pings in range(6)] == pace


def test_pings_are_on_by_default_and_answered_before_the_next() -> None:
    assert PingPolicy() == PingPolicy(interval=30, timeout=10, enabled=True)
    assert PingPolicy(interval=5, timeout=5).timeout == 5


@pytest.mark.parametrize(
    ("option", "given"),
    [
        *(("interval", {"interval": value}) for value in (0, -1, float("nan"), None, True, "30")),
        *(("timeout", {"timeout": value}) for value in (0, -1, float("inf"), None, False, "10", 30.1)),
        ("timeout", {"interval": 5}),
        *(("enabled", {"enabled": value}) for value in (None, 1, 0, "yes")),
    ],
)
def test_a_ping_policy_that_makes_no_sense_is_refused_by_name(option: str, given: dict[str, Any]) -> None:
    with pytest.raises(BadOption) as refusal:
        PingPolicy(**given)
    assert refusal.value.option == f"PingPolicy.{option}"


# --- the verdict ------------------------------------------------------------------------------------------------------

F, H, T = Verdict.FATAL, Verdict.THROTTLED, Verdict.TRANSIENT
ANY_OTHER = (0, 500, 1003, 1006, "42S02", "1008", "1013", "None")

JUDGED: list[tuple[str, LinkFailure, Verdict, Verdict]] = [
    ("another attempt meets the same certificate", CertificateRefused("self-signed"), F, F),
    ("policy: the server ends a link with it for good", ServerError(1008, ""), F, F),
    ("policy, said by a proxy or an older server", StreamEnded(1008), F, F),
    ("dialing again as the same changes nothing", ServerError(401, ""), F, T),
    ("dialing again as the same changes nothing", ServerError(403, ""), F, T),
    ("the server's window is a minute", ServerError(1013, ""), H, H),
    ("the server's window is a minute", StreamEnded(1013), H, H),
    ("what proxies say instead of 1013", UpgradeRefused(429), H, H),
    *(("what HTTP says instead of 1013", ServerError(code, ""), H, H) for code in (429, "429")),
    *(("the server's bad day", ServerError(code, ""), T, T) for code in ANY_OTHER),
    *(("a restart", StreamEnded(code), T, T) for code in (1000, 1001, 1006, 1011, 1012)),
    *(("a proxy in between", UpgradeRefused(status), T, T) for status in (301, 401, 403, 404, 500, 502, 503)),
    ("a refused port is opened again", DialFailed("connection refused"), T, T),
    ("networks come and go", NameNotResolved("no such name"), T, T),
    *(("silence is no refusal", Overdue(what, 10), T, T) for what in ("upgrade", "greeting", "reply", "pong")),
    ("an unknown failure may pass", LinkFailure(), T, T),
]


@pytest.mark.parametrize(("why", "cause", "before", "live"), JUDGED, ids=lambda value: str(value)[:30])
def test_each_class_of_failure_has_its_verdict(why: str, cause: LinkFailure, before: Verdict, live: Verdict) -> None:
    assert verdict(cause, live=False) is before, why
    assert verdict(cause, live=True) is live, why


@few
@given(st.integers() | st.text(max_size=20), st.booleans())
def test_a_code_is_fatal_or_throttled_only_where_the_protocol_says_so(code: int | str, live: bool) -> None:
    fatal = {1008} if live else {1008, 401, 403}
    expected = F if code in fatal else H if code in (1013, 429, "429") else T
    assert verdict(ServerError(code, "any text"), live=live) is expected


@pytest.mark.parametrize("cause", [ServerError(POLICY, ""), StreamEnded(POLICY)])
@pytest.mark.parametrize("live", [False, True])
def test_a_refusal_is_fatal_unless_it_may_pass(cause: LinkFailure, live: bool) -> None:
    assert verdict(cause, live=live) is F
    assert verdict(cause, live=live, may_pass=True) is T


@pytest.mark.parametrize("cause", [CertificateRefused("self-signed"), ServerError(401, ""), ServerError(403, "")])
def test_nothing_but_a_refusal_may_pass(cause: LinkFailure) -> None:
    assert verdict(cause, live=False, may_pass=True) is F


def test_a_throttled_client_waits_beyond_the_minute_of_the_server() -> None:
    assert RATE_LIMIT_WINDOW >= 60


def test_every_verdict_is_reached() -> None:
    assert set(itertools.chain.from_iterable((before, live) for _, _, before, live in JUDGED)) == set(Verdict)
