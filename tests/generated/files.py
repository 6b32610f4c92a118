"""The generated files of a directory: written, and compared with the table and the record types."""

from __future__ import annotations

import json
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generated.grafana import dashboard
from generated.lnav import lnav_format
from generated.prometheus import alerts
from generated.telemetrypage import telemetry_page
from realtime_fsm.auditlog.records import json_schema
from realtime_fsm.diagram.drawing import Diagram
from realtime_fsm.fsm.table import TABLE
from support.picture import demo_picture

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from realtime_fsm.diagram.arrows import StateTable
    from realtime_fsm.diagram.drawing import Text


def _drawn(kind: Text, view: str) -> Callable[[StateTable], str]:
    return lambda table: Diagram(view, table).text(kind)


def _picture(view: str) -> Callable[[StateTable], str]:
    return lambda table: Diagram(view, table).picture("svg").decode()


def _as_json(make: Callable[[], dict[str, Any]]) -> Callable[[StateTable], str]:
    return lambda _: f"{json.dumps(make(), indent=1)}\n"


_REMEDY = "run `make diagrams`"
_FILES: dict[str, Callable[[StateTable], str]] = {
    "overview.svg": _picture("overview"),
    "full.svg": _picture("full"),
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
    "grafana.json": _as_json(dashboard),
    "alerts.yml": lambda _: alerts(),
    "demo.svg": lambda _: demo_picture(),
}


def write_all(directory: str | PathLike[str], *, table: StateTable = TABLE) -> list[Path]:
    """Write the generated files.

    Args:
        directory: their place, which is made if it is missing.
        table: the table.

    Returns:
        The files.

    Raises:
        OSError: when a file cannot be written.
    """
    place = Path(directory)
    place.mkdir(parents=True, exist_ok=True)
    for name, make in _FILES.items():
        (place / name).write_bytes(make(table).encode())
    return [place / name for name in _FILES]


def check(directory: str | PathLike[str], *, table: StateTable = TABLE) -> list[str]:
    """Compare the generated files with their sources, byte for byte.

    Args:
        directory: their place.
        table: the table.

    Returns:
        The differences, in one sentence each; none when all is well.
    """
    wrong: list[str] = []
    for name, make in _FILES.items():
        path = Path(directory, name)
        if path.is_file():
            wrong += _difference(path, path.read_bytes(), make(table).encode())
        else:
            wrong.append(f"{path} is missing: {_REMEDY}")
    return wrong


def _difference(path: Path, found: bytes, expected: bytes) -> list[str]:
    if found == expected:
        return []
    pairs = zip_longest(found.split(b"\n"), expected.split(b"\n"))
    number = next(number for number, (one, other) in enumerate(pairs, 1) if one != other)
    return [f"{path} differs from its source in line {number}: {_REMEDY}"]
