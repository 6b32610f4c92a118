"""Lanes of time: the states of a connection along an axis, as SVG paths.

Invariant: each state has a colour and a shape of its own, so that no two states differ by colour alone.

Design: all lanes share one axis, which counts in ticks, because whole numbers keep the paths short. The height of a lane is
fixed, and its width stretches; so each shape consists of horizontal strips. A zoom changes the view box, and no path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.diagram.style import STATE_COLORS
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEIGHT = 24
Strips = tuple[tuple[int, int], ...]
"""The strips of a shape, each with its distance from the top and its height."""
SHAPES: dict[State, Strips] = {
    State.SUBSCRIBED: ((13, 10),),
    State.PING: ((10, 13),),
    State.CONNECTED: ((17, 6),),
    State.UNSUBSCRIBED: ((13, 3), (20, 3)),
    State.RECONNECTING: ((7, 16),),
    State.ERROR: ((7, 4), (13, 4), (19, 4)),
    State.DISCONNECTED: ((21, 2),),
    State.DISPOSING: ((16, 2), (21, 2)),
}
"""The shape of each state: trouble is tall, a healthy link is low, and an error has stripes."""
_TICKS = 1_000_000
_MARK = 3


@dataclass(frozen=True, slots=True)
class Axis:
    """A span of time."""

    begin: float  # the beginning, in seconds since 1970 (UTC)
    tick: float  # the length of a tick, in seconds
    width: int  # the length of the span, in ticks

    @classmethod
    def over(cls, begin: float, end: float) -> Axis:
        """Return the axis of a span, with the shortest tick (a power of ten) that keeps the width within a million ticks."""
        length, tick = max(end - begin, 0.001), 0.001
        while length / tick > _TICKS:
            tick *= 10
        return cls(begin, tick, max(1, round(length / tick)))

    def at(self, moment: float) -> int:
        """Return the tick of a moment, within the axis."""
        return min(self.width, max(0, round((moment - self.begin) / self.tick)))

    def span(self, begin: float, length: float) -> tuple[int, int]:
        """Return the first tick of a span and the number of its ticks, at least one."""
        first = self.at(begin)
        return first, max(1, self.at(begin + length) - first)


def css() -> str:
    """Return the colours of the states."""
    return "".join(f"[data-s={state}]{{fill:{color}}}" for state, color in STATE_COLORS.items())


def state_paths(axis: Axis, stays: Iterable[tuple[float, float, str]]) -> Iterator[str]:
    """Draw the time in states, given as (beginning, length, state): one path for each state."""
    spans: dict[State, list[tuple[int, int]]] = {}
    for begin, length, state in stays:
        spans.setdefault(State(state), []).append(axis.span(begin, length))
    for state in State:
        if state in spans:
            yield f'<path data-s="{state}" d="{strips(spans[state], SHAPES[state])}"/>'


def strips(spans: Iterable[tuple[int, int]], shape: Strips) -> str:
    """Return the path of a shape over spans."""
    return "".join(f"M{x} {y}h{w}v{h}h-{w}z" for x, w in spans for y, h in shape)


def mark_path(axis: Axis, spans: Iterable[tuple[float, float]]) -> str:
    """Return the line of marks above the states; join marks that are too close for a screen."""
    joint = axis.width // 4000
    merged: list[tuple[int, int]] = []
    for begin, length in spans:
        first, width = axis.span(begin, length)
        if merged and first - sum(merged[-1]) <= joint:
            merged[-1] = merged[-1][0], max(sum(merged[-1]), first + width) - merged[-1][0]
        else:
            merged.append((first, width))
    return "".join(f"M{x} {_MARK}h{w}" for x, w in merged)
