"""The lnav format: the audit log in the log viewer lnav (0.11.2 or later), made from the record types.

Its structure is that of https://lnav.org/schemas/format-v1.schema.json; `lnav -i realtime_fsm.lnav.json` installs it. Levels have
the names that structlog gives them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from realtime_fsm.auditlog.records import SCHEMA, TransitionRecord
from realtime_fsm.auditlog.schema import FIELDS, KINDS
from realtime_fsm.fsm.table import LIVE, TABLE, State, Trigger

NAME = "realtime_fsm_log"
"""The name of the format in lnav, and of the table of its SQL."""

_LEVELS = {"debug": "debug", "info": "info", "warning": "warn(?:ing)?", "error": "error", "critical": "critical"}
_IDENTIFIER_INTS = ("schema", "seq", "link", "close_code", "status")
"""Integers that only name something, so lnav draws no chart of them."""
_WORDS = ("connection_id", "subscription", "row", "trigger", "source", "dest", "cause", "change", "kind")
"""Fields coloured by value, so that the same value looks the same everywhere."""
_FIRST = ("source", "dest", "trigger", "row", "cause", "subscription", "change")
"""The most telling fields, which come first in a line."""
_BEFORE = {"source": " ", "dest": " -> ", "trigger": " on ", "row": " by ", "subscription": " ", "change": " "}
"""The text before a value in a line; before all other values it is the name of the field."""


_SHOWN = sorted(
    (
        each.name
        for each in FIELDS.values()
        if not each.common and each.json_type != "json" and (each.required or each.name in _FIRST)
    ),
    key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST),
)
"""The fields in a line: those that a kind of record always has. Fields that may be null would clutter the line."""


def lnav_format() -> dict[str, Any]:
    """Make the format.

    Returns:
        The content of the file, to be written as JSON.
    """
    return {
        "$schema": "https://lnav.org/schemas/format-v1.schema.json",
        NAME: {
            "title": "realtime_fsm audit log",
            "description": f"The audit log of Appwrite Realtime connections, as JSON lines; schema {SCHEMA}",
            "file-type": "json",
            "timestamp-field": "timestamp",
            "level-field": "level",
            "opid-field": "connection_id",
            "body-field": "event",
            "hide-extra": True,
            "level": {level: f"(?i)^{pattern}$" for level, pattern in _LEVELS.items()},
            "line-format": [
                {"field": "__timestamp__"},
                " ",
                {"field": "connection_id", "min-width": 8, "max-width": 8, "overflow": "truncate"},
                " #",
                {"field": "seq"},
                " link ",
                {"field": "link"},
                " ",
                {"field": "event", "min-width": max(len(kind.event) for kind in KINDS)},
                *({"field": name, "prefix": _BEFORE.get(name, f" {name} "), "default-value": ""} for name in _SHOWN),
            ],
            "value": {"event": {"kind": "string", "identifier": True}, "level": {"kind": "string", "hidden": True}}
            | {name: _value(name) for name in FIELDS},
            "highlights": {
                "live": _states("Green", *LIVE),
                "reconnecting": _states("Yellow", State.RECONNECTING),
                "error": _states("Red", State.ERROR),
            },
            "sample": [_sample()],
        },
    }


def _value(name: str) -> dict[str, Any]:
    value: dict[str, Any] = {"kind": FIELDS[name].json_type, "description": "; ".join(_meanings(name))}
    if name in _WORDS:
        value["identifier"] = True
    if name in _IDENTIFIER_INTS:
        value["foreign-key"] = True
    if name not in (*_SHOWN, "timestamp", "connection_id", "seq", "link"):
        value["hidden"] = True  # the keys P and x, and the SQL, show them
    return value


def _meanings(name: str) -> list[str]:
    """Return the meanings of a field, and one alone if all kinds of record agree."""
    found = {kind.event: field.description for kind in KINDS for field in kind.fields if field.name == name}
    same = len(set(found.values())) == 1
    return [FIELDS[name].description] if same else [f"{event}: {means}" for event, means in found.items()]


def _states(color: str, *states: State) -> dict[str, str]:
    return {"pattern": rf"\b(?:{'|'.join(state for state in State if state in states)})\b", "color": color}


def _sample() -> dict[str, str]:
    """A line of the log, from the table: a live link is lost."""
    row = TABLE.cells[State.SUBSCRIBED, Trigger.LOST][-1]
    record = TransitionRecord(
        machine=TABLE.fingerprint, connection_id="a86f0c1d", seq=5, timestamp="2026-11-24T05:20:04.787692Z", link=1, row=row.id,
        trigger=row.trigger, source=row.source, dest=row.dest or row.source, dwell=12.5, attempt=3, sends=1, cause="stream_ended",
        error_code=None, close_code=1006,
    )  # fmt: skip
    return {"line": msgspec.json.encode(msgspec.to_builtins(record) | {"level": "warning"}).decode(), "level": "warning"}
