"""The records of other kinds than steps: the audit knows each kind, and accepts the counts of a relay."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_fsm.audit.apply_records import _RECORDS, _differ, apply_record
from realtime_fsm.audit.facts import Facts, Link, OldLink
from realtime_fsm.audit.rules import RuleBreach
from realtime_fsm.audit.tracking import TrackedConnection
from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.auditlog.schema import KINDS
from realtime_fsm.auditlog.writer import AuditWriter
from support.brokenlogs import audited, collected, lines_of
from support.flatrecord import flat_record
from support.some import some

LEAST: dict[str, dict[str, Any]] = {
    "open": {},
    "subscription": {"subscription": "s", "change": ""},
    "presence": {"change": ""},
    "ping": {"round_trip": 0.0},
    "outage": {"change": "", "seconds": 0.0, "dials": 0},
    "fault": {"change": "", "seconds": 0.0},
    "dropped": {"count": 1},
    "pause": {"change": "", "seconds": 0.0, "dwell": 0.0},
    "retired": {"retired": 1, "dwell": 0.0},
    "gap": {"seconds": 0.0},
    "canary": {"change": "", "seconds": 0.0},
    "malformed": {"kind": "x"},
    "relayed": {"lag": 0.0},
    "close": {},
}
"""The fields that a whole record of each kind has, with their least values."""
CHANGES = {
    kind.event.removeprefix("realtime."): field.allowed_values
    for kind in KINDS
    for field in kind.fields
    if field.name == "change"
}


def test_each_kind_of_record_but_the_step_has_a_handler() -> None:
    assert {*_RECORDS, "realtime.transition"} == {str(kind.__struct_config__.tag) for kind in RECORDS}


def is_whole(event: str, fields: dict[str, Any]) -> bool:
    return _RECORDS[f"realtime.{event}"][1](flat_record(event, link=0, **fields))


@pytest.mark.parametrize("event", LEAST)
def test_a_record_is_whole_with_all_fields_of_its_kind_alone(event: str) -> None:
    assert ("change" in LEAST[event]) == (event in CHANGES)
    for change in some(CHANGES.get(event, ("",))):
        least = LEAST[event] | ({"change": change} if event in CHANGES else {})
        assert is_whole(event, least), change
        wrong = {name: value - 1 if isinstance(value, int | float) else "" for name, value in least.items()}
        wrong |= {"change": "moon"} if event in CHANGES else {}
        fewer = {name: is_whole(event, {key: told for key, told in least.items() if key != name}) for name in least}
        less = {name: is_whole(event, least | {name: value}) for name, value in wrong.items()}
        assert fewer == less == dict.fromkeys(least, False)


@pytest.mark.parametrize(("lag", "verdict"), [(0.25, "conformant"), (None, "violated")])
def test_a_record_of_a_relay_is_conformant_unless_it_lacks_its_lag(lag: float | None, verdict: str) -> None:
    with collected() as records:
        log = AuditWriter("c1", lambda failure: None)
        log.relayed(5, 2, lag=0.25)
    record = {name: value for name, value in records[0].items() if name != "lag"}
    report = audited(lines_of([record if lag is None else record | {"lag": lag}]))
    assert report.verdict == verdict


@pytest.mark.parametrize(
    ("told", "known", "differ"),
    [
        (1e6 + 0.24, 1e6, False), (1e6 + 0.242, 1e6, True), (1e6 - 0.24, 1e6, False),
        (1.0, 1.0015, False), (1.0, 1.0025, True),
    ],
)  # fmt: skip
def test_two_times_may_differ_by_the_rounding_of_single_precision(told: float, known: float, differ: bool) -> None:
    assert _differ(told, known) is differ


# --- changes of subscriptions -----------------------------------------------------------------------------------------


def changed(facts: Facts, change: str, name: str = "s2", **fields: Any) -> RuleBreach | None:
    tracked = TrackedConnection("c", 1, facts=facts)
    line = flat_record("subscription", subscription=name, change=change, link=facts.newest_link, dwell=1.0, **fields)
    return apply_record(tracked, facts, line)


def subscribed(state: str = "subscribed") -> Facts:
    """The facts of a link on which one of two subscriptions is acknowledged."""
    facts = Facts(state=state)
    facts.subscriptions.desired, facts.subscriptions.acknowledged = {"s1", "s2"}, {"s1"}
    return facts


@pytest.mark.parametrize(
    ("change", "state", "is_proven"),
    [
        ("acknowledged", "subscribed", True), ("withdrawn", "subscribed", True), ("rejected", "subscribed", True),
        ("removed", "subscribed", False), ("acknowledged", "reconnecting", False), ("withdrawn", "reconnecting", False),
    ],
)  # fmt: skip
def test_a_link_is_proven_once_everything_desired_is_acknowledged(change: str, state: str, is_proven: bool) -> None:
    facts = subscribed(state)
    changed(facts, change)
    assert (facts.link.proven, facts.history.been_up) == (is_proven, is_proven)
    facts = subscribed(state)
    facts.subscriptions.desired.add("s3")
    changed(facts, change)
    assert (facts.link.proven, facts.history.been_up) == (False, False)


@pytest.mark.parametrize(("state", "ends"), [("subscribed", True), ("connected", True), ("reconnecting", False)])
def test_a_handover_ends_with_the_last_acknowledgement_on_the_new_link(state: str, ends: bool) -> None:
    facts = subscribed(state)
    facts.draining = OldLink(Link(1), frozenset({"s1", "s2"}), True)
    changed(facts, "withdrawn", "s3")
    assert facts.draining is not None
    changed(facts, "acknowledged")
    assert (facts.draining is None) is ends


@pytest.mark.parametrize(
    ("established", "code", "rule"),
    [(True, 500, "kept"), (True, 1003, "rejected"), (True, None, "rejected"), (False, 500, "rejected")],
)
def test_a_server_fault_ends_no_subscription_that_was_acknowledged(established: bool, code: int | None, rule: str) -> None:
    facts = subscribed()
    if established:
        facts.subscriptions.established.add("s2")
    breach = changed(facts, "rejected", error_code=code)
    assert breach is not None
    assert (breach.rule, facts.last_step.rejected, facts.subscriptions.desired) == (rule, 1, {"s1"})


@pytest.mark.parametrize(
    ("change", "name", "state"),
    [
        ("desired", "s3", None), ("desired", "s1", "acknowledged"), ("desired", "s2", "desired"), ("desired", "w", "withdrawn"),
        ("acknowledged", "s2", None), ("acknowledged", "s1", "acknowledged"), ("acknowledged", "s3", "not desired"),
        ("withdrawn", "s1", None), ("withdrawn", "w", "withdrawn"), ("rejected", "s1", None), ("rejected", "s3", "not desired"),
        ("removed", "w", None), ("removed", "s2", None), ("removed", "e", "desired"), ("removed", "s3", "not desired"),
    ],
)  # fmt: skip
def test_a_subscription_changes_as_its_state_allows(change: str, name: str, state: str | None) -> None:
    facts = subscribed()
    facts.subscriptions.desired.add("e")
    facts.subscriptions.withdrawn, facts.subscriptions.established = {"w"}, {"s1", "e"}
    breach = changed(facts, change, name)
    if state is None:
        assert (breach and breach.rule) == ("rejected" if change == "rejected" else None)
    else:
        assert breach == ("request", f"the record says {change}, and the subscription is {state}")
