"""Life: how long a connection was in each state, its outages, its heartbeats and what it lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.histogram import Histogram
from realtime_fsm.fsm.table import LIVE, State

if TYPE_CHECKING:
    from datetime import datetime

KEPT = 100
"""Outages of one connection that are kept one by one; the others are counted."""


_LIVE = tuple(state.value for state in LIVE)
_ZERO_TIMES = {state.value: 0.0 for state in State}


RETIRED = "retired"
"""The cause of an outage that began when the link ended which had made room for another one, as the record of it is called."""


class Outage:
    """From the loss of a live link to the next moment at which everything desired is acknowledged.

    A handover, in which a link delivers until another one is up, is none, unless that fails: then this is what it becomes.

    Attributes:
        began: when, by the clock of the wall.
        at: when, in seconds of the connection.
        cause: the kind of failure, or what the user did; `RETIRED` where nobody knows why.
        planned: whether it was the user's own doing.
        dials: how many dials were made in it.
        seconds: how long it was, or has been.
        gap: the longest gap of a subscription in it, in seconds.
        end: how it ended: "healed", "disposed", "disconnected", or "" while it lasts, which it does in `error`, too.
    """

    __slots__ = ("at", "began", "cause", "dials", "end", "gap", "link", "planned", "seconds")

    def __init__(self, began: datetime, at: float, link: int, cause: str, *, planned: bool) -> None:
        self.began, self.at, self.link, self.cause, self.planned = began, at, link, cause, planned
        self.dials = 0
        self.seconds = self.gap = 0.0
        self.end = ""


class StatsAccumulator:
    """What is counted of one connection, or of many together."""

    __slots__ = (
        "counts",
        "failures",
        "faulty",
        "outage",
        "outages",
        "outages_left_out",
        "pings",
        "recoveries",
        "resubscribe",
        "segments",
        "segments_left_out",
        "served_during_handover",
        "states",
        "unwanted_downtime",
    )  # fmt: skip

    def __init__(self) -> None:
        self.states = _ZERO_TIMES.copy()
        self.counts: dict[str, int] = {}
        self.outage: Outage | None = None
        self.outages: list[Outage] = []
        self.outages_left_out = 0
        self.failures = 0  # outages that nobody planned
        self.served_during_handover = 0.0  # seconds in `reconnecting` in which the link before still delivered
        self.unwanted_downtime = 0.0  # seconds in `disconnected` that were not wanted
        self.faulty = 0.0  # seconds on live links in which the server was at fault
        self.recoveries = Histogram()  # the length of failures that healed
        self.resubscribe = Histogram()  # from the loss of a link to the next time everything is acknowledged, planned or not
        self.pings = Histogram()
        self.segments: list[tuple[float, float, str]] = []  # where a picture is wanted
        self.segments_left_out = 0

    def count(self, what: str, by: int = 1) -> None:
        """Count something by name."""
        self.counts[what] = self.counts.get(what, 0) + by

    def begin_outage(self, outage: Outage) -> None:
        """A live link is lost."""
        self.outage = outage
        self.failures += not outage.planned
        if len(self.outages) < KEPT:
            self.outages.append(outage)
        else:
            self.outages_left_out += 1

    def end_outage(self, at: float, link: int, end: str) -> None:
        """It is over, one way or the other."""
        outage, self.outage = self.outage, None
        if outage is None:
            return
        outage.seconds, outage.dials, outage.end = at - outage.at, link - outage.link, end
        if end == "healed":
            self.resubscribe.add(outage.seconds)
            if not outage.planned:
                self.recoveries.add(outage.seconds)

    def merge(self, other: StatsAccumulator) -> None:
        """Count all that another one has counted; its outages and pictures stay its own."""
        for state, seconds in other.states.items():
            self.states[state] += seconds
        for name, count in other.counts.items():
            self.count(name, count)
        self.failures += other.failures
        self.served_during_handover += other.served_during_handover
        self.unwanted_downtime += other.unwanted_downtime
        self.faulty += other.faulty
        self.recoveries.merge(other.recoveries)
        self.resubscribe.merge(other.resubscribe)
        self.pings.merge(other.pings)

    @property
    def live(self) -> float:
        """Seconds with a link that was up, or still delivered until the next one was."""
        return sum(self.states[state] for state in _LIVE) + self.served_during_handover

    @property
    def availability(self) -> float | None:
        """The share of the time in which a link was wanted, up, and the server not at fault, in per cent; None where none was."""
        wanted = (
            self.live
            - self.served_during_handover
            + self.states[State.RECONNECTING]
            + self.states[State.ERROR]
            + self.unwanted_downtime
        )
        return 100 * max(0.0, self.live - self.faulty) / wanted if wanted > 0 else None

    @property
    def mtbf(self) -> float | None:
        """The mean time of a live link between failures, in seconds; None without a failure."""
        return self.live / self.failures if self.failures else None

    @property
    def mttr(self) -> float | None:
        """The mean time from a failure to its healing, in seconds; None where none has healed."""
        return self.recoveries.total / self.recoveries.count if self.recoveries.count else None
