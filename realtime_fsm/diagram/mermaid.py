"""The pictures as Mermaid state diagrams, in the words that GitHub's Mermaid takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.diagram.arrows import merged_arrows, plain_arrows, row_line, state_groups
from realtime_fsm.diagram.style import CURRENT_STATE_COLOR, PAINTS, PAPER, SOFT, wrapped
from realtime_fsm.fsm.descriptions import STATES
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.diagram.arrows import Arrow, StateTable
    from realtime_fsm.fsm.descriptions import StateKind

_CLASSES: dict[StateKind, str] = {group: f"is_{group.name.lower()}" for group in PAINTS}


def mermaid(table: StateTable, state: State | None, *, full: bool, current: State | None) -> str:
    """Write it.

    Args:
        table: the table.
        state: the one state to be shown; None for all.
        full: whether each row is written into its state.
        current: the state to be marked as the one where a connection stands.

    Returns:
        The text of a Mermaid diagram.
    """
    what = "every row of the table" if full else "the states of a connection"
    lines = [f"%% realtime_fsm: {what if state is None else f'the state {state}'}; drawn from the table {table.fingerprint}"]
    if not full:  # else the words of neighbouring arrows touch
        lines.append('%%{init: {"state": {"nodeSpacing": 60, "rankSpacing": 90}}}%%')
    lines += ["stateDiagram-v2", f"    direction {'TB' if full else 'LR'}"]
    lines += [f"    {line}" for line in (_all(table, full=full) if state is None else _one(table, state))]
    lines += [f"    {line}" for line in _classes(table, state, current)]
    return "\n".join(lines) + "\n"


def _all(table: StateTable, *, full: bool) -> Iterator[str]:
    """Mermaid lays out arrows of frames badly, so each group that arrows stand for gets a box of its own."""
    any_, live, settled = state_groups(table)
    arrows = merged_arrows(table, (any_, live, settled))
    used = {name for arrow in arrows for name in (arrow.tail, arrow.head)}
    within = [arrow for arrow in arrows if {arrow.tail, arrow.head} <= {*live.members, settled.name}]
    if full:
        for state in table.states:
            yield from _rows(table, state)
    yield f"[*] --> {table.initial}"
    yield 'state "live: the link is up" as live {'
    yield from (f"    {member}" for member in live.members)
    if settled.name in used:
        yield f'    state "{", ".join(settled.members[:-1])}<br/>or {settled.members[-1]}" as any_{settled.name}'
    yield from (f"    {_arrow(arrow)}" for arrow in within)
    yield "}"
    yield from (
        f'state "{label}" as any_{name}'
        for name, label in ((any_.name, "any state"), (live.name, "any live state"))
        if name in used
    )
    yield from (_arrow(arrow) for arrow in arrows if arrow not in within)
    yield f"classDef group fill:{PAPER},stroke:{SOFT},color:{SOFT},stroke-dasharray:4 3"
    yield from (f"class any_{group.name} group" for group in (any_, live, settled) if group.name in used)


def _one(table: StateTable, state: State) -> Iterator[str]:
    """What enters has its own boxes: a state may be on both sides."""
    yield from _rows(table, state)
    for arrow in plain_arrows(table):
        if arrow.head == state:
            yield f'state "{arrow.tail}" as from_{arrow.tail}'
            yield _arrow(arrow, tail=f"from_{arrow.tail}")
        if arrow.tail == state:
            yield f'state "{arrow.head}" as to_{arrow.head}'
            yield _arrow(arrow, head=f"to_{arrow.head}")


def _rows(table: StateTable, state: State) -> Iterator[str]:
    yield f'state "{state}: {STATES[state].brief}" as {state}'
    for trigger in table.triggers:
        rows = table.cells.get((state, trigger), ())
        yield from (f"{state}: {row_line(row, number)}" for number, row in enumerate(rows))


def _arrow(arrow: Arrow, *, tail: str | None = None, head: str | None = None) -> str:
    ends = [name if name in set(State) else f"any_{name}" for name in (arrow.tail, arrow.head)]
    return f"{tail or ends[0]} --> {head or ends[1]}: {'<br/>'.join(wrapped(arrow.words, ' · ', 115, 10))}"


def _classes(table: StateTable, state: State | None, current: State | None) -> Iterator[str]:
    for group, paint in PAINTS.items():
        yield (
            f"classDef {_CLASSES[group]} fill:{paint.fill},stroke:{paint.line},color:{paint.text_color},"
            f"stroke-width:{paint.line_width:g}px"
        )
    yield f"classDef now stroke:{CURRENT_STATE_COLOR},stroke-width:5px"
    arrows = plain_arrows(table)
    for each in table.states:
        names = [each.value] if state in (None, each) else []
        names += [f"from_{each}" for arrow in arrows if (arrow.tail, arrow.head) == (each, state)]
        names += [f"to_{each}" for arrow in arrows if (arrow.tail, arrow.head) == (state, each)]
        for name in names:
            yield f"class {name} {_CLASSES[STATES[each].group]}"
            if each == current:
                yield f"class {name} now"
