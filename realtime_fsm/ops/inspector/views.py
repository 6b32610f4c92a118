"""The view of a connection: the facts that the page shows, made from the records.

Invariant: a view is bounded, however long the connection lives, and it holds nothing that a record does not hold. Only a
live connection of this process tells more: the channels and events of its subscriptions, and its next deadline.
"""

from __future__ import annotations

from typing import Any

import msgspec

from realtime_fsm.audit.causes import describe_cause
from realtime_fsm.audit.decoding import EVENTS, FlatRecord
from realtime_fsm.audit.secret_scan import masked
from realtime_fsm.fsm.table import State

STAYS, STEPS, CAUSES, MARKS, SUBSCRIPTIONS, KINDS = 240, 24, 8, 60, 50, 8
"""The most items that a view keeps of each list; the oldest go first."""
_STATES = frozenset(state.value for state in State)


class Step(msgspec.Struct):
    """A transition: the number of its record, its moment, its rule and trigger, and the states."""

    seq: int
    at: float
    rule: str
    trigger: str
    source: str
    dest: str


class Cause(msgspec.Struct):
    """A failure, and how many times in a row it came."""

    at: float
    text: str
    times: int = 1


class SubscriptionView(msgspec.Struct):
    """A subscription.

    Attributes:
        phase: its last change.
        channels: its channels; empty where only a log tells of it.
        dropped: the events that were dropped.
        gaps: the number of its gaps.
        missed: the seconds of its gaps together.
        received: the events that links have brought; None where only a log tells of it.
        waiting: the events that wait for the consumer; None where only a log tells of it.
        behind: since when at least one event has waited all the time; None where nothing waits.
    """

    phase: str = "desired"
    channels: list[str] = []
    dropped: int = 0
    gaps: int = 0
    missed: float = 0.0
    received: int | None = None
    waiting: int | None = None
    behind: float | None = None


class View(msgspec.Struct):
    """A connection. Moments count in seconds since 1970.

    Attributes:
        id: the name of the connection, without what looks like a secret.
        number: its number on the page.
        last: the moment of its newest record.
        since: when the state was entered; None as long as no record tells it.
        stays: the states in time, each with its begin.
        marks: outages and server faults that are over: begin, end, and kind.
        outage: the begin, the kind and the cause of an outage that is not over.
        fault: since when the server has been at fault.
        awaited: the next deadline of a live connection; empty without one.
        due: the moment of that deadline.
        pauses: the links that are not read, because a consumer must catch up.
        left_out: subscriptions that the view has no room for.
        lost: records that are missing between others.
        relayed: messages that a relay has handed to a broker.
        relay_lag: seconds from the server's time of the relay's newest event to its storing.
        others: records of kinds that the page does not know, by kind.
    """

    id: str
    number: int
    seq: int = 0
    last: float = 0.0
    state: str = State.DISCONNECTED.value
    since: float | None = None
    link: int = 0
    attempt: int = 0
    era: str | None = None
    round_trip: float | None = None
    closed: bool = False
    stays: list[tuple[float, str]] = []
    steps: list[Step] = []
    marks: list[tuple[float, float, str]] = []
    causes: list[Cause] = []
    outage: tuple[float, str, str] | None = None
    fault: float | None = None
    awaited: str = ""
    due: float | None = None
    pauses: list[int] = []
    subscriptions: dict[str, SubscriptionView] = {}
    left_out: int = 0
    lost: int = 0
    malformed: int = 0
    relayed: int = 0
    relay_lag: float = 0.0
    others: dict[str, int] = {}

    def take(self, record: FlatRecord) -> bool:
        """Take the next record; return whether it is news. One that came before changes nothing."""
        if record.seq <= self.seq:
            return False
        if self.seq:
            self.lost += record.seq - self.seq - 1
        self.seq, self.link, self.last = record.seq, record.link, record.timestamp.timestamp()
        self._apply(record)
        return True

    def _apply(self, record: FlatRecord) -> None:
        match record.event:
            case "realtime.open" if not self.stays:
                self.enter(self.state, self.last)
            case "realtime.transition" if {record.source, record.dest} <= _STATES:
                self._take_transition(record)
            case "realtime.subscription":
                self._take_subscription(record)
            case "realtime.ping":
                self.round_trip = record.round_trip
            case "realtime.outage":
                self._take_outage(record)
            case "realtime.fault":
                self._take_fault(record)
            case "realtime.dropped":
                one = self.subscription(record.subscription)
                if one is not None and one.waiting is None:  # a live connection tells the number itself
                    one.dropped += record.count
            case "realtime.gap":
                if (one := self.subscription(record.subscription)) is not None:
                    one.gaps += 1
                    one.missed += max(0.0, record.seconds)
            case "realtime.pause":
                self.pauses = [link for link in self.pauses if link != record.paused]
                if record.change == "opened":
                    _append(self.pauses, record.paused, KINDS)
            case "realtime.canary" if record.change == "missed":
                self.add_cause(self.last, "a canary did not come back: the link may be deaf")
            case "realtime.malformed":
                self.malformed += 1
            case "realtime.relayed":
                self.relayed, self.relay_lag = self.relayed + record.stored, record.lag
            case "realtime.close":
                self.closed = True
            case event if event not in EVENTS:
                kind = masked(event)
                if kind in self.others or len(self.others) < KINDS:
                    self.others[kind] = self.others.get(kind, 0) + 1

    def _take_transition(self, record: FlatRecord) -> None:
        self.attempt, self.era = record.attempt, None if record.era is None else masked(record.era)
        if not self.stays:
            self.enter(record.source, self.last - max(0.0, record.dwell))
        if record.dest != self.state:
            self.enter(record.dest, self.last)
        step = Step(record.seq, self.last, masked(record.row), masked(record.trigger), record.source, record.dest)
        _append(self.steps, step, STEPS)
        if record.cause is not None:
            self.add_cause(self.last, describe_cause(record.cause, record))

    def _take_subscription(self, record: FlatRecord) -> None:
        if record.change == "removed":
            if self.subscriptions.pop(masked(record.subscription), None) is None:
                self.left_out = max(0, self.left_out - 1)
            return
        if (one := self.subscription(record.subscription)) is not None:
            one.phase = record.change
        elif record.change == "desired":
            self.left_out += 1

    def _take_outage(self, record: FlatRecord) -> None:
        kind = "planned" if record.planned else "outage"
        if record.change == "opened":
            self.outage = self.last, kind, describe_cause(record.cause or "missing")
            for one in self.subscriptions.values():
                if one.phase == "acknowledged":
                    one.phase = "desired"
        else:
            _append(self.marks, (self.last - max(0.0, record.seconds), self.last, kind), MARKS)
            self.outage = None

    def _take_fault(self, record: FlatRecord) -> None:
        begin = self.last - max(0.0, record.seconds)
        if record.change == "opened":
            self.fault = begin
            self.add_cause(self.last, "the server answers, and cannot do its work (server fault)")
        else:
            _append(self.marks, (begin, self.last, "fault"), MARKS)
            self.fault = None

    def enter(self, state: str, at: float) -> None:
        """Note that the connection is in a state since a moment."""
        self.state, self.since = state, at
        _append(self.stays, (at, state), STAYS)

    def add_cause(self, at: float, text: str) -> None:
        """Add a failure; the same failure again only counts."""
        if self.causes and self.causes[-1].text == text:
            self.causes[-1] = Cause(at, text, self.causes[-1].times + 1)
        else:
            _append(self.causes, Cause(at, text), CAUSES)

    def subscription(self, identifier: str) -> SubscriptionView | None:
        """Return a subscription, which is new at its first record; None where the view has no room for it."""
        name = masked(identifier)
        known = self.subscriptions.get(name)
        if known is None and len(self.subscriptions) < SUBSCRIPTIONS:
            known = self.subscriptions[name] = SubscriptionView()
        return known


def _append(items: list[Any], item: object, most: int) -> None:
    items.append(item)
    del items[:-most]
