"""Scripts of faults, in one line: ``2s drop; 5s freeze 3s; 12s deaf; 20s fault 4s``.

The grammar::

    script = step *( ";" step ) [ ";" ]
    step   = moment fault [ length ]
    moment = time                  ; from the start of the script
    length = time                  ; after which the fault ends
    time   = number unit           ; such as 500ms, 2s, 1.5m
    unit   = "ms" / "s" / "m"

``drop`` takes no length. ``freeze`` and ``deaf`` last for good without one. ``fault`` needs one. Steps stand in any order. Two
faults of one name may not overlap, for the end of the one would end the other.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_LENGTHS = {"drop": (False,), "freeze": (False, True), "deaf": (False, True), "fault": (True,)}
"""For each fault, whether it goes without a length, with one, or both ways."""


@dataclass(frozen=True, slots=True)
class Step:
    """One fault of a script.

    Attributes:
        at: when it begins, in seconds from the start of the script.
        fault: its name.
        length: how long it lasts, in seconds; None for good, and for one that takes no time.
        name: how an error names it: by its number and its text.
    """

    at: float
    fault: str
    length: float | None
    name: str


@dataclass(frozen=True, slots=True)
class Act:
    """How a server begins and ends a fault.

    Attributes:
        begin: begins it; is given its length in seconds, or 0 where it has none.
        end: ends it.
    """

    begin: Callable[[float], object]
    end: Callable[[], object]


def parse(script: str) -> list[Step]:
    """Read a script.

    Args:
        script: the text.

    Returns:
        Its steps, by the moments at which they begin.

    Raises:
        BadOption: for a step that cannot be read, or that overlaps one of its kind; it names the step and the remedy.
    """
    if not isinstance(script, str):
        raise BadOption("script", f"{type(script).__name__} is no text; give one such as '2s drop; 5s freeze 3s'")
    texts = [text.strip() for text in script.split(";")]
    if len(texts) > 1 and not texts[-1]:
        del texts[-1]
    read = [_step(f"step {number}, {text!r:.60}", text) for number, text in enumerate(texts, 1)]
    steps = sorted(read, key=lambda step: step.at)
    ends: dict[str, tuple[float, Step]] = {}
    for step in steps:
        until, before = ends.get(step.fault, (step.at, step))
        if step.at < until:
            raise BadOption("script", f"{step.name}: {before.name} has not ended by then; begin later, or make that one shorter")
        forever = float("inf") if len(_LENGTHS[step.fault]) > 1 else 0.0
        ends[step.fault] = step.at + (forever if step.length is None else step.length), step
    return steps


async def play(steps: Sequence[Step], acts: Mapping[str, Act]) -> None:
    """Play a script from now on. Returns when the last fault has begun, and every fault with a length has ended.

    Args:
        steps: the steps.
        acts: how to begin and end each fault.
    """
    loop = asyncio.get_running_loop()
    start = loop.time()
    for at, act in _moves(steps, acts):
        await asyncio.sleep(start + at - loop.time())
        act()


def _moves(steps: Iterable[Step], acts: Mapping[str, Act]) -> list[tuple[float, Callable[[], object]]]:
    moves: list[tuple[float, bool, Callable[[], object]]] = []
    for step in steps:
        act = acts[step.fault]
        moves.append((step.at, True, partial(act.begin, step.length or 0.0)))
        if step.length is not None:
            moves.append((step.at + step.length, False, act.end))
    # At one moment a fault ends before the next one begins.
    return [(at, move) for at, _, move in sorted(moves, key=lambda move: move[:2])]


def _step(name: str, text: str) -> Step:
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
    return Step(at, fault, length[0] if length else None, name)


def _seconds(name: str, word: str) -> float:
    found = _TIME.fullmatch(word)
    if found is None:
        raise BadOption("script", f"{name}: {word!r:.40} is no time; write a number and ms, s or m, such as '2s'")
    return float(found[1]) * _UNITS[found[2]]
