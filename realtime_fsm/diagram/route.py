"""Rectangles, and the routes of arrows between them.

Invariant: each leg of a route is horizontal or vertical. A route crosses no other rectangle, unless every way does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Point = tuple[float, float]
Side = Literal["above", "below", "left", "right"]
_LANE, _FACING, _ARCH = 9.0, 20.0, 64.0
_LABEL_UP, _LABEL_DOWN = 80.0, 52.0
"""The greatest distance of a label from the tail of a vertical arrow, so that it stays away from the labels at the head."""


class Rect(NamedTuple):
    """A rectangle by its top left corner, its width and its height, in points, y downwards."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.w

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.h

    @property
    def cx(self) -> float:
        """The middle, across."""
        return self.x + self.w / 2

    @property
    def cy(self) -> float:
        """The middle, down."""
        return self.y + self.h / 2

    def overlaps(self, other: Rect) -> bool:
        """Tell whether the rectangles share an area."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


@dataclass(frozen=True, slots=True)
class Route:
    """The corners of an arrow from tail to tip, and a point with the label on its given `side`."""

    points: tuple[Point, ...]
    label: Point
    side: Side

    def legs(self) -> tuple[Rect, ...]:
        """Return the straight parts as thin rectangles."""
        return tuple(_leg(start, end) for start, end in pairwise(self.points))


def route(tail: Rect, head: Rect, others: Iterable[Rect], *, paired: bool) -> Route:
    """Find the way of an arrow: straight between boxes that face each other, around an obstacle, or with one corner.

    The arrow avoids `others`. If another arrow runs back (`paired`), each of the two keeps to its own side.
    """
    obstacles = list(others)
    across = _shared((tail.y, tail.bottom), (head.y, head.bottom))
    if across is not None:
        return _level(tail, head, obstacles, across, paired=paired)
    down = _shared((tail.x, tail.right), (head.x, head.right))
    if down is None:
        return _corner(tail, head, obstacles, paired=paired)
    flat = _level(_flip(tail), _flip(head), [_flip(other) for other in obstacles], down, paired=paired, flipped=True)
    return Route(tuple((x, y) for y, x in flat.points), flat.label[::-1], "left" if flat.side == "above" else "right")


def _level(
    tail: Rect, head: Rect, obstacles: Sequence[Rect], shared: tuple[float, float], *, paired: bool, flipped: bool = False
) -> Route:
    rightward = tail.cx < head.cx
    start, end = (tail.right, head.x) if rightward else (tail.x, head.right)
    above = rightward != flipped  # flipped: an arrow that leads down keeps to its right, which is the lower side here
    y = sum(shared) / 2 + (0 if not paired else -_LANE if above else _LANE)
    points = ((start, y), (end, y))
    if not _free(points, obstacles):
        return _arch(tail, head, obstacles, above=above, rightward=rightward)
    reach = abs(end - start) / 2
    if flipped:
        reach = min(reach, _LABEL_DOWN if rightward else _LABEL_UP)
    label = (start + (reach if rightward else -reach), y)
    return Route(points, label, "above" if above and (paired or not flipped) else "below")


def _arch(tail: Rect, head: Rect, obstacles: Sequence[Rect], *, above: bool, rightward: bool) -> Route:
    """Lead out of the upper or lower edge, along, and in again."""
    left, right = min(tail.x, head.x), max(tail.right, head.right)
    top, bottom = min(tail.y, head.y), max(tail.bottom, head.bottom)
    boxes = [tail, head, *(each for each in obstacles if each.overlaps(Rect(left, top, right - left, bottom - top)))]
    y = min(box.y for box in boxes) - _ARCH if above else max(box.bottom for box in boxes) + _ARCH
    inset = min(tail.w, head.w) / 4 * (1 if rightward else -1)
    start, end = tail.cx + inset, head.cx - inset
    edges = (tail.y, head.y) if above else (tail.bottom, head.bottom)
    points = ((start, edges[0]), (start, y), (end, y), (end, edges[1]))
    return Route(points, ((start + end) / 2, y), "above" if above else "below")


def _corner(tail: Rect, head: Rect, obstacles: Sequence[Rect], *, paired: bool) -> Route:
    """Lead out of the upper or lower edge of one box, and in at the side of the other."""
    upper, lower = sorted((tail, head), key=lambda box: box.cy)
    lane = 0 if not paired else _LANE if tail == upper else -_LANE
    ways = []
    for upright, flat, edge, up in ((upper, lower, upper.bottom, lane), (lower, upper, lower.y, -lane)):
        rightward, shift, y = upright.cx < flat.cx, upright.w * 0.3 + lane, flat.cy - up
        x = upright.cx + (shift if rightward else -shift)
        points = ((x, edge), (x, y), (flat.x if rightward else flat.right, y))
        side: Side = "below" if up < 0 else "above"
        label = ((x + points[2][0]) / 2, y)
        ways.append(Route(points if upright == tail else points[::-1], label, side))
    return next((way for way in ways if _free(way.points, obstacles)), ways[0])


def _free(points: Sequence[Point], obstacles: Sequence[Rect]) -> bool:
    legs = [_leg(start, end) for start, end in pairwise(points)]
    return not any(leg.overlaps(obstacle) for leg in legs for obstacle in obstacles)


def _leg(start: Point, end: Point) -> Rect:
    (x, y), (to_x, to_y) = start, end
    return Rect(min(x, to_x) - 1, min(y, to_y) - 1, abs(to_x - x) + 2, abs(to_y - y) + 2)


def _shared(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float] | None:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if high - low >= _FACING else None


def _flip(rect: Rect) -> Rect:
    return Rect(rect.y, rect.x, rect.h, rect.w)
