"""The story: all records of one connection, in the order of their numbers, as far as they go without a hole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.audit.decoding import BadRecord, decode_unusual
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.report import Location
from realtime_fsm.audit.secret_scan import REDACTED, looks_secret
from realtime_fsm.audit.sources import Unreadable, open_log, read_lines, sort_by_content
from realtime_fsm.audit.tracking import Policies
from realtime_fsm.auditlog.records import (
    RECORDS,
    SCHEMA,
    AnyRecord,
    CloseRecord,
    OpenRecord,
    SubscriptionRecord,
    TransitionRecord,
)
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAMED = 20
"""Connections that are named at most when the one that was asked for is not there."""
_MARK = b'"realtime.'
_EVENTS = frozenset(str(kind.__struct_config__.tag) for kind in RECORDS)


class UnusableLog(Exception):
    """There is nothing to replay. The text says why."""


class IncompleteLog(Exception):
    """The log does not tell enough. The text says what is missing."""


@dataclass(frozen=True, slots=True)
class LocatedRecord:
    """A record at its place."""

    place: Location
    record: AnyRecord


@dataclass(frozen=True, slots=True)
class ConnectionLog:
    """What a log tells of one connection.

    Attributes:
        connection: its id.
        policies: its settings.
        records: the records, from number 1 on, without a hole.
        doubt: why there are no more of them; None if nothing is missing.
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


@dataclass(slots=True)
class _Reader:
    """Picks the records of one connection; of the first one that is met, if none is asked for."""

    wanted: str | None
    chosen: bool
    met: dict[str, None] = field(default_factory=dict)
    told: dict[int, LocatedRecord] = field(default_factory=dict)
    troubles: dict[int, str] = field(default_factory=dict)
    cut: str | None = None

    def take(self, place: Location, line: bytes) -> None:
        if _MARK not in line and line.endswith(b"\n"):
            return
        try:
            head = _decode_head(line)
        except (msgspec.MsgspecError, ValueError):
            self._look_at(place, line)
            return
        if head.event in _EVENTS and head.connection_id and len(self.met) <= NAMED:
            self.met.setdefault(head.connection_id)
            if self.wanted is None:
                self.wanted = head.connection_id
        if head.connection_id == self.wanted:
            self._look_at(place, line)

    def _look_at(self, place: Location, line: bytes) -> None:
        try:
            record = _decode(line)
        except (msgspec.MsgspecError, ValueError):
            record = None
        if record is None or record.machine != TABLE.fingerprint or record.schema != SCHEMA:
            made = decode_unusual(line)
            if isinstance(made, BadRecord):
                self._trouble(place, made)
                return
            if made is None:
                return
            record = msgspec.convert(msgspec.json.decode(line) | {"timestamp": made.line.timestamp.isoformat()}, AnyRecord)
        before = self.told.setdefault(record.seq, LocatedRecord(place, record))
        if before.record != record:
            self.troubles[record.seq] = f"{place}: another record has the number {record.seq}, too ({before.place})"
        if any(isinstance(value, str) and (looks_secret(value) or not value.isprintable()) for value in _words(record)):
            self.troubles[record.seq] = f"{place}: a value looks like a secret, or is no text"

    def _trouble(self, place: Location, trouble: BadRecord) -> None:
        if trouble.connection_id is None:
            self.cut = f"{place}: {trouble.text}"
        elif trouble.connection_id == self.wanted and trouble.seq is not None:
            self.troubles[trouble.seq] = f"{place}: {trouble.text}"

    def log(self) -> ConnectionLog:
        if not self.met or self.wanted is None:
            raise UnusableLog("there are no records of realtime_fsm in it")
        if not (self.told or self.troubles):
            raise UnusableLog(f"there is no connection {redacted_id(self.wanted)} in it{self._list_connections()}")
        if not self.chosen and len(self.met) > 1:
            raise UnusableLog(f"there are several connections in it: choose one with --connection{self._list_connections()}")
        records: list[LocatedRecord] = []
        while (number := len(records) + 1) in self.told and number not in self.troubles:
            records.append(self.told[number])
        doubt = self._doubt(number)
        if not records:
            raise IncompleteLog(doubt or "there is no record of it that this version can read")
        opened = records[0].record
        if not isinstance(opened, OpenRecord):
            raise IncompleteLog(f"{records[0].place}: the first record is not realtime.open, so the policies are not known")
        try:
            policies = Policies(opened)
        except (BadOption, TypeError) as problem:
            raise UnusableLog(f"{records[0].place}: the policies cannot be used: {problem}") from None
        closed = any(isinstance(told.record, CloseRecord) for told in records)
        return ConnectionLog(self.wanted, policies, tuple(records), doubt or (None if closed else self.cut))

    def _doubt(self, number: int) -> str | None:
        """Why the records end before a number."""
        if number in self.troubles:
            return self.troubles[number]
        later = min((seq for seq in {*self.told, *self.troubles} if seq > number), default=None)
        if later is None:
            return None
        where = self.told[later].place if later in self.told else self.troubles[later].partition(": ")[0]
        if number == 1:
            return f"{where}: the connection's log begins with number {later}"
        return f"{where}: {pluralize(later - number, 'record')} missing before number {later}"

    def _list_connections(self) -> str:
        named = [redacted_id(identifier) for identifier in self.met][:NAMED]
        return f"; there {'is' if len(self.met) == 1 else 'are'} {', '.join(named)}{' and more' * (len(self.met) > NAMED)}"


def _words(record: AnyRecord) -> tuple[object, ...]:
    """What of a record is shown, and could be any text."""
    if isinstance(record, SubscriptionRecord):
        return (record.subscription,)
    return (record.cause, record.error_code) if isinstance(record, TransitionRecord) else ()


def redacted_id(identifier: str) -> str:
    """An id, as it may be printed."""
    return REDACTED if looks_secret(identifier) else repr(identifier)


def read_connection_log(names: Iterable[str], connection: str | None) -> ConnectionLog:
    """Read what logs tell of a connection.

    Args:
        names: the files, in any order; ``-`` for standard input.
        connection: its id; None for the only one that is there.

    Raises:
        Unusable: when a file cannot be read, or the connection is not there.
        Untold: when nothing can be replayed, because the beginning is missing or of another table.
    """
    reader = _Reader(connection, chosen=connection is not None)
    for name in sort_by_content(names):
        try:
            with open_log(name) as file:
                for number, line in enumerate(read_lines(file), 1):
                    reader.take(Location(name, number), line)
        except Unreadable as unreadable:
            raise UnusableLog(f"{name}: {unreadable}") from None
    return reader.log()
