"""Turn events and gaps into messages of a broker: CloudEvents in binary mode, with an id that all relays agree on.

Invariant: id, subject and headers of an event depend on its frame and on the channels of the relay, and on nothing of the link.
The frames of one event differ between two links in their ``subscriptions`` alone (PROTOCOL: "Messages").
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

import msgspec

from realtime_fsm.errors import BadOption, MalformedEvent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from realtime_fsm.events import Event
    from realtime_fsm.fsm.change import Gap

_PREFIX = "appwrite"
_EMPTY = "%"  # a part without characters, which NATS forbids; a real percent sign is quoted
CHANNELS_HEADER = "ce-channels"
"""The header that tells apart relays of different channels."""
_ID_BYTES = 12
_HEADER_SAFE = "!#$&'()*+,/:;<=>?@[\\]^`{|}"  # CloudEvents quotes the space, the double quote, the percent sign and non-ASCII


@dataclass(frozen=True, slots=True)
class Message:
    """A message for a broker.

    Attributes:
        id: the same for one event in every relay; ``e...`` is an event, ``c...`` a caught-up row, ``g...`` a gap.
        subject: ``appwrite.{project}.{channel...}.{action}``, or ``appwrite.{project}.gap``.
        headers: the attributes of the CloudEvent, ``ce-id`` included.
        data: the payload, in the bytes of the server.
    """

    id: str
    subject: str
    headers: Mapping[str, str]
    data: bytes


@lru_cache(1024)  # a third of the time of a message
def subject_of(project: str, *words: str) -> str:
    """Make a subject. Each word is one token; a token quotes what NATS forbids, as in a URL."""
    return ".".join((_PREFIX, *(quote(word, safe="").replace(".", "%2E") or _EMPTY for word in (project, *words))))


def parse_subject(subject: str) -> tuple[str, str, str]:
    """Take a subject apart.

    Returns:
        The project, the channel and the action. The action is ``"create"``, ``"update"``, ``"upsert"``, ``"delete"``,
        ``"caught_up"`` for a row that was fetched after a gap, ``"other"`` for an event without an action, or ``"gap"``, with an
        empty channel.

    Raises:
        BadOption: for a subject of something else.
    """
    prefix, *words = subject.split(".")
    if prefix != _PREFIX or len(words) < 2:
        raise BadOption("subject", f"{subject!r:.80} is not appwrite.PROJECT.CHANNEL.ACTION")
    project, *channel, action = ("" if word == _EMPTY else unquote(word) for word in words)
    return project, ".".join(channel), action


class MessageMaker:
    """Makes the messages of one relay. The server is the host and port of Appwrite."""

    def __init__(self, server: str, project: str, channels: tuple[str, ...]) -> None:
        self._project = project
        self._source = quote(f"//{server}/{project}", safe=_HEADER_SAFE)
        self._channels = channels
        self._channels_hash = _digest(*sorted({str(channel) for channel in channels}))[:12]

    def of_event(self, event: Event) -> Message:
        """Make the message of an event, or of a caught-up row, which has no names."""
        names: tuple[str, ...] = _part(event, "events") or ()
        time: datetime | None = _part(event, "timestamp")
        stamp = "" if time is None else _stamp(time)
        action: str = (_part(event, "action") or "other") if names else "caught_up"
        name = names[0] if names else ""
        data = bytes(event._payload)  # noqa: SLF001  (the bytes of the server)
        # The payload holds $id and $updatedAt, the name holds resource and action. The server's time keeps apart two events of
        # the same text, such as those of an account, whose payload has no $updatedAt. A caught-up row has no such time.
        key = _digest(name, stamp if names else "", data)
        subject = subject_of(self._project, *self._channel_of(event, action).split("."), action)
        return self._message(("e" if names else "c") + key, subject, action, stamp, name, data)

    def of_gap(self, gap: Gap, connection_id: str) -> Message:
        """Make the message of a gap. Its time is the begin of the gap, so that a restart never skips the gap."""
        since = _stamp(gap.start)
        facts = {
            "since": since,
            "until": _stamp(gap.until),
            "outage_seconds": round(gap.outage_seconds, 3),
            "attempts": gap.attempts,
            "channels": self._channels,
        }
        data = msgspec.json.encode(facts)
        return self._message("g" + _digest(connection_id, "", data), subject_of(self._project, "gap"), "gap", since, "", data)

    def _channel_of(self, event: Event, action: str) -> str:
        """Choose the channel that names the subject.

        That is the one with the most parts, without the event's own id and action. Among equals a channel of the relay comes
        first, then the newest form, which the server sends last.
        """
        channels: tuple[str, ...] = _part(event, "channels") or self._channels[:1]
        endings = f".{_part(event, 'id')}", f".{action}"
        general = [channel for channel in channels if not channel.endswith(endings)] or channels
        most = max(channel.count(".") for channel in general)
        longest = [channel for channel in general if channel.count(".") == most]
        own = [channel for channel in longest if any(f"{each}.".startswith(f"{channel}.") for each in self._channels)]
        return (own or longest)[-1]

    def _message(self, identifier: str, subject: str, kind: str, stamp: str, name: str, data: bytes) -> Message:
        headers = {
            "ce-specversion": "1.0",
            "ce-id": identifier,
            "ce-source": self._source,
            "ce-type": f"io.appwrite.realtime.{kind}",
            CHANNELS_HEADER: self._channels_hash,
            "content-type": "application/json",
        }
        if stamp:
            headers["ce-time"] = stamp
        if name:
            headers["ce-subject"] = quote(name, safe=_HEADER_SAFE)
        return Message(identifier, subject, headers, data)


def _part(event: Event, name: str) -> Any:
    """Return a part of an event; None where it breaks the protocol, because the payload is worth relaying all the same."""
    with suppress(MalformedEvent):
        return getattr(event, name)
    return None


def _stamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def _digest(*parts: str | bytes) -> str:
    encoded = (part.encode() if isinstance(part, str) else part for part in parts)
    return blake2b(b"\0".join(encoded), digest_size=_ID_BYTES).hexdigest()
