"""The input queue takes each input whole and in order; an input from within a step or a log processor waits for the loop."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm.runtime.input_queue import InputQueue

CALLER: ContextVar[str] = ContextVar("caller", default="no caller")


class Steps:
    """Steps that cause further inputs, or fail."""

    def __init__(self, **causes: Any) -> None:
        self.taken: list[str] = []
        self.audit = SimpleNamespace(is_writing=False)
        self.loop = asyncio.get_running_loop()
        self.queue: Any = InputQueue(self._step, self.audit, copy_context())  # type: ignore[arg-type]
        self._causes = causes

    def put(self, *inputs: str) -> None:
        for each in inputs:
            self.queue.put(each, self.loop)

    def _step(self, input_: Any) -> None:
        assert (self.queue.is_stepping, CALLER.get()) == (True, "no caller")
        self.taken.append(input_)
        caused = self._causes.get(input_, ())
        if isinstance(caused, Exception):
            raise caused
        self.put(*caused)


async def test_an_input_is_taken_at_once_in_the_context_of_the_connection() -> None:
    steps = Steps()
    CALLER.set("a user")
    steps.put("a", "b")
    assert (steps.taken, len(steps.queue), steps.queue.is_stepping) == (["a", "b"], 0, False)


async def test_an_input_from_within_a_step_waits_for_the_loop() -> None:
    steps = Steps(a=("b", "c"), b=("d",))
    steps.put("a")
    assert (steps.taken, len(steps.queue), steps.queue.is_stepping) == (["a"], 2, False)
    await asyncio.sleep(0)
    assert (steps.taken, len(steps.queue)) == (["a", "b", "c"], 1)
    await steps.queue.wait_empty()
    assert (steps.taken, len(steps.queue)) == (["a", "b", "c", "d"], 0)


async def test_an_input_from_a_log_processor_waits_for_the_loop() -> None:
    steps = Steps()
    steps.audit.is_writing = True
    steps.put("a", "b")
    assert (steps.taken, len(steps.queue)) == ([], 2)
    steps.audit.is_writing = False
    await steps.queue.wait_empty()
    assert steps.taken == ["a", "b"]


async def test_a_step_that_fails_keeps_no_later_input() -> None:
    steps = Steps(a=("b",), b=ValueError("b"))
    steps.put("a")
    steps.audit.is_writing = True
    steps.put("c")
    steps.audit.is_writing = False
    reported: list[Any] = []
    steps.loop.set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
    await steps.queue.wait_empty()
    assert (steps.taken, reported, steps.queue.is_stepping) == (["a", "b", "c"], ["b"], False)
    steps.put("d")
    assert steps.taken[-1] == "d"


@pytest.mark.parametrize("stepping", [False, True])
async def test_waiting_costs_no_turn_where_nothing_waits(stepping: bool) -> None:
    steps = Steps(a=("b",) if stepping else ())
    steps.put("a")
    turns: list[int] = []
    steps.loop.call_soon(turns.append, 1)
    await steps.queue.wait_empty()
    assert (turns, steps.taken) == (([1], ["a", "b"]) if stepping else ([], ["a"]))
