"""The input queue: it passes the inputs of one connection to the machine.

Invariant: inputs are taken in the order in which they come, each one whole. An input that comes during a step, or from a log
processor, waits for the event loop: so a call in a circle cannot block the loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.fsm.inputs import Input


class InputQueue:
    """The inputs that wait for their step.

    Args:
        step: takes one input.
        audit: the writer whose processors may cause an input.
        context: a copy of it is the context of each step, whichever call causes the step.

    Attributes:
        is_stepping: whether a step is under way.
    """

    __slots__ = ("_audit", "_context", "_inputs", "_step", "is_stepping")

    def __init__(self, step: Callable[[Input], None], audit: AuditWriter, context: Context) -> None:
        self._step = step
        self._audit = audit
        self._context = context
        self._inputs: list[Input] = []
        self.is_stepping: bool = False

    def __len__(self) -> int:
        return len(self._inputs)

    def put(self, input_: Input, loop: asyncio.AbstractEventLoop) -> None:
        """Take an input: now if that is possible, or else in a later turn of the loop."""
        self._inputs.append(input_)
        if self._audit.is_writing and not self.is_stepping:
            loop.call_soon(self._take_all, loop)
        elif not self.is_stepping:
            self._context.copy().run(self._take_all, loop)

    async def wait_empty(self) -> None:
        """Wait until each input is taken: at once, except for a call from within a step."""
        while self._inputs:  # noqa: ASYNC110  (the loop takes them next: an event would cost more, and say no more)
            await asyncio.sleep(0)

    def _take_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_stepping = True
        try:
            for _ in range(len(self._inputs)):
                self._step(self._inputs.pop(0))
        finally:
            self.is_stepping = False
            if self._inputs:
                loop.call_soon(self._take_all, loop)
