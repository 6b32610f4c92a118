"""The answer to the question which connections were down at an instant, as plain values."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003  (msgspec looks at the annotations)

import msgspec

from realtime_fsm.audit.report import Finding, Location  # noqa: TC001  (the same)


class Missed(msgspec.Struct, frozen=True):
    """A span of time whose events a subscription may have missed."""

    subscription: str
    since: datetime
    until: datetime | None  # None where it lasts
    seconds: float  # where it lasts, until the newest moment of the log


class Downtime(msgspec.Struct, frozen=True):
    """A connection that was not available at the instant."""

    connection: str
    since: datetime
    is_exact: bool  # else it began then or earlier, and records are missing before
    seconds: float  # where it is still down, until the newest moment of the log
    kind: str  # "outage", "fault" of the server, or "no link yet" before the first link
    cause: str  # the kind of failure, or the trigger where nothing failed
    planned: bool  # nothing failed
    why: str  # the cause in a sentence
    attempts: int  # the dials in it
    until: datetime | None  # None where it is still down
    end: str  # "healed", "disposed" or "still down"
    last: datetime | None  # the moment of the connection's last record
    missed: list[Missed]
    seq: int | None  # the number of the record to look at; None where that record is missing
    place: Location | None  # of that record


class Answer(msgspec.Struct, frozen=True):
    """The connections at an instant."""

    at: datetime
    zone: str  # the name of its zone
    verdict: str  # on the log, as a word
    exit_code: int  # the verdict as a number
    connections: int  # the number of those that lived then
    down: list[Downtime]  # the worst first: failures before planned ones, then the longest; of very many, the best are left out
    down_total: int
    healthy: int  # the number of those that were available
    unwanted: int  # the number of those whose program wanted no link
    unknown: int  # the number of those of which the log does not tell, because records are missing
    silent: int  # the number of those whose records end before, without a reason
    begins: datetime | None  # the moment of the first record of the log
    ends: datetime | None  # the newest moment of the log
    findings: list[Finding]  # those of no connection
    first: Finding | None  # the first violation of the log; without a violation, the first doubt
