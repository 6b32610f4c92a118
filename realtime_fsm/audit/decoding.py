"""The decoder of lines.

Design: nearly every line is a record with its own fields, a level, and values that the table knows. A strict decoder accepts
exactly these, so no secret can hide in such a line. `decode_unusual` examines every other line: an event of another program,
a record with fields that the application's logging added, or a broken record.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_args

import msgspec
from msgspec.structs import fields as fields_of

from realtime_fsm import errors
from realtime_fsm.audit.secret_scan import secret_fields
from realtime_fsm.auditlog.records import RECORDS, RETIRED, SCHEMA, AnyRecord, TransitionRecord
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.identity import TokenUnavailable
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts
from realtime_fsm.remedies import OVERDUE

if TYPE_CHECKING:
    from collections.abc import Iterator

TRANSITION, OPEN, OUTAGE, FAULT, GAP = (f"realtime.{kind}" for kind in ("transition", "open", "outage", "fault", "gap"))
_MARK = b'"realtime.'
_LONGEST_RECORD = 1 << 16

MISSING = "missing"
"""The cause of a record that tells none."""
_LACKING = -1
"""A number that no record has."""


class FlatRecord(msgspec.Struct, kw_only=True, gc=False):
    """A record of any kind. A field that its kind lacks keeps a default that no record has."""

    schema: int = SCHEMA
    machine: str
    connection_id: str
    seq: int
    timestamp: datetime
    link: int
    row: str = ""
    trigger: str = ""
    source: str = ""
    dest: str = ""
    dwell: float = _LACKING
    attempt: int = _LACKING
    sends: int = _LACKING
    cause: str | None = MISSING
    error_code: int | str | None = None
    close_code: int | None = None
    status: int | None = None
    retry_after: float | None = None
    era: str | None = None
    lag: Annotated[float, msgspec.Meta(ge=0)] = _LACKING
    at: float | None = None
    event: str
    subscription: str = ""
    change: str = ""
    round_trip: float = _LACKING
    seconds: float = _LACKING
    planned: bool = False
    dials: int = _LACKING
    count: int = 0
    stored: int = 0
    kind: str = ""
    paused: int = 0
    retired: int = 0
    retry: dict[str, Any] | None = None
    ping: dict[str, Any] | None = None
    timeouts: dict[str, Any] | None = None
    auto_reconnect: bool = True
    max_link_age: float | None = None
    protocol: str | None = None
    canary: dict[str, float | bool] | None = None
    versions: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A broken record: the rule that it breaks, the reason, and the fields that can be read."""

    rule: str
    text: str
    connection_id: str | None = None
    seq: int | None = None
    timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class ExtendedRecord:
    """A record that the strict decoder refused, and the names of its fields that look like secrets.

    Attributes:
        line: the record.
        secrets: the names.
        record: the record by its own type; None where a shape made it plain.
    """

    line: FlatRecord
    secrets: tuple[str, ...]
    record: AnyRecord | None = None


def _kinds(cls: type[errors.LinkFailure]) -> set[str]:
    return {cls.kind}.union(*map(_kinds, cls.__subclasses__()))


KINDS = frozenset(_kinds(errors.LinkFailure) | {TokenUnavailable.kind} | {f"{awaited}_overdue" for awaited in OVERDUE})
"""The kinds of failure that a cause can be."""

EVENTS = frozenset(str(kind.__struct_config__.tag) for kind in RECORDS)
"""The names of the records."""
_NULLS = {
    str(kind.__struct_config__.tag): dict.fromkeys(
        field.name for field in fields_of(kind) if field.required and type(None) in get_args(field.type)
    )
    for kind in RECORDS
}
"""The fields of each kind that it always has, and that may be null: some shippers drop nulls."""
_NULLS[TRANSITION]["source"] = ""  # some shippers reserve the name; the rule tells the state, too
_FIELDS = [*fields_of(TransitionRecord), *(field for kind in RECORDS for field in fields_of(kind))]
_TYPES = {field.name: field.type for field in _FIELDS}
_ABSENT = frozenset(name for name, kind in _TYPES.items() if msgspec.UnsetType in get_args(kind))
"""The fields that a record may lack: a store with columns makes nulls of them."""
_CHANGES = tuple(dict.fromkeys(word for field in _FIELDS if field.name == "change" for word in get_args(field.type)))
_MOMENT = Annotated[datetime, msgspec.Meta(tz=True)]
_ERA: Any = Literal[tuple(era.value for era in Era)] | None


def _settings(policy: Any, values: Any) -> Any:
    names: Any = Literal[tuple(field.name for field in fields(policy))]
    return dict[names, values]


_STRICT: dict[str, Any] = {
    "schema": Literal[SCHEMA],
    "machine": Literal[TABLE.fingerprint],
    "connection_id": str,
    "timestamp": _MOMENT,
    "sentence": str,  # `decode_fast` checks it
    "row": Literal[tuple(row.id for row in TABLE.rows)],
    "trigger": Literal[tuple(trigger.value for trigger in TABLE.triggers)],
    "source": Literal[tuple(state.value for state in TABLE.states)],
    "dest": Literal[tuple(state.value for state in TABLE.states)],
    "cause": Literal[(*KINDS, *(trigger.value for trigger in TABLE.triggers), RETIRED)] | None,
    "error_code": int | None,
    "era": _ERA,
    "lag": Annotated[float, msgspec.Meta(ge=0)],
    "event": Literal[tuple(EVENTS)],
    "level": Literal["debug", "info", "warning", "error", "critical"] | None,
    "logger": Literal["realtime_fsm"] | None,
    "change": Literal[_CHANGES],
    "since": _MOMENT | None,
    "until": _MOMENT | None,
    "retry": _settings(RetryPolicy, float | int | None),
    "ping": _settings(PingPolicy, float | bool),
    "timeouts": _settings(Timeouts, float | None),
    "protocol": _ERA,
    "canary": dict[Literal["every", "within", "write"], float | bool] | None,
    # Texts of the rarer kinds; their handlers look for secrets in them.
    "subscription": Annotated[str, msgspec.Meta(max_length=36)],
    "kind": Annotated[str, msgspec.Meta(max_length=36)],
    "versions": dict[str, str],
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_TEXT = re.compile(r"\d{9,20}(?:\.\d+)?", re.ASCII)
"""A timestamp that counts since 1970."""
_UNITS = ((10**11, 1_000_000), (10**14, 1000), (10**17, 1), (10**20, 0))
"""Below which number a timestamp is in seconds, and so on, and how many microseconds its unit has."""
_PLAIN = (int, float, bool, int | None, float | None, float | msgspec.UnsetType, bool | msgspec.UnsetType)


def _fast_fields() -> Iterator[tuple[str, Any, Any]]:
    """List the fields in the order of most records, which is the fastest to decode.

    A field of numbers is accepted as it is. A field of text is accepted only with the values of `_STRICT`, because of secrets.
    """
    own = {field.name: field for field in fields_of(FlatRecord)}
    types = {"event": str, "level": str, "logger": str} | _TYPES | _STRICT
    for name in dict.fromkeys((*TransitionRecord.__struct_fields__, "event", "level", "logger", *_TYPES)):
        if name not in _STRICT and types[name] not in _PLAIN:
            continue
        yield name, types[name], msgspec.field(default=own[name].default if name in own else None)


_FAST = msgspec.defstruct("FastLine", _fast_fields(), kw_only=True, gc=False, forbid_unknown_fields=True)
_decode = msgspec.json.Decoder(cast("Any", _FAST)).decode
_SENTENCE = re.compile(r"(?:[^ =]{1,24}+ )*+[^ =]{1,24}+")  # no long token, no cookie
_SENTENCES_KEPT = 128
_sentences: set[str | None] = {None}


def decode_fast(line: bytes) -> FlatRecord:
    """Decode the line of an ordinary record.

    Sentences that came before need no second look: without this memory an audit takes a seventh longer.

    Raises:
        ValueError: for every other line. The errors of msgspec's decoder are ValueErrors.
    """
    record: Any = _decode(line)
    sentence = record.sentence
    if sentence not in _sentences:
        if _SENTENCE.fullmatch(sentence) is None:
            raise ValueError("sentence")
        if len(_sentences) > _SENTENCES_KEPT:
            _sentences.intersection_update({None})
        _sentences.add(sentence)
    return cast("FlatRecord", record)


def decode_unusual(line: bytes) -> ExtendedRecord | BadRecord | None:
    """Decode a line that the strict decoder refused: a record, a broken record, or None for a line of another program."""
    if _MARK not in line:
        return _cut(line)
    try:
        record = msgspec.json.decode(line)
    except (ValueError, RecursionError):
        broken = line.lstrip().startswith(b"{") and (b'"event"' in line or b'"connection_id"' in line)
        return BadRecord("cut", "the line is not whole: it is no JSON") if broken else None
    return _decode_record(record) if isinstance(record, dict) and is_ours(record) else None


def _decode_record(record: dict[str, Any]) -> ExtendedRecord | BadRecord:
    has_texts = isinstance(record.get("seq"), str)  # a shipper that makes a text of each number
    if has_texts:
        numbers = {name: int(record[name]) for name in ("schema", "seq", "error_code") if _is_number(record.get(name))}
        record = record | numbers
    identifier, seq, moment = record.get("connection_id"), record.get("seq"), parse_moment(record.get("timestamp"))
    whose = (identifier if isinstance(identifier, str) else None, seq if type(seq) is int else None, moment)
    if (text := _unsupported(record)) is not None:
        return BadRecord("schema", text, *whose)
    if moment is None:
        text = "the timestamp cannot be read" if record.get("timestamp") else "the record lacks its timestamp (see --map)"
        return BadRecord("cut", text, *whose)  # the application's logging writes it, and the client does not
    try:
        told = {name: value for name, value in record.items() if value is not None or name not in _ABSENT}
        whole = _NULLS[record["event"]] | told
        typed: AnyRecord = msgspec.convert(whole | {"timestamp": moment.isoformat()}, AnyRecord, strict=not has_texts)
        whole = msgspec.to_builtins(typed) if has_texts else whole
        flat = msgspec.convert(whole | {"timestamp": moment}, FlatRecord)
    except msgspec.ValidationError as problem:
        return BadRecord("form", _without_values(str(problem)), *whose)
    return ExtendedRecord(flat, tuple(secret_fields(record)), typed)


def _is_number(value: object) -> bool:
    return isinstance(value, str) and value.removeprefix("-").isdecimal()


def _cut(line: bytes) -> BadRecord | None:
    """Tell whether a line is a record that was cut at the end of a file."""
    if line.endswith(b"\n") or not line.startswith(b"{") or len(line) > _LONGEST_RECORD:
        return None
    try:
        msgspec.json.decode(line)
    except (ValueError, RecursionError):
        return BadRecord("cut", "the file ends in the middle of a line")
    return None


def is_ours(record: dict[str, Any]) -> bool:
    """Whether an object is a record of this library, of whichever version."""
    event = record.get("event")
    if not isinstance(event, str) or not event.startswith("realtime."):
        return False
    known = sum(name in record for name in ("machine", "connection_id", "seq", "link"))
    return known >= 3 or (event in EVENTS and known > 0)


def _unsupported(record: dict[str, Any]) -> str | None:
    """Name the reason for which this version does not judge a record."""
    if record.get("schema", SCHEMA) != SCHEMA:
        return f"the record is of another version of the schema than {SCHEMA}"
    return None if record["event"] in EVENTS else "this version does not know the kind of record"


def parse_moment(stamp: object) -> datetime | None:
    """Parse a timestamp, in whichever form the application's logging writes it.

    Args:
        stamp: ISO 8601, in UTC unless it says so; or a number since 1970, whose size tells seconds, milliseconds, microseconds
            or nanoseconds.
    """
    try:
        if isinstance(stamp, str):
            if EPOCH_TEXT.fullmatch(stamp) is None:
                moment = datetime.fromisoformat(stamp)
                return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
            stamp = float(stamp) if "." in stamp else int(stamp)
        if isinstance(stamp, int | float) and not isinstance(stamp, bool) and stamp >= 0:
            unit = next((unit for bound, unit in _UNITS if stamp < bound), None)
            return None if unit is None else _EPOCH + timedelta(microseconds=round(stamp * unit if unit >= 1 else stamp / 1000))
    except (ValueError, OverflowError):
        pass
    return None


def _without_values(problem: str) -> str:
    """Cut a message of msgspec before the value that it quotes, which may be a secret."""
    head, quote, _ = problem.partition("'")
    return f"{head.rstrip()} an unknown word" if quote else problem
