"""The report: what an audit came to, as plain values. Every format is drawn from it."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  (msgspec looks at the annotations)
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.auditlog.records import SCHEMA
from realtime_fsm.fsm.table import TABLE

if TYPE_CHECKING:
    from realtime_fsm.audit.histogram import Histogram
    from realtime_fsm.audit.stats import StatsAccumulator


class Verdict(IntEnum):
    """What is to be said of a log; its number is the exit code."""

    CONFORMANT = 0
    VIOLATED = 1
    UNUSABLE = 2
    INCONCLUSIVE = 3

    @property
    def word(self) -> str:
        """In a word."""
        return self.name.lower()


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
    """One thing that was found.

    Attributes:
        rule: the name of the rule.
        weight: "violation", "doubt" or "note".
        text: what is wrong.
        place: where.
        connection: whose record it is; None if it does not say.
        record: the record; None where the line is none.
        before: the records of the connection before it, the oldest first.
        allowed: what the table allows there.
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
    """One outage, as its record tells it.

    Attributes:
        start: its beginning, by the wall clock.
        at: the same, in seconds of the connection.
        seconds: its length; at the end of the log the length so far.
        cause: the kind of failure, `retired`, or the trigger where nothing failed.
        planned: whether nothing failed.
        dials: the dials in it.
        gap: the longest gap of a subscription in it, in seconds.
        end: "healed"; "disposed" where the connection was disposed of first; "" where the log ends before it.
    """

    start: datetime
    at: float
    seconds: float
    cause: str
    planned: bool
    dials: int
    gap: float
    end: str


class ConnectionStats(msgspec.Struct, frozen=True):
    """How a connection lived; times in seconds, availability in per cent."""

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
        verdict: in a word.
        records: how many of it were read.
        first: the moment of its first record.
        last: the moment of its last one.
        state: where it stood at last.
        ended: whether it was disposed of.
        judged: whether its policies are known, so that its times could be judged.
        findings: the first finding of each rule.
        counts: how often each rule was broken.
        life: how it lived.
        bars: its states in time, where a picture is wanted: beginning, length, state.
        bars_left_out: how many more there were.
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
    life: ConnectionStats
    timeline: list[tuple[float, float, str]] = msgspec.field(default_factory=list, name="bars")
    bars_left_out: int = 0


class RowLine(msgspec.Struct, frozen=True):
    """How often a row was taken, and the median of its dwell where a picture is wanted."""

    row: str
    count: int
    dwell: float | None = None


class Report(msgspec.Struct, frozen=True):
    """A whole audit.

    Attributes:
        verdict: in a word.
        exit_code: the same, as a number.
        machine: the fingerprint of the table that it was judged by.
        schema: the version of the records that it was judged by.
        files: what was read, in this order.
        lines: how many lines.
        records: how many of them are records of this library.
        other: how many are not.
        connections: one by one; where there are very many, those without findings are left out first.
        connections_total: how many there are.
        verdicts: how many connections have each verdict.
        first: the first violation of all; where there is none, the first doubt.
        findings: what belongs to no connection.
        counts: how often each rule was broken.
        life: of all together.
        rows: what was taken.
        never_taken: the rows that never were.
        recoveries: the distribution of the times to re-subscribe: seconds and count.
    """

    verdict: str
    exit_code: int
    files: list[str]
    lines: int
    records: int
    other: int
    connections: list[ConnectionReport]
    connections_total: int
    verdicts: dict[str, int]
    first: Finding | None
    findings: list[Finding]
    counts: dict[str, int]
    life: ConnectionStats
    rows: list[RowLine]
    never_taken: list[str]
    recoveries: list[tuple[float, int]] = []
    machine: str = TABLE.fingerprint
    schema: int = SCHEMA


def spread_of(histogram: Histogram) -> Percentiles:
    """A distribution, summed up."""
    count = histogram.count
    if not count:
        return Percentiles(0, None, None, None, None, None)
    p50, p95, p99 = histogram.percentiles(50, 95, 99)
    return Percentiles(count, histogram.total / count, p50, p95, p99, histogram.most)


def life_of(life: StatsAccumulator) -> ConnectionStats:
    """A life, summed up."""
    return ConnectionStats(
        states={state: round(seconds, 6) for state, seconds in life.states.items()},
        availability=life.availability,
        failures=life.failures,
        between_failures=life.mtbf,
        to_recovery=life.mttr,
        resubscribe=spread_of(life.recoveries),
        ping=spread_of(life.pings),
        gave_up=life.counts.get("gave up", 0),
        rejected=life.counts.get("rejected", 0),
        dropped=life.counts.get("dropped", 0),
        gaps=life.counts.get("gaps", 0),
        malformed=life.counts.get("malformed", 0),
        faults=life.counts.get("faults", 0),
        at_fault=round(life.faulty, 6),
        outages=life.outages,
        outages_left_out=life.outages_left_out,
    )
