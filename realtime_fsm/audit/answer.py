"""The answer to the question which connections were down at an instant, as plain values."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  (msgspec looks at the annotations)

import msgspec

from realtime_fsm.audit.report import Finding, Location  # noqa: TC001  (the same)


class Missed(msgspec.Struct, frozen=True):
    """A span of time whose events a subscription may have missed.

    Attributes:
        subscription: its id.
        since: the beginning of the span.
        until: its end; None where it lasts.
        seconds: its length; where it lasts, the length until the newest moment of the log.
    """

    subscription: str
    since: datetime
    until: datetime | None
    seconds: float


class Downtime(msgspec.Struct, frozen=True):
    """A connection that was not available at the instant.

    Attributes:
        connection: its id.
        since: since when.
        is_exact: whether it began then; else it began then or earlier, and records are missing before.
        seconds: for how long; where it is still down, until the newest moment of the log.
        kind: "outage", "fault" of the server, or "no link yet" before the first link.
        cause: the kind of failure, or the trigger where nothing failed.
        planned: whether nothing failed.
        why: the cause in a sentence.
        attempts: the dials in it.
        until: when it ended; None where it is still down.
        end: "healed", "disposed" or "still down".
        last: the moment of the connection's last record.
        missed: the subscriptions, and the spans that they may have missed.
        seq: the number of the record to look at; None where that record is missing.
        place: the file and the line of that record.
    """

    connection: str
    since: datetime
    is_exact: bool
    seconds: float
    kind: str
    cause: str
    planned: bool
    why: str
    attempts: int
    until: datetime | None
    end: str
    last: datetime | None
    missed: list[Missed]
    seq: int | None
    place: Location | None


class Answer(msgspec.Struct, frozen=True):
    """The connections at an instant.

    Attributes:
        at: the instant.
        zone: the name of its zone.
        verdict: the verdict on the log as a word.
        exit_code: the verdict as a number.
        connections: the number of connections that lived then.
        down: those that were not available, the worst first: failures before planned ones, then the longest. Of very many, the
            best are left out.
        down_total: the number of all that were not available.
        healthy: the number of those that were available.
        unwanted: the number of those whose program wanted no link.
        unknown: the number of those of which the log does not tell, because records are missing.
        silent: the number of those whose records end before, without a reason.
        begins: the moment of the first record of the log.
        ends: the newest moment of the log.
        findings: the findings of no connection.
        first: the first violation of the log; without a violation, the first doubt.
    """

    at: datetime
    zone: str
    verdict: str
    exit_code: int
    connections: int
    down: list[Downtime]
    down_total: int
    healthy: int
    unwanted: int
    unknown: int
    silent: int
    begins: datetime | None
    ends: datetime | None
    findings: list[Finding]
    first: Finding | None
