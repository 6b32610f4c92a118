"""Findings, with their place, their record, the records before and the rows that the table allows; without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.audit.counts import count_of
from realtime_fsm.audit.decoding import BadRecord, decode_unusual
from realtime_fsm.audit.formats.text_utils import describe_allowed
from realtime_fsm.audit.report import ContextRecord, Finding
from realtime_fsm.audit.rules import RULES, RuleBreach, Severity
from realtime_fsm.audit.secret_scan import REDACTED, looks_secret, redact

if TYPE_CHECKING:
    from collections.abc import Collection

    from realtime_fsm.audit.positions import LineNumbers
    from realtime_fsm.audit.tracking import TrackedConnection


def finding_of(
    tracked: TrackedConnection | None,
    said: RuleBreach,
    here: tuple[int, bytes],
    places: LineNumbers,
    fail_on: Collection[str],
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
    name = REDACTED if looks_secret(tracked.connection_id) else tracked.connection_id
    if weight is Severity.NOTE:
        return Finding(said.rule, weight.value, said.text, place, name, record)
    before = [ContextRecord(places.of(number), decode_redacted(earlier) or {}) for number, earlier in tracked.recent]
    trigger = None if record is None else record.get("trigger")
    return Finding(said.rule, weight.value, said.text, place, name, record, before, describe_allowed(tracked, trigger))


def explain_missing_field(wrong: RuleBreach, line: bytes) -> RuleBreach:
    """Replace a breach that only the default of a missing field causes."""
    made = decode_unusual(line)
    return RuleBreach(made.rule, made.text) if isinstance(made, BadRecord) else wrong


def describe_hole(before: int, seq: int) -> str:
    """Describe how a number does not follow the one before it."""
    if before == 0:
        return f"the connection's log begins with number {seq}"
    return f"{count_of(seq - before - 1, 'record is', 'records are')} missing before number {seq}"


def decode_redacted(line: bytes) -> dict[str, Any] | None:
    """Decode a record and hide its secrets; None for a line without a record."""
    try:
        record = msgspec.json.decode(line)
    except ValueError:
        return None
    return redact(record) if isinstance(record, dict) else None
