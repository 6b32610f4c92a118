"""The overview: eight states on one screen, one arrow for each pair of places. README, notebooks and the audit show it."""

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

WIDTH, HEIGHT = 900, 724
LABEL_SIZE = 11.0
_SIZE, _MARGIN = (128, 44), 20
_PLACES = {
    State.PING: (36, 194),
    State.CONNECTED: (346, 130),
    State.SUBSCRIBED: (668, 130),
    State.UNSUBSCRIBED: (668, 258),
    State.DISCONNECTED: (36, 486),
    State.RECONNECTING: (346, 486),
    State.ERROR: (650, 486),
    State.DISPOSING: (748, 654),
}
_GROUPS = {"live": Rect(20, 60, 860, 282), "live_except_ping": Rect(330, 92, 534, 234), "any": Rect(520, 658, 96, 36)}
_BESIDE: dict[Side, tuple[float, float, Align, Valign]] = {
    "above": (0, -4, "center", "above"),
    "below": (0, 4, "center", "below"),
    "left": (-7, 0, "right", "middle"),
    "right": (7, 0, "left", "middle"),
}
"""The place of a label, from the point of the arrow that it is beside."""
_ROOM, _LEFT_ROOM = 236.0, 104.0
"""The widest labels on the right and on the left of an upright arrow."""


@dataclass(frozen=True, slots=True)
class Caption:
    """The text of an arrow or the note of a state.

    Attributes:
        parts: the texts of a label, joined in lines as wide as there is room.
        tip: a longer text for a pointer that rests on it.
    """

    parts: tuple[str, ...]
    tip: str


def plain_caption(arrow: Arrow) -> Caption:
    """Return the causes of an arrow, and its rows for a pointer."""
    return Caption(arrow.labels, ", ".join(row.id for row in arrow.rows))


def overview(
    table: StateTable,
    current: State | None = None,
    caption: Callable[[Arrow], Caption] = plain_caption,
    notes: Mapping[State, Caption] | None = None,
) -> Canvas:
    """Draw the overview.

    Args:
        table: the table.
        current: the state to be marked as the one where a connection is.
        caption: returns the text of an arrow; one without text is faint.
        notes: small second lines of states.
    """
    canvas = Canvas("The states of a connection", (WIDTH, HEIGHT), table.fingerprint)
    groups = {group.name: group for group in state_groups(table)}
    places = {state.value: Rect(*at, *_SIZE) for state, at in _PLACES.items()} | _GROUPS
    inside = {name: {name} for name in places}  # but the box "any state" stands apart from the states
    inside["live_except_ping"].update(groups["live_except_ping"].members)
    inside["live"].update(groups["live"].members, inside["live_except_ping"])
    frames = places["live"], places["live_except_ping"]
    canvas.frames = [Frame(frames[0], "live-tint", "live-line"), Frame(frames[1], "card", "live-line", dashed=True)]
    for state in table.states:
        note = (notes or {}).get(state, Caption((), STATES[state].brief))
        canvas.boxes.append(state_box(state, places[state], note=" ".join(note.parts), tip=note.tip, current=current))

    arrows = merged_arrows(table)
    pairs = {(arrow.tail, arrow.head) for arrow in arrows}
    for arrow in arrows:
        if "any" in (arrow.tail, arrow.head):
            canvas.frames.append(Frame(places["any"], "paper", "rest-line", dashed=True))
            canvas.labels.append(Label((groups["any"].label,), places["any"].cx, places["any"].cy, color="soft"))
        back = {(head, tail) for tail in _related(arrow.tail, inside) for head in _related(arrow.head, inside)}
        others = [places[state] for state in table.states if state not in inside[arrow.tail] | inside[arrow.head]]
        way = route(places[arrow.tail], places[arrow.head], others, paired=bool(back & pairs))
        x, y = way.label
        right = min(
            (rect.right for rect in frames if rect.x < x < rect.right and rect.y < y < rect.bottom), default=WIDTH - _MARGIN
        )
        canvas.edges.append(make_edge(arrow, way, caption(arrow), right - x - 12))

    _add_start(canvas, places[table.initial], table.initial)
    _add_titles(canvas, groups["live"].label, groups["live_except_ping"].label)
    return canvas


def _related(name: str, inside: Mapping[str, set[str]]) -> set[str]:
    return inside[name] | {group for group, members in inside.items() if name in members}


def state_box(state: State, rect: Rect, *, note: str = "", tip: str = "", current: State | None = None) -> Box:
    """Return the box of a state; a thick border marks the state where a connection is."""
    kind, here = STATES[state].group, state == current
    return Box(
        state.value, rect, state.value, kind.name.lower(), "now" if here else note, tip, here, double=kind is StateKind.END
    )


def make_edge(arrow: Arrow, way: Route, caption: Caption, right: float = 0) -> Edge:
    """Return an arrow with its label beside it; `right` is the space on the right of an upright arrow."""
    if not caption.parts:
        return Edge(arrow.tail, arrow.head, way, faint=True)
    (x, y), side = way.label, way.side
    room = {"left": _LEFT_ROOM, "right": min(_ROOM, right)}.get(side) or label_room(max(leg.w for leg in way.legs()))
    lines = label_lines(caption, room)
    color = f"{kind_of(arrow.head).name.lower()}-text"
    dx, dy, align, valign = _BESIDE[side]
    return Edge(arrow.tail, arrow.head, way, Label(lines, x + dx, y + dy, align, valign, LABEL_SIZE, color, tip=caption.tip))


def label_room(length: float) -> float:
    """Return the widest label of a level arrow: neither its start nor its head is below the text."""
    return length - 14


def label_lines(caption: Caption, room: float) -> tuple[str, ...]:
    """Return the lines of a label, the calls of a user apart from what happens."""
    calls = tuple(part for part in caption.parts if part.endswith("()"))
    causes = tuple(part for part in caption.parts if part not in calls)
    return wrapped(causes, " · ", room, LABEL_SIZE) + wrapped(calls, " · ", room, LABEL_SIZE)


def _add_start(canvas: Canvas, place: Rect, initial: State) -> None:
    dot = Rect(place.x + 16, place.bottom + 30, 10, 10)
    canvas.boxes.append(Box("start", dot, "", "end"))
    canvas.labels.append(Label(("start",), dot.right + 6, dot.cy, "left", color="soft", size=10))
    canvas.edges.append(Edge("start", initial, Route(((dot.cx, dot.y), (dot.cx, place.bottom)), (dot.cx, dot.y), "right")))


def _add_titles(canvas: Canvas, live: str, live_except_ping: str) -> None:
    outer, inner = _GROUPS["live"], _GROUPS["live_except_ping"]
    canvas.labels += [
        Label((canvas.title,), _MARGIN, 30, "left", size=18, bold=True),
        Label((f"realtime_fsm · table {canvas.fingerprint}",), WIDTH - _MARGIN, 30, "right", size=10, color="soft"),
        Label((live,), outer.x + 16, outer.y + 17, "left", size=12, color="live-text", bold=True),
        Label((live_except_ping,), inner.x + 14, inner.y + 14, "left", size=10, color="live-text"),
    ]
    x, y = float(_MARGIN), 658.0
    for kind in StateKind:
        width = 22 + text_width(kind, 10) + 18
        if x + width > _GROUPS["any"].x:
            x, y = float(_MARGIN), y + 20
        canvas.boxes.append(Box(f"legend {kind}", Rect(x, y - 6, 16, 12), "", kind.name.lower()))
        canvas.labels.append(Label((kind,), x + 22, y, "left", size=10))
        x += width
    hint = "call() = you call it; all else comes from the server, the network or the clock"
    canvas.labels.append(Label((hint,), _MARGIN, y + 22, "left", size=10, color="soft"))
