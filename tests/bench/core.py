"""The machine by itself: what a trigger costs, what a seat holds, what an audit record costs. These run in a child."""

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

_PACER = Pacer(None)
_PONG_AFTER = 0.01
_CELLS = ((State.SUBSCRIBED, Trigger.DEADLINE), (State.PING, Trigger.PONG))
"""A heartbeat and its answer: what a connection does all its life."""


def _moments(bench: Workbench) -> Iterator[Trigger]:
    """Heartbeats and answers without end, each with the facts that its guards and effects ask for."""
    while True:
        assert bench.context.ping_at is not None
        for trigger, now in ((Trigger.DEADLINE, bench.context.ping_at), (Trigger.PONG, bench.context.ping_at + _PONG_AFTER)):
            bench.context.reset_step(now, 0.5)
            yield trigger


def _timed(fire: Callable[[Trigger], object], moments: Iterator[Trigger], count: int) -> float:
    spent = 0.0
    for _ in range(count):
        trigger = next(moments)
        began = time.process_time()
        fire(trigger)
        spent += time.process_time() - began
    return spent / count


def trigger(kind: str, count: int) -> float:
    """Seconds of CPU of one trigger.

    Args:
        kind: ``"table"`` as the library does it; ``"cells"`` for the same cells, guards and effects in a `Machine` with a model
            of its own; ``"bare"`` for one with two transitions and nothing else.
        count: how many.
    """
    bench = Workbench().to(State.SUBSCRIBED)
    context, moments = bench.context, _moments(bench)
    if kind == "table":
        events = bench.machine._events
        return _timed(lambda trigger: events[trigger.value].trigger(context, context), moments, count)
    model: Any = _Model()
    machine = Machine(model, states=[state.value for state in State], initial=State.SUBSCRIBED.value, auto_transitions=False)
    if kind == "bare":
        machine.add_transition("go", State.SUBSCRIBED.value, State.PING.value)
        machine.add_transition("go", State.PING.value, State.SUBSCRIBED.value)
        return _timed(lambda _: model.go(), moments, count)
    for row in TABLE.rows:
        if (row.source, row.trigger) in _CELLS:
            machine.add_transition(
                row.trigger.value,
                row.source.value,
                row.dest and row.dest.value,
                conditions=[GUARDS[name] for name in row.guards],
                before=[EFFECTS[name] for name in row.effects],
            )
    return _timed(lambda trigger: getattr(model, trigger.value)(context), moments, count)


class _Model:
    pass


def trigger_profile(count: int) -> str:
    """Where the time of the table's triggers goes."""
    with Profile() as profile:
        trigger("table", count)
    return profile.text


def context(kind: str, count: int) -> dict[str, Any]:
    """Bytes of what the machine remembers of one connection in a state: seat, book, link and budget."""
    kept = [_seated(State(kind)) for _ in range(10)]
    tracemalloc.start()
    kept += [_seated(State(kind)) for _ in range(count)]
    return allocated(count)


def _seated(state: State) -> object:
    bench = Workbench(pacer=_PACER).to(state)
    bench.context.commands = []
    return bench.machine  # which holds the seat


def record(count: int, *, profile: bool) -> dict[str, Any]:
    """Seconds of CPU of one record of a transition, in the recommended configuration, to a file."""
    return asyncio.run(_record(count, profile=profile))


async def _record(count: int, *, profile: bool) -> dict[str, Any]:
    transition = Workbench().to(State.SUBSCRIBED).last.transition
    assert transition is not None
    failures: list[BaseException] = []
    sink = AuditWriter("a" * 32, failures.append)
    watch = Profile() if profile else nullcontext()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "audit.jsonl"
        with audit.configure(path), watch:
            began = time.process_time()
            for _ in range(count):
                sink.transition(transition, datetime.now(UTC))
            spent = time.process_time() - began
        assert not failures
        assert path.read_bytes().count(b"\n") == count
    return {"cpu": spent / count, "hot": watch.text if isinstance(watch, Profile) else ""}
