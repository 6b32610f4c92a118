"""The outages: when nothing delivers, although it once did.

An outage lasts from the loss of a live link to the next moment at which everything desired is acknowledged. Where a link takes
the place of another one that still delivers, there is none, unless the other one ends too early, or nobody has asked it for a
sign of life while more than one dial was needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.auditlog.records import RETIRED
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
    cause: str
    planned: bool
    dials: int = 0
    losses: int = 1


@dataclass(slots=True)
class _Handover:
    began: float
    cause: str = ""
    dials: int = 0
    given_up_at: float | None = None


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
        """Note that the draining link has ended before the other one was up, or that the user has given both up."""
        if self._handover is None:
            return
        if planned:  # the record follows that of the step, which names the cause
            self._handover.given_up_at = now
        else:
            self._begin(now, now, RETIRED, planned=False)

    def dial(self) -> None:
        """Count a dial."""
        if self._handover is not None:
            self._handover.dials += 1
        if self.current is None:
            self._dialed = 1
        else:
            self.current.dials += 1

    def on_internal_step(self, now: float, cause: str) -> None:
        """Begin an outage if a step that keeps the state gives up a handover, or dials a second time in it.

        Args:
            now: the moment.
            cause: the trigger of the step.
        """
        handover = self._handover
        if handover is not None and handover.given_up_at is not None:
            self._begin(now, handover.given_up_at, cause, planned=True)
        elif handover is not None and handover.dials > 1:
            self._begin(now, handover.began, handover.cause, planned=True)
        self._dialed = 0

    def on_transition(self, source: State, dest: State, now: float, *, cause: str, planned: bool, covered: bool) -> None:
        """Begin or end an outage where a change of state does.

        Args:
            source: the state before.
            dest: the state after.
            now: the moment.
            cause: the kind of failure, or the trigger where nothing has failed.
            planned: whether nothing has failed: the user wanted the change.
            covered: whether a draining link still delivers.
        """
        if covered and self._handover is not None:
            self._handover.cause = cause
        delivered = source.is_live or self._handover is not None
        if delivered and not covered and not dest.is_live and dest is not State.DISPOSING:
            self._begin(now, now, cause, planned=planned)
        elif dest in (State.SUBSCRIBED, State.UNSUBSCRIBED) and self.current is not None:
            outage, self.current = self.current, None
            seconds = now - outage.began
            self._audit.outage("closed", outage.cause, planned=outage.planned, seconds=seconds, dials=outage.dials)
        self._dialed = 0

    def _begin(self, now: float, began: float, cause: str, *, planned: bool) -> None:
        self._handover = None
        faulty_since, self._faulty_since = self._faulty_since, None
        if self.current is not None:
            self.current.losses += 1
            return
        missing_since = began if faulty_since is None else min(began, faulty_since)
        self.current = Outage(began, missing_since, cause, planned, self._dialed)
        self._audit.outage("opened", cause, planned=planned, seconds=now - began, dials=self._dialed)
