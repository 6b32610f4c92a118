"""The send budget: no minute holds more frames than the server allows, and heartbeats keep their part of it."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_fsm.fsm.budget import MESSAGES_PER_MINUTE, SendBudget
from realtime_fsm.fsm.policies import PingPolicy
from realtime_fsm.fsm.table import State
from support.bench import Bench
from support.some import some

MINUTE = 60.0
few = settings(deadline=None, max_examples=100)
intervals = st.floats(0.1, 600)
# The frames to send: after which pause, and whether the frame is a ping. Most come in bursts.
wants = st.lists(st.tuples(st.sampled_from([0, 0, 0, 0.5, 3, 59, 60, 61]) | st.floats(0, 70), st.booleans()), max_size=150)


def spend(budget: SendBudget, now: float, count: int, *, ping: bool = False) -> None:
    for _ in some(range(count)):
        assert budget.available_at(now, ping=ping) == now
        budget.record_send(now, ping=ping)


def when_free(budget: SendBudget, now: float, *, ping: bool) -> float:
    """Wait as a driver does: come again at the moment that was named, until it is now."""
    for _ in some(range(MESSAGES_PER_MINUTE + 2)):
        at = budget.available_at(now, ping=ping)
        assert at >= now, "never in the past"
        if at == now:
            return now
        now = at
    pytest.fail("the wait does not end")


@pytest.mark.parametrize(
    ("interval", "pings"), [(600, 2), (60, 2), (59, 3), (30, 3), (20, 4), (7, 10), (5, 13), (4, 16), (1, 16), (0.001, 16)]
)
@pytest.mark.parametrize("first", [False, True])
def test_pings_and_requests_have_a_lane_each(interval: float, pings: int, first: bool) -> None:
    budget = SendBudget(interval)
    for ping in (first, not first):
        spend(budget, 100, pings if ping else MESSAGES_PER_MINUTE - pings, ping=ping)
        assert budget.available_at(100, ping=ping) == 100 + MINUTE


def test_room_comes_back_one_minute_after_each_frame() -> None:
    budget = SendBudget(MINUTE)
    for moment in range(30):
        spend(budget, moment, 1)
    assert budget.available_at(59, ping=False) == 60
    spend(budget, 60, 1)
    assert budget.available_at(60, ping=False) == 61


@pytest.mark.parametrize("ping", [False, True])
def test_a_refusal_closes_the_budget_for_a_minute(ping: bool) -> None:
    budget = SendBudget(30)
    spend(budget, 10, 1)
    budget.block_for_window(10)
    assert budget.available_at(10, ping=ping) == 10 + MINUTE
    assert budget.available_at(69.5, ping=ping) == 10 + MINUTE
    assert budget.available_at(70, ping=ping) == 70
    assert budget.available_at(75, ping=ping) == 75


def test_the_frames_of_a_link_are_counted_over_all_minutes() -> None:
    budget = SendBudget(30)
    for moment in (0, 100, 200):
        spend(budget, moment, 20)
        budget.available_at(moment + 90, ping=True)
    assert budget.frames_sent == 60


@few
@given(intervals, st.floats(0, 1e9), wants, st.sets(st.integers(0, 149), max_size=3))
def test_no_minute_holds_more_than_the_limit(
    interval: float, now: float, specs: list[tuple[float, bool]], refusals: set[int]
) -> None:
    budget = SendBudget(interval)
    sent: list[float] = []
    closed: list[tuple[float, float]] = []
    for index, (pause, ping) in enumerate(specs):
        now = when_free(budget, now + pause, ping=ping)
        budget.record_send(now, ping=ping)
        sent.append(now)
        if index in refusals:
            budget.block_for_window(now)
            closed.append((now, now + MINUTE))
    for moment in sent:
        assert bisect_left(sent, moment + MINUTE) - bisect_left(sent, moment) <= MESSAGES_PER_MINUTE
    for start, end in closed:
        assert bisect_left(sent, end) == bisect_right(sent, start), "nothing leaves while the budget is closed"
    assert budget.frames_sent == len(sent)


def beside_a_heartbeat(interval: float, asked: list[float]) -> tuple[list[float], list[float]]:
    """Send pings, and requests that are asked for at some moments; a ping that is due goes first, as in the table.

    Returns:
        How late each ping was, and how long each request waited, for those that were sent within 20 minutes of the last.
    """
    budget, now, ping_at, waiting = SendBudget(interval), 0.0, interval, deque(asked)
    late, waits = [], []
    while waiting and now < asked[-1] + 20 * MINUTE:
        if max(ping_at, budget.available_at(now, ping=True)) <= now:
            late.append(now - ping_at)
            ping_at += interval
            budget.record_send(now, ping=True)
        elif max(waiting[0], budget.available_at(now, ping=False)) <= now:
            waits.append(now - waiting.popleft())
            budget.record_send(now, ping=False)
        else:
            pinged, sent = (
                max(ping_at, budget.available_at(now, ping=True)),
                max(waiting[0], budget.available_at(now, ping=False)),
            )
            assert min(pinged, sent) > now
            now = min(pinged, sent)
    return late, waits


@few
@given(st.floats(4, 120), st.lists(st.sampled_from([0.0, 0.1, 1, 7, 60]) | st.floats(0, 30), min_size=1, max_size=60))
def test_no_request_makes_a_ping_wait(interval: float, pauses: list[float]) -> None:
    late, waits = beside_a_heartbeat(interval, list(itertools.accumulate(pauses)))
    assert len(waits) == len(pauses)
    assert not any(late)


@pytest.mark.parametrize("interval", [30, 10, 5, 4, 3.75, 3, 2, 1, 0.5])
def test_no_heartbeat_silences_the_requests(interval: float) -> None:
    PingPolicy(interval=interval, timeout=interval)  # it is a legal one
    _, waits = beside_a_heartbeat(interval, [2 * MINUTE])
    assert [wait <= MINUTE for wait in waits] == [True]


def test_pings_and_requests_each_wait_for_their_own_part_of_the_budget() -> None:
    bench = Bench().to(State.SUBSCRIBED)
    link, now = bench.context.require_link, bench.now
    due = link.ping_at
    spend(link.budget, now, MESSAGES_PER_MINUTE - 3 - link.budget.frames_sent)
    assert (bench.context.ping_at, bench.context.available_at(link)) == (due, now + MINUTE)
    bench = Bench().to(State.SUBSCRIBED)
    link = bench.context.require_link
    spend(link.budget, now, 3, ping=True)
    assert (bench.context.ping_at, bench.context.available_at(link)) == (now + MINUTE, now)


def test_any_legal_interval_makes_a_budget() -> None:
    policy = PingPolicy(interval=1e-307, timeout=1e-307)
    assert SendBudget(policy.interval).available_at(0, ping=True) == 0
