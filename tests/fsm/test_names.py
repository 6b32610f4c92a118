"""Notes, guards and effects: each registered member has its function, and the table uses it."""

from __future__ import annotations

from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.names import Effect, Guard, Note
from realtime_fsm.fsm.notes import NOTES
from realtime_fsm.fsm.table import TABLE


def test_each_guard_is_defined_and_asked_by_a_rule() -> None:
    asked = {guard for row in TABLE.rows for guard in row.guards}
    assert set(GUARDS) == set(Guard) == asked


def test_each_effect_is_defined_and_done_by_a_rule() -> None:
    done = {effect for row in TABLE.rows for effect in row.effects}
    assert set(EFFECTS) == set(Effect) == done


def test_each_note_is_defined_and_left_by_a_trigger() -> None:
    left = {note for names in TABLE.notes.values() for note in names}
    assert set(NOTES) == set(Note) == left


def test_rules_name_members_and_no_plain_texts() -> None:
    assert {type(guard) for row in TABLE.rows for guard in row.guards} == {Guard}
    assert {type(effect) for row in TABLE.rows for effect in row.effects} == {Effect}
    assert {type(note) for names in TABLE.notes.values() for note in names} == {Note}
