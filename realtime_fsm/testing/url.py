"""The query string of a dial, parsed as PHP does: ``a[b][]=c`` is nested, and a dot in a name becomes an underscore.

Subscriptions in the URL are slots. ``channels[]=rows&rows[1][]={query}`` puts the channel ``rows`` into slot 1. A slot gets the
queries of the first channel that brings some, and ignores those of later channels. A channel without a parameter of its own
goes to slot 0; as the first channel there, it opens the slot to every event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl

from realtime_fsm.testing.queries import EVERYTHING, BadQuery, Query, parse
from realtime_fsm.testing.wire import POLICY, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Parameters: TypeAlias = "dict[str, str | Parameters]"

_KEY = re.compile(r"(?P<name>[^\[]*)(?P<path>(?:\[[^\]]*\])*)")


@dataclass(frozen=True, slots=True)
class Slot:
    """One subscription in the URL."""

    channels: list[str] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)  # the queries on them, all of which must match


def is_routed(path: str) -> bool:
    """Tell whether Appwrite's own proxy routes a path to the realtime server.

    An endpoint without ``/v1`` makes a client dial ``/realtime``, which that proxy answers with 404. The realtime server itself
    was recorded to take any path, such as ``/``; so does this one.
    """
    return path == "/v1/realtime" or not path.rstrip("/").endswith("/realtime")


def parameters(query: str) -> Parameters:
    """Parse a query string: a text for each plain parameter, a mapping for each one with brackets; the last value counts."""
    found: Parameters = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        matched = _KEY.match(key)
        assert matched is not None  # every part of the pattern may be empty
        name = re.sub(r"[. ]", "_", matched["name"].lstrip(" "))
        *path, last = [name, *re.findall(r"\[([^\]]*)\]", matched["path"])]
        parent = found
        for key_part in path:
            child = parent.get(_index(parent, key_part))
            if not isinstance(child, dict):
                child = parent[_index(parent, key_part)] = {}
            parent = child
        parent[_index(parent, last)] = value
    return found


def texts(value: str | Parameters) -> list[str]:
    """Return the texts of a parameter: its own text, or the texts directly inside its mapping."""
    return [value] if isinstance(value, str) else [item for item in value.values() if isinstance(item, str)]


def slots(found: Parameters, channels: Iterable[str]) -> Mapping[str, Slot]:
    """Sort the channels of a dial into slots by the parameters of the dial, and return each slot by its name.

    Refuse with 1008 a query that is not valid or that realtime does not support, and with 0 as `parse` does.
    """
    by_name: dict[str, Slot] = {}
    for channel in channels:
        parameter = found.get(re.sub(r"[. ]", "_", channel))
        for name, queries in (parameter if isinstance(parameter, dict) else {"0": parameter}).items():
            slot = by_name.setdefault(name, Slot())
            slot.channels.append(channel)
            if not slot.queries:
                slot.queries.extend([EVERYTHING] if queries is None else _parsed(texts(queries)))
    return by_name


def _parsed(queries: Iterable[str]) -> list[Query]:
    try:
        return [parse(query) for query in queries]
    except BadQuery as problem:
        raise Refusal(POLICY, str(problem)) from None


def _index(parent: Parameters, name: str) -> str:
    """Return a key; for ``[]``, the next free number."""
    return name or str(1 + max((int(key) for key in parent if key.isdecimal()), default=-1))
