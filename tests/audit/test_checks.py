"""The checks compare a step with the facts before it: its numbers, frames, time, era and rule."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_fsm.audit.checks import _basics, _blur, _dials_at_once, _keeps_era, check_row_identity, rulebook
from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.audit.facts import Facts, Link
from realtime_fsm.audit.row_facts import OWN, STEPS
from realtime_fsm.fsm.table import TABLE
from support.flatrecord import policies, step_record
from support.some import some

LINKS = {"server_error", "lost", "dial_failed", "deaf", "opened", "greeted", "acknowledged", "pong", "recovered"}
"""The triggers that come from a link."""


def line(row: str, **fields: Any) -> FlatRecord:
    return step_record(row, **{"dwell": 1.0, "attempt": 2, "link": 3, "sends": 4, "era": "E4", "lag": 0.0, **fields})


def facts_of(row: str, **settings: Any) -> Facts:
    """The facts of a live connection before a step."""
    facts = Facts(**{"state": STEPS[row].source, "newest_link": 3, "attempt": 2, "era": "E4", "entered": 50.0, **settings})
    facts.last_step.now, facts.frames.sends, facts.link = 50.0, 4, Link(3, is_open=True)
    return facts


def basics(row: str, facts: Facts, **fields: Any) -> tuple[str, str] | None:
    record = line(row, **fields)
    return _basics(facts, record, STEPS[row], facts.entered + record.dwell)


def test_a_trigger_of_a_link_needs_one() -> None:
    assert {step.trigger for step in STEPS.values() if step.needs_link} == LINKS & {row.trigger.value for row in TABLE.rows}
    for step in some(STEPS.values()):
        assert step.needs_link is (step.trigger in LINKS)
        assert step.settles is (step.changes and step.dest in ("subscribed", "unsubscribed"))
        assert step.gives_up is (step.changes and step.dest == "error")
        assert step.answers is (step.trigger in ("acknowledged", "server_error"))
    facts = facts_of("sub41")
    for is_open, breach in (
        (True, None),
        (None, None),
        (False, "the trigger acknowledged needs a link, and the connection has none"),
    ):
        facts.link.is_open = is_open
        assert basics("sub41", facts) == (breach and ("link", breach))


@pytest.mark.parametrize(
    ("fields", "breach"),
    [
        ({}, None),
        ({"sends": 5}, None),
        ({"sends": 3}, ("budget", "4 frames had been sent on the link, and the rule sends 0 or 1")),
        ({"sends": 6}, ("budget", "4 frames had been sent on the link, and the rule sends 0 or 1")),
        ({"attempt": 3}, ("attempt", "it is 2")),
        ({"link": 4}, ("link", "the link is 3, and none was dialed")),
        ({"cause": "stream_ended"}, ("cause", "this rule is about no failure")),
        ({"close_code": 1000}, ("cause", "the record has the code of a failure, and no cause")),
        ({"era": "E3"}, ("era", "the era is E4, and the rule does not change it")),
        ({"dwell": -0.001}, ("clock", "the dwell in subscribed is negative: -0.001000 s")),
        ({"dwell": -0.003}, ("clock", "0.000000 s had passed in subscribed before")),
    ],
)
def test_a_step_has_the_numbers_that_follow_from_its_rule(fields: dict[str, Any], breach: tuple[str, str] | None) -> None:
    assert basics("sub41", facts_of("sub41"), **fields) == breach


@pytest.mark.parametrize(("t", "sent", "within"), [(69.999, 32, None), (69.9, 31, None), (69.9, 32, 59.9), (69.997, 32, 59.997)])
def test_a_link_takes_32_frames_in_a_minute(t: float, sent: int, within: float | None) -> None:
    facts = facts_of("sub41")
    facts.frames.sent = [10.0, *[20.0] * (sent - 1)]
    breach = None if within is None else ("budget", f"it is frame 33 within {within:.3f} s")
    assert basics("sub41", facts, sends=5, dwell=t - 50.0) == breach


def test_a_server_that_refused_frames_gets_none_for_a_minute() -> None:
    facts = facts_of("sub41")
    facts.frames.closed_until = 60.0
    assert basics("sub41", facts, sends=5, dwell=9.999) is None
    assert basics("sub41", facts, sends=5, dwell=9.5) == (
        "budget", "the server refused more frames, and the next one may go out 0.500 s later",
    )  # fmt: skip
    facts.frames.in_flight = True
    assert basics("sub4", facts, sends=5, dwell=11.0) == ("request", "a frame is sent while the answer to a request is awaited")
    assert basics("sub41", facts, sends=5, dwell=11.0) is None, "the answer has come"


@pytest.mark.parametrize(
    ("at", "breach"),
    [
        (1001.0, None), (1001.0015, None), (1000.9985, None),
        (1001.1234567, "by the clock of the machine (`at`) the dwell is 1.123457 s"),
        (1000.9001234, "by the clock of the machine (`at`) the dwell is 0.900123 s"),
    ],
)  # fmt: skip
def test_the_clock_of_the_machine_and_the_dwell_agree(at: float, breach: str | None) -> None:
    facts = facts_of("sub41")
    facts.last_step.origin = 950.0
    assert basics("sub41", facts, at=at) == (breach and ("clock", breach))


def test_a_step_must_agree_with_the_records_before_it() -> None:
    facts = facts_of("sub41")
    facts.last_step.noted = 51.5
    assert basics("sub41", facts) == ("clock", "a record tells of 0.500000 s later")
    facts.last_step.noted, facts.last_step.next_triggers = 51.001, ("acknowledged",)
    assert basics("sub41", facts) is None
    assert basics("sub4", facts) == ("request", "a record tells of an answer, and the step is subscribe")
    facts.last_step.next_triggers, facts.outages.lost_by = None, "stream_ended"
    assert basics("sub41", facts) == ("healed", "a live link was lost, and no record begins an outage")


def test_only_a_number_in_single_precision_is_blurred() -> None:
    assert _blur(1e6) == 1e6 * 2.0**-22
    assert _blur(0.1) == 0.1 * 2.0**-22, "nine digits"
    assert _blur(1 / 3) == 0.0
    assert _blur(16_777_217.0 + 2**-20) == 0.0


@pytest.mark.parametrize(
    ("answered", "accepted", "attempts"),
    [(True, True, {1}), (True, False, {2}), (True, None, {1, 2}), (False, True, {2}), (None, True, {1, 2})],
)
def test_a_refusal_that_answers_a_request_is_forgiven_where_another_one_was_accepted(
    answered: bool | None, accepted: bool | None, attempts: set[int]
) -> None:
    facts = facts_of("sub58")
    facts.frames.error_answered, facts.link.accepted = answered, accepted
    told = {attempt: basics("sub58", facts, attempt=attempt, cause="error_frame", error_code=1008) for attempt in range(4)}
    assert {attempt for attempt, breach in told.items() if breach is None} == attempts


def test_an_answer_a_recovery_and_an_end_need_a_cause() -> None:
    def told(row: str, facts: Facts, name: str, **fields: Any) -> tuple[str, str] | None:
        (check,) = (each for each in STEPS[row].checks if each.__name__ == name)
        return check(facts, line(row, **fields), STEPS[row], 1.0)

    facts = Facts(closed=True)
    assert told("end80", facts, "_closed_once") == ("end", "the socket was closed before")
    assert told("end80", Facts(), "_closed_once") is None
    assert told("sub114", facts, "_recovered") == ("recovery", "no server fault was under way")
    facts.outages.faulty_since = 0.0
    assert told("sub114", facts, "_recovered") is None
    assert told("sub114", Facts(complete=False), "_recovered") is None
    assert told("sub41", Facts(), "_answered") == ("request", "no request was in flight")
    assert told("sub41", Facts(), "_answered", era="E2") is None
    for name in ("in_flight", "put_back"):
        for value in (True, None):
            facts = Facts()
            setattr(facts.frames, name, value)
            assert told("sub41", facts, "_answered") is None
    facts = Facts()
    assert told("con40", facts, "_all_acknowledged") is None, "no record tells"
    facts.subscriptions.known = True
    assert told("con40", facts, "_all_acknowledged") == ("healed", "no subscription is desired")
    assert told("con40", facts, "_all_acknowledged", lag=-1.0) is None
    facts.subscriptions.desired, facts.subscriptions.acknowledged = {"a", "b", "c"}, {"a", "x"}
    missing = "of 3 desired subscriptions 2 are not acknowledged on this link"
    assert told("con40", facts, "_all_acknowledged") == ("healed", missing)
    facts.subscriptions.acknowledged = {"a", "b", "c"}
    assert told("con40", facts, "_all_acknowledged") is None


# --- eras, dials and identities ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "era", "complete", "keeps"),
    [
        ("sub41", "E3", True, True), ("sub41", "E3", False, False), ("rec22", "E3", True, False),
        ("pin42", "E2", True, True), ("pin42", "E1", True, False),
    ],
)  # fmt: skip
def test_only_a_greeting_or_an_answer_that_tells_e1_from_e2_changes_the_era(
    row: str, era: str, complete: bool, keeps: bool
) -> None:
    facts = Facts(era="E2" if era == "E1" else "E4", complete=complete)
    assert _keeps_era(facts, line(row, era=era), STEPS[row]) is keeps


@pytest.mark.parametrize(
    ("dials_per_minute", "awaits", "at_once"), [(None, 0, True), (None, 1, False), (None, None, False), (128, 0, False)]
)
def test_a_dial_is_made_at_once_where_nothing_holds_it_back(
    dials_per_minute: int | None, awaits: int | None, at_once: bool
) -> None:
    facts = Facts()
    assert not _dials_at_once(facts, line("dis1"), STEPS["dis1"]), "the policies are unknown"
    facts.policies = policies(retry={"dials_per_minute": dials_per_minute})
    facts.next_dial.awaits = awaits
    assert _dials_at_once(facts, line("dis1"), STEPS["dis1"]) is at_once


@pytest.mark.parametrize(
    ("state", "row", "fields", "breach"),
    [
        ("subscribed", "sub41", {}, None),
        (None, "sub41", {}, None),
        ("ping", "sub41", {}, ("source", "the connection is ping")),
        ("subscribed", "sub41", {"trigger": "pong"}, ("trigger", "rule sub41 has the trigger acknowledged")),
        ("subscribed", "sub41", {"source": "ping"}, ("source", "rule sub41 has the source subscribed")),
        ("subscribed", "sub41", {"dest": "ping"}, ("dest", "rule sub41 has the dest subscribed")),
        (
            "subscribed", "sub41", {"trigger": "deadline", "dest": "ping"},
            ("row", "rule sub41 is subscribed x acknowledged -> subscribed"),
        ),
        ("ping", "sub41", {"trigger": "deadline", "dest": "ping"}, ("trigger", "rule sub41 has the trigger acknowledged")),
        ("disposing", "sub41", {}, ("end", "the connection is disposing, and this is subscribed x acknowledged")),
        ("disposing", "end80", {"source": "ping"}, ("end", "the connection is disposing, and this is ping x closed")),
        ("disposing", "end80", {}, None),
    ],
)  # fmt: skip
def test_a_step_has_the_state_the_trigger_and_the_destination_of_its_rule(
    state: str | None, row: str, fields: dict[str, Any], breach: tuple[str, str] | None
) -> None:
    assert check_row_identity(Facts(state=state), line(row, **fields), STEPS[row], OWN) == breach


def test_the_audit_reports_a_rule_that_the_table_lacks() -> None:
    assert check_row_identity(Facts(), line("sub41"), None, OWN) == ("row", "no transition rule of the table has this id")
    end = check_row_identity(Facts(state="disposing"), line("end80"), None, OWN)
    assert end == ("end", "the connection is disposing, and this is disposing x closed")


def test_each_rule_has_the_checks_of_its_kind() -> None:
    names = {row: [check.__name__ for check in step.checks] for row, step in rulebook(TABLE).steps.items()}
    own = {row: [check.__name__ for check in step.checks] for row, step in STEPS.items()}
    assert names == own, "an audit judges a table that a user gives like its own"
    assert {found[0] for found in names.values()} == {"_basics"}
    for check, rows in {
        "_answered": {"con40", "con41", "sub41", "uns41"},
        "_recovered": {"con114", "sub114", "uns114", "pin114"},
        "_closed_once": {"end80"},
        "delay": {"rec11", "rec153", "rec94", "rec97", "rec130", "rec32", "rec76"},
        "_all_acknowledged": {"con6", "con40", "con46"},
    }.items():
        assert {row for row, found in names.items() if check in found} == rows
