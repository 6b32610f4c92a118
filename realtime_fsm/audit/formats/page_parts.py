"""The small parts of the page: tables, badges, moments and lanes."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

from realtime_fsm.audit.formats.text_utils import printable
from realtime_fsm.diagram.timeline import HEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from realtime_fsm.diagram.timeline import Axis

_SIGNS = {"conformant": "\u2713", "violated": "\u2717"}
"""The sign before a verdict; other verdicts get a question mark."""


def text(raw: object) -> str:
    """Escape a text of the log for any place in the page."""
    return escape(printable(str(raw)))


def moment(when: datetime | float | None) -> str:
    """Format a moment in UTC, to the second."""
    if when is None:
        return "none"
    when = when.astimezone(UTC) if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S}"


def badge(verdict: str) -> str:
    """Return a verdict with its sign."""
    return f'<span class="badge {verdict}">{_SIGNS.get(verdict, "?")} {verdict}</span>'


def lane(axis: Axis, paths: Iterable[str], kind: str = "") -> str:
    """Draw a lane: paths along the time axis. Screen readers skip it, because a text beside it tells the same."""
    return (
        f'<svg class="lane{kind}" viewBox="0 0 {axis.width} {HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f'<use href="#grid"/>{"".join(paths)}</svg>'
    )


def scrolling(label: str, parts: Iterable[str]) -> Iterator[str]:
    """Enclose a wide part, which then scrolls on a narrow screen, also by keyboard."""
    yield f'<div class="wide" role="region" tabindex="0" aria-label="{escape(label)}">'
    yield from parts
    yield "</div>"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return a table whose cells are HTML; the first cell of a row is its head."""
    yield f"<table><caption>{escape(caption)}</caption><thead><tr>"
    yield "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    yield "</tr></thead><tbody>"
    for first, *others in rows:
        yield f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'
    yield "</tbody></table>"


def folded(summary: str, parts: Iterable[str]) -> Iterator[str]:
    """Hide parts until the reader opens them."""
    yield f"<details><summary>{escape(summary)}</summary>"
    yield from parts
    yield "</details>"
