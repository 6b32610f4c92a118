"""The policies set times. A few thousandths of a second decide whether a step is early, late, or worth a note."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_fsm.audit.deadline_checks import deadline_of, delay, delay_bounds
from realtime_fsm.audit.decoding import FlatRecord
from realtime_fsm.audit.facts import Facts
from realtime_fsm.audit.row_facts import STEPS
from support.flatrecord import flat_record, policies

UNKNOWN = -1.0
"""The lag of an old log."""
Told = tuple[str, str] | None


SETTINGS: dict[str, Any] = {
    "retry": {"base": 1.0, "factor": 2.0, "cap": 8.0, "stable_after": 60.0},
    "ping": {"timeout": 10.0},
    "timeouts": {"dial": 5.0, "greeting": 4.0, "reply": 3.0, "idle": 30.0},
    "max_link_age": 100.0,
}


def facts_of(**settings: Any) -> Facts:
    return Facts(policies=policies(**{**SETTINGS, **settings}))


def line(**fields: Any) -> FlatRecord:
    plain = {"row": "x1", "trigger": "deadline", "cause": None, "lag": 0.0, "dwell": 0.0, "attempt": 1}
    return flat_record("transition", **{**plain, **fields})


def told(row: str, facts: Facts, record: FlatRecord, t: float) -> Told:
    check = deadline_of(STEPS[row])
    assert check is not None
    return check(facts, record, STEPS[row], t)


# --- late, early, or in time ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dwell", "lag", "breach"),
    [
        (10.001, 0.0, None),
        (10.003, 0.0, ("pong", "the answer to the ping took 10.003 s, and 10 s are allowed; the process was on time")),
        (10.504, 0.5, ("pong", "the answer to the ping took 10.504 s, and 10 s are allowed; the process was 0.500 s late")),
        (10.501, 0.5, None),
        (10.006, 0.0015, ("pong", "the answer to the ping took 10.006 s, and 10 s are allowed; the process was on time")),
        (11.0, 1.0, None),
        (11.5, 1.5, ("late", "the answer to the ping took 11.500 s, and 10 s are allowed")),
        (11.0, UNKNOWN, None),
        (11.001, UNKNOWN, ("late", "the answer to the ping took 11.001 s, and 10 s are allowed")),
        (9.999, 0.0, None),
        (9.997, 0.0, ("pong", "the answer to the ping was given up after 9.997 s, and 10 s are allowed")),
        (float("inf"), 0.0, None),
    ],
)
def test_a_pong_is_overdue_at_its_deadline(dwell: float, lag: float, breach: Told) -> None:
    assert told("pin43", facts_of(), line(dwell=dwell, lag=lag), 0.0) == breach


def test_a_deadline_comes_in_time_and_an_answer_at_any_time_before() -> None:
    assert told("pin42", facts_of(), line(trigger="pong", dwell=1.0), 0.0) is None
    facts = facts_of()
    facts.frames.in_flight, facts.frames.asked_at = True, 7.0
    assert told("con40", facts, line(trigger="acknowledged"), 8.0) is None
    assert told("con40", facts, line(trigger="acknowledged"), 10.5) is not None
    early = ("deadline", "the reply was given up after 1.000 s, and 3 s are allowed")
    assert told("con40", facts, line(), 8.0) == early
    facts.frames.in_flight = None
    assert told("con40", facts, line(), 8.0) is None
    facts.frames.in_flight = False
    assert told("con40", facts, line(), 8.0) == ("request", "no request was in flight")
    assert told("con40", facts, line(trigger="acknowledged"), 8.0) is None


def test_an_upgrade_counts_from_the_dial_and_a_greeting_from_the_upgrade() -> None:
    facts = facts_of()
    facts.link.dialed_at = 10.0
    assert told("rec21", facts, line(trigger="opened"), 15.0) is None
    assert told("rec21", facts, line(trigger="opened"), 15.5) is not None
    facts.link.opened_at = 10.0
    assert told("rec21", facts, line(trigger="opened"), 15.5) is None, "it had come before, in the moment of the dial"
    facts.link.opened_at = 12.0
    for trigger, cause in (("greeted", None), ("deadline", "greeting_overdue")):
        assert told("rec22", facts, line(trigger=trigger, cause=cause), 16.0) is None
        assert told("rec22", facts, line(trigger=trigger, cause=cause), 16.5) == (
            "deadline", "the greeting took 4.500 s, and 4 s are allowed; the process was on time",
        )  # fmt: skip


@pytest.mark.parametrize("row", ["pin43", "rec22", "con40", "sub65", "sub73", "uns63", "con66"])
def test_without_policies_no_time_is_judged(row: str) -> None:
    assert told(row, Facts(), line(), 1e6) is None


# --- not before a time is over ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "since", "least", "text"),
    [
        ("sub65", "up_at", 60.0, "earlier failures are forgiven"),
        ("sub73", "up_at", 90.0, "the link is renewed"),
        ("uns63", "idle_from", 30.0, "the idle link is closed"),
    ],
)
def test_a_deadline_waits_for_its_time(row: str, since: str, least: float, text: str) -> None:
    facts = facts_of()
    setattr(facts.link, since, 1000.0)
    assert told(row, facts, line(), 1000.0 + least - 0.001) is None
    early = least - 0.003
    assert told(row, facts, line(), 1000.0 + early) == (
        "deadline", f"{text} after {early:.3f} s, and not before {least:g} s are over",
    )  # fmt: skip


def test_a_deadline_without_a_time_never_comes() -> None:
    facts = facts_of(max_link_age=None, timeouts={"idle": None})
    assert told("sub73", facts, line(), 1e9) == ("deadline", "the link is renewed, and no age is too old")
    assert told("uns63", facts, line(), 1e9) == ("deadline", "the idle link is closed, and it is to be kept")


@pytest.mark.parametrize(
    ("t", "lag", "fits"),
    [
        (100.0, 0.0, True),  # the step before
        (130.0, 0.0, True),  # the first frame leaves the window
        (131.5, 1.5, True),
        (130.0, 1.5, False),
        (150.0, 0.0, True),  # a server that refused frames accepts them again
        (150.0015, 0.0, True),
        (150.003, 0.0, False),
        (149.997, 0.0, False),
        (140.0, UNKNOWN, True),
    ],
)
def test_the_budget_gets_room_when_a_frame_leaves_its_window(t: float, lag: float, fits: bool) -> None:
    facts = facts_of()
    facts.last_step.now, facts.frames.closed_until, facts.frames.sent = 100.0, 150.0, [70.0, 80.0]
    breach = None if fits else ("row", "rule con66 does not apply: the send budget did not get room at that moment")
    assert told("con66", facts, line(row="con66", lag=lag), t) == breach
    facts.frames.sent_known = False
    assert told("con66", facts, line(row="con66", lag=lag), t) is None


# --- delays -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "held", "bounds"),
    [
        # the policy alone gives from 1 to 2 seconds after the second attempt
        ({}, 0.0, (1.0, 2.0)),
        ({}, -5.0, (1.0, 2.0)),
        ({}, 1.5, (1.5, 2.5)),
        ({"cause": "upgrade_refused", "status": 503, "retry_after": 7.0}, 0.0, (7.0, 8.0)),
        ({"cause": "upgrade_refused", "status": 503, "retry_after": 7.0}, 9.0, (9.0, 10.0)),
        ({"cause": "upgrade_refused", "status": 429}, 0.0, (60.0, 61.0)),
        ({"cause": "upgrade_refused", "status": 429, "retry_after": 90.0}, 0.0, (90.0, 91.0)),
        ({"cause": "upgrade_refused", "status": None}, 0.0, (1.0, 61.0)),
        ({"cause": "error_frame", "error_code": 1013}, 0.0, (60.0, 61.0)),
    ],
)
def test_a_delay_is_that_of_the_policy_or_of_the_server(fields: dict[str, Any], held: float, bounds: tuple[float, float]) -> None:
    assert delay_bounds(policies(**SETTINGS), line(attempt=2, **fields), held) == bounds


@pytest.mark.parametrize(
    ("t", "lag", "trigger", "breach"),
    [
        (11.0, 0.0, "deadline", None),
        (10.997, 0.0, "deadline", ("delay", "the delay was 0.997 s, and is from 1 to 2 s")),
        (10.999, 0.0, "deadline", None),
        (11.5, 0.6, "deadline", ("delay", "the delay was 1.500 s, and is from 1 to 2 s")),
        (11.5, UNKNOWN, "deadline", None),
        (12.001, 0.0, "deadline", None),
        (12.003, 0.0, "deadline", ("delay", "the delay was 2.003 s, and is from 1 to 2 s; the process was on time")),
        (13.001, UNKNOWN, "deadline", ("late", "the delay was 3.001 s, and is from 1 to 2 s")),
        (20.0, 0.0, "woken", None),
        (10.1, 0.0, "reconnect", None),
    ],
)
def test_a_dial_comes_in_its_span(t: float, lag: float, trigger: str, breach: Told) -> None:
    facts, step = facts_of(), STEPS["rec32"]
    assert delay(facts, line(lag=lag, trigger=trigger), step, t) is None
    facts.next_dial.retry = (10.0, 1.0, 2.0)
    assert delay(facts, line(lag=lag, trigger=trigger), step, t) == breach
