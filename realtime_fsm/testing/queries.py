"""The queries of a subscription: the JSON strings of the SDKs' ``Query`` helpers, parsed and evaluated.

The server allows equal, notEqual, lessThan, lessThanEqual, greaterThan, greaterThanEqual, isNull, isNotNull, and, or, and
``select(["*"])``, which matches everything. No condition matches an attribute that the payload lacks, not even isNull.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from realtime_fsm.testing.wire import UNCAUGHT, Refusal, decode, encode

_ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "lessThan": operator.lt,
    "lessThanEqual": operator.le,
    "greaterThan": operator.gt,
    "greaterThanEqual": operator.ge,
}
_LOGICAL = frozenset({"and", "or"})
_METHODS = frozenset({"equal", "notEqual", "isNull", "isNotNull", "select", *_ORDERED, *_LOGICAL})

_NOT_A_STRING = (
    "Utopia\\Database\\Query::parse(): Argument #1 ($query) must be of type string, array given, "
    "called in /app/aw/vendor/utopia-php/database/src/Database/Query.php on line 416"
)
_SELECT = 'Only select("*") is allowed in Realtime queries. select("*") means "listen to all events".'
_ALLOWED = "equal, notEqual, lessThan, lessThanEqual, greaterThan, greaterThanEqual, isNull, isNotNull, and, or, select"


class BadQuery(Exception):
    """The text is not a query, or one that realtime does not support; its message is the server's."""


@dataclass(frozen=True, slots=True)
class Query:
    """One condition on a payload."""

    method: str  # such as ``equal``
    attribute: str = ""  # the key of the payload; empty for ``and``, ``or`` and ``select``
    values: tuple[object, ...] = ()  # the values that the attribute is compared with
    queries: tuple[Query, ...] = ()  # the conditions that ``and`` and ``or`` join

    def matches(self, payload: object) -> bool:
        """Evaluate the condition on the payload of an event, as `realtime_fsm.testing.wire.as_php` gives it."""
        if self.method == "select":
            return True
        if self.method == "and":
            return all(query.matches(payload) for query in self.queries)
        if self.method == "or":
            return any(query.matches(payload) for query in self.queries)
        if not isinstance(payload, Mapping) or self.attribute not in payload:
            return False
        found = payload[self.attribute]
        if self.method in ("isNull", "isNotNull"):
            return (found is None) == (self.method == "isNull")
        comparable = [value for value in self.values if _kind(value) is _kind(found)]
        if self.method in ("equal", "notEqual"):
            return (found in comparable) == (self.method == "equal")
        return _kind(found) in (float, str) and any(_ORDERED[self.method](found, value) for value in comparable)

    def as_dict(self) -> dict[str, object]:
        """Return the query as the value that `text` encodes."""
        written: dict[str, object] = {"method": self.method}
        if self.attribute:
            written["attribute"] = self.attribute
        written["values"] = [query.as_dict() for query in self.queries] or list(self.values)
        return written

    def text(self) -> str:
        """Return the query as the compact JSON of an acknowledgement."""
        return encode(self.as_dict()).decode()


EVERYTHING = Query("select", values=("*",))
"""The query that matches every payload."""


def parse(text: object) -> Query:
    """Parse one item of ``queries``, as a client sent it.

    Refuse with code 0 an item that is not a string, and a ``select`` of anything but ``["*"]``. Raise `BadQuery` for another
    text that realtime does not support.
    """
    if not isinstance(text, str):
        raise Refusal(UNCAUGHT, _NOT_A_STRING)
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
        raise Refusal(UNCAUGHT, _SELECT)
    if method not in _LOGICAL:
        return Query(method, attribute, tuple(values))
    queries = []
    for value in values:
        if not isinstance(value, dict):
            raise Refusal(UNCAUGHT, _NOT_A_STRING)
        queries.append(_parse_item(value))
    return Query(method, attribute, queries=tuple(queries))


def _kind(value: object) -> type:
    # True is an int in Python, and a type of its own in a query.
    return float if isinstance(value, int | float) and not isinstance(value, bool) else type(value)
