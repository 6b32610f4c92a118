"""The drawings of the page, as SVG: bars of states in time, the diagram of what was taken, a distribution."""

from __future__ import annotations

from html import escape
from math import log10
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import format_duration, number
from realtime_fsm.diagram.overview import Caption, overview
from realtime_fsm.diagram.style import STATE_COLORS
from realtime_fsm.fsm.table import TABLE, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.audit.report import ConnectionReport, Report, RowLine
    from realtime_fsm.diagram.arrows import Arrow

_WIDTH, _BAR = 1120, 26
_NAMED = 2
"""Rows that an arrow names."""


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
            f'fill="{STATE_COLORS[State(state)]}"><title>{said}</title></rect>'
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


def diagram(report: Report) -> str:
    """Return the overview of the states; on each arrow the rows that were taken: how often, and the median of the dwell."""
    taken = {line.row: line for line in report.rows}

    def caption(arrow: Arrow) -> Caption:
        return _caption(taken[row.id] for row in arrow.rows if row.id in taken)

    notes = {}
    for state in State:
        stays = [taken[row.id] for row in TABLE.rows if row.source is state and row.dest is None and row.id in taken]
        tip = "\n".join(map(_row_text, stays)) or "no row that stays was taken"
        notes[state] = Caption((f"stays x {number(sum(line.count for line in stays))}",), tip)
    return overview(TABLE, None, caption, notes).to_svg()


def _caption(lines: Iterable[RowLine]) -> Caption:
    """Return the rows of an arrow: the two commonest first; the others for a pointer. A label breaks after a comma."""
    texts = [_row_text(line) for line in sorted(lines, key=lambda line: -line.count)]
    named = [text.replace(" ", "\u00a0").replace(",\u00a0", ", ") for text in texts[:_NAMED]]
    more = (f"+\u00a0{len(texts) - _NAMED}\u00a0more",) if len(texts) > _NAMED else ()
    return Caption((*named, *more), "\n".join(texts))


def _row_text(line: RowLine) -> str:
    return f"{line.row} x {number(line.count)}, {format_duration(line.dwell)}"


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
