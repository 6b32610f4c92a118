"""The verdict of an audit, in short, and a record that is altered."""

from __future__ import annotations

from typing import Any

from realtime_fsm.audit.report import Report
from support.brokenlogs import Record, lines_of


def found(report: Report) -> tuple[str, str | None]:
    return report.verdict, None if report.first is None else report.first.rule


def altered(records: list[Record], index: int, **fields: Any) -> list[bytes]:
    return lines_of([*records[:index], {**records[index], **fields}, *records[index + 1 :]])
