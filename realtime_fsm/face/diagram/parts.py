"""The parts that pictures share: a state's box, an arrow with its words, the legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.face.diagram.look import INK, NOW, PAINTS, PAPER, SOFT, width_of, wrapped
from realtime_fsm.face.diagram.route import route
from realtime_fsm.face.diagram.sheet import Box, Rect, Text, Wire
from realtime_fsm.vocabulary.meanings import STATES, Group
from realtime_fsm.vocabulary.table import State

if TYPE_CHECKING:
    from realtime_fsm.face.diagram.arrows import Flock
    from realtime_fsm.face.diagram.look import Paint
    from realtime_fsm.face.diagram.route import Route
    from realtime_fsm.face.diagram.sheet import Sheet

_SMALL = 10


def paint_of(name: str) -> Paint:
    """The colours of a state, or of a group of states."""
    return PAINTS[STATES[State(name)].group] if name in set(State) else PAINTS[Group.LIVE]


def state_box(state: State, rect: Rect, *, current: State | None = None, size: float = 13, name: str | None = None) -> Box:
    """The box of a state; where the connection stands, it has a ring."""
    paint, meaning = paint_of(state), STATES[state]
    here = state == current
    return Box(
        name or state.value,
        rect,
        f"{state}\nnow" if here else state.value,
        paint.fill,
        NOW if here else paint.line,
        paint.ink,
        4.0 if here else paint.heavy,
        size,
        bold=True,
        double=meaning.group is Group.END,
        link=f"states.md#{state}",
        tip=meaning.brief,
    )


def words_on(route: Route, words: tuple[str, ...], color: str, room: float) -> Text:
    """The words of an arrow, beside it."""
    x, y = route.label
    calls = tuple(word for word in words if word.endswith("()"))
    happenings = tuple(word for word in words if word not in calls)
    lines = wrapped(happenings, " · ", room, _SMALL) + wrapped(calls, " · ", room, _SMALL)
    match route.side:
        case "above":
            return Text(lines, x, y - 4, "center", "above", _SMALL, color)
        case "below":
            return Text(lines, x, y + 4, "center", "below", _SMALL, color)
        case "right":
            return Text(lines, x + 7, y, "left", "middle", _SMALL, color)
        case _:
            return Text(lines, x - 7, y, "right", "middle", _SMALL, color)


def wire_for(tail: str, head: str, route: Route, groups: dict[str, Flock], words: tuple[str, ...] = (), room: float = 0) -> Wire:
    """The arrow between two places; one that leaves or enters a frame is tied to a state in it."""
    paint = paint_of(head)
    ends = [groups[name].members[0].value if name in groups else name for name in (tail, head)]
    return Wire(
        ends[0], ends[1], route, paint.line, words_on(route, words, paint.line, room) if words else None,
        tail if tail in groups else None, head if head in groups else None,
    )  # fmt: skip


def legend(x: float, y: float, room: float, size: float = 9) -> tuple[list[Box], list[Text]]:
    """What the colours mean, in lines of at most `room`, and how to tell whose doing an arrow is."""
    boxes, texts, at, unit = [], [], x, size / 9
    for number, (group, paint) in enumerate(PAINTS.items(), 1):
        w = width_of(group, size) + 38 * unit
        if at + w - 16 * unit > x + room:
            at, y = x, y + 17 * unit
        swatch = Rect(at, y, 16 * unit, 11 * unit)
        boxes.append(Box(f"legend{number}", swatch, "", paint.fill, paint.line, heavy=min(paint.heavy, 2.0)))
        texts.append(Text((group,), at + 22 * unit, y + 5.5 * unit, "left", "middle", size, INK))
        at += w
    hint = "call() = your doing; the rest comes from the server, the network or the clock"
    texts.append(Text((hint,), x, y + 24 * unit, "left", "middle", size, SOFT))
    return boxes, texts


def start_mark(sheet: Sheet, rect: Rect, beginning: str, place: Rect) -> None:
    """The dot where everything begins, with its arrow."""
    sheet.boxes.append(Box("start", rect, "", INK, INK, style="filled", shape="circle"))
    sheet.notes.append(Text(("start",), rect.right + 6, rect.cy, "left", "middle", 9, SOFT))
    sheet.wires.append(wire_for("start", beginning, route(rect.grown(8), place, (), paired=False), {}))


def ghost(name: str, text: str, rect: Rect) -> Box:
    """A place that stands for many states."""
    return Box(name, rect, text, PAPER, SOFT, SOFT, 1.2, 11, "rounded,filled,dashed")
