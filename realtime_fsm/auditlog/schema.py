"""The kinds of records and their fields as plain values, read from the record types.

Invariant: the SQL, the lnav format and the OpenTelemetry mapping take the fields from here, so all agree with the types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from inspect import cleandoc
from typing import Literal, TypeAlias

from msgspec import inspect

from realtime_fsm.auditlog.records import RECORDS, Record

Holds: TypeAlias = Literal["integer", "float", "string", "boolean", "json"]
"""The type of a field; a code, which is a number or a word, is a string."""

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
        name: the name of the field.
        json_type: the type of its values.
        required: whether each record of the kind has the field, and not null.
        description: a sentence without its full stop.
        common: whether all kinds have the field.
        allowed_values: the only values of the field; empty where any is allowed.
    """

    name: str
    json_type: Holds
    required: bool
    description: str
    common: bool
    allowed_values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordKind:
    """One kind of records.

    Attributes:
        event: the name of the event.
        description: a sentence.
        fields: the fields, without the name of the event; first those that all kinds have.
    """

    event: str
    description: str
    fields: tuple[FieldInfo, ...]


def _kind(record: type[Record]) -> RecordKind:
    info = inspect.type_info(record)
    assert isinstance(info, inspect.StructType)
    descriptions = _descriptions(Record) | _descriptions(record)
    fields = tuple(_field_info(field, descriptions[field.name]) for field in info.fields)
    return RecordKind(str(info.tag), cleandoc(record.__doc__ or "").partition("\n")[0], fields)


def _descriptions(record: type[Record]) -> dict[str, str]:
    """Read the attributes from the docstring."""
    found = _ATTRIBUTE.findall(cleandoc(record.__doc__ or ""))
    return {name: re.sub(r"\s+", " ", text).removesuffix(".") for name, text in found}


def _field_info(field: inspect.Field, description: str) -> FieldInfo:
    types = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
    real = [each for each in types if not isinstance(each, inspect.NoneType)]
    return FieldInfo(
        name=field.name,
        json_type=_HOLDS[type(real[0])] if len(real) == 1 else "string",
        required=field.required and len(real) == len(types),
        description=description,
        common=field.name in Record.__struct_fields__,
        allowed_values=tuple(str(value) for each in real if isinstance(each, inspect.LiteralType) for value in each.values),
    )


KINDS: tuple[RecordKind, ...] = tuple(_kind(record) for record in RECORDS)
"""All kinds of records, in the order of their types."""

FIELDS: dict[str, FieldInfo] = {}
"""All fields by name, in the order in which the types name them first. A field has one type in all kinds."""

for _each in KINDS:
    for _field in _each.fields:
        FIELDS.setdefault(_field.name, _field)
