"""The values that listeners of states and outages get: the change, the failure and the gap."""

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
        row: the id of the transition rule.
        attempt: how many dials in a row the connection has made since it last forgave failures.
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
        error: the reason; its text names host and port where the attempt led to no link.
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
    """A span of time whose events one subscription may have missed.

    In that span either no link was up on which the server had acknowledged the subscription; or the server was at fault, so that
    it answered and could not do its work (PROTOCOL: "Messages", rule 10). Before Appwrite 1.9.5 a draining link may also have
    failed to prove that it still delivered; the subscription has then already got the events of the next link.

    Appwrite neither numbers nor replays events. So a gap tells which events may be missing, and not which are.

    Attributes:
        since: the server's time of the last event that the subscription got; None if it got no event with a time. See `start`.
        until: the moment at which the server acknowledged the subscription again, or proved that it works again; aware, in UTC,
            by the clock of this machine.
        outage_seconds: seconds to that moment from the loss of the link, from the beginning of its draining, or from the last
            proof that the server worked.
        attempts: how many dials the connection made meanwhile.
    """

    since: datetime | None
    until: datetime
    outage_seconds: float
    attempts: int

    @property
    def start(self) -> datetime:
        """The moment to catch up from: ``since``; without one, the beginning of the outage by this machine's clock."""
        return self.since or self.until - timedelta(seconds=self.outage_seconds)
