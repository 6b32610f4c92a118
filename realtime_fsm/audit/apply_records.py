"""Apply a record of another kind than a step, and check it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_fsm.audit.decoding import KINDS, MISSING
from realtime_fsm.audit.facts import MINUS_INFINITY, OpenOutage
from realtime_fsm.audit.formats.text_utils import pluralize
from realtime_fsm.audit.policies import Policies
from realtime_fsm.audit.row_facts import DISPOSING, SUBSCRIBED, UNSUBSCRIBED
from realtime_fsm.audit.rules import ROUNDING, SINGLE, RuleBreach
from realtime_fsm.audit.secret_scan import looks_secret, secret_fields
from realtime_fsm.auditlog.records import RETIRED
from realtime_fsm.errors import BadOption
from realtime_fsm.fsm.table import LIVE
from realtime_fsm.protocol.faults import is_server_fault

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_fsm.audit.decoding import FlatRecord
    from realtime_fsm.audit.facts import Facts
    from realtime_fsm.audit.tracking import TrackedConnection

    Handler = Callable[[TrackedConnection, Facts, FlatRecord], RuleBreach | None]

_SPANS = ("opened", "closed")
_CHANGES = ("desired", "acknowledged", "withdrawn", "removed", "rejected")
_TRIGGERS = {"acknowledged": ("acknowledged",), "rejected": ("server_error", "acknowledged")}
"""The triggers of the steps that make a record of a subscription, each of which comes before the record of its step."""


def apply_record(tracked: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    """Apply a record of another kind than a step, and check it."""
    who = line.subscription
    if line.link != facts.newest_link and facts.state is not None:
        return RuleBreach("link", f"the link is {facts.newest_link}, and only a step changes it")
    if who and who not in facts.subscriptions.desired and looks_secret(who):
        return RuleBreach("secret", "the subscription's id looks like a secret")
    handler, is_whole = _RECORDS[line.event]
    return handler(tracked, facts, line) if is_whole(line) else RuleBreach("form", "it lacks a field of its kind")


def _open(_: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    try:
        facts.policies = Policies(line)
    except (BadOption, TypeError, ValueError):
        return RuleBreach("form", "the library does not accept these settings")
    facts.era = line.protocol
    secrets = tuple(secret_fields({"versions": line.versions or {}}))
    return RuleBreach("secret", f"{', '.join(secrets)}: the value looks like a secret") if secrets else None


def _differ(told: float, known: float) -> bool:
    return abs(told - known) > ROUNDING + known * SINGLE


def _ping(_: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    took = facts.last_step.ping_took
    if took is not None and _differ(line.round_trip, took):
        return RuleBreach("clock", f"the answer came after {took:.6f} s in 'ping'")
    return None


def _note_moment(facts: Facts, line: FlatRecord) -> RuleBreach | None:
    """Check that the time in the state, which a record tells, has not gone back."""
    at, noted = facts.entered + line.dwell, facts.last_step.noted
    if facts.state is None or line.dwell < 0:
        return None
    facts.last_step.noted = max(at, noted)
    return RuleBreach("clock", f"the record before tells of {noted - at:.6f} s later") if at < noted - ROUNDING else None


def _outage(tracked: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    if line.change == "closed":
        wrong = _ends_wrongly(facts, line)
        tracked.end_outage(line)
        return wrong
    wrong, now, outages = _begins_wrongly(facts, line), facts.last_step.now, facts.outages
    outages.current, outages.gap, outages.lost_by = OpenOutage(now, line), 0.0, None
    tracked.end_coverage(now)
    if line.seconds > ROUNDING:
        return RuleBreach("clock", "the outage begins, and has no length yet")
    return wrong or (None if line.planned else RuleBreach("outage", f"a link is lost: {line.cause}"))


def _begins_wrongly(facts: Facts, line: FlatRecord) -> RuleBreach | None:
    dials, expected = facts.last_step.dials, facts.outages.lost_by
    if facts.outages.current is not None:
        return RuleBreach("healed", "an outage begins, and the one before is not over")
    if facts.complete and line.dials != dials and (line.cause != RETIRED or line.dials > 1):
        return RuleBreach("link", f"the step that begins the outage made {pluralize(dials, 'dial', 'dials')}")
    if expected is None:
        return RuleBreach("healed", "an outage begins, and no link was lost") if facts.complete else None
    is_planned = expected not in KINDS and expected != RETIRED
    if line.cause == MISSING or (line.cause, line.planned) == (expected, is_planned):
        return None
    return RuleBreach("cause", f"the outage began with {expected}")


def _ends_wrongly(facts: Facts, line: FlatRecord) -> RuleBreach | None:
    if facts.state not in (SUBSCRIBED, UNSUBSCRIBED, None):
        return RuleBreach("healed", f"the outage is over, and the connection is {facts.state}")
    if facts.outages.current is None:
        return RuleBreach("healed", "an outage is over, and none was under way") if facts.complete else None
    at, opened = facts.outages.current
    if (line.cause, line.planned) != (opened.cause, opened.planned):
        return RuleBreach("cause", f"the outage began with {opened.cause}")
    lasted = facts.last_step.now - at
    if facts.complete and _differ(line.seconds, lasted):
        return RuleBreach("clock", f"the outage lasted {lasted:.3f} s, and not {line.seconds:.3f} s")
    if facts.complete and line.dials != (dials := facts.dials_in(opened)):
        return RuleBreach("link", f"{pluralize(dials, 'dial was', 'dials were')} made in the outage")
    return None


def _fault(tracked: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    stats, now, since = tracked.stats, facts.last_step.now, facts.outages.faulty_since
    if line.change == "opened":
        facts.outages.faulty_since = now - line.seconds
        stats.counts["faults"] += 1
        if since is not None:
            return RuleBreach("recovery", "a server fault begins, and the one before is not over")
        if facts.state is not None and facts.state not in LIVE:
            return RuleBreach("recovery", f"a server fault begins, and the connection is {facts.state}")
        return RuleBreach("fault", "the server answers, and cannot do its work")
    facts.outages.faulty_since = None
    if since is None and facts.complete:
        return RuleBreach("recovery", "a server fault is over, and none was under way")
    if since is not None and _differ(line.seconds, now - since):
        return RuleBreach("clock", f"the server fault lasted {now - since:.3f} s, and not {line.seconds:.3f} s")
    stats.faulty += max(0.0, min(line.seconds, now - stats.since))
    return None


def _dropped(tracked: TrackedConnection, _: Facts, line: FlatRecord) -> RuleBreach:
    tracked.stats.counts["dropped"] += line.count
    return RuleBreach("dropped", f"{pluralize(line.count, 'event was', 'events were')} dropped")


def _gap(tracked: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach:
    tracked.stats.counts["gaps"] += 1
    if facts.complete and line.subscription not in facts.subscriptions.desired | facts.subscriptions.withdrawn:
        return RuleBreach("request", "the gap is of a subscription that is not desired")
    facts.outages.gap = max(facts.outages.gap, line.seconds)
    return RuleBreach("gap", f"a subscription may have missed events for {line.seconds:.3f} s")


def _malformed(tracked: TrackedConnection, _: Facts, line: FlatRecord) -> RuleBreach:
    tracked.stats.counts["malformed"] += 1
    if looks_secret(line.kind):
        return RuleBreach("secret", "the kind looks like a secret")
    return RuleBreach("malformed", "a message of the server could not be understood")


def _close(_: TrackedConnection, facts: Facts, __: FlatRecord) -> RuleBreach | None:
    facts.closed_by_record = True
    if facts.state in (DISPOSING, None):
        return None
    return RuleBreach("end", f"the connection object is closed, and the connection is {facts.state}")


def _subscription(tracked: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    facts.subscriptions.known = facts.complete
    breach = _check_change(facts, line) if facts.complete else None
    change = _note_change(tracked, facts, line)
    if facts.draining is not None and facts.state in LIVE:
        facts.look_for_handover_end()
    return breach or change


def _check_change(facts: Facts, line: FlatRecord) -> RuleBreach | None:
    """Check that a subscription is desired once, withdrawn once, and removed where it was withdrawn."""
    who, change, last, known = line.subscription, line.change, facts.last_step, facts.subscriptions
    if change in ("desired", "withdrawn"):
        if last.next_triggers is not None:
            return RuleBreach("request", "a call comes between the records of a step")
        if (breach := _note_moment(facts, line)) is not None:
            return breach
    desired, withdrawn = who in known.desired, who in known.withdrawn
    if facts.frames.put_back is False:  # a late reply has no step
        last.next_triggers = _TRIGGERS.get(change, last.next_triggers)
    match change:
        case "desired":
            allowed = not (desired or withdrawn)
        case "acknowledged":
            allowed = desired and who not in known.acknowledged
        case "removed":  # without a withdrawal, where a call ends that no server has answered
            allowed = withdrawn or (desired and who not in known.established)
        case _:
            allowed = desired
    if allowed:
        return None
    desire = "acknowledged" if who in known.acknowledged else "desired" if desired else "not desired"
    state = "withdrawn" if withdrawn else desire
    return RuleBreach("request", f"the record says {change}, and the subscription is {state}")


def _note_change(tracked: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    who, change, known = line.subscription, line.change, facts.subscriptions
    if change == "desired":
        known.desired.add(who)
        return None
    if change == "acknowledged":
        known.acknowledged.add(who)
        known.established.add(who)
        facts.link.accepted = True
        facts.history.refusals = 0
        _note_quiet(facts)
        return None
    established = who in known.established
    for ids in (known.desired, known.acknowledged, known.established, known.withdrawn):
        ids.discard(who)
    if change == "withdrawn":
        known.withdrawn.add(who)
    if change != "removed":  # which may come with the end of a link
        _note_quiet(facts)
    if change != "rejected":
        return None
    facts.last_step.rejected += 1
    tracked.stats.counts["rejected"] += 1
    if established and line.error_code is not None and is_server_fault(line.error_code):
        return RuleBreach("kept", f"error {line.error_code} ends a subscription that was acknowledged")
    return RuleBreach("rejected", "the server rejected a subscription")


def _note_quiet(facts: Facts) -> None:
    """Note whether everything desired is acknowledged, as the machine does after a withdrawal or an acknowledgement."""
    if facts.state in LIVE and facts.subscriptions.desired <= facts.subscriptions.acknowledged:
        facts.note_up(surely=facts.complete)


def _pause(_: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    breach = _note_moment(facts, line)
    if line.paused == facts.newest_link:  # the reply timeout rests, and begins anew
        facts.frames.asked_at = MINUS_INFINITY if line.change == "opened" else facts.entered + line.dwell
    return breach


def _retired(_: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    old, facts.draining = facts.draining, None
    last, draining = facts.last_step, None if old is None else old.link.number
    if facts.state is not None:
        last.now = max(last.now, facts.entered + line.dwell)
    last.now_at = line.timestamp
    if facts.complete and draining != line.retired:
        return RuleBreach("link", f"link {line.retired} has ended, and {draining or 'no link'} was draining")
    facts.note_loss(RETIRED)
    return None


def _presence(_: TrackedConnection, facts: Facts, line: FlatRecord) -> RuleBreach | None:
    return _note_moment(facts, line) if line.change in ("desired", "withdrawn") else None


def _canary(_: TrackedConnection, facts: Facts, __: FlatRecord) -> RuleBreach | None:
    unwanted = facts.policies is not None and facts.policies.canary is None
    return RuleBreach("form", "a canary was sent, and the connection has no canary policy") if unwanted else None


_RECORDS: dict[str, tuple[Handler, Callable[[FlatRecord], bool]]] = {
    "realtime.open": (_open, lambda _: True),
    "realtime.subscription": (_subscription, lambda line: line.subscription != "" and line.change in _CHANGES),
    "realtime.presence": (_presence, lambda line: line.change in ("desired", "withdrawn", "stored", "rejected")),
    "realtime.ping": (_ping, lambda line: line.round_trip >= 0),
    "realtime.outage": (_outage, lambda line: line.seconds >= 0 and line.dials >= 0 and line.change in _SPANS),
    "realtime.fault": (_fault, lambda line: line.seconds >= 0 and line.change in _SPANS),
    "realtime.dropped": (_dropped, lambda line: line.count >= 1),
    "realtime.pause": (_pause, lambda line: line.seconds >= 0 and line.dwell >= 0 and line.change in _SPANS),
    "realtime.retired": (_retired, lambda line: line.retired >= 1 and line.dwell >= 0),
    "realtime.gap": (_gap, lambda line: line.seconds >= 0),
    "realtime.canary": (_canary, lambda line: line.seconds >= 0 and line.change in ("echoed", "missed", "refused", "failed")),
    "realtime.malformed": (_malformed, lambda line: line.kind != ""),
    "realtime.relayed": (lambda *_: None, lambda line: line.lag >= 0),  # no other record explains the counts of a relay
    "realtime.close": (_close, lambda _: True),
}
"""For each kind, its handler, and whether a record has the fields of the kind: the fast decoder accepts one without them."""
