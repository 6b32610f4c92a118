"""The audit of logs: whether connections did what the table and their policies allow, and their statistics.

A program without logging of its own writes a log with `configure`::

    from realtime_fsm import audit

    with audit.configure("/var/log/realtime.jsonl"):
        ...

Design: sources give lines. The auditor decodes them and follows each connection; the checks compare each step with the table
and the policies. The collector keeps findings and statistics. Every format shows the same report of plain values. The writer
is loaded on first use, because reading a log needs no logging.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_fsm.auditlog.layouts import readable, wrapper
    from realtime_fsm.auditlog.records import RECORDS, SCHEMA, AnyRecord, json_schema
    from realtime_fsm.auditlog.writer import configure

__all__ = ["RECORDS", "SCHEMA", "AnyRecord", "configure", "json_schema", "readable", "wrapper"]


if not TYPE_CHECKING:  # a checker knows the names, and refuses others

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = {"configure": "writer", "readable": "layouts", "wrapper": "layouts"}.get(name, "records")
        return getattr(import_module(f"realtime_fsm.auditlog.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
