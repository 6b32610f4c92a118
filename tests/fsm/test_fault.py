"""The server fault on one link: the pace of the repetitions, and its end."""

from __future__ import annotations

import pytest

from realtime_fsm.fsm.fault import pause_before
from realtime_fsm.fsm.inputs import Pong
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import State
from support.bench import Bench


@pytest.mark.parametrize(
    ("repetition", "draw", "pause"),
    [(0, 0.0, 0.0), (0, 1.0, 2.0), (1, 0.0, 1.0), (2, 1.0, 4.0), (3, 1.0, 8.0), (4, 0.0, 10.0), (5, 1.0, 10.0)],
)
def test_four_repetitions_keep_the_delays_of_the_retries_and_later_ones_are_steady(
    repetition: int, draw: float, pause: float
) -> None:
    assert pause_before(repetition, RetryPolicy(base=2.0, factor=2.0, cap=60.0), draw) == pause


def test_no_repetition_waits_longer_than_the_steady_ones() -> None:
    assert pause_before(3, RetryPolicy(base=20.0, factor=2.0, cap=60.0), 1.0) == 10.0


def test_an_acknowledged_request_ends_the_pace_of_the_fault_before() -> None:
    bench = Bench(ping=PingPolicy(enabled=False)).to(State.SUBSCRIBED)
    for identifier in ("s2", "s3"):
        bench.subscribe(identifier)
        bench.err(0)
        assert bench.context.link is not None
        assert bench.context.link.fault is not None
        assert bench.context.link.fault.repetitions == 1
        bench.expire()
        bench.acknowledge()


def test_a_pong_ends_the_fault_that_a_ping_has_met() -> None:
    bench = Bench().to(State.PING)
    bench.err(0)
    fault = bench.context.require_link.fault
    assert fault is not None
    assert (fault.is_open, fault.ping_failed) == (True, True)
    bench.expire_until("sub64")
    bench.hear(Pong(bench.generation))
    assert (fault.is_open, fault.ping_failed) == (False, False)
