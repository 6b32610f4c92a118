"""The span of time that an audit judges. It follows earlier records without judging them, and leaves out later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.tracking import TrackedConnection


class Window:
    """A span of time.

    Args:
        since: when it begins; None for the beginning of everything.
        until: when it ends; None for never.

    Attributes:
        is_all: whether it is all the time there is.
    """

    def __init__(self, since: datetime | None, until: datetime | None) -> None:
        self._since, self._until = since, until
        self.is_all: bool = since is None and until is None

    def includes(self, tracked: TrackedConnection, line: FlatRecord) -> bool:
        """Tell whether a record counts; with the first one in the window the statistics begin."""
        if tracked.past_window or (self._until is not None and line.timestamp > self._until):
            tracked.past_window = True
            return False
        if tracked.first is None and self.has_started(line.timestamp):
            if self._since is not None:
                waited = 0.0 if tracked.last is None else (self._since - tracked.last).total_seconds()
                tracked.restart_stats(tracked.now + max(0.0, waited))
            tracked.first = line.timestamp
        return True

    def has_started(self, moment: datetime | None) -> bool:
        """Whether the window begins no later than a moment."""
        return self._since is None or (moment is not None and moment >= self._since)

    def reports(self, tracked: TrackedConnection) -> bool:
        """Whether findings about a connection are reported by now."""
        return self._since is None or tracked.first is not None
