"""A state's card: its name, what it means, and each of its rows with id, trigger, ordered guards, effects and destination."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from realtime_fsm.diagram.canvas import Box, Html, Label, Rect
from realtime_fsm.diagram.shapes import paint_of, state_box
from realtime_fsm.diagram.style import CARD, HAIR, INK, SOFT, text_width, wrapped
from realtime_fsm.fsm.descriptions import STATES

if TYPE_CHECKING:
    from realtime_fsm.diagram.arrows import StateRow, StateTable
    from realtime_fsm.diagram.canvas import Canvas
    from realtime_fsm.fsm.table import State

WIDTH = 742.0
_ROW, _HEADS, _TOP, _MARGIN = 19.0, 20.0, 62.0, 14.0
_SIZE = 10
_COLUMNS = (92.0, 42.0, 190.0, 300.0, 90.0)
_NAMES = ("on", "row", "if, asked in this order", "do", "go to")
_ROOM = WIDTH - 2 * _MARGIN


def height(table: StateTable, state: State) -> float:
    """How tall the card of a state is."""
    rows = sum(row.source == state for row in table.rows)
    cells = sum(source == state for source, _ in table.cells)
    return _TOP + _HEADS + rows * _ROW + cells + len(_ignored(table, state)) * 13 + _MARGIN + 12


def draw(canvas: Canvas, table: StateTable, state: State, rect: Rect, current: State | None) -> None:
    """Put the card of a state on a sheet."""
    paint, meaning = paint_of(state), STATES[state]
    x, y = rect.x + _MARGIN, rect.y + _MARGIN
    canvas.boxes.append(Box(state.value, rect, "", CARD, paint.line, heavy=paint.line_width))
    canvas.boxes.append(state_box(state, Rect(x, y, 120, 34), current=current, name=f"{state}_name", size=14))
    advice = meaning.advice.replace("`", "")
    brief = f"{meaning.brief[0].upper()}{meaning.brief[1:]}. It holds {meaning.resources}."
    canvas.notes.append(Label((brief,), x + 134, y + 9, "left", "middle", 11, INK, bold=True))
    canvas.notes.append(Label((advice,), x + 134, y + 25, "left", "middle", 10, SOFT))
    cells = [(trigger, table.cells[state, trigger]) for trigger in table.triggers if (state, trigger) in table.cells]
    body = "".join(_cell(trigger, rows) for trigger, rows in cells)
    tall = _HEADS + sum(len(rows) * _ROW + 1 for _, rows in cells)
    html = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{_heads()}{body}</TABLE>'
    canvas.tables.append(Html(f"{state}_rows", Rect(x, rect.y + _TOP, _ROOM, tall), html))
    ignored = _ignored(table, state)
    if ignored:
        canvas.notes.append(Label(ignored, x + 4, rect.y + _TOP + tall + 8, "left", "below", _SIZE, SOFT))


def _ignored(table: StateTable, state: State) -> tuple[str, ...]:
    names = tuple(trigger.value for trigger in table.triggers if (state, trigger) in table.ignored)
    return wrapped(("ignored on purpose: " + names[0], *names[1:]), ", ", _ROOM - 12, _SIZE) if names else ()


def _heads() -> str:
    cells = "".join(
        _td(_font(name, SOFT, 9), width, _HEADS, side="CENTER" if name == _NAMES[-1] else "LEFT")
        for name, width in zip(_NAMES, _COLUMNS, strict=True)
    )
    return f"<TR>{cells}</TR>"


def _cell(trigger: str, rows: tuple[StateRow, ...]) -> str:
    """The rows of one trigger, in the order in which their guards are asked, under a hairline."""
    lines = [f'<TR><TD COLSPAN="5" HEIGHT="1" FIXEDSIZE="TRUE" WIDTH="{_ROOM:g}" BGCOLOR="{HAIR}"></TD></TR>']
    on, row_id, when, do, to = _COLUMNS
    for number, row in enumerate(rows):
        first = _td(_font(trigger, INK, bold=True), on, _ROW) if number == 0 else _td(" ", on, _ROW)
        guards = _font(", ".join(row.guards), INK) if row.guards else _font("otherwise" if number else "always", SOFT)
        link = f' HREF="transitions.md#{row.id}" TARGET="_top" TOOLTIP="{escape(row.why)}" TITLE="{escape(row.why)}"'
        lines.append(
            "<TR>"
            + first
            + _td(_font(row.id, SOFT), row_id, _ROW, more=link)
            + _td(guards, when, _ROW)
            + _td(_font(", ".join(row.effects) or "nothing", INK if row.effects else SOFT), do, _ROW)
            + _destination(row, to)
            + "</TR>"
        )
    return "".join(lines)


def _destination(row: StateRow, width: float) -> str:
    if row.dest is None:
        return _td(_font("stay", SOFT), width, _ROW, side="CENTER")
    paint = paint_of(row.dest)
    return _td(_font(row.dest, paint.text_color, bold=True), width, _ROW, side="CENTER", more=f' BGCOLOR="{paint.fill}"')


def _td(inner: str, width: float, tall: float, *, side: str = "LEFT", more: str = "") -> str:
    return f'<TD WIDTH="{width:g}" HEIGHT="{tall:g}" ALIGN="{side}"{more}>{inner}</TD>'


def _font(text: str, color: str, size: float = _SIZE, *, bold: bool = False) -> str:
    inner = escape(text, quote=False)
    return f'<FONT POINT-SIZE="{size:g}" COLOR="{color}">{f"<B>{inner}</B>" if bold else inner}</FONT>'


def row_fits(row: StateRow) -> bool:
    """Whether a row's texts fit into their columns."""
    when, do = ", ".join(row.guards), ", ".join(row.effects)
    return text_width(when, _SIZE) <= _COLUMNS[2] and text_width(do, _SIZE) <= _COLUMNS[3]
