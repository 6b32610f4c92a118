"""The outages: what a change of state means to them, and when a handover becomes one.

The law: where the client's own records tell of an outage, so does this, but for what the user wants: a link that is not wanted is
none that is missing, and where nothing is desired, an outage is over with the next link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.row_facts import DISCONNECTED, DISPOSING, ERROR, PING, SUBSCRIBED, UNSUBSCRIBED
from realtime_fsm.audit.stats import RETIRED, Outage

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.row_facts import RowFacts
    from realtime_fsm.audit.tracking import TrackedConnection


def on_state_change(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, spent: float) -> None:
    """What a change means that is not of a heartbeat."""
    life, dest = tracked.stats, step.dest
    if step.source == DISCONNECTED and life.outage is not None:
        life.unwanted_downtime += spent
    if dest == UNSUBSCRIBED and step.source != PING:
        tracked.idle_from = t
    if dest == ERROR:
        life.count("gave up")
    if step.enters_live:
        tracked.up_at = t
        if tracked.subscriptions_known and not tracked.desired:  # nothing is desired, so nothing is missing
            life.end_outage(t, line.link, "healed")
    if life.outage is not None:
        _note_outage(tracked, line, step, t)
    elif step.retires:
        tracked.handover = _outage_of(tracked, line, step, t)
    elif step.leaves_live or tracked.handover is not None:
        tracked.end_handover(t)
        if not (step.enters_live or dest == DISPOSING or (dest == DISCONNECTED and line.cause is None)):
            life.begin_outage(_outage_of(tracked, line, step, t))


def _outage_of(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> Outage:
    return Outage(line.timestamp, t, tracked.link, line.cause or step.trigger, planned=line.cause is None)


def note_handover(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float, handover: Outage) -> None:
    """Whether a step in `reconnecting` makes an outage of a handover: both links are given up, or a second one is dialed."""
    if step.closes_draining:
        tracked.end_handover(t)
        tracked.stats.begin_outage(_outage_of(tracked, line, step, t))
    elif line.link > handover.link + 1:
        tracked.handover = None
        tracked.stats.begin_outage(handover)


def _note_outage(tracked: TrackedConnection, line: FlatRecord, step: RowFacts, t: float) -> None:
    """Whether a state that is entered ends the outage under way."""
    end = _ENDS.get(step.dest)
    if end is not None and not (step.dest == DISCONNECTED and line.cause):
        tracked.stats.end_outage(t, line.link, end)


_ENDS = {SUBSCRIBED: "healed", UNSUBSCRIBED: "healed", DISCONNECTED: "disconnected", DISPOSING: "disposed"}


def fail_handover(tracked: TrackedConnection, line: FlatRecord) -> None:
    """The link that made room has ended by itself."""
    tracked.end_handover(tracked.now)
    tracked.stats.begin_outage(Outage(line.timestamp, tracked.now, tracked.link, RETIRED, planned=False))
