"""The old link of a handover, as the records show it: its subscriptions, its end, and the way back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.guard_inference import is_throttled, is_told_to_wait
from realtime_fsm.audit.tracking import WINDOW, OldLink

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.tracking import TrackedConnection


def begin_handover(tracked: TrackedConnection) -> None:
    """Keep the facts of the link that begins to drain."""
    tracked.draining = tracked.current
    tracked.old_link = OldLink(
        tracked.current, frozenset(tracked.acknowledged), tracked.dialed_in_url, tracked.era, tracked.been_up
    )


def look_for_completion(tracked: TrackedConnection) -> None:
    """Forget the old link once the new one serves all its subscriptions, as far as the records tell."""
    old = tracked.old_link
    if tracked.draining is not None and (not tracked.complete or old is None or not _is_missing(tracked, old)):
        tracked.draining = None


def _is_missing(tracked: TrackedConnection, old: OldLink) -> bool:
    return bool((old.served & tracked.desired) - tracked.acknowledged)


def resume(tracked: TrackedConnection, line: FlatRecord, t: float) -> None:
    """Go back to the old link. The next renewal is due after a tenth of the age."""
    old, tracked.draining = tracked.old_link, None
    if is_told_to_wait(line):
        tracked.not_before = t + max(line.retry_after or 0.0, WINDOW if is_throttled(line) else 0.0)
    tracked.has_link, tracked.throttled, tracked.request_in_flight = True, False, None
    tracked.awaits, tracked.sends, tracked.up_at = 0, line.sends, t
    tracked.proven = tracked.accepted = tracked.refusals = None
    tracked.reset_link()
    tracked.sent_known = False
    age = None if tracked.policies is None else tracked.policies.max_link_age
    if age is not None:
        tracked.up_at = t - 0.8 * age
    if old is None:
        tracked.dialed_in_url = tracked.next_dial_in_url = tracked.been_up = None
        return
    tracked.current = old.number
    tracked.acknowledged |= old.served & tracked.desired
    tracked.dialed_in_url = tracked.next_dial_in_url = old.in_url
    tracked.been_up = old.been_up
