"""The parts that pictures share: a state's box, an arrow with its words, the legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.diagram.canvas import Box, Edge, Label, Rect
from realtime_fsm.diagram.route import route
from realtime_fsm.diagram.style import CURRENT_STATE_COLOR, INK, PAINTS, PAPER, SOFT, text_width, wrapped
from realtime_fsm.fsm.descriptions import STATES, StateKind
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from realtime_fsm.diagram.arrows import StateGroup
    from realtime_fsm.diagram.canvas import Canvas
    from realtime_fsm.diagram.route import Route
    from realtime_fsm.diagram.style import Style

_SMALL = 10


def paint_of(name: str) -> Style:
    """The colours of a state, or of a group of states."""
    return PAINTS[STATES[State(name)].group] if name in set(State) else PAINTS[StateKind.LIVE]


def state_box(state: State, rect: Rect, *, current: State | None = None, size: float = 13, name: str | None = None) -> Box:
    """The box of a state; where the connection stands, it has a ring."""
    paint, meaning = paint_of(state), STATES[state]
    here = state == current
    return Box(
        name or state.value,
        rect,
        f"{state}\nnow" if here else state.value,
        paint.fill,
        CURRENT_STATE_COLOR if here else paint.line,
        paint.text_color,
        4.0 if here else paint.line_width,
        size,
        bold=True,
        double=meaning.group is StateKind.END,
        link=f"states.md#{state}",
        tip=meaning.brief,
    )


def edge_label(route: Route, words: tuple[str, ...], color: str, room: float) -> Label:
    """The words of an arrow, beside it."""
    x, y = route.label
    calls = tuple(word for word in words if word.endswith("()"))
    happenings = tuple(word for word in words if word not in calls)
    lines = wrapped(happenings, " · ", room, _SMALL) + wrapped(calls, " · ", room, _SMALL)
    match route.side:
        case "above":
            return Label(lines, x, y - 4, "center", "above", _SMALL, color)
        case "below":
            return Label(lines, x, y + 4, "center", "below", _SMALL, color)
        case "right":
            return Label(lines, x + 7, y, "left", "middle", _SMALL, color)
        case _:
            return Label(lines, x - 7, y, "right", "middle", _SMALL, color)


def make_edge(
    tail: str, head: str, route: Route, groups: dict[str, StateGroup], words: tuple[str, ...] = (), room: float = 0
) -> Edge:
    """The arrow between two places; one that leaves or enters a frame is tied to a state in it."""
    paint = paint_of(head)
    ends = [groups[name].members[0].value if name in groups else name for name in (tail, head)]
    return Edge(
        ends[0], ends[1], route, paint.line, edge_label(route, words, paint.line, room) if words else None,
        tail if tail in groups else None, head if head in groups else None,
    )  # fmt: skip


def legend(x: float, y: float, room: float, size: float = 9) -> tuple[list[Box], list[Label]]:
    """What the colours mean, in lines of at most `room`, and how to tell whose doing an arrow is."""
    boxes, texts, at, unit = [], [], x, size / 9
    for number, (group, paint) in enumerate(PAINTS.items(), 1):
        w = text_width(group, size) + 38 * unit
        if at + w - 16 * unit > x + room:
            at, y = x, y + 17 * unit
        swatch = Rect(at, y, 16 * unit, 11 * unit)
        boxes.append(Box(f"legend{number}", swatch, "", paint.fill, paint.line, heavy=min(paint.line_width, 2.0)))
        texts.append(Label((group,), at + 22 * unit, y + 5.5 * unit, "left", "middle", size, INK))
        at += w
    hint = "call() = your doing; the rest comes from the server, the network or the clock"
    texts.append(Label((hint,), x, y + 24 * unit, "left", "middle", size, SOFT))
    return boxes, texts


def start_mark(canvas: Canvas, rect: Rect, beginning: str, place: Rect) -> None:
    """The dot where everything begins, with its arrow."""
    canvas.boxes.append(Box("start", rect, "", INK, INK, style="filled", shape="circle"))
    canvas.notes.append(Label(("start",), rect.right + 6, rect.cy, "left", "middle", 9, SOFT))
    canvas.edges.append(make_edge("start", beginning, route(rect.grown(8), place, (), paired=False), {}))


def group_placeholder(name: str, text: str, rect: Rect) -> Box:
    """A place that stands for many states."""
    return Box(name, rect, text, PAPER, SOFT, SOFT, 1.2, 11, "rounded,filled,dashed")
