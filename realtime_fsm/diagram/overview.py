"""The overview: eight states on one screen, one arrow for each pair of places."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.diagram.arrows import merged_arrows, state_groups
from realtime_fsm.diagram.canvas import Canvas, Frame, Label, Rect
from realtime_fsm.diagram.route import route
from realtime_fsm.diagram.shapes import group_placeholder, legend, make_edge, start_mark, state_box
from realtime_fsm.diagram.style import INK, PAINTS, SOFT
from realtime_fsm.fsm.descriptions import StateKind
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from realtime_fsm.diagram.arrows import StateTable

_WIDTH, _HEIGHT = 812, 572
_BOX = (104, 38)
_PLACES = {
    State.PING: (40, 182),
    State.CONNECTED: (268, 182),
    State.SUBSCRIBED: (458, 182),
    State.UNSUBSCRIBED: (648, 182),
    State.DISCONNECTED: (40, 410),
    State.RECONNECTING: (268, 410),
    State.ERROR: (572, 410),
    State.DISPOSING: (684, 508),
}
_LIVE, _SETTLED, _ANY = Rect(24, 66, 764, 228), Rect(252, 92, 518, 188), Rect(496, 512, 84, 30)
_ROOM = {
    ("disconnected", "reconnecting"): 114.0,
    ("live", "reconnecting"): 270.0,
    ("live", "disconnected"): 140.0,
    ("error", "reconnecting"): 200.0,
}
_START = Rect(61, 478, 10, 10)


def overview(table: StateTable, current: State | None) -> Canvas:
    """Draw it.

    Args:
        table: the table.
        current: the state to be marked as the one where a connection stands.

    Returns:
        The sheet.
    """
    canvas = Canvas("realtime_fsm: the states of a connection", (_WIDTH, _HEIGHT), table.fingerprint)
    groups = {group.name: group for group in state_groups(table)}
    places: dict[str, Rect] = {state.value: Rect(*at, *_BOX) for state, at in _PLACES.items()}
    places |= {"live": _LIVE, "settled": _SETTLED, "any": _ANY}
    canvas.boxes = [state_box(state, places[state], current=current) for state in table.states]
    canvas.frames = [_frame("live", _LIVE, groups["live"].members), _frame("settled", _SETTLED, groups["settled"].members)]

    arrows = merged_arrows(table, tuple(groups.values()))
    framed = {name: groups[name] for name in ("live", "settled")}
    if any("any" in (arrow.tail, arrow.head) for arrow in arrows):
        canvas.boxes.append(group_placeholder("any", groups["any"].label, _ANY))
    inside = {name: {name, *(state.value for state in framed[name].members)} if name in framed else {name} for name in places}
    run = {(arrow.tail, arrow.head) for arrow in arrows}
    for arrow in arrows:
        kin = {(head, tail) for tail in _related(arrow.tail, inside) for head in _related(arrow.head, inside)}
        others = [places[state] for state in table.states if state not in inside[arrow.tail] | inside[arrow.head]]
        way = route(places[arrow.tail], places[arrow.head], others, paired=bool(kin & run))
        room = _ROOM.get((arrow.tail, arrow.head), 110.0)
        canvas.edges.append(make_edge(arrow.tail, arrow.head, way, framed, arrow.words, room))

    start_mark(canvas, _START, table.initial, places[table.initial])
    _add_titles(canvas, table)
    return canvas


def _frame(name: str, rect: Rect, members: tuple[State, ...]) -> Frame:
    paint = PAINTS[StateKind.LIVE]
    fill, style = (paint.tint, "rounded,filled") if name == "live" else ("#FFFFFF", "rounded,filled,dashed")
    return Frame(name, rect, fill, paint.line, style, tuple(state.value for state in members), None)


def _related(place: str, inside: dict[str, set[str]]) -> set[str]:
    return inside[place] | {name for name, members in inside.items() if place in members}


def _add_titles(canvas: Canvas, table: StateTable) -> None:
    live = PAINTS[StateKind.LIVE]
    canvas.notes += [
        Label(("The states of a connection",), 24, 30, "left", "middle", 17, INK, bold=True),
        Label((f"realtime_fsm · table {table.fingerprint}",), _WIDTH - 24, 30, "right", "middle", 9, SOFT),
        Label(("live: the link is up",), _LIVE.x + 14, _LIVE.y + 15, "left", "middle", 11, live.line, bold=True),
        Label(("between heartbeats",), _SETTLED.x + 14, _SETTLED.y + 14, "left", "middle", 9.5, live.line),
    ]
    boxes, texts = legend(24, 516, 440)
    canvas.boxes += boxes
    canvas.notes += texts
