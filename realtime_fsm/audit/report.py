"""The report of an audit as plain values, which every format shows."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  (msgspec looks at the annotations)
from enum import IntEnum
from typing import Any

import msgspec

from realtime_fsm.audit.stays import Stay  # noqa: TC001  (msgspec looks at the annotations)
from realtime_fsm.auditlog.records import SCHEMA
from realtime_fsm.fsm.table import TABLE


class Verdict(IntEnum):
    """The verdict on a log; its number is the exit code."""

    CONFORMANT = 0
    VIOLATED = 1
    UNUSABLE = 2
    INCONCLUSIVE = 3

    @property
    def word(self) -> str:
        """The verdict as a word."""
        return self.name.lower()

    @property
    def means(self) -> str:
        """The meaning of the verdict."""
        return _MEANINGS[self]


_MEANINGS = {
    Verdict.CONFORMANT: "The log shows nothing that a rule forbids.",
    Verdict.VIOLATED: "The log breaks a rule.",
    Verdict.UNUSABLE: "The input cannot be read, or the command is wrong.",
    Verdict.INCONCLUSIVE: "Records are missing, repeated, out of order, or of an unknown table or schema.",
}


class Location(msgspec.Struct, frozen=True):
    """A line of a file, counted from 1; 0 for the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class ContextRecord(msgspec.Struct, frozen=True):
    """A record at its place, without anything that looks like a secret."""

    place: Location
    record: dict[str, Any]


class Finding(msgspec.Struct, frozen=True):
    """One finding."""

    rule: str
    weight: str  # "violation", "doubt" or "note"; "unusable" for a file
    text: str  # the reason
    place: Location
    connection: str | None = None  # None where the line names no connection
    record: dict[str, Any] | None = None  # None where the line is not a record
    before: list[ContextRecord] = []  # the records of the connection before it, the oldest first
    allowed: list[str] = []  # the transition rules that the table allows there


class Percentiles(msgspec.Struct, frozen=True):
    """A distribution of times, in seconds; percentiles are within 1 %."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    most: float | None


class OutageLine(msgspec.Struct, frozen=True):
    """One outage, as its record tells it, whether or not the judged span of time holds all of it. Times are in seconds."""

    start: datetime  # by the wall clock
    at: float  # the same, in seconds of the connection
    seconds: float  # its length; where it is not over, until the newest moment of the log, or until `--until`
    cause: str  # the kind of failure, `retired`, or the trigger where nothing failed
    planned: bool  # nothing failed
    dials: int
    gap: float  # the longest gap of a subscription in it
    end: str  # "healed"; "disposed" where the connection was disposed of first; "" where the log ends before it
    within: float  # the seconds of it in the judged span of time


class ConnectionStats(msgspec.Struct, frozen=True):
    """The statistics of a connection: times in seconds, availability in per cent."""

    states: dict[str, float]
    availability: float | None
    failures: int
    between_failures: float | None
    to_recovery: float | None
    resubscribe: Percentiles
    ping: Percentiles
    gave_up: int
    rejected: int
    dropped: int
    gaps: int
    malformed: int
    faults: int
    at_fault: float
    outages: list[OutageLine]
    outages_left_out: int


class ConnectionReport(msgspec.Struct, frozen=True):
    """One connection."""

    connection: str
    verdict: str  # as a word
    records: int
    first: datetime | None  # the moment of its first record
    last: datetime | None  # the moment of its last record
    state: str | None  # the last one
    ended: bool  # it was disposed of
    judged: bool  # its policies are known, so that its times could be judged
    findings: list[Finding]  # the first one of each rule
    counts: dict[str, int]  # the number of findings of each rule
    healthy: bool  # it is conformant, and no link was lost, no server at fault and nothing given up
    life: ConnectionStats
    timeline: list[Stay] = msgspec.field(name="bars")  # its stays in states
    bars_left_out: int  # shorter stays that count as part of the stay before them
    bars_left_out_longest: float  # the length of the longest of these, in seconds


class RowLine(msgspec.Struct, frozen=True):
    """The number of steps by a transition rule, and the median of the dwell before them where a page shows it."""

    row: str
    count: int
    dwell: float | None = None


class Report(msgspec.Struct, frozen=True):
    """A whole audit."""

    verdict: str  # as a word
    exit_code: int  # the verdict as a number
    files: list[str]  # in the order of reading
    lines: int
    records: int  # the number of lines that are records of this library
    other: int  # the number of other lines
    # The worst first: violated ones, then the longest outage, then the lowest availability. Of very many, the best are left out.
    connections: list[ConnectionReport]
    connections_total: int
    healthy: int  # the number of connections without a finding, a loss or a fault
    verdicts: dict[str, int]  # the number of connections with each verdict
    first: Finding | None  # the first violation; without a violation, the first doubt
    findings: list[Finding]  # those of no connection
    counts: dict[str, int]  # the number of findings of each rule
    life: ConnectionStats  # of all connections together
    rows: list[RowLine]  # those that were taken
    never_taken: list[str]  # the rows that were not
    recoveries: list[tuple[float, int]] = []  # the times to re-subscribe after a failure: seconds and count
    since: datetime | None = None  # the beginning of the judged span of time; None for that of the log
    until: datetime | None = None  # its end; None for that of the log
    machine: str = TABLE.fingerprint  # of the table that judged; of several, with commas between
    schema: int = SCHEMA  # of the records
