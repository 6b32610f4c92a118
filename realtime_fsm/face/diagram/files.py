"""The generated files of a directory: written, and compared with the table."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from realtime_fsm.face.diagram.drawing import Diagram
from realtime_fsm.face.diagram.graphviz import stamp_in
from realtime_fsm.vocabulary.table import TABLE

if TYPE_CHECKING:
    from os import PathLike

    from realtime_fsm.face.diagram.arrows import StateTable
    from realtime_fsm.face.diagram.drawing import Text

_TEXTS: dict[str, tuple[Text, str]] = {
    "overview.mmd": ("mermaid", "overview"),
    "full.mmd": ("mermaid", "full"),
    "overview.dot": ("dot", "overview"),
    "full.dot": ("dot", "full"),
    "overview.puml": ("plantuml", "overview"),
    "full.puml": ("plantuml", "full"),
    "states.md": ("markdown", "overview"),
    "transitions.md": ("markdown", "full"),
    "table.json": ("json", "full"),
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
    for name, (kind, view) in _TEXTS.items():
        written.append(place / name)
        written[-1].write_bytes(Diagram(view, table).text(kind).encode())
    for name, view in _PICTURES.items():
        picture = Diagram(view, table).picture("svg")
        written.append(place / name)
        written[-1].write_bytes(picture)
    return written


def check(directory: str | PathLike[str], *, table: StateTable = TABLE) -> list[str]:
    """Compare the generated files with the table: texts byte for byte, pictures by what they say they were drawn from.

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
            stamp = Diagram(_PICTURES[name], table).stamp()
            if (carried := stamp_in(found)) != stamp:
                wrong.append(f"{path} was drawn from {carried or 'something unknown'}, not from {stamp}: {remedy}")
        else:
            kind, view = _TEXTS[name]
            wrong += _difference(path, found, Diagram(view, table).text(kind).encode(), remedy)
    return wrong


def _difference(path: Path, found: bytes, wanted: bytes, remedy: str) -> list[str]:
    if found == wanted:
        return []
    pairs = zip_longest(found.split(b"\n"), wanted.split(b"\n"))
    number = next(number for number, (one, other) in enumerate(pairs, 1) if one != other)
    return [f"{path} differs from the table in line {number}: {remedy}"]
