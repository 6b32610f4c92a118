"""The texts of a finding."""

from __future__ import annotations

import pytest

from realtime_fsm.audit.finding import describe_allowed, describe_hole, describe_repetition
from realtime_fsm.audit.tracking import TrackedConnection
from support.brokenlogs import audited
from support.wholelog import LINES, PONG, edited


@pytest.mark.parametrize(
    ("before", "seq", "said"),
    [(0, 4, "the connection's log begins with number 4"), (2, 5, "2 records are missing before number 5")],
)
def test_a_hole_is_at_the_beginning_or_later(before: int, seq: int, said: str) -> None:
    assert describe_hole(before, seq) == said


def test_a_number_that_has_had_its_turn_is_repeated_or_may_be_late() -> None:
    assert describe_repetition(7, is_sure=True) == "number 7 is repeated: name a copied log once, or leave repeated lines out"
    assert describe_repetition(7, is_sure=False) == "number 7 is repeated, or comes too late to be judged"


@pytest.mark.parametrize(
    ("state", "trigger", "said"),
    [
        (None, "connect", ["anything: records are missing before, so the state is not known"]),
        ("disconnected", "connect", ["dis1: disconnected x connect -> reconnecting"]),
        ("disposing", "connect", ["disposing x connect: no step. Nothing follows the end."]),
        ("disposing", "unheard of", ["end80: disposing x closed stays disposing"]),
        (
            "subscribed",
            "unsubscribe",
            [
                "sub7: subscribed x unsubscribe if no_subscriptions -> unsubscribed",
                "sub8: subscribed x unsubscribe stays subscribed",
            ],
        ),
    ],
)
def test_the_allowed_rules_are_those_of_the_cell_or_of_the_state(state: str | None, trigger: str, said: list[str]) -> None:
    tracked = TrackedConnection("c1", 1)
    tracked.facts.state = state
    assert describe_allowed(tracked, trigger) == said


def test_a_violation_shows_the_records_before_it_and_a_note_does_not() -> None:
    (connection,) = audited(edited(PONG, row="none")).connections
    shown = {each.rule: ([one.place.line for one in each.before], bool(each.allowed)) for each in connection.findings}
    assert shown["row"] == ([*range(PONG - 4, PONG + 1)], True)
    assert shown["outage"] == ([], False)


def test_a_record_that_is_no_step_follows_no_transition_rule() -> None:
    first = audited(LINES, fail_on=["outage"]).first
    assert first is not None
    assert first.rule == "outage"
    assert first.record is not None
    assert first.allowed == []
