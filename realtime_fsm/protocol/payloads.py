"""Payloads as types of the user's: decoded straight from the wire's bytes, by msgspec, or by pydantic where the type is its own.

The law: what does not fit is told by the type's own names and by kind, never by a value of the payload. Neither library keeps
to that by itself: msgspec quotes what is no member of an enumeration, pydantic what it has rejected.

pydantic is no dependency. It is looked for only when a type carries its mark, and then whoever wrote the type has imported it.
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

from realtime_fsm.errors import BadOption, PayloadMisfit, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from realtime_fsm.events import Event

    Step = str | int | None
    """One step down into a payload: a key, a number in a list, or None for every one of what is there."""

T = TypeVar("T")
_READERS_KEPT = 256
_PYDANTIC = "__pydantic_validator__"
_encode = msgspec.json.Encoder().encode


class _Problem(NamedTuple):
    what: str
    path: str
    steps: tuple[Step, ...]
    wants_object: bool  # where an array came


class PayloadDecoder(Generic[T]):
    """Reads payloads as one type.

    Attributes:
        wanted: the type.
    """

    def __init__(self, wanted: Any, decode: Callable[[bytes | msgspec.Raw], T]) -> None:
        self.target_type = wanted
        self._decode = decode

    def read(self, wire: msgspec.Raw, event: Event[Any]) -> T:
        """Decode a payload.

        Args:
            wire: its bytes.
            event: what it belongs to, for the error.

        Raises:
            PayloadMisfit: when it does not fit.
        """
        data: bytes | msgspec.Raw = wire
        while True:
            try:
                return self._decode(data)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  (a type may hold checks of the user's, which raise what they like)
                problem = self._explain(error)
            # PHP writes an empty object as [] (PROTOCOL: "Messages"). Each turn mends at least one, so there is an end.
            mended = _replace_empty_array(data, problem.steps) if problem.wants_object else None
            if mended is None:  # raised here, so that what the libraries say does not hang on as its context
                del data
                raise PayloadMisfit(self.target_type, problem.path, problem.what, event)
            data = mended

    def _explain(self, error: BaseException) -> _Problem:
        if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
            return _Problem("no JSON that can be read", "$", (), wants_object=False)
        return _Problem(_validator_failed(error), "$", (), wants_object=False)


class _MsgspecDecoder(PayloadDecoder[T]):
    """For Structs, dataclasses, TypedDicts, dicts and unions of them."""

    def __init__(self, wanted: Any, *, decimals: bool) -> None:
        super().__init__(wanted, msgspec.json.Decoder(wanted, float_hook=Decimal if decimals else None).decode)
        info = inspect.type_info(wanted)
        for part in _parts(info, set()):
            kind = getattr(part, "cls", None)
            if hasattr(kind, _PYDANTIC):
                raise TypeError(f"{type_name(kind)} is pydantic's; make the whole a pydantic model")
            if isinstance(part, inspect.CustomType):
                raise TypeError(f"nothing in JSON becomes a {type_name(kind)}")
        if not _may_be_a_payload(info):
            raise TypeError(
                "a payload is an object; give a Struct, dataclass, TypedDict, pydantic model or dict,"
                " or list[...] for the events of console.tail.{project}"
            )

    def _explain(self, error: BaseException) -> _Problem:
        if not isinstance(error, msgspec.ValidationError):
            return super()._explain(error)
        found = _SAID.fullmatch(str(error))
        assert found is not None, "every text matches"
        what, path = found[1], found[2] or "$"
        if error.__cause__ is not None:  # the text is that of a check in __post_init__
            what = _validator_failed(error.__cause__)
        elif quoting := _QUOTING.match(what):
            what = quoting[0]
        steps = tuple(key or (int(number) if number else None) for key, number in _STEP.findall(path))
        return _Problem(what[0].lower() + what[1:], path, steps, wants_object=bool(_NO_ARRAY.fullmatch(what)))


_SAID = re.compile(r"(.*?)(?: - at (?:`key` in )?`(\$[^`]*)`)?", re.DOTALL)
_QUOTING = re.compile("Invalid enum value|Invalid value|Object contains unknown field")
_NO_ARRAY = re.compile(r"Expected `[^`]*\bobject\b[^`]*`, got `array`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")


class _PydanticDecoder(PayloadDecoder[T]):
    """For what pydantic has made, in its JSON mode."""

    def __init__(self, wanted: Any) -> None:
        self._adapter: Any = sys.modules["pydantic"].TypeAdapter(wanted)
        has_decimals = "'decimal'" in repr(self._adapter.core_schema)
        super().__init__(wanted, self._with_all_digits if has_decimals else self._validate)

    def _validate(self, data: bytes | msgspec.Raw) -> T:
        payload: T = self._adapter.validate_json(bytes(data))
        return payload

    def _with_all_digits(self, data: bytes | msgspec.Raw) -> T:
        try:
            return self._validate(_encode(_digits.decode(data)))
        except ValueError:  # a strict float takes no string: see what it says to the number, and to everything else
            return self._validate(data)

    def _explain(self, error: BaseException) -> _Problem:
        if not isinstance(error, sys.modules["pydantic"].ValidationError):
            return super()._explain(error)
        first = error.errors(include_url=False, include_context=False)[0]
        names = self._names()
        shown = (f"[{step}]" if isinstance(step, int) else f".{step}" if step in names else "[...]" for step in first["loc"])
        # Its kind alone: the sentence may quote the value, and a key may be one.
        return _Problem(first["type"], "$" + "".join(shown), first["loc"], wants_object=first["type"] in _WANTING_AN_OBJECT)

    def _names(self) -> set[str]:
        """The names of all fields; none where the type has no schema, or its own code fails to make one."""
        try:
            return set(_properties(self._adapter.json_schema()))
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001  (a type may say itself how its schema is made)
            return set()


_WANTING_AN_OBJECT = frozenset({"model_type", "model_attributes_type", "dataclass_type", "dict_type", "mapping_type"})


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", ())
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _properties(part)


def _as_written(number: str) -> msgspec.Raw:
    """For pydantic, which reads a JSON number through a float, and a string as it is written: quote what has more digits."""
    lossless = Decimal(number) == Decimal(repr(float(number)))
    return msgspec.Raw((number if lossless else f'"{number}"').encode())


_digits = msgspec.json.Decoder(float_hook=_as_written)


def payload_decoder(wanted: Any, *, decimals: bool = False) -> PayloadDecoder[Any]:
    """What reads payloads as a type; the newest 256 are kept.

    Args:
        wanted: the type.
        decimals: whether numbers with a fraction, where the type leaves open what they are, become `Decimal`.

    Raises:
        BadOption: when nothing can be decoded into the type; it names it.
    """
    try:
        return _cached_decoder(wanted, decimals)
    except TypeError:  # it cannot be hashed, as an Annotated with a list in it
        return _build(wanted, decimals)


def _build(wanted: Any, decimals: bool) -> PayloadDecoder[Any]:
    try:
        return _PydanticDecoder(wanted) if _is_pydantic(wanted) else _MsgspecDecoder(wanted, decimals=decimals)
    except Exception as error:  # resolving a type runs its annotations, which raise what they like
        raise BadOption("payload", f"{type_name(wanted)} cannot be decoded: {error}") from error


_cached_decoder = lru_cache(_READERS_KEPT)(_build)


def _is_pydantic(wanted: Any) -> bool:
    if get_origin(wanted) in (Union, UnionType, Annotated):
        return any(map(_is_pydantic, get_args(wanted)))
    return hasattr(wanted, _PYDANTIC)


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
    """A type's description and all within it; a type may hold itself."""
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
    return f"a check of the type's own raised {type(error).__name__}"


_level: msgspec.json.Decoder[dict[str, msgspec.Raw] | list[msgspec.Raw]] = msgspec.json.Decoder(
    dict[str, msgspec.Raw] | list[msgspec.Raw]
)


def _replace_empty_array(data: bytes | msgspec.Raw, steps: tuple[Step, ...]) -> bytes | None:
    """The payload with ``{}`` for an empty array at a place; None where there is none."""
    if not steps:
        return b"{}" if b"".join(bytes(data).split()) == b"[]" else None
    try:
        level: Any = _level.decode(data)
    except ValueError:  # neither an object nor an array: the step leads into a part of a union
        return None
    known = range(len(level)) if isinstance(level, list) else level
    keys = [key for key in known if steps[0] in (key, None)]
    mended = {key: part for key in keys if (part := _replace_empty_array(level[key], steps[1:])) is not None}
    for key, part in mended.items():
        level[key] = msgspec.Raw(part)
    return _encode(level) if mended else None
