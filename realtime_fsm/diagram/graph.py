"""The content of a view, for the formats that another program lays out: Mermaid, DOT and PlantUML."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from realtime_fsm.diagram.arrows import merged_arrows, plain_arrows, rule_line, state_groups

if TYPE_CHECKING:
    from realtime_fsm.diagram.arrows import Arrow, StateGroup, StateTable
    from realtime_fsm.fsm.table import State


@dataclass(frozen=True, slots=True)
class Graph:
    """States, groups and arrows."""

    title: str  # the subject
    # the state of each node, by the name of the node. In the view of one state a neighbour may have two nodes
    nodes: dict[str, State]
    groups: dict[str, StateGroup]  # the groups, the widest first; none in the view of one state
    arrows: tuple[Arrow, ...]  # the arrows between nodes and groups
    lines: dict[State, list[str]]  # the transition rules to write into a state, each in one line
    current: State | None  # the state to mark, where a connection is


def graph(table: StateTable, state: State | None, *, full: bool, current: State | None) -> Graph:
    """Collect the content of a view: all states, with their rules if `full`; or one state with its neighbours and rules."""
    title = "every transition rule" if full else "the states of a connection" if state is None else f"the state {state}"
    lines = {
        each: [rule_line(row, n) for trigger in table.triggers for n, row in enumerate(table.cells.get((each, trigger), ()))]
        for each in (table.states if full else (state,) if state is not None else ())
    }
    title = f"realtime_fsm: {title}; drawn from the table {table.fingerprint}"
    if state is None:
        groups = {group.name: group for group in state_groups(table)}
        return Graph(title, {each.value: each for each in table.states}, groups, merged_arrows(table), lines, current)
    nodes, arrows = {state.value: state}, []
    for arrow in plain_arrows(table):
        source, dest = arrow.rows[0].source, arrow.rows[0].dest
        if source == state and dest is not None:
            nodes[f"to_{dest}"] = dest
            arrows.append(replace(arrow, head=f"to_{dest}"))
        if dest == state:
            nodes[f"from_{source}"] = source
            arrows.append(replace(arrow, tail=f"from_{source}"))
    return Graph(title, nodes, {}, tuple(arrows), lines, current)
