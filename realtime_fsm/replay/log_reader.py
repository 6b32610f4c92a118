"""The log reader: the records of one connection in the order of their numbers, up to the first missing number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.absence import KnownConnections, describe_absence, redacted_id
from realtime_fsm.audit.decoding import EVENTS, BadRecord, ExtendedRecord, decode_unusual
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.framing import LineReader
from realtime_fsm.audit.policies import Policies
from realtime_fsm.audit.report import Location
from realtime_fsm.audit.secret_scan import looks_secret
from realtime_fsm.audit.shapes import MARK
from realtime_fsm.audit.sources import Unreadable, open_log, read_lines, sort_by_content
from realtime_fsm.auditlog.records import SCHEMA, AnyRecord, CloseRecord, OpenRecord, SubscriptionRecord, TransitionRecord
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_REMEDY = "replay it with the version of realtime-fsm that wrote it"


class UnusableLog(Exception):
    """The log cannot be replayed at all. The text names the reason."""


class IncompleteLog(Exception):
    """The log lacks a fact that the replay needs. The text names the fact."""


@dataclass(frozen=True, slots=True)
class LocatedRecord:
    """A record with its place: the file and the line."""

    place: Location
    record: AnyRecord


@dataclass(frozen=True, slots=True)
class ConnectionLog:
    """The log of one connection.

    Attributes:
        connection: the id of the connection.
        policies: the settings of the connection.
        records: the records, from number 1 on, without a hole.
        incomplete_reason: the reason for which the log holds no more records; None for a complete log.
    """

    connection: str
    policies: Policies
    records: tuple[LocatedRecord, ...]
    incomplete_reason: str | None


class _Head(msgspec.Struct):
    event: str = ""
    connection_id: str = ""


_decode_head = msgspec.json.Decoder(_Head).decode
_decode: Callable[[bytes], AnyRecord] = msgspec.json.Decoder(AnyRecord).decode


def _head_of(line: bytes) -> _Head | None:
    try:
        return _decode_head(line)
    except ValueError:
        return None


@dataclass(slots=True)
class _Reader:
    """Collects the records of the first connection whose id begins as `only` says."""

    only: tuple[str, ...]
    lines: LineReader
    is_renamed: bool
    connection: str | None = None
    is_ambiguous: bool = False
    connections: KnownConnections = field(default_factory=KnownConnections)
    records: dict[int, LocatedRecord] = field(default_factory=dict)
    problems: dict[int, str] = field(default_factory=dict)
    cut: str | None = None
    count: int = 0  # of lines
    unread: tuple[Location, bytes] | None = None  # the first line that names an event, for a log without a record

    def add(self, place: Location, line: bytes) -> None:
        self.count += 1
        head = None if self.is_renamed else _head_of(line)
        is_plain = head is not None and head.event in EVENTS
        for plain in [line] if is_plain else [plain for plain, _ in self.lines.read(line)]:
            head = _head_of(plain)
            if self.unread is None and MARK in plain:
                self.unread = place, plain
            if head is not None and head.event in EVENTS and head.connection_id:
                self._note_connection(head.connection_id)
            if head is None or head.connection_id == self.connection:
                self._add_record(place, plain)

    def _note_connection(self, connection: str) -> None:
        self.connections.add(connection)
        if connection.startswith(self.only or ""):
            self.connection = self.connection or connection
            self.is_ambiguous |= connection != self.connection

    def _add_record(self, place: Location, line: bytes) -> None:
        try:
            record = _decode(line)
        except ValueError:
            record = None
        if record is None or record.machine != TABLE.fingerprint or record.schema != SCHEMA:
            decoded = decode_unusual(line)
            if isinstance(decoded, BadRecord):
                self._add_problem(place, decoded)
            if not isinstance(decoded, ExtendedRecord):
                return
            assert decoded.record is not None
            record = decoded.record
            if record.machine != TABLE.fingerprint:
                self.problems[record.seq] = f"{place}: the record is of another table than {TABLE.fingerprint}; {_REMEDY}"
        if isinstance(record, TransitionRecord) and not record.source:
            self.problems[record.seq] = f"{place}: the record lacks source, a name that some shippers reserve"
        first = self.records.setdefault(record.seq, LocatedRecord(place, record))
        if first.record != record:
            self.problems[record.seq] = f"{place}: another record {record.seq} is at {first.place}"
        if any(isinstance(value, str) and (looks_secret(value) or not value.isprintable()) for value in _free_values(record)):
            self.problems[record.seq] = f"{place}: a value looks like a secret, or is not printable"

    def _add_problem(self, place: Location, bad_record: BadRecord) -> None:
        if bad_record.connection_id is None:
            self.cut = f"{place}: {bad_record.text}"
        elif bad_record.connection_id == self.connection and bad_record.seq is not None:
            self.problems[bad_record.seq] = f"{place}: {bad_record.text}"

    def log(self, files: str) -> ConnectionLog:
        if not self.connections:
            hint = "" if self.unread is None else f"{self.unread[0]} {self.lines.explain(self.unread[1])}"
            raise UnusableLog(f"{files}: {describe_absence(self.count, hint)}")
        if self.connection is None:
            asked = " or ".join(map(redacted_id, self.only))
            raise UnusableLog(f"the log holds no connection {asked}; {self.connections}")
        if self.is_ambiguous:
            raise UnusableLog(f"the log holds several connections: choose one with --connection; {self.connections}")
        records: list[LocatedRecord] = []
        while (number := len(records) + 1) in self.records and number not in self.problems:
            records.append(self.records[number])
        reason = self._reason_missing(number)
        if not records:
            raise IncompleteLog(reason or "this version can read no record of the connection")
        opened = records[0].record
        if not isinstance(opened, OpenRecord):
            raise IncompleteLog(f"{records[0].place}: the first record is not realtime.open, so the policies are unknown")
        try:
            policies = Policies(opened)
        except (BadOption, TypeError) as problem:
            raise UnusableLog(f"{records[0].place}: the policies cannot be used: {problem}") from None
        is_closed = any(isinstance(located.record, CloseRecord) for located in records)
        return ConnectionLog(self.connection, policies, tuple(records), reason or (None if is_closed else self.cut))

    def _reason_missing(self, number: int) -> str | None:
        """Return the reason for which a record is missing; None if no later record follows."""
        if number in self.problems:
            return self.problems[number]
        later = min((seq for seq in {*self.records, *self.problems} if seq > number), default=None)
        if later is None:
            return None
        place = self.records[later].place if later in self.records else self.problems[later].partition(": ")[0]
        if number == 1:
            return f"{place}: the connection's log begins with number {later}"
        return f"{place}: {pluralize(later - number, 'record')} missing before number {later}"


def _free_values(record: AnyRecord) -> tuple[object, ...]:
    """Return the values of a record that the replay prints, and that any text may fill."""
    if isinstance(record, SubscriptionRecord):
        return (record.subscription,)
    return (record.cause, record.error_code) if isinstance(record, TransitionRecord) else ()


def read_connection_log(
    names: Iterable[str], only: Iterable[str] = (), renamed: Mapping[str, str] | None = None
) -> ConnectionLog:
    """Read the records of a connection.

    Args:
        names: the files, in any order; ``-`` for standard input.
        only: the beginnings of the id of the connection; empty if the log holds only one.
        renamed: the keys of fields that the log renames, by the field.

    Raises:
        UnusableLog: when a file cannot be read, or the log does not hold the connection, or several.
        IncompleteLog: when the first records are missing, or belong to another table.
    """
    reader = _Reader(tuple(only), LineReader(renamed), is_renamed=bool(renamed))
    files = sort_by_content(names, renamed)
    for name in files:
        try:
            with open_log(name) as file:
                for number, line in enumerate(read_lines(file), 1):
                    reader.add(Location(name, number), line)
        except Unreadable as unreadable:
            if not reader.records:
                raise UnusableLog(f"{name}: {unreadable}") from None
            reader.cut = f"{name}: {unreadable}"
    return reader.log(", ".join(files))
