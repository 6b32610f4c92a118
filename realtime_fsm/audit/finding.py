"""Findings: the place, the record, the records before it, and the transition rules that the table allows; without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.audit.decoding import TRANSITION, BadRecord, decode_unusual
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.report import ContextRecord, Finding
from realtime_fsm.audit.rules import RULES, RuleBreach, Severity
from realtime_fsm.audit.secret_scan import masked, redact
from realtime_fsm.fsm.table import State, Trigger

if TYPE_CHECKING:
    from collections.abc import Collection

    from realtime_fsm.audit.positions import LineNumbers
    from realtime_fsm.audit.tracking import TrackedConnection
    from realtime_fsm.fsm.tablespec import Row


def finding_of(
    tracked: TrackedConnection | None, said: RuleBreach, here: tuple[int, bytes], places: LineNumbers, fail_on: Collection[str]
) -> Finding:
    """Make a finding about a line.

    Args:
        tracked: the connection before the line; None where the line names no connection.
        said: the rule and the reason.
        here: the number of the line, and the line.
        places: the files of the lines.
        fail_on: the rules whose findings count as violations, whatever their weight.
    """
    weight = RULES[said.rule].weight if said.rule not in fail_on else Severity.VIOLATION
    place, record = places.of(here[0]), decode_redacted(here[1])
    if tracked is None:
        return Finding(said.rule, weight.value, said.text, place, None, record)
    name = masked(tracked.connection_id)
    if weight is Severity.NOTE:
        return Finding(said.rule, weight.value, said.text, place, name, record)
    before = [ContextRecord(places.of(number), decode_redacted(earlier) or {}) for number, earlier in tracked.recent]
    is_step = record is not None and record.get("event") == TRANSITION  # other records follow no transition rule
    allowed = describe_allowed(tracked, record.get("trigger")) if record is not None and is_step else []
    return Finding(said.rule, weight.value, said.text, place, name, record, before, allowed)


def describe_allowed(tracked: TrackedConnection, trigger: object) -> list[str]:
    """Describe the transition rules that the table allows in the state of a connection.

    Args:
        tracked: the connection.
        trigger: the trigger of the record; a known one restricts the answer to its cell.

    Returns:
        A line for each rule, in the order of the table.
    """
    if tracked.state is None:
        return ["anything: records are missing before, so the state is not known"]
    table, steps = tracked.book
    if not steps:
        return ["anything: the table of this connection is not known"]
    state = State(tracked.state)
    known = next((each for each in Trigger if each == trigger), None)
    if known is None:
        return [describe_row(row) for row in table.rows if row.source is state]
    rows = table.cells.get((state, known), ())
    return [describe_row(row) for row in rows] or [f"{state} x {known}: no step. {table.ignored.get((state, known), '')}".strip()]


def describe_row(row: Row[State, Trigger]) -> str:
    """Describe a transition rule in a line."""
    dest = f"stays {row.source}" if row.dest is None else f"-> {row.dest}"
    when = f" if {' and '.join(row.guards)}" if row.guards else ""
    return f"{row.id}: {row.source} x {row.trigger}{when} {dest}"


def explain_missing_field(wrong: RuleBreach, line: bytes) -> RuleBreach:
    """Replace a breach that only the default of a missing field causes."""
    made = decode_unusual(line)
    return RuleBreach(made.rule, made.text) if isinstance(made, BadRecord) else wrong


def describe_hole(before: int, seq: int) -> str:
    """Describe how a number does not follow the one before it."""
    if before == 0:
        return f"the connection's log begins with number {seq}"
    return f"{pluralize(seq - before - 1, 'record is', 'records are')} missing before number {seq}"


def decode_redacted(line: bytes) -> dict[str, Any] | None:
    """Decode a record and hide its secrets; None for a line without a record."""
    try:
        record = msgspec.json.decode(line)
    except ValueError:
        return None
    return redact(record) if isinstance(record, dict) else None
