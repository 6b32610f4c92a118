"""The arrows of a picture: each stands for all transition rules between two states, or between a group of states and a state.

Invariant: each rule that changes the state belongs to exactly one arrow, and each label is true for its rules.
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
_Pair = tuple[State, State]


@dataclass(frozen=True, slots=True)
class StateGroup:
    """States that share an arrow where all of them lead to the same state, or the same state leads to all of them."""

    name: str  # the name of the group, which is no name of a state
    label: str  # the text of the group in a picture
    members: tuple[State, ...]  # the states, in the table's order


@dataclass(frozen=True, slots=True)
class Arrow:
    """One arrow of a picture."""

    tail: str  # the name of the state or group that it leaves
    head: str  # the name of the state or group that it enters
    labels: tuple[str, ...]  # the causes, each in a word or two
    rows: tuple[StateRow, ...]  # the transition rules, in the table's order


def state_groups(table: StateTable) -> tuple[StateGroup, ...]:
    """Return the groups, the widest first: all states but the final one, the live ones, and the live ones without `ping`."""
    live = tuple(state for state in table.states if state in LIVE)
    return (
        StateGroup("any", "any state", tuple(state for state in table.states if state != table.final)),
        StateGroup("live", "live: the link is up", live),
        StateGroup("live_except_ping", "between heartbeats", tuple(state for state in live if state != State.PING)),
    )


def edge_text(table: StateTable, row: StateRow) -> str:
    """Return the cause of a transition rule in a word or two."""
    cell = table.cells[row.source, row.trigger]
    for earlier in cell[: cell.index(row)]:
        failed = [guard for guard in earlier.guards if guard not in row.guards]
        if len(failed) == 1 and failed[0] in NEGATED_GUARD_LABELS:
            return NEGATED_GUARD_LABELS[failed[0]]
    for guard, label in GUARD_LABELS.items():
        if guard in row.guards:
            return label
    return TRIGGERS[row.trigger].phrase


def rule_texts(row: StateRow, number: int) -> tuple[str, str, str]:
    """Return the guards, the effects and the next state of a transition rule; `number` is its index in its cell."""
    guards = ", ".join(row.guards) or ("otherwise" if number else "always")
    return guards, ", ".join(row.effects) or "nothing", row.dest or "stay"


def rule_line(row: StateRow, number: int) -> str:
    """Return a transition rule in one line; `number` is its index in its cell."""
    guards, effects, dest = rule_texts(row, number)
    return f"{row.id} {row.trigger} [{guards}] / {effects} ⟶ {dest}"


def pairs(table: StateTable) -> dict[_Pair, tuple[StateRow, ...]]:
    """Return the transition rules that change the state by (source, dest), in the table's order."""
    found: dict[_Pair, tuple[StateRow, ...]] = {}
    for row in table.rows:
        if row.dest is not None:
            found[row.source, row.dest] = (*found.get((row.source, row.dest), ()), row)
    return found


def plain_arrows(table: StateTable) -> tuple[Arrow, ...]:
    """Return one arrow for each pair of states."""
    return tuple(
        Arrow(source.value, dest.value, _unique(edge_text(table, row) for row in rows), rows)
        for (source, dest), rows in pairs(table).items()
    )


def merged_arrows(table: StateTable) -> tuple[Arrow, ...]:
    """Return the arrows between states and groups, in the table's order.

    A group has an arrow where all its members lead to the same state, or the same state leads to all of them. A label that only
    some members share names these members, or, if they are fewer, the other ones.
    """
    left = set(pairs(table))
    merged: list[Arrow] = []
    for group in state_groups(table):
        for outside in (state for state in table.states if state not in group.members):
            leaving = {(member, outside): member for member in group.members}
            entering = {(outside, member): member for member in group.members}
            for members, tail, head in ((leaving, group.name, outside.value), (entering, outside.value, group.name)):
                if left >= members.keys():
                    left -= members.keys()
                    merged.append(_merge(table, group, members, tail, head))
    arrows = [arrow for arrow in plain_arrows(table) if (State(arrow.tail), State(arrow.head)) in left]
    return tuple(sorted((*arrows, *merged), key=lambda arrow: table.rows.index(arrow.rows[0])))


def _merge(table: StateTable, group: StateGroup, members: dict[_Pair, State], tail: str, head: str) -> Arrow:
    rows = tuple(row for row in table.rows if row.dest is not None and (row.source, row.dest) in members)
    sharing: dict[str, set[State]] = {}
    for row in rows:
        sharing.setdefault(edge_text(table, row), set()).add(members[row.source, row.dest])  # type: ignore[index]  # see above
    return Arrow(tail, head, tuple(_mark_members(label, sharing[label], group) for label in _unique(sharing)), rows)


def _mark_members(label: str, sharing: set[State], group: StateGroup) -> str:
    having = [state for state in group.members if state in sharing]
    others = [state for state in group.members if state not in sharing]
    if not others:
        return label
    return f"{label} (not in {', '.join(others)})" if len(others) < len(having) else f"{label} ({', '.join(having)})"


def _unique(labels: Iterable[str]) -> tuple[str, ...]:
    """Return each label once, the calls of a user last."""
    return tuple(sorted(dict.fromkeys(labels), key=lambda label: label.endswith("()")))
