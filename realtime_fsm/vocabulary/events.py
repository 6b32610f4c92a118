"""The event: what the user gets. It keeps the wire's bytes and decodes each part when it is first touched."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from realtime_fsm.vocabulary.errors import MalformedEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_T = TypeVar("_T")
_strings = msgspec.json.Decoder(tuple[str, ...])
_moment = msgspec.json.Decoder(datetime)
_anything = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_NOT_YET: Any = object()


class Event:
    """Something happened on the server.

    One event is one object, however many subscriptions of this connection it reaches: treat what it gives as read-only.
    Until a part is touched it is held as the bytes of its frame; the frame is released when the event is.

    Attributes:
        subscriptions: the ids of all subscriptions of this connection that the server matched.
    """

    __slots__ = ("_channels", "_events", "_payload", "_timestamp", "_wire", "subscriptions")

    def __init__(
        self,
        events: msgspec.Raw,
        channels: msgspec.Raw,
        timestamp: msgspec.Raw,
        payload: msgspec.Raw,
        subscriptions: Sequence[str],
    ) -> None:
        self._wire = (events, channels, timestamp, payload)
        self._events: tuple[str, ...] = _NOT_YET
        self._channels: tuple[str, ...] = _NOT_YET
        self._timestamp: datetime = _NOT_YET
        self._payload: dict[str, Any] = _NOT_YET
        self.subscriptions = tuple(subscriptions)

    @classmethod
    def restored(
        cls,
        payload: Mapping[str, Any],
        *,
        events: Iterable[str] = (),
        channels: Iterable[str] = (),
        timestamp: datetime | None = None,
    ) -> Event:
        """An event that did not come over the wire, for `catch_up` callables.

        Args:
            payload: the row, document, file, ...
            events: names of what happened, as far as they are known.
            channels: where.
            timestamp: when; by default the payload's own ``$updatedAt``, or else now.
        """
        when = timestamp.isoformat() if timestamp else payload.get("$updatedAt", datetime.now(UTC).isoformat())
        parts = [msgspec.Raw(_encode(part)) for part in (tuple(events), tuple(channels), when, payload)]
        return cls(parts[0], parts[1], parts[2], parts[3], ())

    @property
    def version(self) -> tuple[str, str] | None:
        """Which version of what the payload is: its ``$id`` and ``$updatedAt``; None where it has none.

        Raises:
            MalformedEvent: when the payload cannot be understood.
        """
        payload = self.payload
        identifier, updated = payload.get("$id"), payload.get("$updatedAt")
        return (identifier, updated) if isinstance(identifier, str) and isinstance(updated, str) else None

    @property
    def events(self) -> tuple[str, ...]:
        """The names of what happened, most specific first, wildcards included (a row event has about 64).

        Raises:
            MalformedEvent: when the server sent something else.
        """
        if self._events is _NOT_YET:
            self._events = _part("events", _strings, self._wire[0])
        return self._events

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that the event was published on.

        Raises:
            MalformedEvent: when the server sent something else.
        """
        if self._channels is _NOT_YET:
            self._channels = _part("channels", _strings, self._wire[1])
        return self._channels

    @property
    def timestamp(self) -> datetime:
        """The server's time of the event, aware, in milliseconds; an offset that is missing means UTC.

        Raises:
            MalformedEvent: when the server sent something else.
        """
        if self._timestamp is _NOT_YET:
            moment = _part("timestamp", _moment, self._wire[2])
            self._timestamp = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return self._timestamp

    @property
    def payload(self) -> dict[str, Any]:
        """The row, document, file, ... as the server sent it.

        PHP writes an empty object as ``[]`` and ``1.0`` as ``1`` (PROTOCOL: "Messages (E4)"): an empty list is given as ``{}``.

        Raises:
            MalformedEvent: when the server sent something that is no object.
        """
        if self._payload is _NOT_YET:
            wire = self._wire[3]
            try:
                payload = _anything.decode(wire)
            except msgspec.ValidationError:  # a number beyond a float, which the standard library takes as infinity
                try:
                    payload = json.loads(str(bytes(wire), "utf-8"))
                except ValueError:
                    raise MalformedEvent("payload") from None
            except ValueError:  # DecodeError and UnicodeDecodeError
                raise MalformedEvent("payload") from None
            if payload == []:
                payload = {}
            if not isinstance(payload, dict):
                raise MalformedEvent("payload")
            self._payload = payload
        return self._payload

    def __repr__(self) -> str:
        # No payload here: a repr ends up in logs. The same for the ids that names of events are made of.
        return f"<Event for {', '.join(self.subscriptions) or 'nobody'}>"


def _part(name: str, decoder: msgspec.json.Decoder[_T], wire: msgspec.Raw) -> _T:
    try:
        return decoder.decode(wire)
    except ValueError:  # DecodeError, ValidationError and UnicodeDecodeError are all ValueErrors
        raise MalformedEvent(name) from None
