"""A sheet: where everything of a picture stands, in points, y downwards; and how it is said in DOT.

The places are worked out here and not by Graphviz, so that the pictures are composed and do not jump when a row is added.
`layout=nop2` in the text makes Graphviz keep them; where it is older or another engine is asked for, it lays out by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Literal, NamedTuple

from realtime_fsm.diagram.style import CARD, FONT, HAIR, INK, PAPER, text_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.diagram.route import Route

Align = Literal["left", "center", "right"]
_LEADING = 1.28


class Rect(NamedTuple):
    """A rectangle by its top left corner, its width and its height."""

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

    def grown(self, by: float) -> Rect:
        """The same with a margin."""
        return Rect(self.x - by, self.y - by, self.w + 2 * by, self.h + 2 * by)

    def overlaps(self, other: Rect) -> bool:
        """Whether they overlap."""
        return self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom


@dataclass(frozen=True, slots=True)
class Label:
    """Lines of text at a place: `x` is its left edge, middle or right edge; `y` is its middle, or its top or bottom edge."""

    lines: tuple[str, ...]
    x: float
    y: float
    align: Align = "center"
    valign: Literal["above", "middle", "below"] = "middle"
    size: float = 10
    color: str = INK
    bold: bool = False

    @property
    def rect(self) -> Rect:
        """The room that it takes, about."""
        w = max(text_width(line, self.size) for line in self.lines) * (1.12 if self.bold else 1.05)
        h = len(self.lines) * self.size * _LEADING
        x = {"left": self.x, "center": self.x - w / 2, "right": self.x - w}[self.align]
        y = {"above": self.y - h, "middle": self.y - h / 2, "below": self.y}[self.valign]
        return Rect(x, y, w, h)


@dataclass(frozen=True, slots=True)
class Box:
    """A rounded box with a text in its middle."""

    name: str
    rect: Rect
    text: str = ""
    fill: str = CARD
    line: str = HAIR
    ink: str = INK
    heavy: float = 1.2
    size: float = 13
    style: str = "rounded,filled"
    bold: bool = False
    double: bool = False
    shape: str = "box"
    link: str | None = None
    tip: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame around boxes: a cluster of the graph."""

    name: str
    rect: Rect
    fill: str
    line: str
    style: str
    members: tuple[str, ...]
    text: Label | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow along a route, with its words."""

    tail: str
    head: str
    route: Route
    line: str
    text: Label | None = None
    tail_frame: str | None = None
    head_frame: str | None = None

    def between(self, tail: str, head: str) -> Edge:
        """The same between boxes of other names."""
        return replace(self, tail=tail, head=head)


@dataclass(frozen=True, slots=True)
class Html:
    """A table, in Graphviz's HTML-like text, by its rectangle."""

    name: str
    rect: Rect
    html: str


@dataclass
class Canvas:
    """Everything on it, in the order of drawing."""

    title: str
    size: tuple[float, float]
    fingerprint: str
    frames: list[Frame] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    tables: list[Html] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    notes: list[Label] = field(default_factory=list)

    def to_dot(self) -> str:
        """The sheet in DOT."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        w, h = self.size
        yield f"// {self.title}; drawn from the table {self.fingerprint}. Render: dot -Tsvg"
        yield f"digraph {_quoted(self.title)} {{"
        yield (
            f'  graph [layout=nop2, bgcolor="{PAPER}", pad=0, margin=0, outputorder=nodesfirst, compound=true, rankdir=LR,'
            f' fontname="{FONT}", tooltip=" "];'
        )
        yield f'  node [fontname="{FONT}", shape=box, fixedsize=true, label="", tooltip=" "];'
        yield f'  edge [fontname="{FONT}", penwidth=1.4, arrowsize=0.75, tooltip=" "];'
        yield f'  subgraph "cluster_page" {{ graph [style="filled", color="{PAPER}", fillcolor="{PAPER}", bb="0,0,{w:g},{h:g}"];'
        yield from self._frame_lines(self.frames)
        inside = {name for frame in self.frames for name in frame.members}
        yield from (f"  {self._box(box)}" for box in self.boxes if box.name not in inside)
        yield from (
            f'  "{table.name}" [shape=plain, fixedsize=false, {self._place(table.rect, sized=False)}, label=<{table.html}>];'
            for table in self.tables
        )
        texts = [*(frame.text for frame in self.frames if frame.text), *self.notes]
        yield from (f'  "text{number}" [shape=plain, {self._note(text)}];' for number, text in enumerate(texts, 1))
        yield "  }"
        yield from (f"  {self._wire(wire)}" for wire in self.edges)
        yield "}"

    def _frame_lines(self, frames: list[Frame]) -> Iterator[str]:
        """Frames stand widest first; each is written around the next, and a box in the innermost that has it."""
        written: set[str] = set()
        for depth, frame in enumerate(frames, 1):
            x, y, w, h = frame.rect
            yield (
                f'{"  " * depth}subgraph "cluster_{frame.name}" {{ graph [style="{frame.style}", color="{frame.line}",'
                f' fillcolor="{frame.fill}", bb="{x:g},{self._up(y + h):g},{x + w:g},{self._up(y):g}"];'
            )
        for depth, frame in reversed(list(enumerate(frames, 1))):
            for box in self.boxes:
                if box.name in frame.members and box.name not in written:
                    written.add(box.name)
                    yield f"{'  ' * (depth + 1)}{self._box(box)}"
            yield f"{'  ' * depth}}}"

    def _box(self, box: Box) -> str:
        more, rect = (", peripheries=2", box.rect.grown(-4)) if box.double else ("", box.rect)
        if box.shape != "box":
            more += f", shape={box.shape}"
        if box.link is not None:
            more += f', URL="{box.link}", target="_top"'
        if box.tip is not None:
            more += f", tooltip={_quoted(box.tip)}"
        label = _bold(box.text) if box.bold else _quoted(box.text)
        return (
            f'"{box.name}" [label={label}, style="{box.style}", fillcolor="{box.fill}", color="{box.line}",'
            f' fontcolor="{box.ink}", fontsize={box.size:g}, penwidth={box.heavy:g}, {self._place(rect)}{more}];'
        )

    def _wire(self, wire: Edge) -> str:
        points = " ".join(f"{x:g},{self._up(y):g}" for x, y in wire.route.points)
        tip_x, tip_y = wire.route.tip
        more = f', color="{wire.line}", pos="e,{tip_x:g},{self._up(tip_y):g} {points}"'
        more += "" if wire.tail_frame is None else f', ltail="cluster_{wire.tail_frame}"'
        more += "" if wire.head_frame is None else f', lhead="cluster_{wire.head_frame}"'
        if wire.text is not None:
            rect = wire.text.rect
            more += f', lp="{rect.cx:g},{self._up(rect.cy):g}", label=<{_html(wire.text)}>'
        return f'"{wire.tail}" -> "{wire.head}" [{more[2:]}];'

    def _note(self, text: Label) -> str:
        return f"fixedsize=false, {self._place(text.rect, sized=False)}, label=<{_html(text)}>"

    def _place(self, rect: Rect, *, sized: bool = True) -> str:
        size = f", width={rect.w / 72:.4f}, height={rect.h / 72:.4f}" if sized else ""
        return f'pos="{rect.cx:g},{self._up(rect.cy):g}"{size}'

    def _up(self, y: float) -> float:
        return round(self.size[1] - y, 3)


def _html(text: Label) -> str:
    side = text.align.upper()
    bold, end = ("<B>", "</B>") if text.bold else ("", "")
    lines = f'<BR ALIGN="{side}"/>'.join(bold + escape(line, quote=False) + end for line in text.lines)
    last = "" if text.align == "center" else f'<BR ALIGN="{side}"/>'
    rect = text.rect
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0"><TR><TD ALIGN="{side}" BALIGN="{side}"'
        f' WIDTH="{rect.w:.0f}"><FONT POINT-SIZE="{text.size:g}" COLOR="{text.color}">{lines}{last}</FONT></TD></TR></TABLE>'
    )


def _bold(text: str) -> str:
    name, _, note = text.partition("\n")
    return f"<<B>{escape(name)}</B>" + (f'<BR/><FONT POINT-SIZE="9">{escape(note)}</FONT>' if note else "") + ">"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
