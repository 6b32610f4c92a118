"""The changes between two tables: rules, states, triggers, guards, effects, notes and ignored cells, one by one.

Invariant: two tables without a change have the same behaviour and the same texts.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from realtime_fsm.diagram.exported import ExportedTable


class FieldChange(msgspec.Struct, frozen=True):
    """One field with different values in the two tables."""

    field: str
    before: Any = msgspec.field(name="from")
    after: Any = msgspec.field(name="to")


class TableChange(msgspec.Struct, frozen=True):
    """One thing that was added, removed or changed."""

    what: str  # ``"rule"``, ``"state"``, ``"trigger"``, ``"guard"``, ``"effect"``, ``"note"``, ``"ignored cell"`` or ``"table"``
    name: str  # the id of a rule, the state and trigger of a cell, empty for the table
    change: str  # ``"added"``, ``"removed"`` or ``"changed"``
    fields: tuple[FieldChange, ...]  # the fields that differ; all fields of a thing that was added or removed


class Difference(msgspec.Struct, frozen=True):
    """The changes from one table to another."""

    before: str = msgspec.field(name="from")  # the fingerprint of the old table
    after: str = msgspec.field(name="to")  # the fingerprint of the new table
    same_behaviour: bool  # whether the fingerprints are equal, so that only words differ
    changes: tuple[TableChange, ...]  # those of the rules come first


def compare(old: ExportedTable, new: ExportedTable) -> Difference:
    """Compare two tables."""
    changes = [
        *_changes("rule", _rules(old), _rules(new)),
        *_changes("ignored cell", _cells(old), _cells(new)),
        *(
            change
            for what in ("state", "trigger", "guard", "effect", "note")
            for change in _changes(what, _named(getattr(old, f"{what}s")), _named(getattr(new, f"{what}s")))
        ),
        *_changes("table", *({"": {"initial": table.initial, "final": table.final}} for table in (old, new))),
    ]
    return Difference(old.fingerprint, new.fingerprint, old.fingerprint == new.fingerprint, tuple(changes))


def _rules(table: ExportedTable) -> dict[str, dict[str, Any]]:
    """Describe each rule, with the rule before it in its cell."""
    found: dict[str, dict[str, Any]] = {}
    before: dict[tuple[str, str], str] = {}
    for row in table.rows:
        facts, cell = asdict(row), (row.source, row.trigger)
        found[facts.pop("id")] = facts | {"asked_after": before.get(cell)}
        before[cell] = row.id
    return found


def _cells(table: ExportedTable) -> dict[str, dict[str, Any]]:
    return {f"{cell.state} x {cell.trigger}": {"why": cell.why} for cell in table.ignored}


def _named(things: Iterable[Any]) -> dict[str, dict[str, Any]]:
    return {each.name: {"means": each.means} | ({"notes": each.notes} if each.notes else {}) for each in things}


def _changes(what: str, old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> Iterator[TableChange]:
    for name in dict.fromkeys((*new, *old)):
        before, after = old.get(name, {}), new.get(name, {})
        change = "changed" if before and after else "added" if after else "removed"
        fields = tuple(
            FieldChange(field, before.get(field), after.get(field))
            for field in dict.fromkeys((*before, *after))
            if before.get(field) != after.get(field)
        )
        if fields:
            yield TableChange(what, name, change, fields)


def as_lines(difference: Difference) -> Iterator[str]:
    """Write a difference for people, a line for each fact."""
    count = len(difference.changes)
    if not count:
        yield f"no change: both are table {difference.after}"
        return
    words = "the words of " if difference.same_behaviour else ""
    yield f"{words}table {difference.before} -> {difference.after}: {count} change{'s' * (count > 1)}"
    for change in difference.changes:
        yield f"{change.change} {change.what} {change.name}".rstrip()
        for each in change.fields:
            if change.change == "changed":
                yield f"  {each.field}: {_text(each.before)} -> {_text(each.after)}"
            else:
                yield f"  {each.field}: {_text(each.after if change.change == 'added' else each.before)}"


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
