"""The report as one page that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.svg import diagram, distribution, timeline
from realtime_fsm.audit.formats.text import as_text, finding_lines, life_lines, rest_of, worst_of
from realtime_fsm.audit.formats.text_utils import format_duration, number, percent, pluralize
from realtime_fsm.diagram.style import DARK, LIGHT, STATE_COLORS
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.audit.report import ConnectionReport, Report
    from realtime_fsm.diagram.style import Palette

DRAWN = 100
"""Connections that are drawn one by one."""


def _page(palette: Palette) -> str:
    return (
        f"body{{color:{palette.ink};background:{palette.paper}}}pre{{border-color:{palette.hair}}}"
        f".timeline text,.spread text{{fill:{palette.soft}}}"
    )


_STYLE = (
    """
:root{color-scheme:light dark}
body{font:14px/1.45 Helvetica,Arial,sans-serif;max-width:1120px;margin:2em auto;padding:0 1em}
h1{margin:0}h2{margin:1.6em 0 .4em}h3{margin:1.2em 0 .2em;font-size:14px}
code,pre{font-family:ui-monospace,monospace;font-size:12px}
pre{border:1px solid;border-radius:6px;padding:.8em;overflow-x:auto}
.life{white-space:pre-wrap}details{margin:1.6em 0}
.badge{display:inline-block;border-radius:4px;padding:.1em .6em;color:#fff;background:#5C6873}
.conformant{background:#00745A}.violated{background:#B5330F}.inconclusive{background:#845000}
.wide{overflow-x:auto}svg{width:100%;min-width:720px;height:auto;display:block}
.timeline text,.spread text{font:11px Helvetica,Arial,sans-serif}
.outage{fill:#C8401A}.outage.planned{fill:#D18F00;fill-opacity:.7}.column{fill:#00805F}
.legend span{display:inline-block;margin-right:1em}.legend i{display:inline-block;width:.9em;height:.9em;border-radius:2px;
margin-right:.35em;vertical-align:-.1em}
table{border-collapse:collapse}td,th{padding:.15em .8em .15em 0;text-align:right}td:first-child,th:first-child{text-align:left}
"""
    + _page(LIGHT)
    + f"@media(prefers-color-scheme:dark){{{_page(DARK)}}}"
)


def as_html(report: Report, *, coverage: bool = False) -> Iterator[str]:
    """Write the page.

    Args:
        report: the report.
        coverage: whether its text names the rows of the table that were never taken.
    """
    yield f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Audit: {report.verdict}</title>'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<style>{_STYLE}</style></head><body>"
    yield f'<h1>Audit <span class="badge {report.verdict}">{report.verdict}</span></h1>'
    yield (
        f"<p>{pluralize(report.connections_total, 'connection')}, {pluralize(report.records, 'record')}, "
        f"{number(report.other)} other lines. Judged by table <code>{report.machine}</code>, schema {report.schema}.</p>"
    )
    for finding in report.findings:
        yield f"<p>{escape(f'{finding.weight}: {finding.place}: {finding.text}')}</p>"
    if report.first is not None:
        yield f"<h2>The first finding</h2><pre>{escape(chr(10).join(finding_lines(report.first)))}</pre>"
    yield f"<h2>Life</h2><pre class='life'>{escape(chr(10).join(life_lines(report.life)))}</pre>"
    yield "<h2>Rows taken</h2><p>On each arrow: row, how often, median dwell before it. Point at it to see all.</p>"
    yield from _wide((diagram(report),))
    yield "<h2>Times to re-subscribe</h2>"
    yield from _wide(distribution(report.recoveries))
    yield "<h2>Time</h2>"
    yield from _legend()
    shown = worst_of(report, DRAWN)
    for connection in shown:
        yield from _connection(connection)
    if rest := rest_of(report, shown):
        yield f"<p>{rest}</p>"
    yield "<details><summary>Everything as text</summary>"
    yield f"<pre>{escape(chr(10).join(as_text(report, coverage=coverage)))}</pre></details></body></html>"


def _wide(picture: Iterable[str]) -> Iterator[str]:
    """Let a picture scroll on a narrow screen, where its texts would be too small."""
    yield '<div class="wide">'
    yield from picture
    yield "</div>"


def _legend() -> Iterator[str]:
    states = "".join(f'<span><i style="background:{STATE_COLORS[state]}"></i>{state}</span>' for state in State)
    outages = "".join(
        f'<span><i style="background:{colour}"></i>{name} (above the bar)</span>'
        for name, colour in (("outage", "#C8401A"), ("planned outage", "#D18F00"))
    )
    yield f'<p class="legend">{states}{outages}</p>'


def _connection(connection: ConnectionReport) -> Iterator[str]:
    yield (
        f'<h3><code>{escape(connection.connection)}</code> <span class="badge {connection.verdict}">{connection.verdict}</span> '
        f"{percent(connection.life.availability)} available, {pluralize(connection.life.failures, 'failure')}, "
        f"ping p95 {format_duration(connection.life.ping.p95)}</h3>"
    )
    yield from _wide(timeline(connection))
    if connection.bars_left_out:
        yield f"<p>... and {pluralize(connection.bars_left_out, 'more bar')}.</p>"
