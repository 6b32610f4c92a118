"""One machine serves every connection of the process, from every thread: the synchronous client has a thread a connection."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from realtime_fsm.fsm.commands import StepResult
from realtime_fsm.fsm.inputs import Connect, Disconnect, LinkClosed
from realtime_fsm.fsm.table import State
from support.bench import Bench
from support.some import some

THREADS, LIVES = 4, 60


@pytest.fixture
def _impatient() -> Iterator[None]:
    """Threads take turns within a step."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def life(bench: Bench) -> list[tuple[State, str]]:
    """A connection's way through its states, with the rows that it takes."""
    way = []
    steps: tuple[Callable[[], StepResult], ...] = (
        lambda: bench.do(Connect()),
        bench.open,
        bench.greet,
        bench.subscribe,
        bench.acknowledge,
        lambda: bench.do(LinkClosed(bench.generation)),
        lambda: bench.do(Disconnect()),
    )
    for step in some(steps):
        result = step()
        assert result.transition is not None, "each step takes a row"
        way.append((bench.state, result.transition.row.id))
    return way


@pytest.mark.usefixtures("_impatient")
def test_threads_step_their_connections_at_once() -> None:
    alone = life(Bench())
    assert [state.value for state, _ in alone][-3:] == ["subscribed", "reconnecting", "disconnected"]
    together = Barrier(THREADS)

    def lives() -> list[list[tuple[State, str]]]:
        together.wait()
        return [life(Bench()) for _ in range(LIVES)]

    with ThreadPoolExecutor(THREADS) as pool:
        ways = [way for each in [pool.submit(lives) for _ in range(THREADS)] for way in each.result()]
    assert ways == [alone] * (THREADS * LIVES)
