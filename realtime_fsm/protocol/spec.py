"""Check a user's subscriptions and presences at the call, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol import frames
from realtime_fsm.protocol.channel_checks import refuse_console
from realtime_fsm.protocol.options import check_identifier, is_valid_unicode, validated_strings
from realtime_fsm.protocol.queries import realtime_queries

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class SubscriptionSpec:
    """The user's request for a subscription: events of some channels that match all queries.

    Attributes:
        item: the encoded item of a ``subscribe`` message.
    """

    id: str
    channels: tuple[str, ...]
    queries: tuple[str, ...] = ()
    item: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "item", frames.subscribe_item(self.id, self.channels, self.queries))


def subscription_spec(identifier: str, channels: Iterable[str], queries: Iterable[str], project: str) -> SubscriptionSpec:
    """Make a subscription; refuse wrong channels and queries, and a message that exceeds a frame."""
    spec = SubscriptionSpec(identifier, validated_strings("channels", channels), realtime_queries(queries))
    refuse_console(spec.channels, project)
    if len(frames.message("subscribe", [spec.item])) > frames.MAX_CLIENT_PAYLOAD:
        problem = f"channels and queries make a frame of more than {frames.MAX_CLIENT_FRAME} bytes; make several subscriptions"
        raise BadOption("channels", problem)
    return spec


def presence_identifier(identifier: str) -> str:
    """Check the id of a presence (PROTOCOL: "Messages", rule 7)."""
    check_identifier("presence_id", identifier, "an id")
    return str.__str__(identifier)


def presence_message(
    status: str, metadata: Mapping[str, Any] | None, permissions: Iterable[str] | None, identifier: str | None = None
) -> bytes:
    """Encode the message that shows a user as present. An error never shows the value that it refuses."""
    if not isinstance(status, str) or not status or not is_valid_unicode(status):
        raise BadOption("status", "not a non-empty string; None ends a presence (its value is not shown)")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise BadOption("metadata", f"{type(metadata).__name__} is not a mapping; give one of names to values")
    roles = None if permissions is None else validated_strings("permissions", permissions, least=0)
    try:
        message = frames.presence(status, metadata, roles, identifier)
    except (TypeError, ValueError):
        raise BadOption(
            "metadata", "it holds a value that JSON cannot encode; leave this value out (its values are not shown)"
        ) from None
    if len(message) > frames.MAX_CLIENT_PAYLOAD:
        raise BadOption("metadata", f"the presence makes a frame of more than {frames.MAX_CLIENT_FRAME} bytes; give less")
    return message
