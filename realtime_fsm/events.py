"""The event: what the user gets. It keeps the wire's bytes and decodes each part when it is first touched."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, overload

import msgspec

from realtime_fsm.errors import MalformedEvent
from realtime_fsm.protocol.payloads import payload_decoder
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import UnionType

    from typing_extensions import TypeVar as TypeVarWithDefault

    from realtime_fsm.protocol.payloads import PayloadDecoder

    T_co = TypeVarWithDefault("T_co", covariant=True, default=dict[str, Any])
    """What the payload is: a plain `Event` is an `Event[dict[str, Any]]`."""
    _RawJson = Any
    _Unset = Any
else:
    T_co = TypeVar("T_co", covariant=True)
    _RawJson = msgspec.Raw  # of which the wire's bytes are a part: at first, until what they mean takes their place
    _Unset = msgspec.UnsetType  # what cannot come from the wire

_T = TypeVar("_T")
Action = Literal["create", "update", "upsert", "delete"]
_strings = msgspec.json.Decoder(tuple[str, ...])
_as_moment: partial[datetime] = partial(msgspec.convert, type=datetime)
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_NONE = msgspec.Raw(b"[]")

# A name is pairs of a kind and an id, then perhaps an action, then perhaps the attribute that it concerns. An id may hold
# periods, and thus look like an action, but no asterisk: the names in which every id is one cannot be mistaken.
_ACTION = rf"({'|'.join(get_args(Action))})(?:\.[^.]+)?"
_GENERAL, _ANY = re.compile(rf"(?:[^.*]+\.\*\.)+{_ACTION}"), re.compile(rf"(?:[^.]+\.[^.]+\.)+?{_ACTION}")


class _Named(msgspec.Struct, frozen=True, gc=False):
    id: Any = msgspec.field(default=None, name="$id")
    updated: Any = msgspec.field(default=None, name="$updatedAt")


_named = msgspec.json.Decoder(_Named)


class Event(msgspec.Struct, Generic[T_co], eq=False, gc=False):
    """Something happened on the server.

    One event is one object, however many subscriptions of this connection it reaches: treat what it gives as read-only. A
    subscription with ``payload=`` gives events whose payload has been decoded into that type: `Event[Order]`.

    Each part is decoded when it is first touched. Until the event is released it holds the bytes of its frame, so about as
    many as the server sent. What it gives (the payload, the names, an id) holds none of them: keep that, and not the event,
    where many are kept for long.
    """

    # The very object that frames are decoded into. Nothing but the ids is looked into, so that a bad part spoils no other; the
    # time is too short to be worth a view that would keep the whole frame. No garbage collection: of what it holds, nothing
    # leads back to it, unless somebody writes into the payload.
    _payload: msgspec.Raw = msgspec.field(name="payload")
    _events: _RawJson = msgspec.field(name="events", default=_NONE)
    _channels: _RawJson = msgspec.field(name="channels", default=_NONE)
    _timestamp: Any = msgspec.field(name="timestamp", default=None)
    _subscriptions: list[str] = msgspec.field(name="subscriptions", default_factory=list)
    _decoded_payload: _Unset = msgspec.field(name="", default=msgspec.UNSET)  # the payload, decoded
    _size: Any = msgspec.field(name="(bytes)", default=0)  # bytes of its frame; the receiver sets it

    @staticmethod
    @sealed
    def from_payload(
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
        encoded = _encode(payload)
        return Event(msgspec.Raw(encoded), tuple(events), tuple(channels), when, _size=len(encoded))

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The ids of all subscriptions of this connection that the server matched."""
        return tuple(self._subscriptions)

    @property
    def id(self) -> str | None:
        """The ``$id`` of the payload; None where it has none. The rest of the payload is not decoded for it.

        Raises:
            MalformedEvent: when the payload cannot be understood.
        """
        identifier = self._id_and_version()[0]
        return identifier if isinstance(identifier, str) else None

    @property
    def version(self) -> tuple[str, str] | None:
        """Which version of what the payload is: its ``$id`` and ``$updatedAt``; None where it has none.

        Raises:
            MalformedEvent: when the payload cannot be understood.
        """
        identifier, updated = self._id_and_version()
        return (identifier, updated) if isinstance(identifier, str) and isinstance(updated, str) else None

    def _id_and_version(self) -> tuple[Any, Any]:
        try:
            named = _named.decode(self._payload)
        except ValueError:  # an empty object, perhaps, which comes as an array
            pass
        else:
            return named.id, named.updated
        payload = _whole(self._payload)
        return (payload.get("$id"), payload.get("$updatedAt")) if type(payload) is dict else (None, None)

    @property
    def action(self) -> Action | None:
        """What was done: ``"create"``, ``"update"``, ``"upsert"`` or ``"delete"``; None where the names of the event say nothing.

        An attribute behind it does not count: ``users.alice.update.name`` is an ``"update"``. Where the server sends only names
        with ids, and an id holds a period, it can be misread.

        Raises:
            MalformedEvent: when the names cannot be understood.
        """
        for form in (_GENERAL, _ANY):
            for name in self.events:
                if found := form.fullmatch(name):
                    action: Action = found[1]  # type: ignore[assignment]
                    return action
        return None

    def matches(self, pattern: str) -> bool:
        """Whether one of the names of the event is of a form, such as ``"databases.*.tables.*.rows.*.update"``.

        The server names what happened in every form: with each id or ``*``, with and without the action, and what it happened
        in (PROTOCOL: "Messages"); the update of a row matches ``"databases.main.tables.*.rows.*"`` and ``"databases.*"``
        as well. Older servers and other publishers send fewer names.

        Args:
            pattern: parts with periods between them; ``*`` stands for exactly one part, whatever it is, everything else for
                itself.

        Raises:
            MalformedEvent: when the names cannot be understood.
        """
        names = self.events
        if pattern in names:
            return True
        return "*" in pattern and any(map(_pattern_regex(pattern).fullmatch, names))

    @property
    def events(self) -> tuple[str, ...]:
        """The names of what happened, most specific first, wildcards included (a row event has about 64).

        Raises:
            MalformedEvent: when the server sent something else.
        """
        names: Any = self._events
        if type(names) is not tuple:
            names = self._events = _decode_part("events", _strings, names)
        found: tuple[str, ...] = names
        return found

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that the event was published on.

        Raises:
            MalformedEvent: when the server sent something else.
        """
        names: Any = self._channels
        if type(names) is not tuple:
            names = self._channels = _decode_part("channels", _strings, names)
        found: tuple[str, ...] = names
        return found

    @property
    def timestamp(self) -> datetime | None:
        """The server's time of the event, aware, in milliseconds; an offset that is missing means UTC.

        The server sends no time with the events of ``console.tail.{project}``: None (PROTOCOL: "Messages", rule 12).

        Raises:
            MalformedEvent: when the server sent something else.
        """
        if self._timestamp is not None and not isinstance(self._timestamp, datetime):
            self._timestamp = parse_timestamp(self._timestamp)
        moment: datetime | None = self._timestamp
        return moment

    @property
    def payload(self) -> T_co:
        """The row, document, file, ... as the server sent it: a dict, or what ``payload=`` has made of it.

        The server sends a list with the events of ``console.tail.{project}`` (PROTOCOL: "Messages", rule 12).

        A deletion carries the whole of what was deleted. Integers are exact, however large. PHP writes an empty object as ``[]``
        and ``1.0`` as ``1`` (PROTOCOL: "Messages"): an empty list is given as ``{}``.

        Raises:
            MalformedEvent: when the server sent something that is neither an object nor a list.
        """
        payload: T_co = self._decoded_payload
        if payload is msgspec.UNSET:
            payload = self._decoded_payload = _whole(self._payload)
        return payload

    @overload
    def payload_as(self, wanted: type[_T], *, decimals: bool = False) -> _T: ...
    @overload
    def payload_as(self, wanted: UnionType, *, decimals: bool = False) -> Any: ...
    def payload_as(self, wanted: Any, *, decimals: bool = False) -> Any:
        """The payload as a type, decoded from the wire's bytes; anew at each call.

        A number for a `Decimal` is taken from its digits. An empty object, which PHP writes as ``[]``, fits a field that wants
        an object.

        Args:
            wanted: a msgspec Struct, a dataclass, a TypedDict, ``dict``, a union of tagged Structs, or a pydantic model;
                ``list[...]`` for the events of ``console.tail.{project}``.
            decimals: whether numbers with a fraction, where the type leaves open what they are, become `Decimal`: in ``dict``
                and ``Any``. Not for pydantic, whose types say it.

        Raises:
            BadOption: when nothing can be decoded into the type.
            PayloadMisfit: when the payload does not fit it.
        """
        return payload_decoder(wanted, decimals=decimals).read(self._payload, self)

    def decode_payload_with(self, reader: PayloadDecoder[_T]) -> Event[_T]:
        """The same event with its payload as a reader decodes it.

        Raises:
            PayloadMisfit: when it does not fit.
        """
        parts = self._payload, self._events, self._channels, self._timestamp, self._subscriptions
        return _TypedEvent(*parts, reader.read(self._payload, self), self._size)

    def __repr__(self) -> str:
        # No payload here: a repr ends up in logs. The same for the ids that names of events are made of.
        return f"<Event for {', '.join(self._subscriptions) or 'nobody'}>"


class _TypedEvent(Event[T_co], gc=True):
    """One whose payload is of a type of the user's, which may well lead back to it."""


def parse_timestamp(stamp: Any) -> datetime:
    """The server's time, from what came in its place.

    Raises:
        MalformedEvent: when it is something else.
    """
    try:
        moment = _as_moment(stamp)
    except ValueError:
        moment = None
    if moment is None:  # outside of the handler, here and below: what msgspec says quotes the value
        del stamp
        raise MalformedEvent("timestamp")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def dedup_key(event: Event) -> tuple[object, ...]:
    """What an event says, but the ids: the same on every link, and hashable. For what has not been given to anybody yet."""
    parts = event._payload, event._events, event._channels  # noqa: SLF001
    texts = (bytes(part) if isinstance(part, msgspec.Raw) else part for part in parts)
    return *texts, repr(event._timestamp)  # noqa: SLF001


def _decode_part(name: str, decoder: msgspec.json.Decoder[_T], wire: msgspec.Raw) -> _T:
    try:
        return decoder.decode(wire)
    except ValueError:  # DecodeError, ValidationError and UnicodeDecodeError are all ValueErrors
        pass
    raise MalformedEvent(name)


def _whole(wire: msgspec.Raw) -> Any:
    payload = None
    try:
        payload = _decode(wire)
    except msgspec.ValidationError:  # a number beyond a float, which the standard library takes as infinity
        with suppress(ValueError):
            payload = json.loads(str(bytes(wire), "utf-8"))
    except ValueError:  # DecodeError and UnicodeDecodeError
        pass
    if type(payload) is dict:
        return payload
    if type(payload) is list:
        return payload or {}
    del payload
    raise MalformedEvent("payload")


@lru_cache(256)
def _pattern_regex(pattern: str) -> re.Pattern[str]:
    return re.compile(r"\.".join("[^.]+" if part == "*" else re.escape(part) for part in pattern.split(".")))
