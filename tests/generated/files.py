"""The generated files of a directory: written, and compared with the table and the record types."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generated.lnav import lnav_format
from generated.telemetrypage import telemetry_page
from realtime_fsm.auditlog.records import json_schema
from realtime_fsm.diagram.drawing import Diagram
from realtime_fsm.diagram.graphviz import stamp_in
from realtime_fsm.fsm.table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from realtime_fsm.diagram.arrows import StateTable
    from realtime_fsm.diagram.drawing import Text


def _drawn(kind: Text, view: str) -> Callable[[StateTable], str]:
    return lambda table: Diagram(view, table).text(kind)


def _as_json(make: Callable[[], dict[str, Any]]) -> Callable[[StateTable], str]:
    return lambda _: f"{json.dumps(make(), indent=1)}\n"


_TEXTS: dict[str, Callable[[StateTable], str]] = {
    "overview.mmd": _drawn("mermaid", "overview"),
    "full.mmd": _drawn("mermaid", "full"),
    "overview.dot": _drawn("dot", "overview"),
    "full.dot": _drawn("dot", "full"),
    "overview.puml": _drawn("plantuml", "overview"),
    "full.puml": _drawn("plantuml", "full"),
    "states.md": _drawn("markdown", "overview"),
    "transitions.md": _drawn("markdown", "full"),
    "table.json": _drawn("json", "full"),
    "audit-record.schema.json": _as_json(json_schema),
    "realtime_fsm.lnav.json": _as_json(lnav_format),
    "opentelemetry.md": lambda _: telemetry_page(),
}
_PICTURES = {"overview.svg": "overview", "full.svg": "full"}


def write_all(directory: str | PathLike[str], *, table: StateTable = TABLE) -> list[Path]:
    """Write the generated files.

    Args:
        directory: where; it is made if it is not there.
        table: the table.

    Returns:
        The files, texts first.

    Raises:
        DrawingFailed: when the pictures cannot be drawn; the texts are written by then.
        OSError: when a file cannot be written.
    """
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, make in _TEXTS.items():
        written.append(place / name)
        written[-1].write_bytes(make(table).encode())
    for name, view in _PICTURES.items():
        picture = Diagram(view, table).picture("svg")
        written.append(place / name)
        written[-1].write_bytes(picture)
    return written


def check(directory: str | PathLike[str], *, table: StateTable = TABLE) -> list[str]:
    """Compare the generated files with what they are made of: texts byte for byte, pictures by what they say of it.

    It needs no Graphviz.

    Args:
        directory: where they are.
        table: the table.

    Returns:
        What differs, in one sentence each; nothing when all is well.
    """
    place, remedy = Path(directory), "run `make diagrams`"
    wrong: list[str] = []
    for name in (*_TEXTS, *_PICTURES):
        path = place / name
        if not path.is_file():
            wrong.append(f"{path} is missing: {remedy}")
            continue
        found = path.read_bytes()
        if name in _PICTURES:
            stamp = Diagram(_PICTURES[name], table).provenance()
            if (carried := stamp_in(found)) != stamp:
                wrong.append(f"{path} was drawn from {carried or 'something unknown'}, not from {stamp}: {remedy}")
        else:
            wrong += _difference(path, found, _TEXTS[name](table).encode(), remedy)
    return wrong


def _difference(path: Path, found: bytes, wanted: bytes, remedy: str) -> list[str]:
    if found == wanted:
        return []
    pairs = zip_longest(found.split(b"\n"), wanted.split(b"\n"))
    number = next(number for number, (one, other) in enumerate(pairs, 1) if one != other)
    return [f"{path} differs from what it is made of in line {number}: {remedy}"]
