"""The descriptions of states, triggers and guards are complete, and describe nothing that does not exist."""

from __future__ import annotations

import re

import pytest

from realtime_fsm import TABLE, Realtime, State, Trigger
from realtime_fsm.fsm.descriptions import GUARD_LABELS, NEGATED_GUARD_LABELS, STATES, TRIGGERS, StateKind, TriggerSource
from realtime_fsm.fsm.guards import GUARDS


def test_every_state_and_trigger_has_a_meaning_in_the_tables_order() -> None:
    assert tuple(STATES) == TABLE.states
    assert tuple(TRIGGERS) == TABLE.triggers


@pytest.mark.parametrize("state", State)
def test_a_state_is_explained(state: State) -> None:
    meaning = STATES[state]
    assert meaning.description.endswith(".")
    assert meaning.advice.endswith(".")
    assert meaning.resources
    assert not meaning.brief.endswith(".")
    assert (meaning.kind is StateKind.LIVE) == state.is_live


@pytest.mark.parametrize("trigger", Trigger)
def test_a_trigger_is_explained_and_what_is_written_as_a_call_can_be_called(trigger: Trigger) -> None:
    meaning = TRIGGERS[trigger]
    assert meaning.description.endswith(".")
    assert meaning.phrase.endswith(")") == (meaning.source is TriggerSource.USER)
    if meaning.source is TriggerSource.USER and trigger is not Trigger.UNSUBSCRIBE:  # that is a subscription's
        assert callable(getattr(Realtime, meaning.phrase.partition("(")[0]))


def test_the_words_for_guards_are_about_guards_that_the_table_asks() -> None:
    asked = {guard for row in TABLE.rows for guard in row.guards}
    assert {*GUARD_LABELS, *NEGATED_GUARD_LABELS} <= asked <= set(GUARDS)


@pytest.mark.parametrize("why", sorted({row.why for row in TABLE.rows} | set(TABLE.ignored.values())))
def test_the_reason_of_a_rule_is_one_short_sentence_that_needs_no_other(why: str) -> None:
    assert re.fullmatch(r"[A-Z][^.]*(\.\d[^.]*)*\.", why), "a log record continues the sentence"
    assert len(why.split()) <= 25
    assert not re.match(r"(It|They|This is|There) ", why), "the reader sees no sentence before this one"
