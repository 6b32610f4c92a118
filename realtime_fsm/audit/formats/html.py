"""The report as one HTML page with its own style and script; the page loads nothing else."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.page_parts import badge, folded, scrolling, table, text
from realtime_fsm.audit.formats.page_time import time_section
from realtime_fsm.audit.formats.svg import diagram, distribution, spread_rows
from realtime_fsm.audit.formats.text import as_text, finding_lines, life_lines
from realtime_fsm.audit.formats.text_utils import format_duration, number, pluralize
from realtime_fsm.diagram import style, timeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from realtime_fsm.audit.report import Report


def style_sheet() -> str:
    """Return the style of the page, in the colours of the diagrams."""
    return f"{style.variables()}{timeline.css()}\n{_part('page.css')}"


def _part(name: str) -> str:
    return (files("realtime_fsm.audit.formats") / name).read_bytes().decode()


def as_html(report: Report, *, coverage: bool = False) -> Iterator[str]:
    """Write the page. With `coverage`, its text names the transition rules that no connection took."""
    script = f"\n{_part('page.js')}"
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    yield f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Audit: {report.verdict}</title>'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    yield '<meta name="viewport" content="width=device-width,initial-scale=1">'
    yield f"<style>{style_sheet()}</style></head><body><main>"
    yield f"<h1>Audit {badge(report.verdict)}</h1>"
    yield (
        f"<p>{pluralize(report.connections_total, 'connection')}, {pluralize(report.records, 'record')}, "
        f"{number(report.other)} other lines. Judged by table <code>{report.machine}</code>, schema {report.schema}.</p>"
    )
    for finding in report.findings:
        yield f"<p>{text(f'{finding.weight}: {finding.place}: {finding.text}')}</p>"
    if report.first is not None:
        yield f'<h2>The first finding</h2><pre tabindex="0">{_lines(finding_lines(report.first))}</pre>'
    yield from time_section(report)
    yield f"<h2>All together</h2><p>{_lines(life_lines(report.life), '<br>')}</p>"
    yield "<h2>Transition rules taken</h2><p>On each arrow: rule, how often, median dwell before it.</p>"
    yield from scrolling("diagram of the transition rules taken", (diagram(report),))
    taken = [(line.row, number(line.count), format_duration(line.dwell)) for line in report.rows]
    yield from _table("Transition rules taken", ("rule", "taken", "median dwell"), taken)
    yield "<h2>Times to re-subscribe</h2>"
    yield from scrolling("times to re-subscribe", distribution(report.recoveries))
    yield from _table("Times to re-subscribe", ("from", "to", "outages"), list(spread_rows(report.recoveries)))
    everything = f'<pre tabindex="0">{_lines(as_text(report, coverage=coverage))}</pre>'
    yield from folded("Everything as text", (everything,))
    yield f"</main><script>{script}</script></body></html>"


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield from folded(f"{caption}, as a table", table(caption, heads, rows))


def _lines(lines: Iterator[str], joint: str = "\n") -> str:
    return joint.join(map(text, lines))
