"""The facts of a connection, as far as its records tell.

Invariant: the facts follow from records; the audit never runs the machine. None stands for an unknown fact, and no check uses it.
After missing records many facts are unknown until later records tell them. Times are in seconds since the first step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from realtime_fsm.audit.rules import ROUNDING
from realtime_fsm.fsm.table import TABLE, State

if TYPE_CHECKING:
    from datetime import datetime

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.policies import Policies

LIMIT = 32
"""Frames on a link in any `WINDOW` (PROTOCOL: "Messages", rule 4)."""
WINDOW = 60.0
MINUS_INFINITY = float("-inf")


@dataclass(slots=True, eq=False)
class LastStep:
    """The last step, the time, and the facts of the records since."""

    now: float = 0.0  # the time of the step, or of the end of a draining link
    now_at: datetime | None = None  # the same by the wall clock
    noted: float = 0.0  # the time of the last record that tells a moment
    origin: float | None = None  # the machine's clock when `now` was 0
    wall: float | None = None  # the wall clock (seconds since 1970) when `now` was 0, for the timeline
    ping_took: float | None = None  # where the step has left `ping`
    dials: int = 0
    rejected: int = 0  # subscriptions since
    next_triggers: tuple[str, ...] | None = None  # one of them is the trigger of the next step


@dataclass(slots=True, eq=False)
class Link:
    """The link of the machine: the newest one, except after a way back to an old one."""

    number: int = 0
    is_open: bool | None = False
    dialed_at: float = MINUS_INFINITY
    opened_at: float = MINUS_INFINITY
    up_at: float = MINUS_INFINITY
    idle_from: float = MINUS_INFINITY
    in_url: bool | None = False  # its URL names the channels
    proven: bool | None = False  # everything desired has once been acknowledged on it
    accepted: bool | None = False  # the server has accepted a subscription on it


class OldLink(NamedTuple):
    """The old link of a handover."""

    link: Link
    served: frozenset[str]  # the subscriptions that were acknowledged on it
    been_up: bool | None  # a link had been up since the user asked for one


@dataclass(slots=True, eq=False)
class NextDial:
    """The conditions of the next dial."""

    awaits: int | None = 0  # links that must close before
    retry: tuple[float, float, float] | None = None  # when it was planned, the least and the greatest delay before it
    throttled: bool | None = False  # it waits for a moment that the server, or a proxy, asked for
    not_before: float = MINUS_INFINITY  # that moment
    in_url: bool | None = False  # it asks for channels in the URL
    doubtful: bool | None = False  # a server that greets like an E3 may be an E4


@dataclass(slots=True, eq=False)
class History:
    """The successes and refusals of a connection over its links."""

    been_up: bool | None = False  # since the last call; an old link hides it
    ever_up: bool | None = False
    refusals: int | None = 0  # in a row
    failure_code: int | str | None = None  # of the failure that led into `error` the last time


@dataclass(slots=True, eq=False)
class Frames:
    """The frames that have been sent on the link, and the request that awaits a reply."""

    sends: int = 0
    sent: list[float] = field(default_factory=list)  # the moments of the newest ones, at most `LIMIT`
    sent_known: bool = True  # whether `sent` holds every frame of the last `WINDOW`
    closed_until: float = MINUS_INFINITY  # after a 1013
    in_flight: bool | None = False
    asked_at: float = MINUS_INFINITY
    put_back: bool | None = False  # a 1013 has put a request back, and a late reply may still answer it
    error_answered: bool | None = False
    erred: bool | None = False  # the server answered with an error frame, and has acknowledged nothing since

    def forget_old(self, t: float) -> None:
        """Forget the frames that have left the window."""
        self.sent[:] = [sent for sent in self.sent if t - sent < WINDOW - ROUNDING]


@dataclass(slots=True, eq=False)
class Subscriptions:
    """The ids of subscriptions."""

    known: bool = False  # records tell them, and none is missing
    desired: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)  # on the link
    withdrawn: set[str] = field(default_factory=set)  # and not yet removed
    established: set[str] = field(default_factory=set)  # ever acknowledged


class OpenOutage(NamedTuple):
    """An outage that is not over: its beginning, and the record of it."""

    at: float
    record: FlatRecord


@dataclass(slots=True, eq=False)
class Outages:
    """The outages and faults of a connection."""

    current: OpenOutage | None = None
    lost_by: str | None = None  # the cause of a loss, until a record begins its outage
    gap: float = 0.0  # the longest one since the last record of an outage
    covered_from: float | None = None  # since then a draining link delivers in `reconnecting`, as no outage has begun
    faulty_since: float | None = None
    unwanted: bool = False  # a failure led to `disconnected`


@dataclass(slots=True, eq=False)
class Facts:
    """The facts of one connection."""

    state: str | None = TABLE.initial.value
    entered: float = 0.0
    state_before_ping: str | None = TABLE.initial.value  # in `ping`, the one before; else the state
    newest_link: int = 0
    attempt: int = 0
    era: str | None = None
    draining: OldLink | None = None  # until the new link serves all that it served
    complete: bool = True  # every record has come, and made sense
    closed: bool = False  # by the last socket
    closed_by_record: bool = False
    policies: Policies | None = None
    last_step: LastStep = field(default_factory=LastStep)
    link: Link = field(default_factory=Link)
    next_dial: NextDial = field(default_factory=NextDial)
    history: History = field(default_factory=History)
    frames: Frames = field(default_factory=Frames)
    subscriptions: Subscriptions = field(default_factory=Subscriptions)
    outages: Outages = field(default_factory=Outages)

    def set_state(self, state: str | None, since: float) -> None:
        """Set the state; None where it is unknown. `since` is the time of its entry."""
        self.state, self.entered, self.state_before_ping = state, since, None

    def forget(self) -> None:
        """Forget the facts that depend on the state."""
        self.set_state(None, self.entered)
        self.complete = False
        self.last_step = LastStep(self.last_step.now, self.last_step.now_at, MINUS_INFINITY, wall=self.last_step.wall)
        self.link = Link(self.link.number, is_open=None, in_url=None, proven=None, accepted=None)
        self.next_dial = NextDial(None, None, None, self.next_dial.not_before, None, None)
        self.history = History(None, None, None)
        self.frames = Frames(self.frames.sends, sent_known=False, in_flight=None, put_back=None, error_answered=None, erred=None)
        self.subscriptions = Subscriptions()
        self.outages.covered_from, self.outages.faulty_since, self.outages.unwanted = None, None, False

    def note_hole(self) -> None:
        """Forget what the missing records may have changed: the state, and whether an outage is under way."""
        self.forget()
        self.outages.current = self.outages.lost_by = None

    def note_up(self, *, surely: bool = True) -> None:
        """Note that everything desired is acknowledged on the link, or nothing is desired; or that this may be so."""
        history, link = self.history, self.link
        if surely:
            history.been_up = history.ever_up = link.proven = True
            history.refusals = 0
        else:
            history.been_up, history.ever_up, link.proven = history.been_up or None, history.ever_up or None, link.proven or None
            history.refusals = None if history.refusals else history.refusals

    def note_loss(self, cause: str) -> None:
        """Note that no link delivers any more. A record must begin an outage before the next step."""
        if self.complete and self.outages.current is None and self.draining is None and self.state != State.DISPOSING:
            self.outages.lost_by = cause

    def look_for_handover_end(self) -> None:
        """Forget the old link once the new one serves all its subscriptions, as far as the records tell."""
        old, subscriptions = self.draining, self.subscriptions
        if old is None:
            return
        if not self.complete:  # it may still be there, and then `been_up` allows no attempts of a reconnection
            self.draining = self.history.been_up = None
        elif old.served & subscriptions.desired <= subscriptions.acknowledged:
            self.draining = None

    def dials_in(self, opened: FlatRecord) -> int:
        """Count the dials in the outage that a record begins, and that is not over."""
        return opened.dials + max(0, self.newest_link - opened.link)
