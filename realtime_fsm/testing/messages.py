"""What stands in a client's messages: checked in the server's order, refused in the server's words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.testing.queries import BadQuery, Query, parse
from realtime_fsm.testing.wire import Refusal, php_type

if TYPE_CHECKING:
    from collections.abc import Container

    from realtime_fsm.testing.eras import EraRules

_UNCAUGHT, _BAD_MESSAGE, _POLICY = 0, 1003, 1008
_SUBSCRIPTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}|unique\(\)")
_INVALID = "Payload is not valid."
TAIL = "console.tail."
"""What the channels of the console's live tail begin with; the id of a project follows."""


@dataclass(frozen=True, slots=True)
class SubscribeItem:
    """One item of a ``subscribe`` message.

    Attributes:
        identifier: the id that the client chose; None when it chose none.
        channels: the channels.
        queries: what must hold on them, all of it.
    """

    identifier: str | None
    channels: list[str]
    queries: tuple[Query, ...]


def bad_message(text: str, *, end: bool = False) -> Refusal:
    """Make the refusal of a bad message.

    Args:
        text: what the server says.
        end: whether the stream ends behind it.

    Returns:
        The refusal, with code 1003.
    """
    return Refusal(_BAD_MESSAGE, text, end=end)


def read(message: object, era: EraRules) -> tuple[str, object]:
    """Take a message apart.

    Args:
        message: decoded JSON; None for what is none.
        era: the server's.

    Returns:
        Its type, which the era understands, and its data.

    Raises:
        Refusal: with 1003, or with 0 for a JSON scalar.
    """
    if isinstance(message, str | int | float):
        raise Refusal(_UNCAUGHT, _no_array(message))
    if not isinstance(message, dict) or not {"type", "data"} & set(message):
        raise bad_message("Message format is not valid.")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in era.messages:
        # From E4 on, a type that is a list or an object kills a worker of the real server, and all its connections.
        raise bad_message("Message type is not valid.", end=era.by_message and isinstance(kind, dict | list))
    return kind, message.get("data")


def session(data: object, era: EraRules) -> str:
    """Read an ``authentication`` message.

    Args:
        data: its data.
        era: the server's.

    Returns:
        The session string.

    Raises:
        Refusal: when there is none.
    """
    if not era.by_message and not isinstance(data, dict | list):
        raise Refusal(_UNCAUGHT, _no_array(data))
    if not isinstance(data, dict) or "session" not in data:
        raise bad_message(f"{_INVALID} Session is required" if era.by_message else _INVALID)
    if not isinstance(data["session"], str):
        raise Refusal(era.null_session, "Session is not valid.")
    return data["session"]


def subscribes(data: object, tails: Container[str] = ()) -> list[SubscribeItem]:
    """Read a ``subscribe`` message.

    Args:
        data: its data.
        tails: the channels of the console's live tail that the connection may ask for.

    Returns:
        What is asked for.

    Raises:
        Refusal: when one item is bad; with 1008 and the end for any other channel of the live tail.
    """
    return [_wanted(item, tails) for item in _items(data, "Each subscribe payload must be an object.")]


def unsubscribes(data: object) -> list[str]:
    """Read an ``unsubscribe`` message.

    Args:
        data: its data.

    Returns:
        The ids.

    Raises:
        Refusal: when one item is bad.
    """
    fault = "Each unsubscribe payload must include a non-empty subscriptionId."
    named = [item.get("subscriptionId") for item in _items(data, fault)]
    identifiers = [name for name in named if isinstance(name, str) and name]
    if len(identifiers) < len(named):
        raise bad_message(f"items: {fault}")
    return identifiers


def _items(data: object, fault: str) -> list[dict[str, object]]:
    if data is None:
        raise bad_message(f"{_INVALID} Items is required")
    if not isinstance(data, list):
        raise bad_message(f"items: {_INVALID}")
    items = [item for item in data if isinstance(item, dict)]
    if len(items) < len(data):
        raise bad_message(f"items: {fault}")
    return items


def _wanted(item: dict[str, object], tails: Container[str]) -> SubscribeItem:
    if "channels" not in item:
        raise bad_message("items: channels is not present in payload.")
    channels, queries = item["channels"], item.get("queries", [])
    if not isinstance(channels, list):
        raise bad_message("items: channels is not a valid array.")
    names = [channel for channel in channels if isinstance(channel, str)]
    if len(names) < len(channels):
        raise bad_message("items: channels must contain only strings.")
    identifier = item.get("subscriptionId")
    if "subscriptionId" in item and not (isinstance(identifier, str) and _SUBSCRIPTION_ID.fullmatch(identifier)):
        raise bad_message("items: subscriptionId is not a valid id.")
    if not isinstance(queries, list):
        raise bad_message("items: queries is not a valid array.")
    if any(name.startswith(TAIL) and name not in tails for name in names):
        raise Refusal(_POLICY, "Console live tail is only available on the console connection.", end=True)
    try:
        parsed = tuple(parse(query) for query in queries)
    except BadQuery as refused:
        raise bad_message(f"Invalid query: {refused}") from None
    return SubscribeItem(identifier if isinstance(identifier, str) else None, names, parsed)


def _no_array(value: object) -> str:
    return f"array_key_exists(): Argument #2 ($array) must be of type array, {php_type(value)} given"
