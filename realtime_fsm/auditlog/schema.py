"""Shapes: the kinds of records and their fields as plain values, read from the record types.

The law: what is made for other programs (the SQL, the lnav format, the OpenTelemetry mapping) asks here what a record holds and
repeats no list of fields, so it cannot drift from the types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import cleandoc
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import inspect

from realtime_fsm.auditlog.records import RECORDS, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

Holds: TypeAlias = Literal["integer", "float", "string", "boolean", "json"]
"""What a field holds; a code, which is a number or a word, is a string."""

_HOLDS: dict[type[inspect.Type], Holds] = {
    inspect.IntType: "integer",
    inspect.FloatType: "float",
    inspect.StrType: "string",
    inspect.LiteralType: "string",
    inspect.BoolType: "boolean",
    inspect.DictType: "json",
}
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """One field of a kind of records.

    Attributes:
        name: its name.
        holds: what it holds.
        given: whether each record has it, and not null.
        means: what it means, in a sentence without its full stop.
        common: whether all kinds have it.
        words: the only values that it may have; empty where there are no such.
    """

    name: str
    json_type: Holds
    required: bool
    means: str
    common: bool
    allowed_values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of records.

    Attributes:
        event: the name of the event.
        means: what it means, in a sentence.
        fields: its fields, without the name of the event; first those that all kinds have.
    """

    event: str
    means: str
    fields: tuple[FieldInfo, ...]


def _kind(record: type[Record]) -> RecordKind:
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)
    meanings = _meanings(Record) | _meanings(record)
    fields = tuple(_shape(field, meanings[field.name]) for field in info.fields)
    return RecordKind(str(info.tag), cleandoc(record.__doc__ or "").split("\n", maxsplit=1)[0], fields)


def _meanings(record: type[Record]) -> dict[str, str]:
    """What the attributes mean, by the docstring."""
    found = _ATTRIBUTE.findall(cleandoc(record.__doc__ or ""))
    return {name: re.sub(r"\s+", " ", text).removesuffix(".") for name, text in found}


def _shape(field: inspect.Field, means: str) -> FieldInfo:
    types = tuple(_alternatives(field.type))
    real = [each for each in types if not isinstance(each, inspect.NoneType)]
    words = tuple(str(word) for each in real if isinstance(each, inspect.LiteralType) for word in each.values)
    return FieldInfo(
        name=field.name,
        json_type=_HOLDS[type(real[0])] if len(real) == 1 else "string",
        required=field.required and len(real) == len(types),
        means=means,
        common=field.name in Record.__struct_fields__,
        allowed_values=words,
    )


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    yield from kind.types if isinstance(kind, inspect.UnionType) else (kind,)


KINDS: tuple[RecordKind, ...] = tuple(_kind(record) for record in RECORDS)
"""All kinds of records, in the order of their types."""

FIELDS: dict[str, FieldInfo] = {}
"""All fields by name, in the order in which the types name them first. A name holds the same in all kinds that have it."""

for _each in KINDS:
    for _field in _each.fields:
        FIELDS.setdefault(_field.name, _field)
