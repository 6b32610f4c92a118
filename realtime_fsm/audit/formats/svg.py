"""The drawings of the page, as SVG: the diagram of the rules that connections took, and the times to re-subscribe."""

from __future__ import annotations

from collections import Counter
from html import escape
from math import floor, log10
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import format_duration, number
from realtime_fsm.diagram.overview import Caption, overview
from realtime_fsm.fsm.table import TABLE, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.audit.report import Report, RowLine
    from realtime_fsm.diagram.arrows import Arrow

_WIDTH = 1120
_NAMED = 2
"""The most rules that an arrow names."""


def diagram(report: Report) -> str:
    """Draw the overview of the states. Each arrow names the rules that connections took, their counts and their median dwells."""
    taken = {line.row: line for line in report.rows}

    def caption(arrow: Arrow) -> Caption:
        return _caption(taken[rule.id] for rule in arrow.rows if rule.id in taken)

    notes = {}
    for state in State:
        stays = [taken[rule.id] for rule in TABLE.rows if rule.source is state and rule.dest is None and rule.id in taken]
        tip = "\n".join(map(_rule_text, stays)) or "no rule that stays was taken"
        notes[state] = Caption((f"stays x {number(sum(line.count for line in stays))}",), tip)
    return overview(TABLE, None, caption, notes).to_svg()


def _caption(lines: Iterable[RowLine]) -> Caption:
    """Name the commonest rules of an arrow; a tooltip names all. A label breaks after a comma."""
    texts = [_rule_text(line) for line in sorted(lines, key=lambda line: -line.count)]
    named = [text.replace(" ", "\u00a0").replace(",\u00a0", ", ") for text in texts[:_NAMED]]
    more = (f"+\u00a0{len(texts) - _NAMED}\u00a0more",) if len(texts) > _NAMED else ()
    return Caption((*named, *more), "\n".join(texts))


def _rule_text(line: RowLine) -> str:
    return f"{line.row} x {number(line.count)}, {format_duration(line.dwell)}"


def distribution(bars: list[tuple[float, int]]) -> Iterator[str]:
    """Draw the lengths of recoveries, by tenths of a power of ten."""
    sums = _tenths(bars)
    if not sums:
        yield "<p>No outage has healed.</p>"
        return
    least, most, top = min(sums) - 1, max(sums) + 2, max(sums.values())
    step = min(60.0, _WIDTH / (most - least))
    yield f'<svg class="spread" viewBox="0 0 {_WIDTH} 190" role="img" aria-label="times to re-subscribe">'
    for tenth in range(least, most):
        x = (tenth - least) * step
        count = sums[tenth]
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


def spread_rows(bars: list[tuple[float, int]]) -> Iterator[tuple[str, str, str]]:
    """Give the distribution as rows of a table: from, to, count."""
    for tenth, count in sorted(_tenths(bars).items()):
        yield format_duration(10 ** (tenth / 10)), format_duration(10 ** ((tenth + 1) / 10)), number(count)


def _tenths(bars: list[tuple[float, int]]) -> Counter[int]:
    """Sum up counts by tenths of a power of ten."""
    sums = Counter[int]()
    for seconds, count in bars:
        sums[floor(log10(max(seconds, 1e-6)) * 10)] += count
    return sums
