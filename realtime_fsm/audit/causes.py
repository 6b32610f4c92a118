"""The causes of outages in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.decoding import MISSING
from realtime_fsm.audit.secret_scan import masked
from realtime_fsm.auditlog.sentences import CAUSES, CODES, meaning

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord

MEANINGS: dict[str, str] = {**CAUSES, MISSING: "the log does not tell the cause"}
"""Each kind of failure, without a full stop."""


def describe_cause(kind: str, record: FlatRecord | None = None) -> str:
    """Describe a cause by its meaning, its name, and its code where a record has one.

    Args:
        kind: the kind of failure, or the trigger where nothing failed.
        record: the step that tells the cause.
    """
    codes = [f"{word} {masked(value)}" for field, word in CODES if (value := getattr(record, field, None)) is not None]
    return f"{MEANINGS.get(kind) or meaning(kind)} ({', '.join([masked(kind), *codes])})"
