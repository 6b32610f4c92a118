"""Few arrows out of many rows: one for each pair of states, and one for a whole group of states that go the same way.

Everything is counted from the table's rows; what a group is called and what is written on an arrow comes from the meanings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from realtime_fsm.fsm.descriptions import GUARD_LABELS, NEGATED_GUARD_LABELS, TRIGGERS
from realtime_fsm.fsm.table import LIVE, State, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.fsm.tablespec import Row, Table

StateTable: TypeAlias = "Table[State, Trigger]"
StateRow: TypeAlias = "Row[State, Trigger]"


@dataclass(frozen=True, slots=True)
class StateGroup:
    """States that are drawn as one place where all of them go the same way.

    Attributes:
        name: its name among the places; no state has it.
        label: what is written on it.
        members: the states, in the table's order.
    """

    name: str
    label: str
    members: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow of a picture.

    Attributes:
        tail: the name of the state or flock that it leaves.
        head: the name of the state or flock that it enters.
        words: what makes it happen.
        rows: the rows that it stands for, in the table's order.
    """

    tail: str
    head: str
    words: tuple[str, ...]
    rows: tuple[StateRow, ...]


def state_groups(table: StateTable) -> tuple[StateGroup, ...]:
    """The groups of a table, the widest first: any state but the last, the live ones, the live ones between heartbeats."""
    live = tuple(state for state in table.states if state in LIVE)
    return (
        StateGroup("any", "any state", tuple(state for state in table.states if state != table.final)),
        StateGroup("live", "live", live),
        StateGroup("settled", "between heartbeats", tuple(state for state in live if state != State.PING)),
    )


def edge_text(table: StateTable, row: StateRow) -> str:
    """What makes a row happen, in a word or two."""
    cell = table.cells[row.source, row.trigger]
    for earlier in cell[: cell.index(row)]:
        failed = [guard for guard in earlier.guards if guard not in row.guards]
        if len(failed) == 1 and failed[0] in NEGATED_GUARD_LABELS:
            return NEGATED_GUARD_LABELS[failed[0]]
    for guard, words in GUARD_LABELS.items():
        if guard in row.guards:
            return words
    return TRIGGERS[row.trigger].phrase


def row_line(row: StateRow, number: int) -> str:
    """A row in one line; `number` is its place among the rows of its cell, from 0."""
    guards = ", ".join(row.guards) or ("otherwise" if number else "always")
    return f"{row.id} {row.trigger} [{guards}] / {', '.join(row.effects) or 'nothing'} ⟶ {row.dest or 'stay'}"


def pairs(table: StateTable) -> dict[tuple[State, State], tuple[StateRow, ...]]:
    """The rows that change the state, by (source, dest), in the table's order."""
    found: dict[tuple[State, State], tuple[StateRow, ...]] = {}
    for row in table.rows:
        if row.dest is not None:
            key = (row.source, row.dest)
            found[key] = (*found.get(key, ()), row)
    return found


def plain_arrows(table: StateTable) -> tuple[Arrow, ...]:
    """One arrow for each pair of states."""
    return tuple(
        Arrow(source.value, dest.value, _unique(edge_text(table, row) for row in rows), rows)
        for (source, dest), rows in pairs(table).items()
    )


def merged_arrows(table: StateTable, groups: tuple[StateGroup, ...]) -> tuple[Arrow, ...]:
    """One arrow for each pair of places: where all members of a group lead to the same state, the group's arrow stands for them.

    What not all of the members share is marked on the arrow with those that do, or with those that do not if these are fewer;
    so a merged arrow says no more than the rows do.

    Args:
        table: the table.
        groups: the groups that may be merged, the widest first.

    Returns:
        The arrows, in the table's order.
    """
    left = pairs(table)
    merged: list[Arrow] = []
    for group in groups:
        for outside in (state for state in table.states if state not in group.members):
            leaving = [(member, outside) for member in group.members]
            if all(pair in left for pair in leaving):
                merged.append(_merge(table, group, leaving, left, group.name, outside.value))
            entering = [(outside, member) for member in group.members]
            if all(pair in left for pair in entering):
                merged.append(_merge(table, group, entering, left, outside.value, group.name))
    arrows = [arrow for arrow in plain_arrows(table) if (State(arrow.tail), State(arrow.head)) in left]
    place = {row.id: number for number, row in enumerate(table.rows)}
    return tuple(sorted((*arrows, *merged), key=lambda arrow: place[arrow.rows[0].id]))


def _merge(
    table: StateTable,
    group: StateGroup,
    merged: list[tuple[State, State]],
    left: dict[tuple[State, State], tuple[StateRow, ...]],
    tail: str,
    head: str,
) -> Arrow:
    sharing: dict[str, list[State]] = {}
    rows: list[StateRow] = []
    for member, pair in zip(group.members, merged, strict=True):
        for row in left[pair]:
            members = sharing.setdefault(edge_text(table, row), [])
            if member not in members:
                members.append(member)
        rows += left.pop(pair)
    order = {row.id: number for number, row in enumerate(table.rows)}
    rows.sort(key=lambda row: order[row.id])
    words = _unique(edge_text(table, row) for row in rows)
    return Arrow(tail, head, tuple(_annotate_members(word, sharing[word], group) for word in words), tuple(rows))


def _annotate_members(word: str, sharing: list[State], group: StateGroup) -> str:
    others = [state for state in group.members if state not in sharing]
    if not others:
        return word
    if len(others) < len(sharing):
        return f"{word} (not in {', '.join(others)})"
    return f"{word} ({', '.join(sharing)})"


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    """Each once; what happens first, then what is called."""
    return tuple(sorted(dict.fromkeys(words), key=lambda word: word.endswith("()")))
