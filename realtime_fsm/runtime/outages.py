"""The outages of a connection.

An outage lasts from the loss of a live link until everything desired is acknowledged again. A handover begins an outage only if
its old link ends before the new one serves everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from realtime_fsm.auditlog.records import RETIRED
from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from realtime_fsm.auditlog.writer import AuditWriter
    from realtime_fsm.fsm.commands import TransitionTaken


class Outage(Struct, eq=False):
    """One outage, in seconds of the event loop's clock.

    Attributes:
        began: when the link was lost.
        missing_since: since when events may be missing: a server fault on the lost link, before its loss, counts as well.
        cause: the cause, as the record names it.
        planned: whether nothing had failed.
        dials: how many dials were made in the outage.
        losses: how many links were lost in it.
        is_told: whether its beginning is in the log.
    """

    began: float
    missing_since: float
    cause: str
    planned: bool
    dials: int = 0
    losses: int = 1
    is_told: bool = False


class OutageTracker:
    """The outages of one connection.

    Attributes:
        current: the outage that is under way; None without one.
        faulty_since: since when a server fault may have cost a draining link events; None without one.
    """

    __slots__ = ("_audit", "_cause", "_dialed", "_lost", "_now", "_planned", "current", "faulty_since")

    def __init__(self, audit: AuditWriter) -> None:
        self._audit = audit
        # of the step under way
        self._cause: str
        self._planned: bool
        self._now: float  # so that the records of a step tell one moment
        self._dialed: int  # dials, if no outage has begun before
        self._lost: bool  # whether a link was lost
        self.faulty_since: float | None = None
        self.current: Outage | None = None

    def begin_step(self, transition: TransitionTaken | None, now: float) -> None:
        """Keep the moment of a step, and its cause: the kind of failure, or the trigger if nothing failed."""
        self._now, self._dialed, self._lost = now, 0, False
        if transition is not None:
            failure = transition.cause
            self._cause, self._planned = transition.row.trigger.value if failure is None else failure.kind, failure is None

    def end_step(self) -> None:
        """Write the beginning of an outage, after the record of the step that caused it."""
        outage = self.current
        if outage is not None and not outage.is_told:
            outage.is_told = True
            self._audit.outage("opened", outage.cause, planned=outage.planned, dials=outage.dials)

    def reach_back(self, seconds: float) -> None:
        """Note a server fault on a link that is lost, or begins to drain. The server last worked so many seconds ago."""
        if self.faulty_since is None:
            self.faulty_since = self._now - seconds

    def end_fault(self, now: float) -> float | None:
        """Forget that fault, and return its seconds until now; None without one. The caller tells of its losses."""
        since, self.faulty_since = self.faulty_since, None
        return None if since is None else now - since

    def lose(self, *, retired: bool = False) -> None:
        """Begin an outage, or count another loss in it; `retired` if the old link of a handover has ended."""
        self._lost = True
        faulty_since, self.faulty_since = self.faulty_since, None
        if self.current is not None:
            self.current.losses += 1
            return
        missing_since = self._now if faulty_since is None else faulty_since
        cause, planned = (RETIRED, False) if retired else (self._cause, self._planned)
        self.current = Outage(self._now, missing_since, cause, planned, self._dialed)

    def dial(self) -> None:
        """Count a dial."""
        if self.current is None:
            self._dialed = 1
        else:
            self.current.dials += 1

    def on_transition(self, source: State, dest: State, *, draining_serves: bool) -> bool:
        """Note a change of state; `draining_serves` if the old link of a handover still delivers.

        Returns:
            Whether the change is a loss.
        """
        ended = source.is_live and not dest.is_live and dest is not State.DISPOSING
        if ended and not draining_serves and not self._lost:
            self.lose()
            return True
        if dest in (State.SUBSCRIBED, State.UNSUBSCRIBED) and self.current is not None:
            self.end_step()
            outage, self.current = self.current, None
            seconds = self._now - outage.began
            self._audit.outage("closed", outage.cause, planned=outage.planned, seconds=seconds, dials=outage.dials)
        return False
