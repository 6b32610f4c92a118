"""A picture: boxes, frames, arrows, rules and labels at their places in points, y downwards; and the picture as SVG.

Design: the program places everything, so that a picture is the same in README, notebook and audit, and needs no Graphviz.
The colours are classes of one style sheet, so that the picture follows the page from light to dark.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from itertools import pairwise
from math import copysign
from typing import TYPE_CHECKING, Literal

from realtime_fsm.diagram.route import Rect
from realtime_fsm.diagram.style import css, kind_of, text_width
from realtime_fsm.fsm.descriptions import StateKind

if TYPE_CHECKING:
    from realtime_fsm.diagram.route import Point, Route

Align = Literal["left", "center", "right"]
Valign = Literal["above", "middle", "below"]
LEADING = 1.28
_ANCHORS = {"left": "start", "center": "middle", "right": "end"}
_HEAD, _BEND = 9.0, 9.0


@dataclass(frozen=True)
class Label:
    """Lines of text at a place.

    Attributes:
        lines: the text.
        x: its left edge, middle or right edge, as `align` says.
        y: its lower edge, middle or upper edge, as `valign` says.
        color: the class of its colour.
        tip: a longer text for a pointer that rests on it.
    """

    lines: tuple[str, ...]
    x: float
    y: float
    align: Align = "center"
    valign: Valign = "middle"
    size: float = 11
    color: str = "ink"
    bold: bool = False
    tip: str = ""

    @cached_property
    def rect(self) -> Rect:
        """The area of the text at most."""
        w = max(text_width(line, self.size, bold=self.bold) for line in self.lines)
        h = len(self.lines) * self.size * LEADING
        x = {"left": self.x, "center": self.x - w / 2, "right": self.x - w}[self.align]
        y = {"above": self.y - h, "middle": self.y - h / 2, "below": self.y}[self.valign]
        return Rect(x, y, w, h)

    def svg(self) -> str:
        """Return the text as an SVG element for each line."""
        weight = ' font-weight="bold"' if self.bold else ""
        style = f'class="{self.color}" font-size="{self.size:g}"{weight} text-anchor="{_ANCHORS[self.align]}"'
        step = self.size * LEADING
        lines = "".join(
            f'<text x="{self.x:g}" y="{self.rect.y + step * number + self.size * 0.98:.1f}" {style}>{escape(line)}</text>'
            for number, line in enumerate(self.lines)
        )
        return f"<g>{_title(self.tip)}{lines}</g>" if self.tip else lines


@dataclass(frozen=True, slots=True)
class Box:
    """A rounded box with a text in its middle.

    Attributes:
        name: the state, or another name.
        rect: its place.
        text: its text.
        color: the class of its colours.
        note: a small second line.
        tip: a longer text for a pointer that rests on it.
        current: whether a thick border marks it.
        double: whether it has a second border.
        size: the size of the text.
    """

    name: str
    rect: Rect
    text: str
    color: str
    note: str = ""
    tip: str = ""
    current: bool = False
    double: bool = False
    size: float = 14

    @property
    def labels(self) -> tuple[Label, ...]:
        """The texts in it."""
        middle, color = self.rect.cy, f"{self.color}-name"
        if not self.note:
            return (Label((self.text,), self.rect.cx, middle, size=self.size, color=color, bold=True),) if self.text else ()
        return (
            Label((self.text,), self.rect.cx, middle - 7, size=self.size, color=color, bold=True),
            Label((self.note,), self.rect.cx, middle + 10, size=10, color=color),
        )

    def svg(self) -> str:
        """Return the box as SVG."""
        x, y, w, h = self.rect
        inner = Rect(x + 4, y + 4, w - 8, h - 8) if self.double else self.rect
        outer = _rect(self.rect, f"{self.color}-line card") if self.double else ""
        border = _rect(inner, f"{self.color}{' now' if self.current else ''}")
        return f"<g>{_title(self.tip)}{outer}{border}{''.join(label.svg() for label in self.labels)}</g>"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame around boxes, or the background of a text; `fill` and `line` are classes of colours."""

    rect: Rect
    fill: str
    line: str = ""
    dashed: bool = False

    def svg(self) -> str:
        """Return the frame as SVG."""
        more = 'stroke-dasharray="5 4"' if self.dashed else "" if self.line else 'style="stroke:none"'
        return _rect(self.rect, f"{self.fill} {self.line}".rstrip(), more)


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow along a route, with its label.

    Attributes:
        tail: the name of the state or group that it leaves.
        head: the name of the state or group that it enters, which gives the colour.
        route: its way.
        label: its text.
        faint: whether it only shows that there is a way.
    """

    tail: str
    head: str
    route: Route
    label: Label | None = None
    faint: bool = False

    def svg(self) -> str:
        """Return the line with its head as SVG; the label apart covers no line."""
        kind = kind_of(self.head).name.lower()
        opacity = ' opacity=".35"' if self.faint else ""
        return (
            f'<path class="{kind}-line" d="{_path(self.route.points)}" fill="none" stroke-width="1.5" '
            f'marker-end="url(#fsm-{kind})"{opacity}/>'
        )


@dataclass
class Canvas:
    """Everything in a picture, in the order of drawing."""

    title: str
    size: tuple[float, float]
    fingerprint: str
    frames: list[Frame] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    rules: list[Rect] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def to_svg(self) -> str:
        """Return the picture as an SVG element."""
        w, h = (f"{length:g}" for length in self.size)
        heads = "".join(
            f'<marker id="fsm-{kind.name.lower()}" viewBox="0 0 10 8" refX="1" refY="4" markerWidth="10" markerHeight="8" '
            f'markerUnits="userSpaceOnUse" orient="auto"><path class="{kind.name.lower()}-text" d="M0 0L10 4L0 8z"/></marker>'
            for kind in StateKind
        )
        texts = [*(edge.label for edge in self.edges if edge.label), *self.labels]
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fsm" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
            f'aria-label="{escape(self.title)}; table {self.fingerprint}">',
            f"<style>{css()}</style><defs>{heads}</defs>",
            f'<rect class="paper" width="{w}" height="{h}" rx="8"/>',
            *(frame.svg() for frame in self.frames),
            *(edge.svg() for edge in self.edges),
            *(box.svg() for box in self.boxes),
            *(f'<path class="hair" d="M{rule.x:g} {rule.y:g}h{rule.w:g}"/>' for rule in self.rules),
            *(text.svg() for text in texts),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"


def _rect(rect: Rect, classes: str, more: str = "") -> str:
    x, y, w, h = rect
    return f'<rect class="{classes}" x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{min(10, h / 3):g}" {more}/>'


def _title(tip: str) -> str:
    return f"<title>{escape(tip)}</title>" if tip else ""


def _path(points: tuple[Point, ...]) -> str:
    """Return a line with rounded corners, which ends where the arrow's head begins."""
    (x, y), *corners = points
    text, before = f"M{x:g} {y:g}", (x, y)
    for corner, after in pairwise(corners):
        x, y = _short_of(before, corner, _BEND)
        to_x, to_y = _short_of(after, corner, _BEND)
        text += f"L{x:g} {y:g}Q{corner[0]:g} {corner[1]:g} {to_x:g} {to_y:g}"
        before = corner
    x, y = _short_of(before, corners[-1], _HEAD)
    return f"{text}L{x:g} {y:g}"


def _short_of(start: Point, end: Point, by: float) -> Point:
    (x, y), (to_x, to_y) = start, end
    return (to_x - copysign(by, to_x - x), to_y) if y == to_y else (to_x, to_y - copysign(by, to_y - y))
