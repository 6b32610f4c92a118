"""The queries of a subscription, looked at before the server has to.

Events can be filtered by less than lists can (PROTOCOL: "Channels"). The server refuses the rest without saying why, and with it
whatever was asked for in the same message. So what it would refuse, and what could never match, is refused at the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.options import validated_strings

if TYPE_CHECKING:
    from collections.abc import Iterable

_COMPARISONS = ("equal", "notEqual", "lessThan", "lessThanEqual", "greaterThan", "greaterThanEqual")
_PRESENCES = ("isNull", "isNotNull")
_LOGICAL = ("and", "or")
_EVERYTHING = ["*"]
_ALLOWED = (*_COMPARISONS, *_PRESENCES, *_LOGICAL, "select")


def realtime_queries(given: Iterable[str]) -> tuple[str, ...]:
    """Refuse queries that cannot filter events.

    Args:
        given: JSON strings, as the ``Query`` helpers of the official SDKs return them.

    Returns:
        Each once, in order.

    Raises:
        BadOption: for what is no query, for one that realtime does not allow, alone or within ``and`` and ``or``, and for one
            that compares or joins nothing. The text names the query by its number and method; values are not shown.
    """
    texts = validated_strings("queries", given, least=0)
    for number, text in enumerate(texts, 1):
        try:
            fault = _query_problem(msgspec.json.decode(text))
        except msgspec.DecodeError:
            fault = "no JSON; give what a Query helper of the official SDK returns"
        except RecursionError:
            fault = "nested too deeply"
        if fault:
            raise BadOption("queries", f"number {number}: {fault}")
    return texts


def _query_problem(query: object) -> str:
    """What is wrong with a query; nothing if nothing is."""
    if not isinstance(query, dict) or not isinstance(method := query.get("method"), str):
        return "no object with a method; give what a Query helper of the official SDK returns"
    attribute, values = query.get("attribute", ""), query.get("values", [])
    if method not in _ALLOWED:
        return f"realtime has no {method!r:.40}, only {', '.join(_ALLOWED)}; leave it out and look at the payload of each event"
    if not isinstance(attribute, str) or not isinstance(values, list):
        return f"{method}: the attribute is no string, or the values are no list"
    if method == "select":
        return "" if values == _EVERYTHING else 'select takes ["*"] alone, which means everything; an event is never cut down'
    if method in _LOGICAL:
        return next(filter(None, map(_query_problem, values)), "") if values else f"{method}: it joins nothing; leave it out"
    if not attribute:
        return f"{method}: no attribute to look at"
    if method in _COMPARISONS and not values:
        return f"{method}: no value to compare with; isNull and isNotNull look for null"
    return ""
