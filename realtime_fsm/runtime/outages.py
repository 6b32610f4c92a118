"""The outages: when nothing delivers, although it once did.

An outage lasts from the loss of a live link to the next moment at which everything desired is acknowledged. Where a link takes
the place of another one that still delivers, there is none, unless the other one ends too early, or nobody has asked it for a
sign of life while more than one dial was needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from realtime_fsm.auditlog.writer import AuditWriter


@dataclass(slots=True)
class Outage:
    """One outage, in seconds of the event loop's clock; `losses` counts the links that were lost in it.

    A server fault before it, on the link that was lost, belongs to its gap: events may be missing from `missing_since` on.
    """

    began: float
    missing_since: float
    planned: bool
    dials: int = 0
    losses: int = 1


@dataclass(slots=True)
class _Handover:
    began: float
    dials: int = 0


class OutageTracker:
    """The outages of one connection.

    Attributes:
        current: the one under way, if there is one.
    """

    __slots__ = ("_audit", "_dialed", "_faulty_since", "_handover", "current")

    def __init__(self, audit: AuditWriter) -> None:
        self._audit = audit
        self._dialed = 0  # in the step under way, before it is known whether an outage begins with it
        self._handover: _Handover | None = None
        self._faulty_since: float | None = None  # of a server fault that lasts until its link is lost
        self.current: Outage | None = None

    def begin_handover(self, now: float) -> None:
        """A link makes room for another one, and delivers until then."""
        self._handover = _Handover(now)

    def reach_back(self, since: float) -> None:
        """A link is lost, or begins to drain, during a server fault: its events are missing since the server last worked."""
        self._faulty_since = since

    def end_handover(self, now: float) -> float | None:
        """The other link is up.

        Returns:
            For how many seconds the one before has made room; None if that was an outage, or is a part of one.
        """
        handover, self._handover = self._handover, None
        if handover is not None:
            self._faulty_since = None  # the farewell tells the gap
        return None if handover is None else now - handover.began

    def fail_handover(self, now: float, *, planned: bool) -> None:
        """The link that delivered has ended before the other one was up, or the user has given it up."""
        if self._handover is not None:
            self._begin(now, planned=planned)

    def dial(self) -> None:
        """A link is dialed."""
        if self._handover is not None:
            self._handover.dials += 1
            if self._handover.dials > 1:
                self._begin(self._handover.began, planned=True)
        if self.current is None:
            self._dialed = 1
        else:
            self.current.dials += 1

    def state_kept(self) -> None:
        """A step has left the state as it was."""
        self._dialed = 0

    def on_transition(self, source: State, dest: State, now: float, *, planned: bool, covered: bool) -> None:
        """The state has changed.

        Args:
            source: the state before.
            dest: the state after.
            now: the moment.
            planned: whether it is the user's own doing.
            covered: whether a link that makes room still delivers.
        """
        delivered = source.is_live or self._handover is not None
        if delivered and not covered and not dest.is_live and dest is not State.DISPOSING:
            self._begin(now, planned=planned)
        elif dest in (State.SUBSCRIBED, State.UNSUBSCRIBED) and self.current is not None:
            outage, self.current = self.current, None
            self._audit.outage("closed", planned=outage.planned, seconds=now - outage.began, dials=outage.dials)
        self._dialed = 0

    def _begin(self, began: float, *, planned: bool) -> None:
        self._handover = None
        faulty_since, self._faulty_since = self._faulty_since, None
        if self.current is not None:
            self.current.losses += 1
            return
        missing_since = began if faulty_since is None else min(began, faulty_since)
        self.current = Outage(began, missing_since, planned, self._dialed)
        self._audit.outage("opened", planned=planned)
