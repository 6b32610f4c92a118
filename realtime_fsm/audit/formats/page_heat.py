"""The heat map of a large fleet. A cell shows the share of a column of time in which a group of connections had no link."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.page_parts import folded, lane, moment, scrolling, table
from realtime_fsm.audit.formats.text_utils import percent, pluralize
from realtime_fsm.diagram.timeline import strips
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from realtime_fsm.audit.report import ConnectionReport
    from realtime_fsm.diagram.timeline import Axis, Strips

GROUPS, COLUMNS = 25, 120
_COARSE = 10
"""The columns of the map that make one column of the table."""
LEVELS = (0.0, 0.002, 0.01, 0.05, 0.25)
"""The least share of each of the five levels."""
_BOTTOM = 23
_HEIGHTS = (2, 6, 10, 15, 21)
_FINE: Strips = ((_BOTTOM - 1, 1),)
_RECONNECTING: tuple[Strips, ...] = tuple(((_BOTTOM - height, height),) for height in _HEIGHTS)
_ERRORS: tuple[Strips, ...] = tuple(tuple((_BOTTOM - 2 - top, 2) for top in range(0, height, 4)) for height in _HEIGHTS)


@dataclass(slots=True)
class Group:
    """Connections of neighbouring ranks. For each column: their seconds in any state, in `reconnecting`, and in `error`."""

    first: int
    connections: Sequence[ConnectionReport]
    present: list[float] = field(default_factory=lambda: [0.0] * COLUMNS)
    reconnecting: list[float] = field(default_factory=lambda: [0.0] * COLUMNS)
    error: list[float] = field(default_factory=lambda: [0.0] * COLUMNS)

    @property
    def last(self) -> int:
        """The greatest rank."""
        return self.first + len(self.connections) - 1

    @property
    def name(self) -> str:
        """The first and the last rank."""
        return f"{self.first:,} to {self.last:,}" if self.last > self.first else f"{self.last:,}"

    @property
    def figures(self) -> str:
        """The mean of the availability, and the number of violated connections."""
        shares = [each.life.availability for each in self.connections if each.life.availability is not None]
        violated = sum(each.verdict == "violated" for each in self.connections)
        mean = f"mean {percent(sum(shares) / len(shares))} available" if shares else "no link was wanted"
        return mean + f", {violated:,} violated" * bool(violated)


def group_size(count: int) -> int:
    """Return the number of connections of a group: 1, 2 or 5 times a power of ten."""
    size = 1
    while True:
        for factor in (1, 2, 5):
            if size * factor * GROUPS >= count:
                return size * factor
        size *= 10


def grouped(connections: Sequence[ConnectionReport], axis: Axis) -> list[Group]:
    """Sum up the connections by groups and columns."""
    size = group_size(len(connections))
    groups = [Group(first + 1, connections[first : first + size]) for first in range(0, len(connections), size)]
    column = axis.width * axis.tick / COLUMNS
    for group in groups:
        for connection in group.connections:
            for begin, length, state in (stay for stay in connection.timeline if stay.state != State.DISPOSING):
                start = (begin - axis.begin) / column
                end = min(start + length / column, COLUMNS)
                troubled = {State.RECONNECTING: group.reconnecting, State.ERROR: group.error}.get(State(state))
                for index in range(max(0, int(start)), ceil(end)):
                    seconds = (min(end, index + 1) - max(start, index)) * column
                    group.present[index] += seconds
                    if troubled is not None:
                        troubled[index] += seconds
    return groups


def level_of(share: float) -> int:
    """Return the level of a share: 0 without trouble, 5 for half of the time and more."""
    return sum(share > 0 and share >= least for least in LEVELS)


def heat_map(connections: Sequence[ConnectionReport], axis: Axis) -> Iterator[str]:
    """Draw the map, and write the same as a table."""
    groups = grouped(connections, axis)
    yield '<div class="heat" role="group" aria-label="Heat map: groups of connections, the worst first">'
    for group in groups:
        yield (
            f'<div class="row" data-group="{group.first},{group.last}"><span class="facts"><span>Connections {group.name}</span> '
            f'<span class="figures">{group.figures}</span> '
            f'<button type="button" class="js" aria-label="List the connections {group.name}">list</button></span>'
            f"{lane(axis, _paths(group, axis), ' map')}</div>"
        )
    yield "</div>"
    yield from folded("The heat map as a table", _table(groups, axis))


def _paths(group: Group, axis: Axis) -> Iterator[str]:
    cells: dict[tuple[str, Strips], list[tuple[int, int]]] = {}
    for index in range(COLUMNS):
        if not group.present[index]:
            continue
        first = axis.width * index // COLUMNS
        span = first, max(1, axis.width * (index + 1) // COLUMNS - first)
        reconnecting, error = group.reconnecting[index], group.error[index]
        level = level_of((reconnecting + error) / group.present[index])
        state, shapes = (State.ERROR, _ERRORS) if error > reconnecting else (State.RECONNECTING, _RECONNECTING)
        key = (state.value, shapes[level - 1]) if level else (State.SUBSCRIBED.value, _FINE)
        cells.setdefault(key, []).append(span)
    for (name, shape), spans in cells.items():
        yield f'<path data-s="{name}" d="{strips(spans, shape)}"/>'


def _table(groups: Sequence[Group], axis: Axis) -> Iterator[str]:
    width = axis.width * axis.tick / COLUMNS * _COARSE
    heads = ("connections", "figures", *(moment(axis.begin + width * n) for n in range(COLUMNS // _COARSE)))
    rows = ((group.name, group.figures, *_shares(group)) for group in groups)
    caption = f"The share of time without a link, in spans of {pluralize(round(width), 'second')} from the moment on (UTC)"
    yield from scrolling("heat map as a table", table(caption, heads, rows))


def _shares(group: Group) -> Iterator[str]:
    for first in range(0, COLUMNS, _COARSE):
        columns = slice(first, first + _COARSE)
        present, reconnecting, error = (sum(each[columns]) for each in (group.present, group.reconnecting, group.error))
        if not present:
            yield "no connection"
        else:
            told = f"{100 * (reconnecting + error) / present:.2g} %" if reconnecting + error else "0"
            yield told + f" ({100 * error / present:.2g} % error)" * bool(error)
