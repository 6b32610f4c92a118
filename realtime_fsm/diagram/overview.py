"""The overview: the eight states, and one arrow between each two of them. README, notebooks and the audit show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.diagram.arrows import merged_arrows, state_groups
from realtime_fsm.diagram.canvas import Box, Canvas, Edge, Frame, Label
from realtime_fsm.diagram.route import Rect, Route, route
from realtime_fsm.diagram.style import kind_of, text_width, wrapped
from realtime_fsm.fsm.descriptions import STATES, StateKind
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from realtime_fsm.diagram.arrows import Arrow, StateTable
    from realtime_fsm.diagram.canvas import Align, Valign
    from realtime_fsm.diagram.route import Side

WIDTH, HEIGHT = 900, 774
LABEL_SIZE = 11.0
_SIZE, _MARGIN = (128, 44), 20
_PLACES = {
    State.PING: (36, 194),
    State.CONNECTED: (346, 130),
    State.SUBSCRIBED: (668, 130),
    State.UNSUBSCRIBED: (668, 258),
    State.DISCONNECTED: (36, 536),
    State.RECONNECTING: (346, 536),
    State.ERROR: (650, 536),
    State.DISPOSING: (748, 704),
}
_GROUPS = {"live": Rect(20, 60, 860, 282), "live_except_ping": Rect(330, 92, 534, 234), "any": Rect(520, 708, 96, 36)}
_BESIDE: dict[Side, tuple[float, float, Align, Valign]] = {
    "above": (0, -4, "center", "above"),
    "below": (0, 4, "center", "below"),
    "left": (-7, 0, "right", "middle"),
    "right": (7, 0, "left", "middle"),
}
"""The place and alignment of a label beside a point of its arrow."""
_ROOM, _LEFT_ROOM = 176.0, 104.0
"""The greatest width of a label on the right and on the left of a vertical arrow."""


@dataclass(frozen=True, slots=True)
class Caption:
    """The text of an arrow, or the note of a state."""

    parts: tuple[str, ...]  # the parts of the text, which a picture joins to lines
    tip: str  # a longer text, which a browser shows at the pointer


def plain_caption(arrow: Arrow) -> Caption:
    """Return the causes of an arrow, with its transition rules as the tip."""
    return Caption(arrow.labels, ", ".join(row.id for row in arrow.rows))


def overview(
    table: StateTable,
    current: State | None = None,
    caption: Callable[[Arrow], Caption] = plain_caption,
    notes: Mapping[State, Caption] | None = None,
) -> Canvas:
    """Draw the overview, with the state `current` marked.

    `caption` gives the text of each arrow; an arrow with an empty text is faint. `notes` has the texts below the names of the
    states; by default the meaning of each.
    """
    canvas = Canvas("The states of a connection", (WIDTH, HEIGHT), table.fingerprint)
    labels = {group.name: group.label for group in state_groups(table)}
    places = {state.value: Rect(*at, *_SIZE) for state, at in _PLACES.items()} | _GROUPS
    frames = places["live"], places["live_except_ping"]
    canvas.frames = [Frame(frames[0], "live-tint", "live-line"), Frame(frames[1], "card", "live-line", dashed=True)]
    for state in table.states:
        note = (notes or {}).get(state, Caption((), STATES[state].brief))
        canvas.boxes.append(state_box(state, places[state], note=" ".join(note.parts), tip=note.tip, current=current))

    arrows = merged_arrows(table)
    for arrow in arrows:
        tail, head = places[arrow.tail], places[arrow.head]
        if "any" in (arrow.tail, arrow.head):
            canvas.frames.append(Frame(places["any"], "paper", "rest-line", dashed=True))
            canvas.labels.append(Label((labels["any"],), places["any"].cx, places["any"].cy, color="soft"))
        # An arrow of a group may run back along an arrow of a member, whose box overlaps the frame of the group.
        paired = any(tail.overlaps(places[back.head]) and head.overlaps(places[back.tail]) for back in arrows)
        others = [box.rect for box in canvas.boxes if not box.rect.overlaps(tail) and not box.rect.overlaps(head)]
        way = route(tail, head, others, paired=paired)
        label = Rect(*way.label, 0, 0)
        around = [frame.right for frame in frames if frame.overlaps(label)]
        canvas.edges.append(make_edge(arrow, way, caption(arrow), min(around, default=WIDTH - _MARGIN) - label.x - 12))

    _add_start(canvas, places[table.initial], table.initial)
    _add_titles(canvas, labels)
    return canvas


def state_box(state: State, rect: Rect, *, note: str = "", tip: str = "", current: State | None = None) -> Box:
    """Return the box of a state; a thick border marks the state where a connection is."""
    kind, here = STATES[state].kind, state == current
    return Box(state.value, rect, state.value, kind.key, "now" if here else note, tip, here, double=kind is StateKind.END)


def make_edge(arrow: Arrow, way: Route, caption: Caption, right: float = _ROOM) -> Edge:
    """Return an arrow with its label beside it; `right` is the space on the right of a vertical arrow."""
    if not caption.parts:
        return Edge(arrow.tail, arrow.head, way, faint=True)
    (x, y), side = way.label, way.side
    room = {"left": _LEFT_ROOM, "right": min(_ROOM, right)}.get(side) or label_room(max(leg.w for leg in way.legs()))
    lines = label_lines(caption, room)
    color = f"{kind_of(arrow.head).key}-text"
    dx, dy, align, valign = _BESIDE[side]
    return Edge(arrow.tail, arrow.head, way, Label(lines, x + dx, y + dy, align, valign, LABEL_SIZE, color, tip=caption.tip))


def label_room(length: float) -> float:
    """Return the greatest width of a label on a horizontal arrow: the start and the head of the arrow stay free."""
    return length - 14


def label_lines(caption: Caption, room: float) -> tuple[str, ...]:
    """Return the lines of a label: the calls of a user apart from the other causes."""
    calls = tuple(part for part in caption.parts if part.endswith("()"))
    causes = tuple(part for part in caption.parts if part not in calls)
    return wrapped(causes, " · ", room, LABEL_SIZE) + wrapped(calls, " · ", room, LABEL_SIZE)


def _add_start(canvas: Canvas, place: Rect, initial: State) -> None:
    dot = Rect(place.x + 16, place.bottom + 30, 10, 10)
    top = (dot.cx, dot.y)
    canvas.boxes.append(Box("start", dot, "", "end"))
    canvas.labels.append(Label(("start",), dot.right + 6, dot.cy, "left", color="soft", size=10))
    canvas.edges.append(Edge("start", initial, Route((top, (dot.cx, place.bottom)), top, "right")))


def _add_titles(canvas: Canvas, labels: Mapping[str, str]) -> None:
    canvas.add_title()
    for name, size in (("live", 12), ("live_except_ping", 10)):
        x, y = _GROUPS[name][:2]
        canvas.labels.append(Label((labels[name],), x + 14, y + 15, "left", size=size, color="live-text", bold=size > 10))
    x, y = float(_MARGIN), 708.0
    for kind in StateKind:
        width = 22 + text_width(kind, 10) + 18
        if x + width > _GROUPS["any"].x:
            x, y = float(_MARGIN), y + 20
        canvas.boxes.append(Box(f"legend {kind}", Rect(x, y - 6, 16, 12), "", kind.key))
        canvas.labels.append(Label((kind,), x + 22, y, "left", size=10))
        x += width
    hint = "call() = you call it; all else comes from the server, the network or the clock"
    canvas.labels.append(Label((hint,), _MARGIN, y + 22, "left", size=10, color="soft"))
