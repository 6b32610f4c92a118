"""A picture as SVG: boxes, frames, arrows, hairlines and labels at their places in points, y downwards.

Design: this package places everything, so that a picture is the same in README, notebook and audit, and needs no Graphviz.
Colours are classes of one style sheet, so that the picture follows the page from light to dark. A tip is a longer text, which a
browser shows when the pointer rests on a part.
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
    """Lines of text at a point; `align` and `valign` place the text, and `color` is a class of the style sheet."""

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
        """The greatest area that the text may need."""
        w = max(text_width(line, self.size, bold=self.bold) for line in self.lines)
        h = len(self.lines) * self.size * LEADING
        x = {"left": self.x, "center": self.x - w / 2, "right": self.x - w}[self.align]
        y = {"above": self.y - h, "middle": self.y - h / 2, "below": self.y}[self.valign]
        return Rect(x, y, w, h)

    def svg(self) -> str:
        """Return an SVG element for each line."""
        weight = ' font-weight="bold"' if self.bold else ""
        style = f'class="{self.color}" font-size="{self.size:g}"{weight} text-anchor="{_ANCHORS[self.align]}"'
        first, step = self.rect.y + self.size * 0.98, self.size * LEADING
        lines = "".join(
            f'<text x="{self.x:g}" y="{first + step * number:.1f}" {style}>{escape(line)}</text>'
            for number, line in enumerate(self.lines)
        )
        return f"<g>{_title(self.tip)}{lines}</g>" if self.tip else lines


@dataclass(frozen=True, slots=True)
class Box:
    """A rounded box with a bold text and a small note below it; a thick border marks the current state."""

    name: str
    rect: Rect
    text: str
    color: str
    note: str = ""
    tip: str = ""
    current: bool = False
    double: bool = False

    @property
    def labels(self) -> tuple[Label, ...]:
        """The texts in the box."""
        x, y, color = self.rect.cx, self.rect.cy, f"{self.color}-name"
        text = Label((self.text,), x, y - 7 if self.note else y, size=14, color=color, bold=True)
        note = Label((self.note,), x, y + 10, size=10, color=color)
        return tuple(label for label in (text, note) if label.lines[0])

    def svg(self) -> str:
        """Return the box as SVG."""
        x, y, w, h = self.rect
        inner = Rect(x + 4, y + 4, w - 8, h - 8) if self.double else self.rect
        outer = _rect(self.rect, f"{self.color}-line card") if self.double else ""
        border = _rect(inner, f"{self.color}{' now' if self.current else ''}")
        return f"<g>{_title(self.tip)}{outer}{border}{''.join(label.svg() for label in self.labels)}</g>"


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame around boxes; without a `line` it is the background of a text. `fill` and `line` are classes of the style sheet."""

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
    """An arrow with its label, in the colour of the state or group that it enters. A faint arrow has no label."""

    tail: str
    head: str
    route: Route
    label: Label | None = None
    faint: bool = False

    def svg(self) -> str:
        """Return the line with its head as SVG. The canvas draws the label later, so that no line covers it."""
        kind = kind_of(self.head).key
        opacity = ' opacity=".35"' if self.faint else ""
        return (
            f'<path class="{kind}-line" d="{_path(self.route.points)}" fill="none" stroke-width="1.5" '
            f'marker-end="url(#fsm-{kind})"{opacity}/>'
        )


@dataclass
class Canvas:
    """All parts of a picture, in the order of drawing."""

    title: str
    size: tuple[float, float]
    fingerprint: str
    frames: list[Frame] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    hairlines: list[Rect] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)

    def add_title(self) -> None:
        """Add the title, and the fingerprint of the table at the right edge."""
        self.labels.append(Label((self.title,), 20, 30, "left", size=18, bold=True))
        table = f"realtime_fsm · table {self.fingerprint}"
        self.labels.append(Label((table,), self.size[0] - 20, 30, "right", size=10, color="soft"))

    def to_svg(self) -> str:
        """Return the picture as an SVG element."""
        w, h = (f"{length:g}" for length in self.size)
        heads = "".join(
            f'<marker id="fsm-{kind.key}" viewBox="0 0 10 8" refX="1" refY="4" markerWidth="10" markerHeight="8" '
            f'markerUnits="userSpaceOnUse" orient="auto"><path class="{kind.key}-text" d="M0 0L10 4L0 8z"/></marker>'
            for kind in StateKind
        )
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="fsm" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" '
            f'aria-label="{escape(self.title)}; table {self.fingerprint}">',
            f"<style>{css()}</style><defs>{heads}</defs>",
            f'<rect class="paper" width="{w}" height="{h}" rx="8"/>',
            *(frame.svg() for frame in self.frames),
            *(edge.svg() for edge in self.edges),
            *(box.svg() for box in self.boxes),
            *(f'<path class="hair" d="M{line.x:g} {line.y:g}h{line.w:g}"/>' for line in self.hairlines),
            *(edge.label.svg() for edge in self.edges if edge.label),
            *(label.svg() for label in self.labels),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"


def _rect(rect: Rect, classes: str, more: str = "") -> str:
    x, y, w, h = rect
    return f'<rect class="{classes}" x="{x:g}" y="{y:g}" width="{w:g}" height="{h:g}" rx="{min(10, h / 3):g}" {more}/>'


def _title(tip: str) -> str:
    return f"<title>{escape(tip)}</title>" if tip else ""


def _path(points: tuple[Point, ...]) -> str:
    """Return a line with rounded corners, which ends where the head of the arrow begins."""
    before, *corners = points
    text = f"M{before[0]:g} {before[1]:g}"
    for corner, after in pairwise(corners):
        (x, y), (to_x, to_y) = _short_of(before, corner, _BEND), _short_of(after, corner, _BEND)
        text += f"L{x:g} {y:g}Q{corner[0]:g} {corner[1]:g} {to_x:g} {to_y:g}"
        before = corner
    x, y = _short_of(before, corners[-1], _HEAD)
    return f"{text}L{x:g} {y:g}"


def _short_of(start: Point, end: Point, by: float) -> Point:
    (x, y), (to_x, to_y) = start, end
    return (to_x - copysign(by, to_x - x), to_y) if y == to_y else (to_x, to_y - copysign(by, to_y - y))
