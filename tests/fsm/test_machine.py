"""Every row of the table is taken, every guard is seen to hold and to fail, every ignored cell is seen to ignore."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from realtime_fsm.errors import BadTable
from realtime_fsm.fsm import machine as machine_module
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.inputs import Closed, Connect, Deadline, GreetingReceived, Pong
from realtime_fsm.fsm.policies import PingPolicy
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger
from realtime_fsm.fsm.tablespec import Table
from support.bench import Bench, any_input
from support.scenes import SCENES, AnyRow, play

if TYPE_CHECKING:
    from realtime_fsm.fsm.context import ConnectionContext

D, R, C, S, U, P, E, X = State


@pytest.mark.parametrize("row", TABLE.rows, ids=lambda row: row.id)
def test_each_row_is_taken(row: AnyRow) -> None:
    bench = play(row)
    transition = bench.last.transition
    assert transition is not None
    assert (transition.row.id, transition.dest) == (row.id, row.dest or row.source)
    assert bench.state is transition.dest
    assert (bench.context.error is not None) == (bench.state is E)


def test_every_rule_has_a_scene() -> None:
    assert {int(row.id[3:]) for row in TABLE.rows} == set(SCENES)


def test_each_guard_is_seen_to_hold_and_to_fail_in_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[tuple[str, str], set[bool]] = defaultdict(set)

    def watched(name: str, guard: Callable[[ConnectionContext], bool]) -> Callable[[ConnectionContext], bool]:
        def ask(context: ConnectionContext) -> bool:
            holds = guard(context)
            seen[context.state, name].add(holds)
            return holds

        return ask

    monkeypatch.setattr(machine_module, "GUARDS", {name: watched(name, guard) for name, guard in GUARDS.items()})
    machine_module._shared_machine.cache_clear()
    try:
        for row in TABLE.rows:
            play(row)
    finally:
        machine_module._shared_machine.cache_clear()
    expected = {(row.source.value, name) for row in TABLE.rows for name in row.guards}
    one_sided = {key: seen[key] for key in expected if seen[key] != {True, False}}
    assert one_sided == {}


@pytest.mark.parametrize(("state", "trigger"), sorted(TABLE.ignored), ids=lambda value: value.value)
def test_an_ignored_cell_does_nothing(state: State, trigger: Trigger) -> None:
    bench = Bench().to(state)
    before = (bench.context.generation, bench.context.attempt, bench.context.deadline)
    result = bench.do(any_input(trigger, bench.generation))
    assert result.transition is None
    assert bench.state is state
    assert (bench.context.generation, bench.context.attempt, bench.context.deadline) == before


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("trigger", [t for t in Trigger if any_input(t, 0).__class__.__mro__[1].__name__ == "SocketInput"])
def test_an_old_socket_never_moves_the_machine(state: State, trigger: Trigger) -> None:
    bench = Bench().to(state)
    if bench.generation == 0:
        bench.context.generation = 1
    result = bench.do(any_input(trigger, bench.generation - 1))
    assert (result.transition, result.commands, bench.state) == (None, (), state)


@pytest.mark.parametrize("state", State)
def test_a_deadline_that_comes_early_is_ignored(state: State) -> None:
    bench = Bench().to(state)
    deadline = bench.context.deadline
    if deadline is not None:
        bench.now = deadline - 0.001
    result = bench.do(Deadline())
    assert (result.transition, bench.state, result.deadline) == (None, state, deadline)


@pytest.mark.parametrize("state", State)
def test_what_a_state_may_hold(state: State) -> None:
    bench = Bench().to(state)
    if state in (D, E):
        assert (bench.context.deadline, bench.context.link) == (None, None)
    if state in LIVE:
        assert bench.context.deadline is not None
        assert bench.context.link is not None
    if state is X:
        assert bench.context.deadline is None
        assert bench.context.closing_generation is not None
        bench.do(Closed(bench.generation))
        assert bench.context.closing_generation is None


def test_a_table_that_cannot_be_run_is_refused_when_the_machine_is_built() -> None:
    broken = Table(TABLE.states, TABLE.triggers, TABLE.initial, TABLE.final, TABLE.rows[:-1], TABLE.ignored, TABLE.notes)
    with pytest.raises(BadTable, match="disposing x closed"):
        machine_module.build(broken)


def test_the_round_trip_of_a_ping_is_told_with_its_answer() -> None:
    bench = Bench().to(P)
    assert bench.last.transition is not None
    assert bench.last.transition.round_trip is None
    bench.now += 0.25
    bench.hear(Pong(bench.generation))
    assert bench.last.transition.round_trip == 0.25


@pytest.mark.parametrize("late", [0.0, 20.0])
def test_a_deadline_that_was_missed_is_told(late: float) -> None:
    bench = Bench().to(S)
    bench.expire_until("sub65")
    assert bench.last.deadline is not None
    bench.now = bench.last.deadline + late
    bench.do(Deadline())
    assert bench.last.transition is not None
    assert (bench.last.transition.row.id, bench.last.transition.lag) == ("sub64", late)
    begun = Bench().do(Connect()).transition
    assert begun is not None
    assert begun.lag == 0.0, "nothing was due before"


@pytest.mark.parametrize(("late", "expected"), [(0.0, 30.0), (20.0, 30.0), (29.9, 30.0), (30.0, 60.0), (100.0, 130.0)])
def test_a_ping_that_leaves_late_does_not_delay_the_next_one(late: float, expected: float) -> None:
    bench = Bench(ping=PingPolicy(interval=30.0, timeout=5.0)).to(S)
    bench.expire_until("sub65")
    due = bench.context.ping_at
    assert due is not None
    bench.now = due + late
    bench.do(Deadline())
    bench.hear(Pong(bench.generation))
    assert bench.context.ping_at == pytest.approx(due + expected)


def test_silence_means_nothing_while_nothing_is_read() -> None:
    bench = Bench().to(P)
    assert bench.machine.set_read_paused(bench.generation, bench.now, paused=True) == bench.context.deadline
    bench.expire()
    assert (bench.state, bench.last.transition and bench.last.transition.cause) == (S, None)
    bench.expire_until("sub64")
    bench.now = bench.context.deadline or 0
    bench.machine.set_read_paused(bench.generation, bench.now, paused=False)
    bench.expire()
    assert bench.state is S, "what came in the last moment of the pause was not heard"
    bench.expire_until("sub64")
    bench.expire()
    assert bench.state is R, "the next ping is judged again"


def test_a_reply_is_awaited_anew_when_reading_goes_on() -> None:
    bench = Bench().to(S)
    bench.subscribe("s2")
    due = bench.context.reply_by
    assert due is not None
    deadline = bench.machine.set_read_paused(bench.generation, bench.now, paused=True)
    assert bench.context.reply_by is None
    assert deadline == bench.now + bench.context.ping.interval > due, "only the next ping is due"
    bench.now = due + 100
    bench.do(Deadline())
    assert bench.state is S
    assert bench.machine.set_read_paused(bench.generation, bench.now, paused=False) == bench.now + bench.context.timeouts.reply
    bench.acknowledge()
    assert bench.state is S


def test_a_pause_of_an_old_link_or_of_none_is_nothing() -> None:
    bench = Bench().to(P)
    bench.machine.set_read_paused(bench.generation - 1, bench.now, paused=True)
    bench.expire()
    assert bench.state is R
    assert bench.machine.set_read_paused(bench.generation, bench.now, paused=False) == bench.context.deadline


def test_what_the_application_says_of_the_other_loggers_level_stands() -> None:
    logger = logging.getLogger("a logger of the tests")
    machine_module._quiet_logger(logger)
    assert logger.level == logging.WARNING
    logger.setLevel(logging.DEBUG)
    machine_module._quiet_logger(logger)
    assert logger.level == logging.DEBUG


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.99])
def test_the_first_ping_of_a_link_comes_at_a_random_moment_and_the_next_after_an_interval(draw: float) -> None:
    bench = Bench().to(R)
    bench.open()
    up = bench.now
    bench.machine.step(GreetingReceived(bench.generation), up, draw=draw)
    assert bench.context.ping_at == pytest.approx(up + 30 * (1 - draw))
    bench.expire()
    bench.hear(Pong(bench.generation))
    assert bench.context.ping_at == pytest.approx(up + 30 * (2 - draw))


def test_the_random_number_of_a_step_is_a_half_by_default() -> None:
    bench = Bench()
    bench.machine.step(Connect(), bench.now)
    assert bench.context.step.draw == 0.5
