"""The statistics of a connection: its time in each state, its outages, its pings and its losses.

Design: an outage is what a `realtime.outage` record says it is. Nothing here derives one from transitions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from realtime_fsm.audit.histogram import Histogram
from realtime_fsm.audit.report import ConnectionStats, OutageLine, Percentiles
from realtime_fsm.audit.stays import Stays
from realtime_fsm.fsm.table import LIVE, State

KEPT = 100
"""Outages of a connection that are listed; further ones are counted."""
_COUNTED = ("gave_up", "rejected", "dropped", "gaps", "malformed", "faults")
_ZERO_TIMES = {state.value: 0.0 for state in State}


@dataclass(slots=True, eq=False)
class StatsAccumulator:
    """The counts of one connection, or of several together."""

    since: float = 0.0  # where they begin, in seconds of the connection
    states: dict[str, float] = field(default_factory=_ZERO_TIMES.copy)
    counts: Counter[str] = field(default_factory=Counter)
    outages: list[OutageLine] = field(default_factory=list)
    outages_left_out: int = 0
    longest: float = 0.0  # of the outages that were not planned
    failures: int = 0  # outages that were not planned
    covered: float = 0.0  # seconds in `reconnecting` while a draining link delivered
    unwanted: float = 0.0  # seconds in `disconnected` after a failure
    faulty: float = 0.0  # seconds on live links during a server fault
    recoveries: Histogram = field(default_factory=Histogram)  # the lengths of failures that healed
    pings: Histogram = field(default_factory=Histogram)
    stays: Stays = field(default_factory=Stays)

    def add_outage(self, outage: OutageLine) -> None:
        """Count an outage that has ended, or that the end of the log has cut."""
        if not outage.planned:
            self.failures += 1
            self.longest = max(self.longest, outage.seconds)
        if outage.end == "healed" and not outage.planned:
            self.recoveries.add(outage.seconds)
        if len(self.outages) < KEPT:
            self.outages.append(outage)
        else:
            self.outages_left_out += 1

    def merge(self, other: StatsAccumulator) -> None:
        """Add the counts of another connection, without its list of outages and its timeline."""
        for state, seconds in other.states.items():
            self.states[state] += seconds
        self.counts.update(other.counts)
        self.failures += other.failures
        self.covered += other.covered
        self.unwanted += other.unwanted
        self.faulty += other.faulty
        self.recoveries.merge(other.recoveries)
        self.pings.merge(other.pings)

    @property
    def up(self) -> float:
        """The seconds in which a link delivered."""
        return sum(seconds for state, seconds in self.states.items() if state in LIVE) + self.covered

    @property
    def availability(self) -> float | None:
        """The share of the wanted time in which a link delivered and the server was not at fault, in per cent."""
        wanted = self.up - self.covered + self.states[State.RECONNECTING] + self.states[State.ERROR] + self.unwanted
        return 100 * max(0.0, self.up - self.faulty) / wanted if wanted > 0 else None

    @property
    def mtbf(self) -> float | None:
        """The mean time of a live link between failures, in seconds; None without a failure."""
        return self.up / self.failures if self.failures else None

    @property
    def mttr(self) -> float | None:
        """The mean time from a failure to its healing, in seconds; None where no failure has healed."""
        return self.recoveries.total / self.recoveries.count if self.recoveries.count else None


def spread_of(histogram: Histogram) -> Percentiles:
    """Summarize a histogram."""
    count = histogram.count
    if not count:
        return Percentiles(0, None, None, None, None, None)
    p50, p95, p99 = histogram.percentiles(50, 95, 99)
    return Percentiles(count, histogram.total / count, p50, p95, p99, histogram.most)


def life_of(stats: StatsAccumulator) -> ConnectionStats:
    """Summarize statistics."""
    return ConnectionStats(
        states={state: round(seconds, 6) for state, seconds in stats.states.items()},
        availability=stats.availability,
        failures=stats.failures,
        between_failures=stats.mtbf,
        to_recovery=stats.mttr,
        resubscribe=spread_of(stats.recoveries),
        ping=spread_of(stats.pings),
        **{name: stats.counts[name] for name in _COUNTED},
        at_fault=round(stats.faulty, 6),
        outages=stats.outages,
        outages_left_out=stats.outages_left_out,
    )
