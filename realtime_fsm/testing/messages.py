"""A client's messages, checked in the order of the real server's checks, and refused by a `Refusal` with its texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from realtime_fsm.testing.queries import BadQuery, Query, parse
from realtime_fsm.testing.wire import POLICY, UNCAUGHT, Refusal, bad_message, php_type

if TYPE_CHECKING:
    from collections.abc import Container

    from realtime_fsm.testing.eras import EraRules

TAIL = "console.tail."
"""The prefix of the channels of the console's live tail; the id of a project follows."""

_SUBSCRIPTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}|unique\(\)")
_INVALID = "Payload is not valid."


@dataclass(frozen=True, slots=True)
class SubscribeItem:
    """One item of a ``subscribe`` message."""

    identifier: str | None  # the id that the client chose, if it chose one
    channels: list[str]
    queries: tuple[Query, ...]  # the queries on them, all of which must match


def read(message: object, era: EraRules) -> tuple[str, object]:
    """Split a message, decoded JSON or None for another text, into its type and its data; refuse a JSON scalar with 0."""
    if isinstance(message, str | int | float):
        raise Refusal(UNCAUGHT, _not_an_array(message))
    if not isinstance(message, dict) or not {"type", "data"} & set(message):
        raise bad_message("Message format is not valid.")
    kind = message.get("type")
    if not isinstance(kind, str) or kind not in era.messages:
        # From E4 on, a type that is a list or an object kills a worker of the real server, and all its connections.
        raise bad_message("Message type is not valid.", end=era.by_message and isinstance(kind, dict | list))
    return kind, message.get("data")


def read_authentication(data: object, era: EraRules) -> str:
    """Return the session string of an ``authentication`` message; refuse one that names no session."""
    if not era.by_message and not isinstance(data, dict | list):
        raise Refusal(UNCAUGHT, _not_an_array(data))
    if not isinstance(data, dict) or "session" not in data:
        raise bad_message(f"{_INVALID} Session is required" if era.by_message else _INVALID)
    if not isinstance(data["session"], str):
        raise Refusal(era.null_session, "Session is not valid.")
    return data["session"]


def read_subscribe(data: object, tails: Container[str] = ()) -> list[SubscribeItem]:
    """Return the items of a ``subscribe`` message, which may name only these channels of the console's live tail."""
    return [_subscribe_item(item, tails) for item in _items(data, "Each subscribe payload must be an object.")]


def read_unsubscribe(data: object) -> list[str]:
    """Return the subscription ids of an ``unsubscribe`` message."""
    text = "Each unsubscribe payload must include a non-empty subscriptionId."
    values = [item.get("subscriptionId") for item in _items(data, text)]
    identifiers = [value for value in values if isinstance(value, str) and value]
    if len(identifiers) < len(values):
        raise bad_message(f"items: {text}")
    return identifiers


def _items(data: object, text: str) -> list[dict[str, object]]:
    if data is None:
        raise bad_message(f"{_INVALID} Items is required")
    if not isinstance(data, list):
        raise bad_message(f"items: {_INVALID}")
    items = [item for item in data if isinstance(item, dict)]
    if len(items) < len(data):
        raise bad_message(f"items: {text}")
    return items


def _subscribe_item(item: dict[str, object], tails: Container[str]) -> SubscribeItem:
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
        raise Refusal(POLICY, "Console live tail is only available on the console connection.", end=True)
    try:
        parsed = tuple(parse(query) for query in queries)
    except BadQuery as problem:
        raise bad_message(f"Invalid query: {problem}") from None
    return SubscribeItem(identifier if isinstance(identifier, str) else None, names, parsed)


def _not_an_array(value: object) -> str:
    return f"array_key_exists(): Argument #2 ($array) must be of type array, {php_type(value)} given"
