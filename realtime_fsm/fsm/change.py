"""The change, the failure and the gap: the values that listeners of states and outages get."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from realtime_fsm.errors import LinkFailure  # noqa: TC001  (for tools that read annotations)
from realtime_fsm.fsm.table import State, Trigger  # noqa: TC001


@dataclass(frozen=True, slots=True)
class Change:
    """One change of state.

    Attributes:
        source: the state that was left.
        dest: the state that was entered.
        trigger: what happened.
        row: the id of the table's row that was taken.
        attempt: how many dials in a row have been made without being forgiven.
        cause: why an attempt or a link ended, if one did.
        at: the moment, aware, in UTC.
    """

    source: State
    dest: State
    trigger: Trigger
    row: str
    attempt: int
    cause: LinkFailure | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt that failed, or the loss of a link.

    Attributes:
        error: why, typed; its text names host and port where no link came about.
        at: the moment, aware, in UTC.
        next_dial: when the next dial is due, aware, in UTC; None where none follows.
    """

    error: LinkFailure
    at: datetime
    next_dial: datetime | None

    @property
    def delay(self) -> float | None:
        """Seconds from the failure to the next dial; None where none follows."""
        return None if self.next_dial is None else (self.next_dial - self.at).total_seconds()


@dataclass(frozen=True, slots=True)
class Gap:
    """A span of time whose events one subscription may have missed, because there was no link that it was acknowledged on.

    Before Appwrite 1.9.5 also a span in which a draining link did not prove that it still delivered; the events that the next
    link brought by then are delivered already.

    Also a span in which the server was at fault: it answered, and could not do its work (PROTOCOL: "Messages", rule 10).

    Appwrite numbers no events and replays none, so a gap tells which events may be missing, not which are.

    Attributes:
        since: the server's time of the last event with one that the subscription got; None if it had got none. `start` is never
            None.
        until: the moment at which it was acknowledged again, or the server proved that it works again, aware, in UTC, by the
            clock of this machine.
        outage_seconds: seconds to that moment from the loss of the link, from the begin of its draining, or from the last proof
            that the server worked.
        attempts: how many dials were made meanwhile.
    """

    since: datetime | None
    until: datetime
    outage_seconds: float
    attempts: int

    @property
    def start(self) -> datetime:
        """The moment to catch up from: ``since``, or without one the begin of the outage, by the clock of this machine."""
        return self.since or self.until - timedelta(seconds=self.outage_seconds)
