"""Decode the bytes of a payload into a user's type: by msgspec, or by pydantic for the types of pydantic.

Invariant: a misfit names fields and kinds of errors, and never quotes a value of the payload. Both libraries quote values:
msgspec an unknown member of an enumeration, pydantic the rejected value.

Design: pydantic is no dependency. A type with the mark of pydantic proves that the user's code has imported pydantic.
"""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from functools import lru_cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Step = str | int | None
    """One step down into a payload: a key, an index, or None for every member."""

T = TypeVar("T")
_PYDANTIC = "__pydantic_validator__"
_encode = msgspec.json.Encoder().encode


class Problem(NamedTuple):
    """The reason for which a payload does not fit a type.

    Attributes:
        text: the kind of error.
        path: the place in the payload, such as ``"$.lines[0].price"``.
        steps: the same place, as steps from the top.
        expects_object: whether the type expects an object there, and the payload has another kind of value.
    """

    text: str
    path: str = "$"
    steps: tuple[Step, ...] = ()
    expects_object: bool = False


class PayloadDecoder(Generic[T]):
    """Decodes payloads into one type.

    Attributes:
        target_type: the type.
    """

    def __init__(self, target_type: Any, decode: Callable[[bytes | msgspec.Raw], T]) -> None:
        self.target_type = target_type
        self._decode = decode

    def decode(self, wire: bytes | msgspec.Raw) -> T | Problem:
        """Decode a payload, or tell why it does not fit."""
        while True:
            try:
                return self._decode(wire)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  (the checks of a user's type raise anything)
                problem = self._explain(error)
            # PHP writes an empty object as [] (PROTOCOL: "Messages"). Each turn replaces at least one array, so the loop ends.
            replaced = _replace_empty_array(wire, problem.steps) if problem.expects_object else None
            if replaced is None:
                return problem
            wire = replaced

    def _explain(self, error: BaseException) -> Problem:
        if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
            return Problem("the text is not valid JSON")
        return Problem(_validator_failed(error))


class _MsgspecDecoder(PayloadDecoder[T]):
    """Decodes into Structs, dataclasses, TypedDicts, dicts and unions of these."""

    def __init__(self, target_type: Any, *, decimals: bool) -> None:
        super().__init__(target_type, msgspec.json.Decoder(target_type, float_hook=Decimal if decimals else None).decode)
        info = inspect.type_info(target_type)
        for part in _parts(info, set()):
            kind = getattr(part, "cls", None)
            if hasattr(kind, _PYDANTIC):
                raise TypeError(f"{type_name(kind)} is a pydantic model inside of another type; make that a pydantic model, too")
            if isinstance(part, inspect.CustomType):
                raise TypeError(f"no JSON value becomes a {type_name(kind)}")
        if not _may_be_a_payload(info):
            raise TypeError(
                "a payload is an object; give a Struct, dataclass, TypedDict, pydantic model or dict,"
                " or list[...] for the events of console.tail.{project}"
            )

    def _explain(self, error: BaseException) -> Problem:
        if not isinstance(error, msgspec.ValidationError):
            return super()._explain(error)
        found = _ERROR_TEXT.fullmatch(str(error))
        assert found is not None, "every text matches"
        text, path = found[1], found[2] or "$"
        if error.__cause__ is not None:  # the text comes from a check in __post_init__
            text = _validator_failed(error.__cause__)
        elif quoting := _QUOTING.match(text):
            text = quoting[0]
        steps = tuple(key or (int(index) if index else None) for key, index in _STEP.findall(path))
        return Problem(text[0].lower() + text[1:], path, steps, bool(_ARRAY_FOR_OBJECT.fullmatch(text)))


_ERROR_TEXT = re.compile(r"(.*?)(?: - at (?:`key` in )?`(\$[^`]*)`)?", re.DOTALL)
_QUOTING = re.compile("Invalid enum value|Invalid value|Object contains unknown field")
_ARRAY_FOR_OBJECT = re.compile(r"Expected `[^`]*\bobject\b[^`]*`, got `array`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


class _PydanticDecoder(PayloadDecoder[T]):
    """Decodes into types of pydantic, in its JSON mode."""

    def __init__(self, target_type: Any) -> None:
        self._adapter: Any = sys.modules["pydantic"].TypeAdapter(target_type)
        has_decimals = "'decimal'" in repr(self._adapter.core_schema)
        super().__init__(target_type, self._validate_all_digits if has_decimals else self._validate)

    def _validate(self, wire: bytes | msgspec.Raw) -> T:
        payload: T = self._adapter.validate_json(bytes(wire))
        return payload

    def _validate_all_digits(self, wire: bytes | msgspec.Raw) -> T:
        try:
            return self._validate(_encode(_digits.decode(wire)))
        except ValueError:  # a strict float refuses a string: validate the plain number, and raise its error
            return self._validate(wire)

    def _explain(self, error: BaseException) -> Problem:
        if not isinstance(error, sys.modules["pydantic"].ValidationError):
            return super()._explain(error)
        first = error.errors(include_url=False, include_context=False)[0]
        names = self._field_names()
        path = (f"[{step}]" if isinstance(step, int) else f".{step}" if step in names else "[...]" for step in first["loc"])
        # Only the type of the error: its text may quote the value, and so may a key of a dict.
        return Problem(first["type"], "$" + "".join(path), first["loc"], first["type"] in _EXPECTS_OBJECT)

    def _field_names(self) -> set[str]:
        """Return the names of all fields; an empty set if the type has no schema, or the user's code fails to make one."""
        try:
            return set(_properties(self._adapter.json_schema()))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  (a type may define how its schema is made)
            return set()


_EXPECTS_OBJECT = frozenset({"model_type", "model_attributes_type", "dataclass_type", "dict_type", "mapping_type"})


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _properties(part)


def _quote_if_lossy(number: str) -> msgspec.Raw:
    """Quote a number that a float cannot hold: pydantic reads a JSON number through a float, but a string digit by digit."""
    lossless = Decimal(number) == Decimal(repr(float(number)))
    return msgspec.Raw((number if lossless else f'"{number}"').encode())


_digits = msgspec.json.Decoder(float_hook=_quote_if_lossy)


def payload_decoder(target_type: Any, *, decimals: bool = False) -> PayloadDecoder[Any]:
    """Return the decoder for a type, or for the union of a tuple of types; a cache holds the newest 256.

    Args:
        target_type: the type.
        decimals: whether a number with a fraction becomes a `Decimal` where the type leaves that open.

    Raises:
        BadOption: for a type that cannot hold a payload.
    """
    try:
        return _cached_decoder(target_type, decimals)
    except TypeError:  # an unhashable type, such as an Annotated with a list
        return _build(target_type, decimals)


def _build(target_type: Any, decimals: bool) -> PayloadDecoder[Any]:
    try:
        if isinstance(target_type, tuple):
            target_type = Union[target_type]  # noqa: UP007  (a tuple has no |)
        return _PydanticDecoder(target_type) if _is_pydantic(target_type) else _MsgspecDecoder(target_type, decimals=decimals)
    except Exception as error:  # msgspec and pydantic evaluate the annotations of a type, which raise anything
        raise BadOption("payload", f"{type_name(target_type)} cannot be decoded: {error}") from error


_cached_decoder = lru_cache(256)(_build)


def type_name(target_type: Any) -> str:
    """Return the name of a type for a message."""
    return target_type.__name__ if isinstance(target_type, type) else f"{target_type!r:.80}"


def _is_pydantic(target_type: Any) -> bool:
    if get_origin(target_type) in (Union, UnionType, Annotated):
        return any(map(_is_pydantic, get_args(target_type)))
    return hasattr(target_type, _PYDANTIC)


def _may_be_a_payload(info: inspect.Type) -> bool:
    match info:
        case inspect.Metadata(type=inner):
            return _may_be_a_payload(inner)
        case inspect.UnionType(types=types):
            return any(map(_may_be_a_payload, types))
        case inspect.StructType(array_like=array_like):
            return not array_like
    kinds = (
        inspect.DataclassType, inspect.TypedDictType, inspect.DictType, inspect.AnyType, inspect.RawType, inspect.ListType
    )  # fmt: skip
    return isinstance(info, kinds)


def _parts(info: inspect.Type | inspect.Field, seen: set[int]) -> Iterator[inspect.Type | inspect.Field]:
    """Walk through the description of a type and its parts, each once: a type may contain itself."""
    if id(info) in seen:
        return
    seen.add(id(info))
    yield info
    for name in info.__struct_fields__:
        value = getattr(info, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, inspect.Type | inspect.Field):
                yield from _parts(part, seen)


def _validator_failed(error: BaseException) -> str:
    return f"a check of the type raised {type(error).__name__}"


_level = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])


def _replace_empty_array(wire: bytes | msgspec.Raw, steps: tuple[Step, ...]) -> bytes | None:
    """Replace an empty array at a place by ``{}``; return None if the payload has no empty array there."""
    if not steps:
        return b"{}" if b"".join(bytes(wire).split()) == b"[]" else None
    try:
        level: Any = _level.decode(wire)
    except ValueError:  # neither an object nor an array: the step leads into a part of a union
        return None
    known = range(len(level)) if isinstance(level, list) else level
    keys = [key for key in known if steps[0] in (key, None)]
    replaced = {key: part for key in keys if (part := _replace_empty_array(level[key], steps[1:])) is not None}
    for key, part in replaced.items():
        level[key] = msgspec.Raw(part)
    return _encode(level) if replaced else None
