"""The pictures as PlantUML state diagrams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.diagram.arrows import merged_arrows, plain_arrows, row_line, state_groups
from realtime_fsm.diagram.shapes import paint_of
from realtime_fsm.diagram.style import CURRENT_STATE_COLOR, INK, PAPER, SOFT
from realtime_fsm.fsm.descriptions import STATES, StateKind
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.diagram.arrows import Arrow, StateTable

_BREAK = r"\n"


def plantuml(table: StateTable, state: State | None, *, full: bool, current: State | None) -> str:
    """Write it.

    Args:
        table: the table.
        state: the one state to be shown; None for all.
        full: whether each row is written into its state.
        current: the state to be marked as the one where a connection stands.

    Returns:
        The text of a PlantUML diagram.
    """
    what = "every row of the table" if full else "the states of a connection"
    body = _all(table, current, full=full) if state is None else _one(table, state, current)
    return "\n".join(
        (
            "@startuml",
            f"' realtime_fsm: {what if state is None else f'the state {state}'}; drawn from the table {table.fingerprint}",
            "hide empty description",
            "left to right direction" if not full else "top to bottom direction",
            f"skinparam backgroundColor {PAPER}",
            "skinparam shadowing false",
            "skinparam defaultFontName Helvetica",
            f"skinparam state {{\n  FontColor {INK}\n  ArrowColor {SOFT}\n  BorderColor {SOFT}\n  FontSize 13\n}}",
            *body,
            f"caption table {table.fingerprint}",
            "@enduml\n",
        )
    )


def _all(table: StateTable, current: State | None, *, full: bool) -> Iterator[str]:
    any_, live, settled = state_groups(table)
    arrows = merged_arrows(table, (any_, live, settled))
    for state in table.states:
        if state not in live.members:
            yield _state(state, current)
    yield f'state "live: the link is up" as live #{paint_of(live.name).tint[1:]} {{'
    yield f'  state "{settled.label}" as settled #FFFFFF {{'
    yield from (f"    {_state(state, current)}" for state in settled.members)
    yield "  }"
    yield from (f"  {_state(state, current)}" for state in live.members if state not in settled.members)
    yield "}"
    if any(any_.name in (arrow.tail, arrow.head) for arrow in arrows):
        yield f'state "{any_.label}" as any #{PAPER[1:]}'
    if full:
        for state in table.states:
            yield from _rows(table, state)
    yield f"[*] --> {table.initial}"
    yield from (_arrow(arrow) for arrow in arrows)
    yield f"{table.final} --> [*]"


def _one(table: StateTable, state: State, current: State | None) -> Iterator[str]:
    yield _state(state, current)
    yield from _rows(table, state)
    for arrow in plain_arrows(table):
        if arrow.head == state:
            yield _state(State(arrow.tail), current, "from_")
            yield _arrow(arrow, tail=f"from_{arrow.tail}")
        if arrow.tail == state:
            yield _state(State(arrow.head), current, "to_")
            yield _arrow(arrow, head=f"to_{arrow.head}")


def _state(state: State, current: State | None, prefix: str = "") -> str:
    paint = paint_of(state)
    color = "white:" if STATES[state].group in (StateKind.ERROR, StateKind.END) else ""
    label = f"<color:{color[:-1]}><b>{state}" if color else f"<b>{state}"
    line = f"##[bold]{CURRENT_STATE_COLOR[1:]}" if state == current else f"##{paint.line[1:]}"
    return f'state "{label}{" (now)" if state == current else ""}" as {prefix}{state} #{paint.fill[1:]} {line}'


def _rows(table: StateTable, state: State) -> Iterator[str]:
    color = "<color:white>" if STATES[state].group in (StateKind.ERROR, StateKind.END) else ""
    for trigger in table.triggers:
        rows = table.cells.get((state, trigger), ())
        yield from (f"{state} : {color}{row_line(row, number)}" for number, row in enumerate(rows))


def _arrow(arrow: Arrow, *, tail: str | None = None, head: str | None = None) -> str:
    color = paint_of(arrow.head).line
    return f"{tail or arrow.tail} -[{color}]-> {head or arrow.head} : {_BREAK.join(arrow.words)}"
