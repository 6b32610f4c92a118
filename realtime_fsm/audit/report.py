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
    Verdict.INCONCLUSIVE: "Records are missing, out of order, or of an unknown table or schema.",
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
    """One finding.

    Attributes:
        rule: the name of the rule.
        weight: "violation", "doubt" or "note".
        text: the reason.
        place: the file and the line.
        connection: the id of the connection; None where the line names no connection.
        record: the record; None where the line is not a record.
        before: the records of the connection before it, the oldest first.
        allowed: the transition rules that the table allows there.
    """

    rule: str
    weight: str
    text: str
    place: Location
    connection: str | None = None
    record: dict[str, Any] | None = None
    before: list[ContextRecord] = []
    allowed: list[str] = []


class Percentiles(msgspec.Struct, frozen=True):
    """A distribution of times, in seconds; percentiles are within 1 %."""

    count: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    most: float | None


class OutageLine(msgspec.Struct, frozen=True):
    """One outage, as its record tells it, whether or not the judged span of time holds all of it.

    Attributes:
        start: its beginning, by the wall clock.
        at: the same, in seconds of the connection.
        seconds: its length; where it is not over, the length until the newest moment of the log, or until `--until`.
        cause: the kind of failure, `retired`, or the trigger where nothing failed.
        planned: whether nothing failed.
        dials: the dials in it.
        gap: the longest gap of a subscription in it, in seconds.
        end: "healed"; "disposed" where the connection was disposed of first; "" where the log ends before it.
        within: the seconds of it in the judged span of time.
    """

    start: datetime
    at: float
    seconds: float
    cause: str
    planned: bool
    dials: int
    gap: float
    end: str
    within: float


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
    """One connection.

    Attributes:
        connection: its id.
        verdict: the verdict as a word.
        records: the number of its records.
        first: the moment of its first record.
        last: the moment of its last record.
        state: its last state.
        ended: whether it was disposed of.
        judged: whether its policies are known, so that its times could be judged.
        findings: the first finding of each rule.
        counts: the number of findings of each rule.
        healthy: whether it is conformant, and no link was lost, no server at fault and nothing given up.
        life: its statistics.
        bars: its stays in states, for a timeline: beginning in seconds since 1970 (UTC), length, state.
        bars_left_out: the number of shorter stays that count as part of the stay before them.
        bars_left_out_longest: the length of the longest of these.
    """

    connection: str
    verdict: str
    records: int
    first: datetime | None
    last: datetime | None
    state: str | None
    ended: bool
    judged: bool
    findings: list[Finding]
    counts: dict[str, int]
    healthy: bool
    life: ConnectionStats
    timeline: list[Stay] = msgspec.field(name="bars")
    bars_left_out: int
    bars_left_out_longest: float


class RowLine(msgspec.Struct, frozen=True):
    """The number of steps by a transition rule, and the median of the dwell before them where a page shows it."""

    row: str
    count: int
    dwell: float | None = None


class Report(msgspec.Struct, frozen=True):
    """A whole audit.

    Attributes:
        verdict: the verdict as a word.
        exit_code: the verdict as a number.
        machine: the fingerprint of the table that judged; of several, with commas between.
        schema: the version of the records.
        files: the files, in the order of reading.
        lines: the number of lines.
        records: the number of lines that are records of this library.
        other: the number of other lines.
        connections: one by one, the worst first: violated ones, then the longest outage, then the lowest availability. Of very
            many, the best are left out.
        connections_total: the number of connections.
        healthy: the number of those without a finding, a loss or a fault.
        verdicts: the number of connections with each verdict.
        first: the first violation; without a violation, the first doubt.
        findings: the findings of no connection.
        counts: the number of findings of each rule.
        life: the statistics of all connections together.
        rows: the rows that were taken.
        never_taken: the rows that were not.
        recoveries: the distribution of the times to re-subscribe after a failure: seconds and count.
        since: the beginning of the judged span of time; None for the beginning of the log.
        until: its end; None for the end of the log.
    """

    verdict: str
    exit_code: int
    files: list[str]
    lines: int
    records: int
    other: int
    connections: list[ConnectionReport]
    connections_total: int
    healthy: int
    verdicts: dict[str, int]
    first: Finding | None
    findings: list[Finding]
    counts: dict[str, int]
    life: ConnectionStats
    rows: list[RowLine]
    never_taken: list[str]
    recoveries: list[tuple[float, int]] = []
    since: datetime | None = None
    until: datetime | None = None
    machine: str = TABLE.fingerprint
    schema: int = SCHEMA
