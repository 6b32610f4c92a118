"""The full picture: each row of the table, on a sheet with the shape of A-series paper, landscape."""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING

from realtime_fsm.diagram import card
from realtime_fsm.diagram.arrows import merged_arrows, state_groups
from realtime_fsm.diagram.canvas import Canvas, Frame, Label, Rect
from realtime_fsm.diagram.route import route
from realtime_fsm.diagram.shapes import group_placeholder, legend, make_edge, start_mark
from realtime_fsm.diagram.style import INK, PAINTS, SOFT
from realtime_fsm.fsm.descriptions import StateKind
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from realtime_fsm.diagram.arrows import StateTable

_EDGE, _HEAD, _PAD, _LABEL = 48.0, 124.0, 26.0, 34.0
_GAP, _GUTTER, _AISLE = 76.0, 190.0, 92.0
_LEFT = (State.DISCONNECTED, State.RECONNECTING, State.ERROR, State.DISPOSING)
_LIVE = ((State.CONNECTED, State.PING), (State.SUBSCRIBED, State.UNSUBSCRIBED))


def full_view(table: StateTable, current: State | None) -> Canvas:
    """Draw it.

    Args:
        table: the table.
        current: the state to be marked as the one where a connection stands.

    Returns:
        The sheet.
    """
    places, live, lowest = _places(table)
    w = live.right + _EDGE
    h = max(lowest + _EDGE + 20, w / sqrt(2))
    canvas = Canvas("realtime_fsm: every row of the table", (round(max(w, h * sqrt(2)), 1), round(h, 1)), table.fingerprint)
    green = PAINTS[StateKind.LIVE]
    live_group = state_groups(table)[1]
    canvas.frames.append(Frame("live", live, green.tint, green.line, "rounded,filled", tuple(live_group.members)))
    for state in table.states:
        card.draw(canvas, table, state, places[state], current)
    _connect(canvas, table, places | {"live": live})
    first = places[table.initial]
    start_mark(canvas, Rect(first.right - 70, first.y - 42, 10, 10), table.initial, first)
    canvas.notes += [
        Label(("Every row of the table",), _EDGE, 52, "left", "middle", 30, INK, bold=True),
        Label(
            (f"table {table.fingerprint} · {len(table.rows)} rows · {len(table.ignored)} ignored cells",),
            _EDGE, 84, "left", "middle", 13, SOFT,
        ),
        Label(("live: the link is up",), live.x + _PAD, live.y + 20, "left", "middle", 15, green.line, bold=True),
    ]  # fmt: skip
    boxes, texts = legend(live.x, 46, live.w, 13)
    canvas.boxes += boxes
    canvas.notes += texts
    return canvas


def _places(table: StateTable) -> tuple[dict[str, Rect], Rect, float]:
    """Where the cards stand, the frame of the live ones, and the lowest point."""
    places: dict[str, Rect] = {}
    tall = {state: card.height(table, state) for state in table.states}
    x = _EDGE + _GAP + card.WIDTH + _GUTTER
    top = _HEAD + _LABEL
    first, second = (max(tall[column[row]] for column in _LIVE) for row in (0, 1))
    for number, column in enumerate(_LIVE):
        left = x + _PAD + number * (card.WIDTH + _AISLE)
        places[column[0]] = Rect(left, top, card.WIDTH, tall[column[0]])
        places[column[1]] = Rect(left, top + first + _GAP, card.WIDTH, tall[column[1]])
    live = Rect(x, _HEAD, 2 * (card.WIDTH + _PAD) + _AISLE, _LABEL + first + _GAP + second + _PAD)
    spare = live.h - sum(tall[state] for state in _LEFT)
    y, gap = _HEAD, max(_GAP, spare / (len(_LEFT) - 1))
    for state in _LEFT:
        places[state] = Rect(_EDGE + _GAP, y, card.WIDTH, tall[state])
        y += tall[state] + gap
    return places, live, max(live.bottom, y - gap)


def _connect(canvas: Canvas, table: StateTable, places: dict[str, Rect]) -> None:
    any_, live, _ = state_groups(table)
    end = places[table.final]
    places = places | {"any": Rect(end.cx - 50, end.y - 66, 100, 30)}
    arrows = merged_arrows(table, (any_, live))
    run = {(arrow.tail, arrow.head) for arrow in arrows}
    for arrow in arrows:
        if "any" in (arrow.tail, arrow.head):
            canvas.boxes.append(group_placeholder("any", any_.label, places["any"]))
        ends = [live.name if name in live.members else name for name in (arrow.head, arrow.tail)]
        paired = (arrow.head, arrow.tail) in run or (ends[0], ends[1]) in run
        inside = {arrow.tail, arrow.head} | (set(live.members) if live.name in (arrow.tail, arrow.head) else set())
        others = [places[state] for state in table.states if state not in inside]
        way = route(places[arrow.tail], places[arrow.head], others, paired=paired)
        within = arrow.tail in live.members and arrow.head in live.members
        words = () if within else arrow.words
        canvas.edges.append(make_edge(arrow.tail, arrow.head, way, {"live": live}, words, _GUTTER - 20))
