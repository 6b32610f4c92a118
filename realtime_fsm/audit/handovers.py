"""The old link of a handover, as the records show it: its subscriptions, its end, and the way back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.facts import WINDOW, Frames, Link, OldLink
from realtime_fsm.audit.guard_inference import is_throttled, is_told_to_wait

if TYPE_CHECKING:
    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts


def begin_handover(facts: Facts) -> None:
    """Keep the facts of the link that begins to drain."""
    facts.draining = OldLink(facts.link, frozenset(facts.subscriptions.acknowledged), facts.history.been_up)


def look_for_completion(facts: Facts) -> None:
    """Forget the old link once the new one serves all its subscriptions, as far as the records tell."""
    old, subscriptions = facts.draining, facts.subscriptions
    if old is not None and (not facts.complete or old.served & subscriptions.desired <= subscriptions.acknowledged):
        facts.draining = None


def resume(facts: Facts, line: FlatRecord, t: float) -> None:
    """Go back to the old link. The next renewal is due after a tenth of the age."""
    old, facts.draining = facts.draining, None
    next_dial, history = facts.next_dial, facts.history
    if is_told_to_wait(line):
        next_dial.not_before = t + max(line.retry_after or 0.0, WINDOW if is_throttled(line) else 0.0)
    next_dial.throttled, next_dial.awaits = False, 0
    facts.frames = Frames(line.sends, sent_known=False, in_flight=None)
    history.refusals = None
    number, in_url = facts.link.number, None
    if old is None:
        history.been_up = None
    else:
        number, in_url = old.link.number, old.link.in_url
        facts.subscriptions.acknowledged |= old.served & facts.subscriptions.desired
        history.been_up = old.been_up
    age = None if facts.policies is None else facts.policies.max_link_age
    up_at = t if age is None else t - 0.8 * age
    facts.link = Link(number, is_open=True, up_at=up_at, idle_from=t, in_url=in_url, proven=None, accepted=None)
    next_dial.in_url = in_url
