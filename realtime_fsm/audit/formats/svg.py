"""The drawings of the page, as SVG: timelines, the rows that were taken, a distribution."""

from __future__ import annotations

from html import escape
from math import hypot, log10
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import format_duration, number
from realtime_fsm.fsm.table import TABLE, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.report import ConnectionReport, Report, RowLine

COLOURS = {
    State.DISCONNECTED: "#C3CAD0",
    State.RECONNECTING: "#E8A317",
    State.CONNECTED: "#7FC8AE",
    State.SUBSCRIBED: "#00745A",
    State.UNSUBSCRIBED: "#A9BFD6",
    State.PING: "#4AA3DF",
    State.ERROR: "#B5330F",
    State.DISPOSING: "#1B2733",
}
"""A colour for each state, light and dark enough to be told apart without hue."""
_DARK = (State.SUBSCRIBED, State.ERROR, State.DISPOSING)
_WIDTH, _BAR = 1120, 26
_BOX_W, _BOX_H = 132, 46
_PLACES = {
    State.DISCONNECTED: (130, 90),
    State.RECONNECTING: (560, 90),
    State.ERROR: (990, 90),
    State.UNSUBSCRIBED: (130, 310),
    State.CONNECTED: (560, 310),
    State.SUBSCRIBED: (990, 310),
    State.DISPOSING: (130, 550),
    State.PING: (700, 550),
}


def timeline(connection: ConnectionReport) -> Iterator[str]:
    """Draw the states of a connection in time, its outages above them."""
    end = max((start + length for start, length, _ in connection.timeline), default=0.0)
    begin = min((start for start, _, _ in connection.timeline), default=0.0)
    scale = _WIDTH / (end - begin) if end > begin else 0.0
    yield f'<svg class="timeline" viewBox="0 0 {_WIDTH} {_BAR + 30}" role="img" aria-label="states in time">'
    for start, length, state in connection.timeline:
        said = escape(f"{state}: {format_duration(length)}, from {format_duration(start - begin)} on")
        yield (
            f'<rect class="bar" x="{(start - begin) * scale:.2f}" y="12" width="{max(0.6, length * scale):.2f}" height="{_BAR}" '
            f'fill="{COLOURS[State(state)]}"><title>{said}</title></rect>'
        )
    for outage in connection.life.outages:
        kind = "planned" if outage.planned else "failure"
        said = escape(
            f"outage: {format_duration(outage.seconds)}, cause {outage.cause}, attempts {outage.dials}, "
            f"gap {format_duration(outage.gap or None)}, {outage.end or 'not over'}"
        )
        yield (
            f'<rect class="outage {kind}" x="{(outage.at - begin) * scale:.2f}" y="2" '
            f'width="{max(2.0, outage.seconds * scale):.2f}" height="8"><title>{said}</title></rect>'
        )
    yield f'<text x="0" y="{_BAR + 27}">0</text>'
    yield f'<text x="{_WIDTH}" y="{_BAR + 27}" text-anchor="end">{format_duration(end - begin)}</text>'
    yield "</svg>"


def diagram(report: Report) -> Iterator[str]:
    """Draw the states, and on their arrows the rows that were taken: how often, and the median of the dwell."""
    rows = {line.row: line for line in report.rows}
    arrows: dict[tuple[State, State], list[RowLine]] = {}
    for row in TABLE.rows:
        if row.id in rows:
            arrows.setdefault((row.source, row.dest or row.source), []).append(rows[row.id])
    yield '<svg class="diagram" viewBox="0 0 1120 620" role="img" aria-label="the rows that were taken">'
    yield (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#5C6873"/></marker></defs>'
    )
    labels: list[str] = []
    for (tail, head), lines in arrows.items():
        if tail is not head:
            path, x, y = _route(tail, head, paired=(head, tail) in arrows)
            yield f'<path class="arrow" d="{path}"/>'
            labels += _label(lines, x, y)
    for state, (x, y) in _PLACES.items():
        ink = "#FFFFFF" if state in _DARK else "#1B2733"
        yield (
            f'<rect class="state" x="{x - _BOX_W / 2}" y="{y - _BOX_H / 2}" width="{_BOX_W}" height="{_BOX_H}" rx="7" '
            f'fill="{COLOURS[state]}"/><text class="name" x="{x}" y="{y - 2}" style="fill:{ink}">{state}</text>'
        )
        stays = arrows.get((state, state), [])
        said = escape("\n".join(_of(line) for line in stays)) or "no row that stays was taken"
        count = sum(line.count for line in stays)
        yield f'<text class="stays" x="{x}" y="{y + 14}" style="fill:{ink}">stays x {number(count)}<title>{said}</title></text>'
    yield from labels
    yield "</svg>"


def _of(line: RowLine) -> str:
    return f"{line.row} x {number(line.count)}, {format_duration(line.dwell)}"


def _label(lines: list[RowLine], x: float, y: float) -> Iterator[str]:
    """Up to three rows, the commonest first; the others when pointed at."""
    ordered = sorted(lines, key=lambda line: -line.count)
    shown = [_of(line) for line in ordered[:3]] + ([f"+ {len(lines) - 3} rows"] if len(lines) > 3 else [])
    yield f'<g class="label"><title>{escape(chr(10).join(_of(line) for line in ordered))}</title>'
    top = y - 13 * (len(shown) - 1) / 2
    wide = max(map(len, shown)) * 6.1 + 8
    yield f'<rect x="{x - wide / 2:.1f}" y="{top - 11:.1f}" width="{wide:.1f}" height="{13 * len(shown) + 4}" rx="3"/>'
    for index, text in enumerate(shown):
        yield f'<text x="{x:.1f}" y="{top + 13 * index:.1f}">{escape(text)}</text>'
    yield "</g>"


def _route(tail: State, head: State, *, paired: bool) -> tuple[str, float, float]:
    """Route a bow from one box to another, and the place of its label; two that run opposite ways bow apart."""
    (x1, y1), (x2, y2) = _PLACES[tail], _PLACES[head]
    length = hypot(x2 - x1, y2 - y1)
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    bow = 110 if length > 800 else 62 if paired else 30  # the long ones pass a box that stands between
    cx, cy = (x1 + x2) / 2 - dy * bow, (y1 + y2) / 2 + dx * bow
    sx, sy = _edge(x1, y1, cx, cy)
    ex, ey = _edge(x2, y2, cx, cy)
    share = 0.42  # nearer to where it comes from, so that labels of crossing arrows stand apart
    x = (1 - share) ** 2 * sx + 2 * share * (1 - share) * cx + share**2 * ex
    y = (1 - share) ** 2 * sy + 2 * share * (1 - share) * cy + share**2 * ey
    return f"M{sx:.1f} {sy:.1f}Q{cx:.1f} {cy:.1f} {ex:.1f} {ey:.1f}", x, y


def _edge(x: float, y: float, to_x: float, to_y: float) -> tuple[float, float]:
    """Where the line from the middle of a box to a point leaves the box."""
    dx, dy = to_x - x, to_y - y
    share = min(_BOX_W / 2 / abs(dx) if dx else 9.0, _BOX_H / 2 / abs(dy) if dy else 9.0, 1.0)
    return x + dx * share, y + dy * share


def distribution(bars: list[tuple[float, int]]) -> Iterator[str]:
    """How long recoveries took, by tenths of a power of ten."""
    sums: dict[int, int] = {}
    for seconds, count in bars:
        tenth = int(log10(max(seconds, 1e-6)) * 10 // 1)
        sums[tenth] = sums.get(tenth, 0) + count
    if not sums:
        yield "<p>No outage has healed.</p>"
        return
    least, most, top = min(sums) - 1, max(sums) + 2, max(sums.values())
    step = min(60.0, _WIDTH / (most - least))
    yield f'<svg class="spread" viewBox="0 0 {_WIDTH} 190" role="img" aria-label="times to re-subscribe">'
    for tenth in range(least, most):
        x = (tenth - least) * step
        count = sums.get(tenth, 0)
        height = 130 * count / top
        said = f"{format_duration(10 ** (tenth / 10))} to {format_duration(10 ** ((tenth + 1) / 10))}: {number(count)}"
        yield (
            f'<rect class="column" x="{x + 1:.1f}" y="{150 - height:.1f}" width="{step - 2:.1f}" height="{height:.1f}">'
            f"<title>{escape(said)}</title></rect>"
        )
        if count:
            yield f'<text x="{x + step / 2:.1f}" y="{145 - height:.1f}" text-anchor="middle">{number(count)}</text>'
        if (tenth - least) % max(1, round(70 / step)) == 0:
            yield f'<text x="{x:.1f}" y="170">{format_duration(10 ** (tenth / 10))}</text>'
    yield "</svg>"
