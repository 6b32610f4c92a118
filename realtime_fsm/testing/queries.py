"""The queries of a subscription: the JSON strings of the SDKs' ``Query`` helpers, parsed and evaluated.

Allowed are equal, notEqual, lessThan, lessThanEqual, greaterThan, greaterThanEqual, isNull, isNotNull, and, or, and
``select(["*"])``, which means everything. An attribute that the payload does not have satisfies nothing, not even isNull.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from realtime_fsm.testing.wire import Refusal, decode, encode

_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "lessThan": operator.lt,
    "lessThanEqual": operator.le,
    "greaterThan": operator.gt,
    "greaterThanEqual": operator.ge,
}
_LOGICAL = frozenset({"and", "or"})
_METHODS = frozenset({"equal", "notEqual", "isNull", "isNotNull", "select", *_ORDERED, *_LOGICAL})

# The real server trips over these with an error that has no code of its own, so 0 goes out.
_UNCAUGHT = 0
_NO_TEXT = (
    "Utopia\\Database\\Query::parse(): Argument #1 ($query) must be of type string, array given, "
    "called in /app/aw/vendor/utopia-php/database/src/Database/Query.php on line 416"
)
_SELECT = 'Only select("*") is allowed in Realtime queries. select("*") means "listen to all events".'
_ALLOWED = "equal, notEqual, lessThan, lessThanEqual, greaterThan, greaterThanEqual, isNull, isNotNull, and, or, select"


class BadQuery(Exception):
    """This is no query, or none that realtime supports; what the server says about it."""


@dataclass(frozen=True, slots=True)
class Query:
    """One condition on a payload.

    Attributes:
        method: such as ``equal``.
        attribute: the payload's key; empty for ``and``, ``or`` and ``select``.
        values: what it is compared with.
        parts: the conditions that ``and`` and ``or`` join.
    """

    method: str
    attribute: str = ""
    values: tuple[object, ...] = ()
    parts: tuple[Query, ...] = ()

    def holds(self, payload: object) -> bool:
        """Evaluate the condition.

        Args:
            payload: the payload of an event, as `realtime_fsm.testing.wire.as_php` gives it.

        Returns:
            Whether it holds.
        """
        if self.method == "select":
            return True
        if self.method == "and":
            return all(part.holds(payload) for part in self.parts)
        if self.method == "or":
            return any(part.holds(payload) for part in self.parts)
        if not isinstance(payload, Mapping) or self.attribute not in payload:
            return False
        held = payload[self.attribute]
        if self.method in ("isNull", "isNotNull"):
            return (held is None) == (self.method == "isNull")
        if self.method in ("equal", "notEqual"):
            return any(_same(held, value) for value in self.values) == (self.method == "equal")
        compare = _ORDERED[self.method]
        return any(_comparable(held, value) and compare(held, value) for value in self.values)

    def as_dict(self) -> dict[str, object]:
        """The query as the server writes it back in its acknowledgement.

        Returns:
            ``method``, ``attribute`` when there is one, and ``values``.
        """
        written: dict[str, object] = {"method": self.method}
        if self.attribute:
            written["attribute"] = self.attribute
        written["values"] = [part.as_dict() for part in self.parts] or list(self.values)
        return written

    def text(self) -> str:
        """The query as compact JSON.

        Returns:
            JSON text.
        """
        return encode(self.as_dict()).decode()


EVERYTHING = Query("select", values=("*",))
"""The query that always holds."""


def parse(text: object) -> Query:
    """Read one query as a client sent it.

    Args:
        text: an item of ``queries``; anything but a string is refused.

    Returns:
        The query.

    Raises:
        BadQuery: for what is no query or one that realtime does not support.
        Refusal: with code 0 for an item that is no string and for a ``select`` of anything but ``["*"]``.
    """
    if not isinstance(text, str):
        raise Refusal(_UNCAUGHT, _NO_TEXT)
    try:
        item = decode(text.encode())
    except ValueError:
        raise BadQuery("Invalid query: Syntax error") from None
    if not isinstance(item, dict):
        raise BadQuery("Invalid query. Must be an array")
    return _parse_item(item)


def _parse_item(item: dict[str, object]) -> Query:
    method, attribute, values = item.get("method"), item.get("attribute", ""), item.get("values", [])
    if not isinstance(method, str) or method not in _METHODS:
        raise BadQuery(f"Query method '{method}' is not supported in Realtime queries. Allowed: {_ALLOWED}")
    if not isinstance(attribute, str) or not isinstance(values, list):
        raise BadQuery("Invalid query attribute or values")
    if method == "select" and values != ["*"]:
        raise Refusal(_UNCAUGHT, _SELECT)
    if method not in _LOGICAL:
        return Query(method, attribute, tuple(values))
    parts = []
    for value in values:
        if not isinstance(value, dict):
            raise Refusal(_UNCAUGHT, _NO_TEXT)
        parts.append(_parse_item(value))
    return Query(method, attribute, parts=tuple(parts))


def _kind(value: object) -> type:
    # True is an int to Python; to a query it is not.
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)


def _same(held: object, value: object) -> bool:
    return _kind(held) is _kind(value) and held == value


def _comparable(held: object, value: object) -> bool:
    return _kind(held) is _kind(value) and _kind(held) in (float, str)
