"""Assertions about the audit log of a test: that each connection conforms to the table, and that it took certain rules."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm import hooks
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.formats.text import finding_lines
from realtime_fsm.audit.sources import Unreadable, open_log, read_lines
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TypeAlias

    from realtime_fsm.audit.report import Report

    Log: TypeAlias = "str | os.PathLike[str] | Iterable[Mapping[str, Any]]"

_RULES = frozenset(row.id for row in TABLE.rows)


class AuditRecords:
    """The records of the connections of a test, in the order of writing; it grows while the test runs.

    The records are complete, even if the application's logging drops some. An iteration gives each as a dictionary.
    """

    def __init__(self, _records: list[dict[str, Any]]) -> None:
        self._records = _records

    def __repr__(self) -> str:
        return f"<AuditRecords {len(self)} records>"

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(list(self._records))  # another thread may write

    @property
    def rows(self) -> list[str]:
        """The ids of the transition rules that the connections took, such as ``"sub58"``, in order."""
        return [record["row"] for record in self if record["event"] == "realtime.transition"]


@contextmanager
def recorded() -> Iterator[AuditRecords]:
    """Keep the records of every connection of this process, from now until the end of the context."""
    records: list[dict[str, Any]] = []
    with hooks.added(hooks.records, lambda level, record: records.append({**msgspec.to_builtins(record), "level": level})):
        yield AuditRecords(records)


def begun_here(records: AuditRecords) -> list[dict[str, Any]]:
    """Select the records of the connections that began in this test; one that an earlier test left open may write, too."""
    written = list(records)
    here = {record["connection_id"] for record in written if record["seq"] == 1}
    return [record for record in written if record["connection_id"] in here]


def assert_conformant(log: Log) -> None:
    """Check that every connection of a log did only what the table and its policies allow.

    Args:
        log: the fixture ``realtime_audit``, the path of an audit log, or the records as dictionaries.

    Raises:
        AssertionError: when a connection did something else, or when the log cannot tell, because records are missing. The text
            has the first finding, the records before it, and the rules that the table allows there.
        BadOption: for a file that cannot be read.
    """
    __tracebackhide__ = True
    auditor = Auditor()
    auditor.begin(os.fspath(log) if isinstance(log, str | os.PathLike) else "record")
    auditor.feed(_lines(log))
    report = auditor.finish()
    if report.verdict != "conformant":
        raise AssertionError("\n".join(_explain(report)))


def assert_rows(log: Log, *rows: str) -> None:
    """Check that a connection of a log took certain transition rules in this order; it may have taken others between them.

    Args:
        log: the fixture ``realtime_audit``, the path of an audit log, or the records as dictionaries.
        rows: the ids of the rules, such as ``"sub58"``.

    Raises:
        AssertionError: when no connection took all of them in this order. The text has the path of each.
        BadOption: for an unknown id, without an id, or for a file that cannot be read.
    """
    __tracebackhide__ = True
    if unknown := [row for row in rows if row not in _RULES]:
        raise BadOption("rows", f"{unknown[0]!r:.40} is not a rule of the table; diagrams/transitions.md lists their ids")
    if not rows:
        raise BadOption("rows", "none was given; name at least one, such as 'sub58'")
    paths: dict[str, list[str]] = {}
    for record in map(_decoded, _lines(log)):
        if record.get("event") == "realtime.transition":
            paths.setdefault(record["connection_id"], []).append(record["row"])
    if any(_contains(path, rows) for path in paths.values()):
        return
    taken = [f"  connection {name}: {' '.join(path)}" for name, path in paths.items()] or ["  the log has no transition"]
    raise AssertionError("\n".join([f"no connection took {', then '.join(rows)}", *taken]))


def _contains(path: list[str], rows: Iterable[str]) -> bool:
    left = iter(path)
    return all(row in left for row in rows)


def _explain(report: Report) -> Iterator[str]:
    bad = [connection.connection for connection in report.connections if connection.verdict != "conformant"]
    yield f"the audit log is {report.verdict}: {', '.join(bad) or 'it has no record of a connection'}"
    if report.first is not None:
        yield from finding_lines(report.first)


def _lines(log: Log) -> Iterator[bytes]:
    if isinstance(log, str | os.PathLike):
        try:
            with open_log(os.fspath(log)) as file:
                yield from read_lines(file)
        except Unreadable as failure:
            raise BadOption("log", f"{os.fspath(log)}: {failure}") from None
    else:
        yield from (msgspec.json.encode(record) + b"\n" for record in log)


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except ValueError:
        return {}
