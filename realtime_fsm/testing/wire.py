"""What goes over the wire, byte for byte as the real server's PHP writes it.

PHP knows one kind of array, so a JSON object whose keys are ``0..n-1`` (an empty one, too) leaves it as a list; an integer of
more than 64 bits becomes a float. It writes ``1.0`` as ``1``, escapes every slash, and stays in ASCII.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

MASKED = "Error: Server Error"
"""The text that a production server puts in the place of most error messages."""

_DEPTH = 128  # of nesting; PHP's own limit is 512, which this interpreter's stack may not hold
_PLAIN_FLOATS = 1e15  # whole floats below it are written without a point or an exponent
_WORD = 1 << 63


class Refusal(Exception):
    """The server objects; what it says goes out as an ``error`` frame.

    Attributes:
        code: the error frame's code; a text for an exception of the database (PROTOCOL: "Four server eras").
        message: its text, before it is masked.
        end: whether the stream ends behind it.
    """

    def __init__(self, code: int | str, message: str, *, end: bool = False) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.end = end


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server does about a dial or a message.

    Attributes:
        frames: text messages to send, in order.
        end: the stream ends behind them, with a bare FIN and no close frame.
        reset: the stream is reset at once, with nothing sent.
        after: seconds that the server takes before it sends the frames.
    """

    frames: tuple[bytes, ...] = ()
    end: bool = False
    reset: bool = False
    after: float = 0.0


def error(code: int | str, message: str = MASKED) -> bytes:
    """Encode an ``error`` frame.

    Args:
        code: its code.
        message: its text.

    Returns:
        The frame's text, in UTF-8.
    """
    return encode({"type": "error", "data": {"code": code, "message": message}})


def format_timestamp(now: float) -> str:
    """Write a moment as the server does, with milliseconds and ``+00:00``.

    Args:
        now: seconds since the epoch.

    Returns:
        For example ``2026-11-23T16:00:00.000+00:00``.
    """
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")


def decode(data: bytes) -> object:
    """Decode JSON into what PHP would hold: lists for objects that look like one.

    Args:
        data: JSON text in UTF-8.

    Returns:
        The value.

    Raises:
        ValueError: when it is not JSON, or nested too deeply.
    """
    try:
        return as_php(msgspec.json.decode(data))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def as_php(value: object, depth: int = 0) -> object:
    """Turn every mapping with the keys ``0..n-1`` into a list, and every huge integer into a float, all the way down.

    Args:
        value: a JSON value.
        depth: how deep it stands in another one.

    Returns:
        The same value as PHP would hold it.

    Raises:
        ValueError: when it is nested more than 128 deep, or a number is beyond every float.
    """
    if depth > _DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        inner = {key: as_php(item, depth + 1) for key, item in value.items()}
        looks_like_list = all(key == str(position) for position, key in enumerate(inner))
        return list(inner.values()) if looks_like_list else inner
    if isinstance(value, list | tuple):
        return [as_php(item, depth + 1) for item in value]
    if isinstance(value, int) and not -_WORD <= value < _WORD:
        return _as_float(value)
    return value


def php_type(value: object) -> str:
    """Name the type of a value as PHP's error texts do.

    Args:
        value: a JSON value.

    Returns:
        Such as ``null`` or ``array``.
    """
    names = {type(None): "null", bool: "bool", int: "int", float: "float", str: "string"}
    return names.get(type(value), "array")


def encode(value: object) -> bytes:
    """Encode a JSON value the way PHP does.

    Args:
        value: None, bool, int, float, str, and lists, tuples and mappings of them. A mapping stays an object.

    Returns:
        JSON text, ASCII only.

    Raises:
        TypeError: for a value or a key that JSON has no form for.
        ValueError: for a float that is not finite.
    """
    return _text(value).encode()


def _text(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value).replace("/", "\\/")
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_key(key)}:{_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_text, value)) + "]"
    raise TypeError(f"JSON has no form for a value of type {type(value).__name__}")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"JSON has no form for a key of type {type(key).__name__}")
    return _text(key)


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a number beyond every float") from None


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError("JSON has no form for a number that is not finite")
    if value.is_integer() and abs(value) < _PLAIN_FLOATS:
        return str(int(value))
    mantissa, exponent_sign, exponent = repr(value).partition("e")
    if exponent_sign and "." not in mantissa:
        mantissa += ".0"
    return mantissa + exponent_sign + exponent
