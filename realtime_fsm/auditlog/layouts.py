"""The layouts of records for log stores, which drop or overwrite the fields that they reserve.

Invariant: a layout keeps the whole record under one key, `NAMESPACE`, so no field of the record meets a reserved name.

Design: Datadog takes `source`, `status` and others for itself. Elasticsearch refuses a document whose `event` or `source` is no
object, and fixes the type of a field by its first value; so a layout makes a text of each code. Both show `message` first, so it
holds the sentence. The audit finds the record under the key, and `restored` undoes the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

Layout: TypeAlias = Literal["ecs", "datadog", "nested"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
NAMESPACE = "realtime_fsm"
"""The key of a record in each layout."""
_NUMBER = re.compile(r"-?\d{1,18}", re.ASCII)
_FIELDS = {str(kind.__struct_config__.tag): ("event", *kind.__struct_fields__) for kind in RECORDS}


class _Names(NamedTuple):
    timestamp: str
    level: str
    event: str
    constants: Mapping[str, str]


_NAMES: dict[Layout, _Names] = {
    "ecs": _Names("@timestamp", "log.level", "message", {"ecs.version": "8.11.0", "event.dataset": "realtime_fsm.audit"}),
    "datadog": _Names("timestamp", "status", "message", {}),
    "nested": _Names("timestamp", "level", "event", {}),
}


def wrapper(fields: Layout) -> Callable[[Any, str, Any], Any]:
    """Make a structlog processor that arranges the records of this library for a log store, and leaves other events alone.

    Put the processor before those that change timestamps or names. The commands ``realtime-fsm audit`` and ``realtime-fsm
    replay`` read each layout.

    Args:
        fields: ``"ecs"`` for the Elastic Common Schema, ``"datadog"``, or ``"nested"``, which keeps structlog's names of event,
            level and timestamp. In each, the key ``realtime_fsm`` holds the whole record, with its error code as a text. In
            the first two, ``message`` holds the sentence of the record.

    Raises:
        BadOption: for another layout.
    """
    if fields not in LAYOUTS:
        raise BadOption("fields", f"{fields!r} is no layout; use one of {', '.join(LAYOUTS)}, or None for plain records")
    names = _NAMES[fields]

    def wrap(_: object, method: str, event_dict: dict[str, Any]) -> dict[str, Any]:
        event = event_dict.get("event")
        if not isinstance(event, str) or event not in _FIELDS:
            return event_dict
        record = {name: event_dict.pop(name) for name in _FIELDS[event] if name in event_dict}
        if record.get("error_code") is not None:
            record["error_code"] = _as_text(record["error_code"])
        text = event if names.event == "event" else record.pop("sentence", event)
        head = {names.timestamp: record["timestamp"], names.level: event_dict.pop("level", method), names.event: text}
        return {**head, **names.constants, **event_dict, NAMESPACE: record}

    return wrap


def readable(_: object, __: str, event_dict: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Show a record of this library as a sentence: a structlog processor for a console, which leaves other events alone.

    The sentence becomes the event, and ``connection`` holds the first 8 characters of the connection's id. The level, the
    timestamp and the fields of the application stay. Put the processor behind those that need the record.
    """
    event = event_dict.get("event")
    if not isinstance(event, str) or event not in _FIELDS or "sentence" not in event_dict:
        return event_dict
    kept = {name: value for name, value in event_dict.items() if name == "timestamp" or name not in _FIELDS[event]}
    return {**kept, "event": event_dict["sentence"], "connection": event_dict["connection_id"][:8]}


def _as_text(code: int | str) -> str:
    """Make a text of a code. A text of digits becomes ``text``, so that `restored` can tell it from a number."""
    return "text" if isinstance(code, str) and _NUMBER.fullmatch(code) else str(code)


def restored(record: dict[str, Any]) -> dict[str, Any]:
    """Give a record from a layout its error code as the client wrote it."""
    code = record.get("error_code")
    return record | {"error_code": int(code)} if isinstance(code, str) and _NUMBER.fullmatch(code) else record
