"""What a user asks the server for, checked when it is asked for: channels with queries, and a presence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol import frames
from realtime_fsm.protocol.channel_checks import refuse_console
from realtime_fsm.protocol.options import is_valid_unicode, validated_strings
from realtime_fsm.protocol.queries import realtime_queries

if TYPE_CHECKING:
    from collections.abc import Iterable

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")


@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    """What a user asks for: events of some channels, narrowed by queries that must all hold."""

    id: str
    channels: tuple[str, ...]
    queries: tuple[str, ...] = ()


def subscription_spec(identifier: str, channels: Iterable[str], queries: Iterable[str], project: str) -> SubscriptionSpec:
    """What a user asks for, checked.

    Raises:
        BadOption: for no channel, one that is not a non-empty string, or is for another project alone, a query that realtime
            does not allow, or more than fits into a frame.
    """
    spec = SubscriptionSpec(identifier, validated_strings("channels", channels), realtime_queries(queries))
    refuse_console(spec.channels, project)
    if (
        len(frames.message("subscribe", [frames.subscribe_item(spec.id, spec.channels, spec.queries)]))
        > frames.MAX_CLIENT_PAYLOAD
    ):
        raise BadOption(
            "channels", f"with their queries they make a frame of more than {frames.MAX_CLIENT_FRAME} bytes; split them"
        )
    return spec


def presence_identifier(identifier: str) -> str:
    """Check the id of a presence (PROTOCOL: "Messages", rule 7).

    Raises:
        BadOption: for one that the server does not take.
    """
    if not isinstance(identifier, str) or not _IDENTIFIER.fullmatch(identifier):
        shown = f"{identifier!r:.60}" if isinstance(identifier, str) else type(identifier).__name__
        raise BadOption(
            "presence_id", f"{shown} is not an id (up to 36 of a-z A-Z 0-9 . _ -, not starting with a special character)"
        )
    return str.__str__(identifier)


def presence_message(
    status: str, metadata: Mapping[str, Any] | None, permissions: Iterable[str] | None, identifier: str | None = None
) -> bytes:
    """The message that shows somebody as present.

    Raises:
        BadOption: for something that cannot be sent; values are not shown.
    """
    if not isinstance(status, str) or not status or not is_valid_unicode(status):
        raise BadOption("status", "not a non-empty string; None ends a presence (its value is not shown)")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise BadOption("metadata", f"{type(metadata).__name__} is not a mapping")
    allowed = None if permissions is None else validated_strings("permissions", permissions, least=0)
    try:
        message = frames.presence(status, metadata, allowed, identifier)
    except (TypeError, ValueError):
        raise BadOption("metadata", "it holds something that JSON has no form for (its values are not shown)") from None
    if len(message) > frames.MAX_CLIENT_PAYLOAD:
        raise BadOption("metadata", f"it makes a frame of more than {frames.MAX_CLIENT_FRAME} bytes; store less")
    return message
