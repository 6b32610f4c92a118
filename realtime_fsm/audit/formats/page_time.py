"""The section of the page about time: one axis for all connections, zoom, filters and lanes, and their content as a table."""

from __future__ import annotations

import gzip
from base64 import b64encode
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.page_connections import HEADS, OUTAGES, cells, item
from realtime_fsm.audit.formats.page_heat import LEVELS, heat_map
from realtime_fsm.audit.formats.page_parts import folded, moment, scrolling, table, text
from realtime_fsm.audit.formats.text import rest_of, worst_of
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.stays import MOST
from realtime_fsm.diagram.timeline import HEIGHT, SHAPES, Axis, strips
from realtime_fsm.fsm.descriptions import STATES
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.report import ConnectionReport, Report

LISTED = 200
"""The most connections that the page lists. With more, it has a heat map, and packs the others until a filter needs them."""
_DRAWN = 50_000
"""The most stays that all packed connections draw together."""


def time_section(report: Report) -> Iterator[str]:
    """Write the section."""
    if not report.connections:
        return
    axis, shown = axis_of(report), worst_of(report, LISTED)
    others = report.connections[len(shown) :]
    yield f'<section id="time" aria-labelledby="time-head" data-total="{report.connections_total}"'
    yield f' data-axis="{axis.begin!r} {axis.tick:g} {axis.width}"><h2 id="time-head">Connections in time</h2>'
    yield (
        f"<p>One clock for all connections, in UTC, from {moment(axis.begin)} to {moment(axis.begin + axis.width * axis.tick)}. "
        "The worst come first: violated ones, then the longest outage, then the lowest availability. "
        "Open a connection with a click or Enter to read its outages and states.</p>"
    )
    yield from _legend()
    yield '<div class="head">'
    yield from _tools(report)
    yield from _axis(axis)
    yield "</div>"
    if report.connections_total > LISTED:
        yield from _map(report, axis)
        yield "<h3>One by one</h3>"
    yield '<ol class="rows" role="list" tabindex="-1" aria-label="Connections, the worst first">'
    for rank, connection in enumerate(shown, 1):
        yield item(connection, rank, axis, *((MOST, OUTAGES) if not others else (MOST // 2, OUTAGES // 2)))
    yield "</ol>"
    if rest := rest_of(report, shown):
        yield f"<p>{rest}</p>"
    yield '<button type="button" class="js" id="more" hidden></button>'
    if others:
        yield _packed(others, len(shown), axis)
        yield "<noscript><p>A browser with JavaScript lists the others too, and it zooms and filters.</p></noscript>"
    caption = f"The {pluralize(len(shown), 'connection')} above, the worst first"
    yield from folded("The connections as a table", scrolling("connections", table(caption, HEADS, map(cells, shown))))
    yield "</section>"


def axis_of(report: Report) -> Axis:
    """Return the axis of all records and stays."""
    moments = [when.timestamp() for each in report.connections for when in (each.first, each.last) if when is not None]
    moments += [at for each in report.connections for begin, length, _ in each.timeline for at in (begin, begin + length)]
    return Axis.over(min(moments, default=0.0), max(moments, default=0.0))


def _map(report: Report, axis: Axis) -> Iterator[str]:
    kept = len(report.connections)
    which = f"the worst {kept:,} of {report.connections_total:,}" if kept < report.connections_total else f"all {kept:,}"
    levels = ", ".join(f"{least * 100:g} %" for least in LEVELS[1:])
    yield "<h3>Heat map</h3>"
    yield (
        f"<p>{which.capitalize()} connections in groups, the worst group first. A block is the taller, the larger the share of "
        f"the time in which they had no link: any, then from {levels} on. Stripes instead of a block: most of that share is "
        "<em>error</em>. A thin line: every link was up. Filters leave the map as it is.</p>"
    )
    yield from heat_map(report.connections, axis)


def _legend() -> Iterator[str]:
    yield '<ul class="legend" aria-label="Legend">'
    for state, shape in SHAPES.items():
        path = f'<path data-s="{state}" d="{strips([(0, 28)], shape)}"/>'
        yield f"<li>{_sample(path)}<span><b>{state}</b>{STATES[state].brief}</span></li>"
    mark, planned = '<path class="mark" d="M4 3h20"/>', '<path class="mark planned" d="M2 3h24"/>'
    yield f"<li>{_sample(mark)}<span><b>outage</b>above the states</span></li>"
    yield f"<li>{_sample(planned)}<span><b>planned outage</b>dashed</span></li></ul>"


def _sample(path: str) -> str:
    return f'<svg class="sample" viewBox="0 0 28 {HEIGHT}" aria-hidden="true">{path}</svg>'


def _tools(report: Report) -> Iterator[str]:
    causes = sorted({outage.cause for each in report.connections for outage in each.life.outages})
    yield '<form class="tools js" aria-label="Zoom and filters"><div>'
    yield '<label>From (UTC)<input type="datetime-local" step="1" name="from"></label>'
    yield '<label>to (UTC)<input type="datetime-local" step="1" name="to"></label>'
    for way, sign, name in (
        ("in", "+", "Zoom in"), ("out", "\u2212", "Zoom out"), ("earlier", "\u25c2", "Earlier"), ("later", "\u25b8", "Later"),
    ):  # fmt: skip
        yield f'<button type="button" data-zoom="{way}" aria-label="{name}" title="{name}">{sign}</button>'
    yield '<button type="button" data-zoom="all">All</button></div><div>'
    yield '<label>Connection<input type="search" name="id" placeholder="part of its id" autocomplete="off"></label>'
    yield from _choice("state", "State in the shown time", list(State))
    yield from _choice("cause", "Outage in the shown time", causes)
    yield '<button type="reset">Clear</button></div><output role="status"></output></form>'


def _choice(name: str, label: str, values: list[State] | list[str]) -> Iterator[str]:
    options = "".join(f"<option>{text(value)}</option>" for value in values)
    yield f'<label>{label}<select name="{name}"><option value="">any</option>{options}</select></label>'


def _axis(axis: Axis) -> Iterator[str]:
    """Draw the axis: quarters of the time, which the script replaces by round moments."""
    quarters = [axis.width * quarter // 4 for quarter in range(5)]
    labels = "".join(
        f'<span class="{kind}" style="left:{25 * quarter}%">{moment(axis.begin + at * axis.tick)[11:]}</span>'
        for quarter, (at, kind) in enumerate(zip(quarters, ("first", "", "", "", "last"), strict=True))
    )
    ticks = "".join(f"M{at} 0v{HEIGHT}" for at in quarters)
    yield (
        '<div class="axis" tabindex="0" role="group" '
        'aria-label="Time axis: plus and minus zoom, the arrow keys move, 0 shows all">'
        f'<span class="shown">{moment(axis.begin)[:10]}, UTC</span><div class="scale">{labels}</div>'
        '<svg aria-hidden="true"><g id="grid">'
        f'<path class="ticks" d="{ticks}"/><path class="chosen" d=""/><path class="pointer" d=""/></g></svg></div>'
    )


def _packed(others: list[ConnectionReport], before: int, axis: Axis) -> str:
    """Pack the connections that the page does not list; the script unpacks them for a filter."""
    drawn = min(MOST, max(8, _DRAWN // len(others)))
    items = (item(each, rank, axis, drawn, 3) for rank, each in enumerate(others, before + 1))
    data = b64encode(gzip.compress("\n".join(items).encode(), mtime=0)).decode()
    return f'<script type="application/gzip" id="rest" data-count="{len(others)}">{data}</script>'
