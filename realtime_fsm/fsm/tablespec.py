"""The form of a table: rules, notes and ignored cells, and the check that a machine can run them.

A cell is a pair of a state and a trigger. It holds the rules for that trigger in that state.

Invariant: in a checked table each cell has rules or is ignored on purpose, and the last rule of a cell has no guard.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from realtime_fsm.errors import BadTable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

S = TypeVar("S", bound=str)
T = TypeVar("T", bound=str)


@dataclass(frozen=True, slots=True)
class Row(Generic[S, T]):
    """One transition rule.

    In the state `source`, on `trigger`, if all `guards` hold: run the `effects` in their order, then go to the state `dest`. A
    rule without a `dest` keeps the state. `why` tells the reason in one sentence, which the reference, `explain()` and the
    log print.
    """

    id: str
    source: S
    trigger: T
    dest: S | None
    guards: tuple[str, ...]
    effects: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Table(Generic[S, T]):
    """A table.

    Attributes:
        states: all states.
        triggers: all triggers.
        initial: the state of a new connection.
        final: the state that no rule leaves.
        rows: the rules; within a cell in the order in which the machine asks their guards.
        ignored: the reason for each cell without a rule.
        notes: the notes of each trigger, in the order in which they run.
    """

    states: tuple[S, ...]
    triggers: tuple[T, ...]
    initial: S
    final: S
    rows: tuple[Row[S, T], ...]
    ignored: dict[tuple[S, T], str]
    notes: dict[T, tuple[str, ...]]

    @cached_property
    def cells(self) -> dict[tuple[S, T], tuple[Row[S, T], ...]]:
        """The rules of each cell, in the order in which the machine asks their guards."""
        cells: dict[tuple[S, T], tuple[Row[S, T], ...]] = {}
        for row in self.rows:
            key = (row.source, row.trigger)
            cells[key] = (*cells.get(key, ()), row)
        return cells

    @cached_property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change when the behaviour of the table does.

        They cover the registered names of notes, guards and effects, and the order of the rules in each cell. They cover no names
        of functions, no sentences, and not the order of the cells.
        """
        facts = [
            self.initial,
            self.final,
            [
                [row.id, row.source, row.trigger, row.dest, row.guards, row.effects]
                for key in sorted(self.cells)
                for row in self.cells[key]
            ],
            sorted(self.ignored),
            sorted(self.notes.items()),
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]

    def check(self, notes: Collection[str], guards: Collection[str], effects: Collection[str]) -> None:
        """Refuse a table that a machine cannot run with these notes, guards and effects, which are given by their names.

        Raises:
            BadTable: with every fault of the table.
        """
        faults = [
            *self._cell_faults(),
            *self._name_faults(guards, effects),
            *self._note_faults(notes),
            *self._path_faults(),
        ]
        if faults:
            raise BadTable(tuple(faults))

    def _cell_faults(self) -> Iterable[str]:
        for state in self.states:
            for trigger in self.triggers:
                rows = self.cells.get((state, trigger), ())
                if bool(rows) == ((state, trigger) in self.ignored):
                    yield f"cell {state} x {trigger} {'has a rule and is ignored' if rows else 'has no rule and is not ignored'}"
                if rows and rows[-1].guards:
                    yield f"the last rule of {state} x {trigger} ({rows[-1].id}) has a guard: where that fails, no rule applies"
                yield from (f"rule {row.id} has no guard: the rules behind it never apply" for row in rows[:-1] if not row.guards)

    def _name_faults(self, guards: Collection[str], effects: Collection[str]) -> Iterable[str]:
        for state, trigger in self.ignored:
            if state not in self.states or trigger not in self.triggers:
                yield f"an ignored cell names a state or trigger that does not exist: {state} x {trigger}"
        seen: set[str] = set()
        for row in self.rows:
            if row.id in seen:
                yield f"two rules have the id {row.id}"
            seen.add(row.id)
            if row.source not in self.states or row.dest not in (None, *self.states) or row.trigger not in self.triggers:
                yield f"rule {row.id} names a state or trigger that does not exist: {row.source}, {row.trigger}, {row.dest}"
            yield from (f"rule {row.id} names a guard that does not exist: {name}" for name in row.guards if name not in guards)
            yield from (
                f"rule {row.id} names an effect that does not exist: {name}" for name in row.effects if name not in effects
            )

    def _note_faults(self, notes: Collection[str]) -> Iterable[str]:
        yield from (f"trigger {trigger} has no entry in the notes" for trigger in self.triggers if trigger not in self.notes)
        for trigger, names in self.notes.items():
            if trigger not in self.triggers:
                yield f"the notes name a trigger that does not exist: {trigger}"
            yield from (f"trigger {trigger} names a note that does not exist: {name}" for name in names if name not in notes)
        used = {name for names in self.notes.values() for name in names}
        yield from (f"no trigger uses the note {name}" for name in notes if name not in used)

    def _path_faults(self) -> Iterable[str]:
        reached = self._closure(self.initial, forwards=True)
        ending = self._closure(self.final, forwards=False)
        yield from (f"no rules lead from {self.initial} to state {state}" for state in self.states if state not in reached)
        yield from (f"no rules lead from state {state} to {self.final}" for state in self.states if state not in ending)

    def _closure(self, start: S, *, forwards: bool) -> set[S]:
        arrows = [(row.source, row.dest) if forwards else (row.dest, row.source) for row in self.rows if row.dest is not None]
        found, grown = {start}, True
        while grown:
            more = {head for tail, head in arrows if tail in found and head is not None} - found
            found |= more
            grown = bool(more)
        return found
