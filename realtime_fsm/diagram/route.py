"""Routes of arrows between rectangles: straight where they face each other, around what stands between, else a slope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from realtime_fsm.diagram.canvas import Rect

if TYPE_CHECKING:
    from collections.abc import Iterable

Point = tuple[float, float]
Side = Literal["above", "below", "left", "right"]
_TIP, _LANE, _FACING, _ARCH, _BEND = 7.5, 9.0, 20.0, 30.0, 12.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where an arrow runs.

    Attributes:
        points: a Bezier curve, 3n+1 points, to the base of the arrow's head.
        tip: the point of its head.
        label: where its words are anchored.
        side: on which side of that anchor the words stand.
    """

    points: tuple[Point, ...]
    tip: Point
    label: Point
    side: Side


def route(tail: Rect, head: Rect, others: Iterable[Rect], *, paired: bool) -> Route:
    """Find the way of an arrow.

    Args:
        tail: what it leaves.
        head: what it enters.
        others: what it must not cross.
        paired: whether another arrow runs the other way, so that each keeps to its own lane.
    """
    across = _overlap((tail.y, tail.bottom), (head.y, head.bottom))
    if across is not None:
        return _level(tail, head, list(others), across, paired=paired)
    down = _overlap((tail.x, tail.right), (head.x, head.right))
    if down is not None:
        flat = _level(_flip(tail), _flip(head), [_flip(other) for other in others], down, paired=paired, flipped=True)
        side: Side = "left" if flat.side == "above" else "right"
        return Route(tuple((x, y) for y, x in flat.points), flat.tip[::-1], flat.label[::-1], side)
    return _slope(tail, head)


def _level(
    tail: Rect, head: Rect, others: list[Rect], overlap: tuple[float, float], *, paired: bool, flipped: bool = False
) -> Route:
    rightward = tail.cx < head.cx
    start, end = (tail.right, head.x) if rightward else (tail.x, head.right)
    over = rightward != flipped  # flipped: what leads down keeps to the right, which is the lower side here
    y = sum(overlap) / 2 + (0 if not paired else -_LANE if over else _LANE)
    between = Rect(min(start, end), y - 1, abs(end - start), 2)
    if not any(other.overlaps(between) for other in others):
        base = end - _TIP if rightward else end + _TIP
        beside: Side = "above" if over and (paired or not flipped) else "below"
        if flipped:  # words beside a line stand where it begins, away from what is written around its end
            return Route(_straight((start, y), (base, y)), (end, y), (start + (end - start) * 0.42, y), beside)
        return Route(_straight((start, y), (base, y)), (end, y), ((start + end) / 2, y), beside)
    return _arch(tail, head, others, over=over, rightward=rightward)


def _arch(tail: Rect, head: Rect, others: list[Rect], *, over: bool, rightward: bool) -> Route:
    """Out of the upper or lower edge, along, and in again."""
    span = [other for other in others if other.x < max(tail.right, head.right) and min(tail.x, head.x) < other.right]
    in_the_way = [other for other in span if other.y < max(tail.bottom, head.bottom) and min(tail.y, head.y) < other.bottom]
    boxes = [tail, head, *in_the_way]
    y = min(box.y for box in boxes) - _ARCH if over else max(box.bottom for box in boxes) + _ARCH
    out, into = (tail.y, head.y) if over else (tail.bottom, head.bottom)
    inset = min(tail.w, head.w) / 4
    start, end = (tail.cx + inset, head.cx - inset) if rightward else (tail.cx - inset, head.cx + inset)
    bend = _BEND if rightward else -_BEND
    rise = _BEND if over else -_BEND
    base = into - _TIP if over else into + _TIP
    points = (
        *_straight((start, out), (start, y + rise)),
        (start, y), (start, y), (start + bend, y),
        *_straight((start + bend, y), (end - bend, y))[1:],
        (end, y), (end, y), (end, y + rise),
        *_straight((end, y + rise), (end, base))[1:],
    )  # fmt: skip
    return Route(points, (end, into), ((start + end) / 2, y), "above" if over else "below")


def _slope(tail: Rect, head: Rect) -> Route:
    """They do not face each other: from side to side in one swing."""
    rightward, downward = tail.cx < head.cx, tail.cy < head.cy
    start, end = (tail.right, head.x) if rightward else (tail.x, head.right)
    y = tail.bottom - min(_ARCH, tail.h / 3) if downward else tail.y + min(_ARCH, tail.h / 3)
    to = head.y + min(_ARCH, head.h / 3) if downward else head.bottom - min(_ARCH, head.h / 3)
    base = end - _TIP if rightward else end + _TIP
    middle = (start + base) / 2
    return Route(((start, y), (middle, y), (middle, to), (base, to)), (end, to), (middle, (y + to) / 2), "right")


def _straight(start: Point, end: Point) -> tuple[Point, ...]:
    (x, y), (to_x, to_y) = start, end
    third, rise = (to_x - x) / 3, (to_y - y) / 3
    return (start, (x + third, y + rise), (x + 2 * third, y + 2 * rise), end)


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float] | None:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if high - low >= _FACING else None


def _flip(rect: Rect) -> Rect:
    return Rect(rect.y, rect.x, rect.h, rect.w)
