"""Looking up: the records before a finding are read again from the files, at the end, where the auditor did not keep them.

Most logs are without a finding, and keeping the newest lines of every connection in case of one would cost every line its share.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.decoding import ExtendedRecord, decode_fast, decode_unusual
from realtime_fsm.audit.finding import decode_redacted
from realtime_fsm.audit.report import ContextRecord, Location
from realtime_fsm.audit.sources import Unreadable, open_log, read_lines
from realtime_fsm.audit.tracking import CONTEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from realtime_fsm.audit.report import Finding, Report


class _Named(msgspec.Struct, gc=False):
    connection_id: str


_decode = msgspec.json.Decoder(_Named).decode


def attach_context(report: Report) -> None:
    """Fill in the records that a report shows before its findings.

    A connection whose name is hidden is shown without them, and so is what cannot be read any more.

    Args:
        report: of files that stand still.
    """
    wanted: defaultdict[tuple[str, int], list[Finding]] = defaultdict(list)
    recent: dict[str | None, deque[tuple[Location, bytes]]] = {}
    for finding in _findings(report):
        wanted[finding.place.file, finding.place.line].append(finding)
        recent[finding.connection] = deque(maxlen=CONTEXT)
    for file, number, line in _lines(report.files if wanted else []):
        before = recent.get(_name(line))
        if before is None or not _is_record(line):
            continue
        for finding in wanted.pop((file, number), ()):
            finding.before[:] = [ContextRecord(at, decode_redacted(earlier) or {}) for at, earlier in before]
        if not wanted:
            return
        before.append((Location(file, number), line))


def _findings(report: Report) -> Iterator[Finding]:
    """Those that show what came before them."""
    connections = (finding for connection in report.connections for finding in connection.findings)
    for finding in connections if report.first is None else (report.first, *connections):
        if finding.weight != "note" and finding.connection is not None and finding.record is not None:
            yield finding


def _lines(files: list[str]) -> Iterator[tuple[str, int, bytes]]:
    for name in files:
        try:
            with open_log(name) as file:
                for number, line in enumerate(read_lines(file), 1):
                    yield name, number, line
        except Unreadable:
            continue


def _name(line: bytes) -> str | None:
    try:
        return _decode(line).connection_id
    except (msgspec.MsgspecError, ValueError):
        return None


def _is_record(line: bytes) -> bool:
    try:
        decode_fast(line)
    except (msgspec.MsgspecError, ValueError):
        made = decode_unusual(line)
        return isinstance(made, ExtendedRecord) or (made is not None and made.connection_id is not None)
    return True
