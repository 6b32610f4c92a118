"""The table of another version, read from the JSON that ``realtime-fsm diagram --format json`` writes.

Invariant: `read_table` returns only a whole table, whose states, triggers and effects this version knows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.diagram.json_ import FORMAT
from realtime_fsm.errors import BadOption, BadTable
from realtime_fsm.fsm.effects import EFFECTS
from realtime_fsm.fsm.table import State, Trigger
from realtime_fsm.fsm.tablespec import Row, Table

if TYPE_CHECKING:
    from os import PathLike


class Named(msgspec.Struct, frozen=True):
    """The name and meaning of a state, trigger, guard, effect or note; for a trigger also its notes in order."""

    name: str
    means: str
    notes: tuple[str, ...] = ()


class IgnoredCell(msgspec.Struct, frozen=True):
    """A cell of state and trigger that is ignored on purpose."""

    state: str
    trigger: str
    why: str


class ExportedTable(msgspec.Struct, frozen=True):
    """The keys of the JSON; `realtime_fsm.diagram.json_` describes each."""

    fingerprint: str
    initial: str
    final: str
    states: tuple[Named, ...]
    triggers: tuple[Named, ...]
    guards: tuple[Named, ...]
    effects: tuple[Named, ...]
    rows: tuple[Row[str, str], ...]
    ignored: tuple[IgnoredCell, ...]
    notes: tuple[Named, ...] = ()
    format: int = FORMAT


def decode_table(text: bytes | str, option: str, place: str = "the file") -> ExportedTable:
    """Decode an exported table; `option` and `place` name it in errors.

    Raises:
        BadOption: when the text is no exported table, only a part of one, or has another format.
    """
    try:
        exported = msgspec.json.decode(text, type=ExportedTable)
    except (ValueError, RecursionError):
        remedy = "write one with: realtime-fsm diagram --format json -o table.json"
        raise BadOption(option, f"{place} holds no table; {remedy}") from None
    if exported.format != FORMAT:
        raise BadOption(option, f"{place} has format {exported.format}, and this version reads format {FORMAT}; upgrade it")
    cells = {(row.source, row.trigger) for row in exported.rows} | {(cell.state, cell.trigger) for cell in exported.ignored}
    if len(cells) < len(exported.states) * len(exported.triggers):
        raise BadOption(option, f"{place} holds a part of a table; export the whole one, without --view state:NAME")
    return exported


def read_exported(path: str | PathLike[str], option: str) -> ExportedTable:
    """Read an exported table from a file.

    Raises:
        BadOption: as `decode_table` does, and when the file cannot be read.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as failure:
        raise BadOption(option, f"{path}: {failure.strerror}") from None
    return decode_table(text, option, str(path))


def read_table(path: str | PathLike[str], option: str) -> Table[State, Trigger]:
    """Read an exported table from a file, in the form that the audit needs.

    The table keeps the fingerprint of the file, because logs name that one.

    Raises:
        BadOption: when the file cannot be read, holds no whole table, or names a state, trigger or effect that this version does
            not know.
    """
    exported = read_exported(path, option)
    unknown = {
        "states": {each.name for each in exported.states} - set(State),
        "triggers": {each.name for each in exported.triggers} - set(Trigger),
        "effects": {effect for row in exported.rows for effect in row.effects} - set(EFFECTS),
    }
    for kind, names in unknown.items():
        if strange := sorted(names):
            remedy = "audit with the version of realtime-fsm that wrote the table"
            raise BadOption(option, f"{path}: this version does not know the {kind} {', '.join(strange)}; {remedy}")
    try:
        return _table_of(exported)
    except (ValueError, BadTable) as problem:
        raise BadOption(option, f"{path} is damaged: {problem}; export it anew") from None


def _row_of(row: Row[str, str]) -> Row[State, Trigger]:
    dest = None if row.dest is None else State(row.dest)
    return Row(row.id, State(row.source), Trigger(row.trigger), dest, row.guards, row.effects, row.why)


def _table_of(exported: ExportedTable) -> Table[State, Trigger]:
    table = Table(
        states=tuple(State(each.name) for each in exported.states),
        triggers=tuple(Trigger(each.name) for each in exported.triggers),
        initial=State(exported.initial),
        final=State(exported.final),
        rows=tuple(map(_row_of, exported.rows)),
        ignored={(State(cell.state), Trigger(cell.trigger)): cell.why for cell in exported.ignored},
        notes={Trigger(each.name): each.notes for each in exported.triggers},
    )
    notes = {name for names in table.notes.values() for name in names}
    table.check(notes, {guard for row in table.rows for guard in row.guards}, EFFECTS)
    vars(table)["fingerprint"] = exported.fingerprint
    return table
