"""The audit: the log that a program writes, and the judge of such logs.

Programs that have no logging of their own write the log with `configure`::

    from realtime_fsm import audit

    with audit.configure("/var/log/realtime.jsonl"):
        ...

Design: sources give lines, the auditor makes records of them and follows each connection, the checks compare each step with the
table and the policies, the collector keeps findings and figures, and a report of plain values is drawn as text, JSON, Markdown,
JUnit's XML or a page. The writer is loaded on first use: who reads logs needs no logging.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_fsm.auditlog.records import RECORDS, SCHEMA, AnyRecord, json_schema
    from realtime_fsm.auditlog.writer import configure

__all__ = ["RECORDS", "SCHEMA", "AnyRecord", "configure", "json_schema"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "writer" if name == "configure" else "records"
    return getattr(import_module(f"realtime_fsm.auditlog.{module}"), name)
