"""A table that cannot be run is refused with every fault named; a fingerprint follows the behaviour."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

import pytest

from realtime_fsm.errors import BadTable
from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.guards import GUARDS
from realtime_fsm.fsm.names import Effect, Guard, Note
from realtime_fsm.fsm.notes import NOTES
from realtime_fsm.fsm.table import TABLE, State, Trigger
from realtime_fsm.fsm.tablespec import Row, Table

if TYPE_CHECKING:
    from collections.abc import Callable

AnyRow = Row[str, str]
AnyTable = Table[str, str]

REGISTERED = {"notes": {"count", "weigh"}, "guards": {"ready", "willing"}, "effects": {"ring", "knock"}}


def row(
    name: str, source: str, trigger: str, dest: str | None, guards: tuple[str, ...] = (), effects: tuple[str, ...] = ()
) -> AnyRow:
    return Row(name, source, trigger, dest, guards, effects, "because")


# A door: it opens if it can, is shut, and is locked for good.
GOOD: AnyTable = Table(
    states=("shut", "open", "locked"),
    triggers=("push", "turn"),
    initial="shut",
    final="locked",
    rows=(
        row("s1", "shut", "push", "open", ("ready", "willing"), ("ring",)),
        row("s2", "shut", "push", "shut", ("ready",), ("ring", "knock")),
        row("s3", "shut", "push", None),
        row("s4", "shut", "turn", "locked"),
        row("o1", "open", "push", "shut"),
    ),
    ignored={
        ("open", "turn"): "an open door is not locked",
        ("locked", "push"): "it is locked",
        ("locked", "turn"): "for good",
    },
    notes={"push": ("count", "weigh"), "turn": ()},
)


def faults(table: AnyTable) -> tuple[str, ...]:
    try:
        table.check(**REGISTERED)
    except BadTable as refusal:
        return tuple(fault for fault in refusal.faults if fault in str(refusal))
    return ()


def instead(table: AnyTable, name: str, **new: object) -> AnyTable:
    return replace(table, rows=tuple(replace(r, **new) if r.id == name else r for r in table.rows))  # type: ignore[arg-type]  # any field


def without(table: AnyTable, *names: str) -> AnyTable:
    return replace(table, rows=tuple(r for r in table.rows if r.id not in names))


def with_rows(table: AnyTable, *rows: AnyRow) -> AnyTable:
    return replace(table, rows=(*table.rows, *rows))


def with_ignored(table: AnyTable, *cells: tuple[str, str]) -> AnyTable:
    return replace(table, ignored=table.ignored | dict.fromkeys(cells, "why not"))


def not_ignored(table: AnyTable, state: str) -> AnyTable:
    return replace(table, ignored={cell: why for cell, why in table.ignored.items() if cell[0] != state})


def with_notes(table: AnyTable, *names: str) -> AnyTable:
    return replace(table, notes=table.notes | {"push": names})


def test_a_good_table_is_not_refused() -> None:
    assert faults(GOOD) == ()


def test_the_rows_of_a_cell_stand_in_the_order_of_their_guards() -> None:
    assert [r.id for r in GOOD.cells["shut", "push"]] == ["s1", "s2", "s3"]
    assert ("open", "turn") not in GOOD.cells


FAULTY: list[tuple[str, Callable[[], AnyTable], list[str]]] = [
    ("neither", lambda: not_ignored(GOOD, "open"), ["cell open x turn has no rule and is not ignored"]),
    ("both", lambda: with_ignored(GOOD, ("open", "push")), ["cell open x push has a rule and is ignored"]),
    ("not total", lambda: without(GOOD, "s3"), ["last rule of shut x push (s2) has a guard"]),
    ("dead rule", lambda: instead(GOOD, "s2", guards=()), ["rule s2 has no guard", "never apply"]),
    ("twice", lambda: instead(GOOD, "o1", id="s1"), ["two rules have the id s1"]),
    ("no such guard", lambda: instead(GOOD, "s1", guards=("raedy",)), ["rule s1 names a guard that does not exist: raedy"]),
    ("no such effect", lambda: instead(GOOD, "s2", effects=("rign",)), ["rule s2 names an effect that does not exist: rign"]),
    ("no entry", lambda: replace(GOOD, notes={"push": ("count", "weigh")}), ["trigger turn has no entry in the notes"]),
    (
        "no such note",
        lambda: with_notes(GOOD, "weihg", "count", "weigh"),
        ["trigger push names a note that does not exist: weihg"],
    ),
    ("unused note", lambda: with_notes(GOOD, "weigh"), ["no trigger uses the note count"]),
    (
        "unreachable",
        lambda: with_ignored(
            with_rows(replace(GOOD, states=(*GOOD.states, "ajar")), row("a1", "ajar", "push", "shut")), ("ajar", "turn")
        ),
        ["no rules lead from shut to state ajar"],
    ),
    (
        "trap",
        lambda: with_ignored(
            with_rows(
                replace(not_ignored(GOOD, "open"), states=(*GOOD.states, "stuck")),
                row("o2", "open", "turn", "stuck"),
            ),
            ("stuck", "push"),
            ("stuck", "turn"),
            ("locked", "push"),
        ),
        ["no rules lead from state stuck to locked"],
    ),
]


@pytest.mark.parametrize(("build", "words"), [(b, w) for _, b, w in FAULTY], ids=[name for name, _, _ in FAULTY])
def test_each_kind_of_fault_is_refused_and_named(build: Callable[[], AnyTable], words: list[str]) -> None:
    found = faults(build())
    assert len(found) == 1
    assert [word for word in words if word not in found[0]] == []


UNKNOWN: list[tuple[str, Callable[[], AnyTable]]] = [
    ("ajar", lambda: with_rows(GOOD, row("a1", "ajar", "push", "shut"))),
    ("ajar", lambda: instead(GOOD, "s2", dest="ajar")),
    ("kick", lambda: with_rows(GOOD, row("o9", "open", "kick", "shut"))),
    ("ajar", lambda: with_ignored(GOOD, ("ajar", "push"))),
    ("kick", lambda: with_ignored(GOOD, ("open", "kick"))),
    ("kick", lambda: replace(GOOD, notes=GOOD.notes | {"kick": ()})),
]


@pytest.mark.parametrize(
    ("name", "build"), UNKNOWN, ids=["source", "dest", "trigger", "ignored state", "ignored trigger", "noted trigger"]
)
def test_a_state_or_trigger_that_does_not_exist_is_refused(name: str, build: Callable[[], AnyTable]) -> None:
    assert any(name in fault for fault in faults(build()))


def test_all_faults_are_told_at_once() -> None:
    found = faults(instead(instead(without(GOOD, "s3"), "s1", effects=("rign",)), "o1", id="s4"))
    assert len(found) == 3


def test_an_internal_row_leads_nowhere() -> None:
    found = faults(instead(instead(GOOD, "s1", dest=None), "s4", dest=None))
    assert [fault for fault in found if "no rules lead" in fault] == [
        "no rules lead from shut to state open",
        "no rules lead from shut to state locked",
        "no rules lead from state shut to locked",
        "no rules lead from state open to locked",
    ]


# --- the fingerprint --------------------------------------------------------------------------------------------------


def test_a_fingerprint_is_twelve_hexadecimal_digits_and_the_same_each_time() -> None:
    assert re.fullmatch("[0-9a-f]{12}", GOOD.fingerprint)
    assert replace(GOOD).fingerprint == GOOD.fingerprint


def test_sentences_are_no_behaviour() -> None:
    retold = replace(
        GOOD,
        rows=tuple(replace(r, why=f"not {r.why}") for r in GOOD.rows),
        ignored=dict.fromkeys(reversed(GOOD.ignored), "otherwise"),
    )
    assert retold.fingerprint == GOOD.fingerprint


def test_the_order_of_the_cells_is_no_behaviour() -> None:
    moved = replace(GOOD, rows=(*GOOD.rows[3:], *GOOD.rows[:3]), notes=dict(reversed(GOOD.notes.items())))
    assert [r.id for r in moved.rows] != [r.id for r in GOOD.rows]
    assert moved.fingerprint == GOOD.fingerprint


def with_words(table: Table[State, Trigger], word: Callable[[str], str]) -> Table[State, Trigger]:
    """The table with other objects, or other words, for its notes, guards and effects."""

    def words(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word(name) for name in names)

    return replace(
        table,
        rows=tuple(replace(r, guards=words(r.guards), effects=words(r.effects)) for r in table.rows),
        notes={trigger: words(names) for trigger, names in table.notes.items()},
    )


def test_the_names_of_functions_are_no_behaviour(monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (*NOTES.values(), *GUARDS.values(), *EFFECTS.values()):
        monkeypatch.setattr(function, "__name__", "renamed")
    assert replace(TABLE).fingerprint == TABLE.fingerprint


def test_the_names_of_members_are_no_behaviour() -> None:
    words = {f"MEMBER_{number}": str(word) for number, word in enumerate([*Note, *Guard, *Effect])}
    renamed = StrEnum("renamed", words)  # type: ignore[misc]  # its members come from the table
    assert with_words(TABLE, renamed).fingerprint == TABLE.fingerprint
    assert with_words(TABLE, lambda name: str(name)).fingerprint == TABLE.fingerprint


@pytest.mark.parametrize("member", [Note.RECORD_PONG, Guard.MAY_PING, Effect.SEND_PING])
def test_the_words_under_which_functions_are_registered_count(member: str) -> None:
    assert with_words(TABLE, lambda name: "other" if name == member else name).fingerprint != TABLE.fingerprint


@pytest.mark.parametrize(
    "changed",
    [
        replace(GOOD, initial="open"),
        replace(GOOD, final="open"),
        without(GOOD, "o1"),
        with_rows(GOOD, row("o2", "open", "push", "shut")),
        with_ignored(GOOD, ("open", "push")),
        instead(GOOD, "s1", id="s9"),
        instead(GOOD, "s1", source="open"),
        instead(GOOD, "s1", trigger="turn"),
        instead(GOOD, "s1", dest="locked"),
        instead(GOOD, "s1", dest=None),
        instead(GOOD, "s1", guards=("willing", "ready")),
        instead(GOOD, "s2", guards=()),
        instead(GOOD, "s2", effects=("knock", "ring")),
        replace(GOOD, rows=(GOOD.rows[1], GOOD.rows[0], *GOOD.rows[2:])),
        with_notes(GOOD, "weigh", "count"),
        with_notes(GOOD, "count"),
        with_notes(GOOD, "count", "weight"),
    ],
)
def test_each_part_of_the_behaviour_counts(changed: AnyTable) -> None:
    assert changed.fingerprint != GOOD.fingerprint
