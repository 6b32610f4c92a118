"""Measure the machine without its driver: a trigger, the memory of a connection, an audit record. A child runs these."""

from __future__ import annotations

import asyncio
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from transitions import Machine

from bench.hotspots import Profile
from bench.memory import allocated
from realtime_fsm import audit
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.pacer import Pacer
from realtime_fsm.fsm.table import TABLE, State, Trigger
from support.bench import Bench as Workbench

_UNPACED = Pacer(None)
_PONG_AFTER = 0.01
_CELLS = ((State.SUBSCRIBED, Trigger.DEADLINE), (State.PING, Trigger.PONG))
"""A heartbeat and its answer, the most frequent triggers of a connection."""


def _triggers(bench: Workbench) -> Iterator[Trigger]:
    """Yield heartbeats and answers without end, each with the facts that its guards and effects read."""
    while True:
        assert bench.context.ping_at is not None
        for trigger, now in ((Trigger.DEADLINE, bench.context.ping_at), (Trigger.PONG, bench.context.ping_at + _PONG_AFTER)):
            bench.context.begin_step(now, 0.5)
            yield trigger


def _timed(fire: Callable[[Trigger], object], triggers: Iterator[Trigger], count: int) -> float:
    spent = 0.0
    for _ in range(count):
        trigger = next(triggers)
        began = time.process_time()
        fire(trigger)
        spent += time.process_time() - began
    return spent / count


def trigger(kind: str, count: int) -> float:
    """Return the seconds of CPU of one trigger.

    Args:
        kind: ``"table"`` for the library's own machine. ``"cells"`` for a `Machine` with its own model and the same cells,
            guards and effects. ``"bare"`` for a `Machine` with two transitions and nothing else.
        count: the number of triggers.
    """
    bench = Workbench().to(State.SUBSCRIBED)
    context, triggers = bench.context, _triggers(bench)
    if kind == "table":
        events = bench.machine._events
        return _timed(lambda trigger: events[trigger.value].trigger(context, context), triggers, count)
    model: Any = _Model()
    machine = Machine(model, states=[state.value for state in State], initial=State.SUBSCRIBED.value, auto_transitions=False)
    if kind == "bare":
        machine.add_transition("go", State.SUBSCRIBED.value, State.PING.value)
        machine.add_transition("go", State.PING.value, State.SUBSCRIBED.value)
        return _timed(lambda _: model.go(), triggers, count)
    for row in TABLE.rows:
        if (row.source, row.trigger) in _CELLS:
            machine.add_transition(
                row.trigger.value,
                row.source.value,
                row.dest and row.dest.value,
                conditions=[GUARDS[name] for name in row.guards],
                before=[EFFECTS[name] for name in row.effects],
            )
    return _timed(lambda trigger: getattr(model, trigger.value)(context), triggers, count)


class _Model:
    pass


def trigger_profile(count: int) -> str:
    """Profile the table's triggers."""
    with Profile() as profile:
        trigger("table", count)
    return profile.text


def memory(kind: str, count: int) -> dict[str, Any]:
    """Measure the machine's memory of one connection in a state: context, subscriptions, link and budget."""
    machines = [_machine_in(State(kind)) for _ in range(10)]
    tracemalloc.start()
    machines += [_machine_in(State(kind)) for _ in range(count)]
    return allocated(count)


def _machine_in(state: State) -> object:
    bench = Workbench(pacer=_UNPACED).to(state)
    bench.context.step.commands = []
    return bench.machine  # which holds the context


def record(count: int, *, profile: bool) -> dict[str, Any]:
    """Measure one record of a transition, written to a file in the recommended configuration."""
    return asyncio.run(_record(count, profile=profile))


async def _record(count: int, *, profile: bool) -> dict[str, Any]:
    transition = Workbench().to(State.SUBSCRIBED).last.transition
    assert transition is not None
    failures: list[BaseException] = []
    sink = AuditWriter("a" * 32, failures.append)
    profiler = Profile() if profile else nullcontext()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        with audit.configure(path), profiler:
            began = time.process_time()
            for _ in range(count):
                sink.transition(transition, datetime.now(UTC))
            spent = time.process_time() - began
        assert not failures
        assert path.read_bytes().count(b"\n") == count
    return {"cpu": spent / count, "hotspots": profiler.text if isinstance(profiler, Profile) else ""}
