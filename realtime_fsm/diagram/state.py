"""The view of one state, with its neighbours and rules; and the full view, which adds the rules of all states to the overview."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

from realtime_fsm.diagram.arrows import plain_arrows, rule_texts
from realtime_fsm.diagram.canvas import LEADING, Canvas, Frame, Label
from realtime_fsm.diagram.overview import LABEL_SIZE, label_lines, label_room, make_edge, overview, plain_caption, state_box
from realtime_fsm.diagram.route import Rect, Route
from realtime_fsm.diagram.style import text_width, wrapped
from realtime_fsm.fsm.descriptions import STATES
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from realtime_fsm.diagram.arrows import Arrow, StateRow, StateTable

_MARGIN, _ROW, _SIZE, _GAP = 20.0, 18.0, 10.0, 14.0
_BOX, _MIDDLE = (128.0, 40.0), 150.0
_HEADS = ("on", "rule", "if, asked in this order", "do", "go to")


def state_view(table: StateTable, state: State, current: State | None) -> Canvas:
    """Draw one state: the states before and after it, and its rules; mark the state `current`."""
    arrows = [arrow for arrow in plain_arrows(table) if state in (arrow.tail, arrow.head)]
    columns = _columns(table)
    room = fsum(columns)
    width = 2 * _MARGIN + room
    canvas = Canvas(f"The state {state}", (width, _MARGIN), table.fingerprint)  # the height grows with the content
    canvas.add_title()
    top = _add_description(canvas, state, _MARGIN, 54, room) + 12
    lower = max(_add_neighbours(canvas, arrows, state, top, current, inward=inward) for inward in (True, False))
    middle = Rect((width - _MIDDLE) / 2, top, _MIDDLE, lower - top)
    canvas.boxes.append(state_box(state, middle, current=current))
    bottom = _add_rows(canvas, table, state, columns, middle.bottom + 28)
    canvas.size = (width, bottom + _MARGIN)
    return canvas


def full_view(table: StateTable, current: State | None) -> Canvas:
    """Draw the overview, and below it each state with its rules; mark the state `current`."""
    canvas = overview(table, current)
    canvas.title = "The states of a connection, and every transition rule"
    *columns, last = _columns(table)
    width = max(canvas.size[0], 2 * _MARGIN + fsum(columns) + last)
    columns[-1] += width - 2 * _MARGIN - fsum(columns) - last
    y = canvas.size[1] + 20
    for state in table.states:
        canvas.boxes.append(state_box(state, Rect(_MARGIN, y, *_BOX), current=current))
        x = _MARGIN + _BOX[0] + 16
        y = max(_add_description(canvas, state, x, y, width - _MARGIN - x), y + _BOX[1] + 4)
        y = _add_rows(canvas, table, state, [*columns, last], y + 6) + 40
    canvas.size = (width, y - 20)
    return canvas


def _add_description(canvas: Canvas, state: State, x: float, y: float, room: float) -> float:
    """Add the meaning of a state and return its lower edge."""
    meaning = STATES[state]
    texts = (f"{meaning.description} It holds {meaning.resources}.", meaning.advice)
    for text, color in zip(texts, ("ink", "soft"), strict=True):
        lines = wrapped(tuple(text.replace("`", "").split()), " ", room, 11)
        canvas.labels.append(Label(lines, x, y, "left", "below", 11, color))
        y += len(lines) * 11 * LEADING + 3
    return y


def _add_neighbours(canvas: Canvas, arrows: list[Arrow], state: State, y: float, current: State | None, *, inward: bool) -> float:
    """Add the states before or after this one, with room for a label above each arrow, and return the lower edge."""
    width, (w, h) = canvas.size[0], _BOX
    x = _MARGIN if inward else width - _MARGIN - w
    start, end = (x + w, (width - _MIDDLE) / 2) if inward else ((width + _MIDDLE) / 2, x)
    for arrow in arrows:
        other = State(arrow.tail if inward else arrow.head)
        if other == state:
            continue
        caption = plain_caption(arrow)
        y += max(h / 2, len(label_lines(caption, label_room(end - start))) * LABEL_SIZE * LEADING + 4) + 6
        canvas.edges.append(make_edge(arrow, Route(((start, y), (end, y)), ((start + end) / 2, y), "above"), caption))
        canvas.boxes.append(state_box(other, Rect(x, y - h / 2, w, h), tip=STATES[other].brief, current=current))
        y += h / 2 + 6
    return y


def _cells(row: StateRow, number: int) -> tuple[str, ...]:
    """Return the texts of a rule; `number` is its index among the rules of its cell."""
    return ("" if number else row.trigger.value, row.id, *rule_texts(row, number))


def _columns(table: StateTable) -> list[float]:
    """Return the width of each column: the width of its widest text."""
    rows = [_HEADS, *(_cells(row, number) for cell in table.cells.values() for number, row in enumerate(cell))]
    return [max(text_width(row[column], _SIZE, bold=column in (0, 4)) for row in rows) + _GAP for column in range(len(_HEADS))]


def _add_rows(canvas: Canvas, table: StateTable, state: State, columns: list[float], y: float) -> float:
    """Add the rules of a state in the order in which the machine asks their guards, and return the lower edge."""
    edges = [_MARGIN + fsum(columns[:number]) for number in range(len(columns) + 1)]
    canvas.labels += [Label((text,), x, y, "left", "below", 9, "soft") for text, x in zip(_HEADS, edges, strict=False)]
    y += _ROW
    for trigger in table.triggers:
        cell = table.cells.get((state, trigger), ())
        if cell:
            canvas.hairlines.append(Rect(_MARGIN, y - 1, edges[-1] - _MARGIN, 0))
        for number, row in enumerate(cell):
            _add_row(canvas, row, _cells(row, number), edges, y)
            y += _ROW
    names = tuple(trigger.value for trigger in table.triggers if (state, trigger) in table.ignored)
    if names:
        lines = wrapped((f"ignored on purpose: {names[0]}", *names[1:]), ", ", edges[-1] - _MARGIN, _SIZE)
        canvas.labels.append(Label(lines, _MARGIN, y + 6, "left", "below", _SIZE, "soft"))
        y += 6 + len(lines) * _SIZE * LEADING
    return y


def _add_row(canvas: Canvas, row: StateRow, cells: tuple[str, ...], edges: list[float], y: float) -> None:
    middle = y + _ROW / 2 - 1
    given = (True, False, bool(row.guards), bool(row.effects))
    canvas.labels += [
        Label((text,), x, middle, "left", size=_SIZE, color="ink" if ink else "soft", bold=column == 0,
              tip=row.why if column == 1 else "")
        for column, (text, x, ink) in enumerate(zip(cells, edges, given, strict=False))
        if text
    ]  # fmt: skip
    if row.dest is None:
        canvas.labels.append(Label((cells[-1],), edges[-2], middle, "left", size=_SIZE, color="soft"))
        return
    kind = STATES[row.dest].kind.key
    canvas.frames.append(Frame(Rect(edges[-2] - 6, y, edges[-1] - edges[-2] + 6, _ROW - 2), kind))
    canvas.labels.append(Label((cells[-1],), edges[-2], middle, "left", size=_SIZE, color=f"{kind}-name", bold=True))
