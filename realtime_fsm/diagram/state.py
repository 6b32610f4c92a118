"""One state: its card in the middle, what leads to it on the left, where it leads on the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.diagram import card
from realtime_fsm.diagram.arrows import plain_arrows
from realtime_fsm.diagram.canvas import Canvas, Label, Rect
from realtime_fsm.diagram.route import route
from realtime_fsm.diagram.shapes import make_edge, state_box
from realtime_fsm.diagram.style import INK, SOFT
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from realtime_fsm.diagram.arrows import Arrow, StateTable

_EDGE, _HEAD, _BOX, _RUN = 24.0, 78.0, (108.0, 36.0), 168.0


def state_view(table: StateTable, state: State, current: State | None) -> Canvas:
    """Draw it.

    Args:
        table: the table.
        state: the state.
        current: the state to be marked as the one where a connection stands.

    Returns:
        The sheet.
    """
    arrows = plain_arrows(table)
    entering = [arrow for arrow in arrows if arrow.head == state]
    leaving = [arrow for arrow in arrows if arrow.tail == state]
    tall = max(card.height(table, state), _tall(entering), _tall(leaving))
    middle = Rect(_EDGE + _BOX[0] + _RUN, _HEAD, card.WIDTH, tall)
    size = (middle.right + (_RUN + _BOX[0] if leaving else 0) + _EDGE, tall + _HEAD + _EDGE)
    canvas = Canvas(f"realtime_fsm: the state {state}", size, table.fingerprint)
    card.draw(canvas, table, state, middle, current)
    _side(canvas, middle, entering, current, x=_EDGE, inward=True)
    _side(canvas, middle, leaving, current, x=middle.right + _RUN, inward=False)
    right = size[0] - _EDGE
    canvas.notes += [
        Label((f"What {state} is, what leads to it, where it leads",), _EDGE, 30, "left", "middle", 17, INK, bold=True),
        Label((f"realtime_fsm · table {table.fingerprint}",), right, 30, "right", "middle", 9, SOFT),
    ]
    if state == table.initial:
        canvas.notes.append(Label(("Everything begins here.",), middle.cx, 62, "center", "middle", 10, SOFT))
    if state == table.final:
        canvas.notes.append(Label(("Everything ends here.",), middle.cx, 62, "center", "middle", 10, SOFT))
    return canvas


def _tall(arrows: list[Arrow]) -> float:
    """How tall the column beside the card must be, so that no words touch the arrow above them."""
    return len(arrows) * (30 + 13 * max((len(arrow.words) for arrow in arrows), default=0))


def _side(canvas: Canvas, middle: Rect, arrows: list[Arrow], current: State | None, *, x: float, inward: bool) -> None:
    slot = middle.h / max(len(arrows), 1)
    for number, arrow in enumerate(arrows):
        other = State(arrow.tail if inward else arrow.head)
        place = Rect(x, middle.y + slot * (number + 0.5) - _BOX[1] / 2, *_BOX)
        name = f"{'from' if inward else 'to'}_{other}"
        canvas.boxes.append(state_box(other, place, current=current, name=name, size=12))
        ends = (place, middle) if inward else (middle, place)
        wire = make_edge(arrow.tail, arrow.head, route(*ends, (), paired=False), {}, arrow.words, _RUN - 36)
        canvas.edges.append(wire.between(name, arrow.head) if inward else wire.between(arrow.tail, name))
