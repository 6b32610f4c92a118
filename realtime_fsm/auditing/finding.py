"""How a finding is told: where, with which record, after which ones, and what the table allows there; without any secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.auditing.lines import Trouble, decode_slowly
from realtime_fsm.auditing.report import Finding, Shown
from realtime_fsm.auditing.rules import RULES, Said, Weight
from realtime_fsm.auditing.secrets import HIDDEN, hide_secrets, looks_secret
from realtime_fsm.auditing.words import allowed

if TYPE_CHECKING:
    from collections.abc import Collection

    from realtime_fsm.auditing.places import Places
    from realtime_fsm.auditing.shadow import Shadow


def finding_of(shadow: Shadow | None, said: Said, line: bytes, places: Places, fail_on: Collection[str]) -> Finding:
    """Tell a finding about the line under way.

    Args:
        shadow: the connection, as it was before the line; None if the line does not say whose it is.
        said: what is wrong.
        line: the line.
        places: knows where it stands.
        fail_on: the rules whose findings count as violations, whatever their weight.
    """
    weight = RULES[said.rule].weight if said.rule not in fail_on else Weight.VIOLATION
    place, record = places.here, readable(line)
    if shadow is None:
        return Finding(said.rule, weight.value, said.text, place, None, record)
    name = HIDDEN if looks_secret(shadow.connection_id) else shadow.connection_id
    if weight is Weight.NOTE:
        return Finding(said.rule, weight.value, said.text, place, name, record)
    before = [Shown(places.of(number), readable(earlier) or {}) for number, earlier in shadow.recent]
    trigger = None if record is None else record.get("trigger")
    return Finding(said.rule, weight.value, said.text, place, name, record, before, allowed(shadow, trigger))


def explained(wrong: Said, line: bytes) -> Said:
    """What is really wrong with a record: a field that is missing has a default, which breaks some other rule."""
    made = decode_slowly(line)
    return Said(made.rule, made.text) if isinstance(made, Trouble) else wrong


def disorder(before: int, seq: int) -> str:
    """How a number does not follow the one before it."""
    if before == 0 and seq > 1:
        return f"the connection's log begins with number {seq}"
    if seq > before:
        return f"{seq - before - 1} records are missing before number {seq}"
    return f"number {seq} comes after number {before}"


def readable(line: bytes) -> dict[str, Any] | None:
    """The record in a line, without what looks like a secret; None if there is none."""
    try:
        record = msgspec.json.decode(line)
    except ValueError:
        return None
    return hide_secrets(record) if isinstance(record, dict) else None
