"""The server fault on one link: the pace of the repetitions, and its end."""

from __future__ import annotations

import pytest

from realtime_fsm.fsm.commands import EndFault
from realtime_fsm.fsm.fault import pause_before
from realtime_fsm.fsm.inputs import Pong, Reconnect, Recovered
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


@pytest.mark.parametrize("proven", [True, False])
def test_a_repetition_that_fails_may_mean_another_fault_until_the_next_proof(proven: bool) -> None:
    bench = Bench().to(State.SUBSCRIBED)
    bench.subscribe("s2")
    bench.err(0)
    bench.hear(Recovered(bench.generation))
    assert [ended.lost for ended in bench.requests(EndFault)] == [False]
    before = bench.now
    bench.expire()
    bench.err(0)
    assert not bench.context.require_link.at_fault, "the request may have failed for a reason of its own"
    if proven:
        bench.subscribe("s3")
        bench.acknowledge()
    bench.do(Reconnect())
    assert bench.requests(EndFault) == [] if proven else [EndFault(bench.now - before, lost=True)]
    assert bench.last.transition is not None
    assert bench.last.transition.fault is None
