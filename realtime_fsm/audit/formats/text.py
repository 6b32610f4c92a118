"""The report as text for a terminal, and as Markdown with the same content."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.decoding import KINDS
from realtime_fsm.audit.formats.text_utils import NOTHING, format_duration, number, percent, pluralize
from realtime_fsm.audit.row_facts import STEPS
from realtime_fsm.audit.rules import ROUNDING, RULES
from realtime_fsm.audit.times import tell_moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.report import ConnectionReport, ConnectionStats, Finding, OutageLine, Percentiles, Report

_SHOWN = 20
"""The most connections, and the most outages of each, that a report lists."""
_EVERYWHERE = ("schema", "machine", "connection_id", "event", "level", "logger")
_COUNTS = ("gave_up", "rejected", "dropped", "gaps", "malformed")


def as_text(report: Report, *, coverage: bool = False) -> Iterator[str]:
    """Write the report for people. With `coverage`, it names the transition rules that no connection took."""
    yield f"verdict: {report.verdict} ({_sizes(report)})"
    yield f"judged by table {report.machine}, schema {report.schema}"
    if report.since is not None or report.until is not None:
        yield f"judged {span_of(report)}"
    for finding in report.findings:
        yield f"{finding.weight}: {finding.place}: {finding.text}"
    if report.first is not None:
        yield ""
        yield from finding_lines(report.first)
    yield ""
    shown = worst_of(report, _SHOWN)
    for connection in shown:
        yield from _connection(connection)
    if rest := rest_of(report, shown):
        yield rest
        yield ""
    if report.connections_total > 1:
        yield "all together"
        yield from (f"  {line}" for line in life_lines(report.life))
    if report.counts:
        yield f"findings: {', '.join(f'{rule} {number(count)}' for rule, count in report.counts.items())}"
    if coverage and report.connections_total:
        yield f"transition rules never taken: {len(report.never_taken)} of {len(report.never_taken) + len(report.rows)}"
        for start in range(0, len(report.never_taken), 16):
            yield "  " + " ".join(report.never_taken[start : start + 16])


def _sizes(report: Report) -> str:
    beside = "other line" if report.since is None and report.until is None else "line beside them"
    other = f", {pluralize(report.other, beside, beside.replace('line', 'lines'))}" if report.other else ""
    cut = sum(finding.rule == "cut" and not finding.place.line and finding.weight != "unusable" for finding in report.findings)
    files = f"; {pluralize(cut, 'file is', 'files are')} cut" if cut else ""
    return f"{pluralize(report.connections_total, 'connection')}, {pluralize(report.records, 'record')}{other}{files}"


def span_of(report: Report) -> str:
    """Write the judged span of time, with its zone."""
    since = "the beginning of the log" if report.since is None else tell_moment(report.since, report.since.tzinfo)
    until = "the end of the log" if report.until is None else tell_moment(report.until, report.until.tzinfo)
    return f"from {since} until {until}"


def worst_of(report: Report, most: int) -> list[ConnectionReport]:
    """Choose the connections to show: all of at most `most`; of more, the worst that are not healthy."""
    if report.connections_total <= most:
        return report.connections
    return [connection for connection in report.connections if not connection.healthy][:most]


def rest_of(report: Report, shown: list[ConnectionReport]) -> str:
    """Count the connections that the report leaves out; return an empty text if it shows all."""
    rest = report.connections_total - len(shown)
    healthy = report.healthy - sum(connection.healthy for connection in shown)
    counts = [pluralize(rest - healthy, "more connection")] * (rest > healthy) + [f"{number(healthy)} healthy"] * (healthy > 0)
    verdicts = ", ".join(f"{number(count)} {verdict}" for verdict, count in report.verdicts.items())
    return f"... and {' and '.join(counts)}: {verdicts} in all" if counts else ""


def finding_lines(finding: Finding) -> Iterator[str]:
    """Write a finding with its records and the rules that the table allows there."""
    yield f"first {finding.weight}: {finding.place}"
    if finding.connection is not None:
        yield f"  connection {finding.connection}"
    yield f"  rule {finding.rule}: {RULES[finding.rule].statement}"
    yield f"  here: {finding.text}"
    if finding.before:
        yield f"  the {pluralize(len(finding.before), 'record')} before it:"
        yield from (f"    {shown.place}: {_record(shown.record)}" for shown in finding.before)
    if finding.record is not None:
        yield f"  > {finding.place}: {_record(finding.record)}"
    if finding.allowed:
        yield "  what the table allows there:"
        yield from (f"    {line}" for line in finding.allowed)
    record = finding.record or {}
    told = (record.get("row"), STEPS), (record.get("cause"), KINDS)
    words = [finding.rule, *(word for word, known in told if isinstance(word, str) and word in known)]
    yield f"  for more: realtime-fsm explain {' '.join(words)}"


def _record(record: dict[str, object]) -> str:
    """Write a record, its sentence first, without the fields that all records of a connection share."""
    kind = str(record.get("event", "")).removeprefix("realtime.")
    fields = {name: value for name, value in record.items() if name not in _EVERYWHERE and value is not None}
    if isinstance(sentence := fields.get("sentence"), str):
        del fields["sentence"]
        kind += f": {sentence}"
    return f"{kind} {msgspec.json.encode(fields, order='deterministic').decode()}"


def _connection(connection: ConnectionReport) -> Iterator[str]:
    records = pluralize(connection.records, "record")
    yield f"connection {connection.connection}: {connection.verdict}, {records}, {last_state(connection)}"
    if not connection.judged:
        yield "  no realtime.open record, which has the level DEBUG: its delays and deadlines were not judged"
    yield from (f"  {line}" for line in connection_findings(connection))
    yield from (f"  {line}" for line in life_lines(connection.life))
    yield ""


def last_state(connection: ConnectionReport) -> str:
    """Tell the last state of a connection."""
    return "disposed of" if connection.ended else f"at last {connection.state or 'in an unknown state'}"


def connection_findings(connection: ConnectionReport) -> Iterator[str]:
    """Write the findings of a connection, without the notes."""
    for finding in connection.findings:
        if finding.weight != "note":
            yield f"{finding.weight}: {finding.rule} x {connection.counts[finding.rule]}, at {finding.place}: {finding.text}"


def life_lines(life: ConnectionStats) -> Iterator[str]:
    """Write statistics as text."""
    states = ", ".join(f"{state} {format_duration(seconds)}" for state, seconds in life.states.items() if seconds)
    yield f"time: {states or NOTHING}"
    yield (
        f"availability {percent(life.availability)}, {pluralize(life.failures, 'failure')}, "
        f"mean between failures {format_duration(life.between_failures)}, mean to recovery {format_duration(life.to_recovery)}"
    )
    yield f"time to re-subscribe: {_spread(life.resubscribe)}"
    yield f"ping round trip: {_spread(life.ping)}"
    yield ", ".join(f"{name.replace('_', ' ')} {number(getattr(life, name))}" for name in _COUNTS)
    if life.faults or life.at_fault:
        yield f"server faults {number(life.faults)}, together {format_duration(life.at_fault)}"
    for outage in life.outages[:_SHOWN]:
        cause = f"{outage.cause}, planned" if outage.planned else outage.cause
        yield (
            f"outage at {tell_moment(outage.start, UTC)}: {format_duration(outage.seconds)}{_part(outage)}, {cause}, "
            f"{pluralize(outage.dials, 'attempt')}, gap {format_duration(outage.gap or None)}, {outage.end or 'not over'}"
        )
    if rest := len(life.outages[_SHOWN:]) + life.outages_left_out:
        yield f"... and {pluralize(rest, 'more outage')}"


def _part(outage: OutageLine) -> str:
    """Tell the part of an outage inside the judged span of time; return an empty text for a whole outage."""
    return f" ({format_duration(outage.within)} of it in this span)" if outage.seconds - outage.within > ROUNDING else ""


def _spread(spread: Percentiles) -> str:
    if not spread.count:
        return NOTHING
    told = (("p50", spread.p50), ("p95", spread.p95), ("p99", spread.p99), ("most", spread.most))
    return f"{', '.join(f'{name} {format_duration(value)}' for name, value in told)} of {spread.count}"


def as_markdown(report: Report, *, coverage: bool = False) -> Iterator[str]:
    """Write the report for an issue or a summary of CI. With `coverage`, it counts the transition rules never taken."""
    yield f"# Audit: {report.verdict}"
    yield ""
    span = "" if report.since is None and report.until is None else f" Judged {span_of(report)}."
    yield f"{_sizes(report)}. Judged by table `{report.machine}`, schema {report.schema}.{span}"
    yield ""
    for finding in report.findings:
        yield f"- {finding.weight}: `{_safe(str(finding.place))}`: {_safe(finding.text)}"
    if report.first is not None:
        yield "## The first finding"
        yield ""
        yield "```text"
        yield from (line.replace("```", "'''") for line in finding_lines(report.first))
        yield "```"
    yield ""
    yield "| connection | verdict | records | at last | availability | failures | re-subscribe p95 | ping p95 |"
    yield "|---|---|---|---|---|---|---|---|"
    shown = worst_of(report, _SHOWN)
    for c in shown:
        yield (
            f"| `{_safe(c.connection)}` | {c.verdict} | {number(c.records)} | {c.state or NOTHING} | "
            f"{percent(c.life.availability)} | {c.life.failures} | "
            f"{format_duration(c.life.resubscribe.p95)} | {format_duration(c.life.ping.p95)} |"
        )
    if rest := rest_of(report, shown):
        yield ""
        yield rest
    yield ""
    yield "## Life, all together"
    yield ""
    yield from (f"- {_safe(line)}" for line in life_lines(report.life))
    if coverage:
        yield ""
        yield f"Transition rules never taken: {len(report.never_taken)}."


def _safe(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'").replace("<", "&lt;").replace("\n", " ")
