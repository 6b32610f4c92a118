"""Scripts of faults, in one line: ``2s drop; 2s refuse 3s; 8s freeze 3s; 12s deaf; 20s fault 4s``.

The grammar::

    script = step *( ";" step ) [ ";" ]
    step   = moment fault [ length ]
    moment = time                  ; from the start of the script
    length = time                  ; after which the fault ends
    time   = number unit           ; such as 500ms, 2s, 1.5m
    unit   = "ms" / "s" / "m"

``drop`` takes no length, and ``fault`` needs one. ``refuse``, ``freeze`` and ``deaf`` without a length last until a call ends
them.
Steps may come in any order. Two faults of one name may not overlap, because the end of the first would end the second.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_LENGTHS = {"drop": (False,), "refuse": (False, True), "freeze": (False, True), "deaf": (False, True), "fault": (True,)}
"""The choices of each fault: False for a step without a length, True for a step with one."""


@dataclass(frozen=True, slots=True)
class ScriptStep:
    """One step of a script."""

    at: float  # the moment at which the fault begins, in seconds from the start of the script
    fault: str
    length: float | None  # the length of the fault, in seconds; None for no length
    name: str  # the name of the step in errors: its number and its text


@dataclass(frozen=True, slots=True)
class Fault:
    """The two calls that begin and end a fault."""

    begin: Callable[[float], object]  # begins the fault; takes its length in seconds, or 0 for a fault without one
    end: Callable[[], object]


def parse(script: str) -> list[ScriptStep]:
    """Parse a script into steps, in the order in which they begin, as `RealtimeServer.script` explains."""
    if not isinstance(script, str):
        raise BadOption("script", f"{type(script).__name__} is not a text; give one such as '2s drop; 5s freeze 3s'")
    texts = [text.strip() for text in script.split(";")]
    if len(texts) > 1 and not texts[-1]:
        del texts[-1]
    parsed = [_step(f"step {number}, {text!r:.60}", text) for number, text in enumerate(texts, 1)]
    steps = sorted(parsed, key=lambda step: step.at)
    ends: dict[str, tuple[float, ScriptStep]] = {}
    for step in steps:
        until, before = ends.get(step.fault, (step.at, step))
        if step.at < until:
            raise BadOption("script", f"{step.name}: {before.name} has not ended by then; begin later, or make that one shorter")
        unlimited = float("inf") if len(_LENGTHS[step.fault]) > 1 else 0.0
        ends[step.fault] = step.at + (unlimited if step.length is None else step.length), step
    return steps


async def run(steps: Iterable[ScriptStep], faults: Mapping[str, Fault]) -> None:
    """Run a script from now on; return when the last fault has begun, and every fault with a length has ended."""
    calls: list[tuple[float, bool, Callable[[], object]]] = []
    for step in steps:
        fault = faults[step.fault]
        calls.append((step.at, True, partial(fault.begin, step.length or 0.0)))
        if step.length is not None:
            calls.append((step.at + step.length, False, fault.end))
    loop = asyncio.get_running_loop()
    start = loop.time()
    for at, _, call in sorted(calls, key=lambda entry: entry[:2]):  # at one moment a fault ends before the next one begins
        await asyncio.sleep(start + at - loop.time())
        call()


def _step(name: str, text: str) -> ScriptStep:
    words = text.split()
    if not 2 <= len(words) <= 3:
        raise BadOption("script", f"{name}: not a moment, a fault and perhaps a length; write one such as '5s freeze 3s'")
    moment, fault, *lengths = words
    if fault not in _LENGTHS:
        raise BadOption("script", f"{name}: there is no fault {fault!r:.40}; write one of {', '.join(_LENGTHS)}")
    if bool(lengths) not in _LENGTHS[fault]:
        remedy = f"{fault} takes no length; leave it out" if lengths else f"{fault} needs a length; write '{text} 4s'"
        raise BadOption("script", f"{name}: {remedy}")
    at, *length = (_seconds(name, word) for word in (moment, *lengths))
    return ScriptStep(at, fault, length[0] if length else None, name)


def _seconds(name: str, word: str) -> float:
    time = _TIME.fullmatch(word)
    if time is None:
        raise BadOption("script", f"{name}: {word!r:.40} is not a time; write a number and ms, s or m, such as '2s'")
    return float(time[1]) * _UNITS[time[2]]
