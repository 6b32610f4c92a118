"""Benches whose dials fail, or are refused."""

from __future__ import annotations

from typing import Any

from realtime_fsm import State
from realtime_fsm.fsm.inputs import ErrorReceived
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.protocol.eras import Era
from support.bench import Bench

R, S, E = State.RECONNECTING, State.SUBSCRIBED, State.ERROR


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


def refuse_dials(bench: Bench, count: int) -> None:
    """Lose a link that has been up. The server refuses so many dials in a row."""
    bench.to(S).lose()
    for _ in range(count):
        bench.expire()
        bench.open()
        bench.err(1008)


def acknowledged(count: int, **options: Any) -> Bench:
    """A connection with so many subscriptions that are acknowledged."""
    bench = Bench(**options).to(S)
    for n in range(2, count + 1):
        bench.subscribe(f"s{n}")
        bench.acknowledge()
    return bench


def downgraded() -> Bench:
    """A server that takes messages, refused two dials in a row, and then was asked by its address, which it takes, too."""
    bench = Bench()
    refuse_dials(bench, 2)
    assert row(bench) == "rec94"
    bench.open()
    bench.greet()
    assert (bench.state, bench.context.era) == (S, Era.E3)
    return bench


def refuse_credentials(bench: Bench, code: int, *, renewable: bool) -> None:
    bench.open()
    bench.hear(ErrorReceived(bench.generation, code, "no", renewable))
