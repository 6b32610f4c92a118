"""Check the queries of a subscription before the server does.

Realtime allows fewer queries than lists do (PROTOCOL: "Channels"). For one wrong query, the server refuses the whole message,
without a reason. So the call refuses each query that the server would refuse, or that never matches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.options import validated_strings

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMPARISONS = ("equal", "notEqual", "lessThan", "lessThanEqual", "greaterThan", "greaterThanEqual")
_NULL_CHECKS = ("isNull", "isNotNull")
_LOGICAL = ("and", "or")
_EVERYTHING = ["*"]
_ALLOWED = (*_COMPARISONS, *_NULL_CHECKS, *_LOGICAL, "select")


def realtime_queries(queries: Iterable[str]) -> tuple[str, ...]:
    """Return each query once, in order; refuse a query that cannot filter events.

    The error names the number and the method of the query, and hides its values.
    """
    texts = validated_strings("queries", queries, least=0)
    for number, text in enumerate(texts, 1):
        try:
            problem = _problem_of(msgspec.json.decode(text))
        except msgspec.DecodeError:
            problem = "not valid JSON; give the result of a Query helper of the official SDK"
        except RecursionError:
            problem = "nested too deeply; give a flatter query"
        if problem:
            raise BadOption("queries", f"number {number}: {problem}")
    return texts


def _problem_of(query: object) -> str | None:
    """Describe the problem of a query; return None for a valid query."""
    if not isinstance(query, dict) or not isinstance(method := query.get("method"), str):
        return "no object with a method; give the result of a Query helper of the official SDK"
    attribute, values = query.get("attribute", ""), query.get("values", [])
    if method not in _ALLOWED:
        return f"realtime has no {method!r:.40}, only {', '.join(_ALLOWED)}; leave it out, and check the payload of each event"
    if not isinstance(attribute, str) or not isinstance(values, list):
        return f"{method}: the attribute is not a string, or the values are not a list; use a Query helper of the official SDK"
    if method == "select":
        return None if values == _EVERYTHING else 'select takes ["*"] alone, which means everything; an event is never cut down'
    if method in _LOGICAL:
        return next(filter(None, map(_problem_of, values)), None) if values else f"{method}: it joins no queries; leave it out"
    if not attribute:
        return f"{method}: it has no attribute; name one"
    if method in _COMPARISONS and not values:
        return f"{method}: no value to compare with; isNull and isNotNull look for null"
    return None
