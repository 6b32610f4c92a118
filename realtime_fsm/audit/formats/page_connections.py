"""The connections of the page one by one: figures and a lane of time, and the details that a click or Enter opens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.formats.page_parts import badge, lane, moment, scrolling, table, text
from realtime_fsm.audit.formats.text import connection_findings, last_state, life_lines
from realtime_fsm.audit.formats.text_utils import NOTHING, format_duration, number, percent, pluralize
from realtime_fsm.audit.stays import merge
from realtime_fsm.diagram.timeline import mark_path, state_paths

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.report import ConnectionReport, OutageLine
    from realtime_fsm.audit.stays import Merged
    from realtime_fsm.diagram.timeline import Axis

OUTAGES = 20
"""The most outages, the longest ones, that the details of a connection list. They list twice as many stays."""
HEADS = ("connection", "verdict", "available", "failures", "longest outage", "its cause", "since (UTC)", "its end", "at last")
"""The columns of the table with the content of the lanes."""


def longest_of(connection: ConnectionReport) -> OutageLine | None:
    """Return the longest outage of a connection that was not planned."""
    return max((each for each in connection.life.outages if not each.planned), key=lambda each: each.seconds, default=None)


def cells(connection: ConnectionReport) -> tuple[str, ...]:
    """Return the cells of a connection in the table."""
    worst = longest_of(connection)
    outage = (NOTHING,) * 4
    if worst is not None:
        outage = (format_duration(worst.seconds), text(worst.cause), moment(worst.start), worst.end or "not over")
    return (
        f"<code>{text(connection.connection)}</code>", badge(connection.verdict), percent(connection.life.availability),
        number(connection.life.failures), *outage, connection.state or "unknown",
    )  # fmt: skip


def item(connection: ConnectionReport, rank: int, axis: Axis, drawn: int, listed: int) -> str:
    """Return a connection as an item of the list.

    Args:
        connection: the connection.
        rank: the place of the connection among all, from 1.
        axis: the time axis of all connections.
        drawn: the number of stays to draw.
        listed: the number of outages to list; twice as many stays are listed.
    """
    merged = merge(connection.timeline, drawn)
    facts = (
        f'<span class="facts"><span class="name"><code>{text(connection.connection)}</code> {badge(connection.verdict)}</span> '
        f'<span class="figures">{_figures(connection)}</span></span>'
    )
    details = "".join(_details(connection, merged, axis, listed))
    return (
        f'<li value="{rank}"><details class="row" data-id="{text(connection.connection)}"><summary>{facts}'
        f"{lane(axis, _paths(connection, merged, axis))}</summary><div class='more'>{details}</div></details></li>"
    )


def _figures(connection: ConnectionReport) -> str:
    said = f"{percent(connection.life.availability)} available"
    if (worst := longest_of(connection)) is not None:
        length, end = format_duration(worst.seconds), "" if worst.end else ", not over"
        said += f", {pluralize(connection.life.failures, 'failure')}, longest {length} ({worst.cause}{end})"
    return text(said)


def _paths(connection: ConnectionReport, merged: Merged, axis: Axis) -> Iterator[str]:
    yield from state_paths(axis, merged.stays)
    marks: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for outage in sorted(connection.life.outages, key=lambda each: each.start):
        marks.setdefault((outage.cause, outage.planned), []).append((outage.start.timestamp(), outage.seconds))
    for (cause, planned), spans in marks.items():
        kind = "mark planned" if planned else "mark"
        yield f'<path class="{kind}" data-c="{text(cause)}" d="{mark_path(axis, spans)}"/>'


def _details(connection: ConnectionReport, merged: Merged, axis: Axis, listed: int) -> Iterator[str]:
    yield (
        f"<p>{pluralize(connection.records, 'record')} from {moment(connection.first)} to {moment(connection.last)} UTC, "
        f"{last_state(connection)}. Its id: <code>{text(connection.connection)}</code></p>"
    )
    yield from (f"<p>{text(line)}</p>" for line in connection_findings(connection))
    yield from _outages(connection, axis, listed)
    yield from _stays(connection, merged, 2 * listed)
    life = msgspec.structs.replace(connection.life, outages=[], outages_left_out=0)
    yield f"<p>{'<br>'.join(map(text, life_lines(life)))}</p>"


def _outages(connection: ConnectionReport, axis: Axis, listed: int) -> Iterator[str]:
    outages = connection.life.outages
    if not outages:
        return
    chosen = sorted(sorted(outages, key=lambda each: -each.seconds)[:listed], key=lambda each: each.start)
    rows = (
        (
            moment(each.start), format_duration(each.seconds), text(each.cause) + " (planned)" * each.planned, number(each.dials),
            format_duration(each.gap or None), each.end or "not over", _show(axis, each.start.timestamp(), each.seconds),
        )
        for each in chosen
    )  # fmt: skip
    yield from scrolling("outages", table("Outages", ("since (UTC)", "length", "cause", "attempts", "gap", "end", "axis"), rows))
    if rest := len(outages) - len(chosen) + connection.life.outages_left_out:
        yield f"<p>... and {pluralize(rest, 'more outage')}.</p>"


def _stays(connection: ConnectionReport, merged: Merged, most: int) -> Iterator[str]:
    listed = merge(merged.stays, most)
    rows = ((moment(begin), format_duration(length), state) for begin, length, state in listed.stays)
    yield from scrolling("states in time", table("States in time", ("since (UTC)", "length", "state"), rows))
    if listed.absorbed:
        yield _absorbed(listed.longest, "count in this table", listed.absorbed)
    if absorbed := merged.absorbed + connection.bars_left_out:
        yield _absorbed(max(merged.longest, connection.bars_left_out_longest), "are drawn", absorbed)


def _absorbed(longest: float, how: str, count: int) -> str:
    return f"<p>Stays of at most {format_duration(longest)} {how} as part of the stay before them: {number(count)}.</p>"


def _show(axis: Axis, begin: float, length: float) -> str:
    first, width = axis.span(begin, length)
    label = f"Zoom to {moment(begin)}"
    return f'<button type="button" class="js" data-show="{first},{width}" aria-label="{label}">show</button>'
