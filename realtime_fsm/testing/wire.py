"""JSON as the real server's PHP reads and writes it, byte for byte, and the server's two kinds of answer.

PHP knows one kind of array: a JSON object whose keys are ``0..n-1``, the empty one included, leaves it as a list. An integer of
more than 64 bits becomes a float. PHP writes ``1.0`` as ``1``, escapes every slash, and stays in ASCII.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

MASKED = "Error: Server Error"
"""The text by which a production server replaces most error messages."""

UNCAUGHT, BAD_MESSAGE, POLICY, TOO_MANY = 0, 1003, 1008, 1013
"""The codes of errors: an exception without a code, a message that is not valid, a breach of a policy, and too many messages."""

_MAX_DEPTH = 128  # of nesting; PHP's own limit is 512, which this interpreter's stack may not hold
_INT64 = 1 << 63


class Refusal(Exception):
    """The server refuses a dial or a message, and answers with an ``error`` frame."""

    def __init__(self, code: int | str, message: str, *, end: bool = False) -> None:
        super().__init__(code, message)
        self.code = code  # of the frame; a text for an exception of the database (PROTOCOL: "Four server eras")
        self.message = message  # of the frame, before it is masked
        self.end = end  # whether the stream ends behind the frame


def bad_message(text: str, *, end: bool = False) -> Refusal:
    """Make the refusal of a message that is not valid, with code 1003."""
    return Refusal(BAD_MESSAGE, text, end=end)


@dataclass(frozen=True, slots=True)
class Reply:
    """The server's answer to a dial or a message."""

    frames: tuple[bytes, ...] = ()  # text messages to send, in order
    end: bool = False  # whether the stream ends behind them, with a bare FIN and no close frame
    reset: bool = False  # whether the stream is reset at once, with nothing sent
    after: float = 0.0  # seconds until the server sends the frames


def error(code: int | str, message: str = MASKED) -> bytes:
    """Encode an ``error`` frame."""
    return encode({"type": "error", "data": {"code": code, "message": message}})


def format_timestamp(now: float) -> str:
    """Write a moment, in seconds since the epoch, as the server does: ``2026-11-23T16:00:00.000+00:00``."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")


def decode(data: bytes) -> object:
    """Decode JSON as `as_php`; raise `ValueError` for data that is not JSON."""
    try:
        return as_php(msgspec.json.decode(data))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def as_php(value: object, depth: int = 0) -> object:
    """Convert a JSON value, which `depth` values enclose, to the value that PHP holds.

    Mappings with the keys ``0..n-1`` become lists, and huge integers become floats.

    Raises:
        ValueError: when the value is nested more than 128 deep, or a number is beyond every float.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, Mapping):
        inner = {key: as_php(item, depth + 1) for key, item in value.items()}
        looks_like_list = all(key == str(position) for position, key in enumerate(inner))
        return list(inner.values()) if looks_like_list else inner
    if isinstance(value, list | tuple):
        return [as_php(item, depth + 1) for item in value]
    if isinstance(value, int) and not -_INT64 <= value < _INT64:
        try:
            return float(value)
        except OverflowError:
            raise ValueError("a number beyond every float") from None
    return value


def php_type(value: object) -> str:
    """Name the type of a JSON value as PHP's error texts do, such as ``null`` or ``array``."""
    names = {type(None): "null", bool: "bool", int: "int", float: "float", str: "string"}
    return names.get(type(value), "array")


def encode(value: object) -> bytes:
    """Encode a JSON value as PHP does, in ASCII. A mapping stays an object.

    Raises:
        TypeError: for a value or a key that JSON cannot express.
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


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError("JSON has no form for a number that is not finite")
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0")
    if exponent == "+16":  # PHP writes 17 digits without an exponent, and Python 16
        return format(Decimal(repr(value)), "f")
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{int(exponent):+}"
