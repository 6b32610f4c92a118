"""The outages: when nothing delivers, although it once did.

An outage lasts from the loss of a live link until everything desired is acknowledged again. A handover begins one only where its
old link ends, or is given up, before the new one serves everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.fsm.table import State

if TYPE_CHECKING:
    from realtime_fsm.auditlog.writer import AuditWriter


@dataclass(slots=True, eq=False)
class Outage:
    """One outage, in seconds of the event loop's clock; `losses` counts the links that were lost in it.

    A server fault before it, on the link that was lost, belongs to its gap: events may be missing from `missing_since` on.
    """

    began: float
    missing_since: float
    planned: bool
    dials: int = 0
    losses: int = 1


class OutageTracker:
    """The outages of one connection.

    Attributes:
        current: the one under way, if there is one.
    """

    __slots__ = ("_audit", "_dialed", "_faulty_since", "_lost", "current")

    def __init__(self, audit: AuditWriter) -> None:
        self._audit = audit
        self._dialed = 0  # in the step under way, before it is known whether an outage begins with it
        self._lost = False  # whether a link was lost in the step under way
        self._faulty_since: float | None = None  # of a server fault that lasts until its link is lost
        self.current: Outage | None = None

    def begin_step(self) -> None:
        """Forget what belonged to the step before."""
        self._dialed, self._lost = 0, False

    def reach_back(self, since: float) -> None:
        """Note a server fault on a link that is lost, or begins to drain: events are missing since the server last worked."""
        self._faulty_since = since

    def end_handover(self) -> None:
        """Forget such a fault: the handover that is over reports the undelivered events of its old link itself."""
        self._faulty_since = None

    def lose(self, now: float, *, planned: bool) -> None:
        """Begin an outage, or count another loss in the one under way.

        Args:
            now: the moment.
            planned: whether it is the user's own doing.
        """
        self._lost = True
        faulty_since, self._faulty_since = self._faulty_since, None
        if self.current is not None:
            self.current.losses += 1
            return
        missing_since = now if faulty_since is None else min(now, faulty_since)
        self.current = Outage(now, missing_since, planned, self._dialed)
        self._audit.outage("opened", planned=planned)

    def dial(self) -> None:
        """Count a dial."""
        if self.current is None:
            self._dialed = 1
        else:
            self.current.dials += 1

    def on_transition(self, source: State, dest: State, now: float, *, planned: bool, covered: bool) -> None:
        """Note a change of state.

        Args:
            source: the state before.
            dest: the state after.
            now: the moment.
            planned: whether it is the user's own doing.
            covered: whether the old link of a handover still delivers.
        """
        ended = source.is_live and not dest.is_live and dest is not State.DISPOSING
        if ended and not covered and not self._lost:
            self.lose(now, planned=planned)
        elif dest in (State.SUBSCRIBED, State.UNSUBSCRIBED) and self.current is not None:
            outage, self.current = self.current, None
            self._audit.outage("closed", planned=outage.planned, seconds=now - outage.began, dials=outage.dials)
