"""The query string of a dial, read as PHP reads it: ``a[b][]=c`` is nested, and a dot in a name becomes an underscore.

In the URL, subscriptions are slots. ``channels[]=rows&rows[1][]={query}`` puts the channel ``rows`` into slot 1. A slot has the
queries of the first channel that names any; those of later channels do not count. A channel without a parameter of its own
goes to slot 0, and opens it to everything when it is the first there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import parse_qsl

from realtime_fsm.testing.queries import EVERYTHING, BadQuery, Query, parse
from realtime_fsm.testing.wire import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Parameters: TypeAlias = "dict[str, str | Parameters]"

_POLICY = 1008
_KEY = re.compile(r"(?P<name>[^\[]*)(?P<path>(?:\[[^\]]*\])*)")


@dataclass(frozen=True, slots=True)
class Slot:
    """What the URL asks for under one number.

    Attributes:
        channels: the channels.
        queries: what must hold on them, all of it.
    """

    channels: list[str] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)


def is_routed(path: str) -> bool:
    """Whether Appwrite's own proxy leads a path to the realtime server.

    An endpoint without ``/v1`` makes a client dial ``/realtime``, which that proxy answers with 404. The realtime server itself
    was recorded to take any path, such as ``/``; so does this one.

    Args:
        path: that of a dial.

    Returns:
        False for a ``.../realtime`` other than ``/v1/realtime``.
    """
    return path == "/v1/realtime" or not path.rstrip("/").endswith("/realtime")


def parameters(query: str) -> Parameters:
    """Read a query string.

    Args:
        query: what stands behind the question mark.

    Returns:
        A text for each plain parameter, a mapping for each one with brackets. Of two values in one place the last counts.
    """
    found: Parameters = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        matched = _KEY.match(key)
        assert matched is not None  # every part of the pattern may be empty
        name = re.sub(r"[. ]", "_", matched["name"].lstrip(" "))
        *path, last = [name, *re.findall(r"\[([^\]]*)\]", matched["path"])]
        place = found
        for step in path:
            inner = place.get(_index(place, step))
            if not isinstance(inner, dict):
                inner = place[_index(place, step)] = {}
            place = inner
        place[_index(place, last)] = value
    return found


def texts(value: str | Parameters) -> list[str]:
    """List the texts of a parameter.

    Args:
        value: the parameter.

    Returns:
        The text itself, or those directly inside it.
    """
    return [value] if isinstance(value, str) else [item for item in value.values() if isinstance(item, str)]


def slots(found: Parameters, channels: Iterable[str]) -> Mapping[str, Slot]:
    """Sort channels into slots.

    Args:
        found: the parameters of the dial.
        channels: its channels.

    Returns:
        Each slot by its name, in the order in which the channels come to them.

    Raises:
        Refusal: with 1008 for a query that is none, or that realtime does not support; with 0 as `parse` does.
    """
    sorted_out: dict[str, Slot] = {}
    for channel in channels:
        wanted = found.get(re.sub(r"[. ]", "_", channel))
        if wanted is None:
            slot = sorted_out.setdefault("0", Slot())
            slot.channels.append(channel)
            if not slot.queries:
                slot.queries.append(EVERYTHING)
            continue
        for name, queries in ({"0": wanted} if isinstance(wanted, str) else wanted).items():
            slot = sorted_out.setdefault(name, Slot())
            slot.channels.append(channel)
            if not slot.queries:
                slot.queries.extend(_parsed(texts(queries)))
    return sorted_out


def _parsed(queries: Iterable[str]) -> list[Query]:
    try:
        return [parse(query) for query in queries]
    except BadQuery as bad:
        raise Refusal(_POLICY, str(bad)) from None


def _index(place: Parameters, name: str) -> str:
    """``[]`` is the next free number."""
    return name or str(1 + max((int(key) for key in place if key.isdecimal()), default=-1))
