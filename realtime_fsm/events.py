"""The event that a subscription gives to the user.

Invariant: an event keeps the bytes of its frame and decodes each part at the first access, so one bad part spoils no other part.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, overload

import msgspec

from realtime_fsm.errors import MalformedEvent, RealtimeError
from realtime_fsm.protocol.payloads import Problem, payload_decoder, type_name
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import UnionType
    from typing import Never, TypeAlias

    from typing_extensions import TypeVar as TypeVarWithDefault

    from realtime_fsm.protocol.payloads import PayloadDecoder

    T_co = TypeVarWithDefault("T_co", covariant=True, default=dict[str, Any])
    """The type of the payload: a plain `Event` is an `Event[dict[str, Any]]`."""
    A = TypeVar("A")
    B = TypeVar("B")
    C = TypeVarWithDefault("C", default=Never)
    D = TypeVarWithDefault("D", default=Never)
    OneOf: TypeAlias = tuple[type[A], type[B]] | tuple[type[A], type[B], type[C]] | tuple[type[A], type[B], type[C], type[D]]
    """Two to four types as a tuple: a type checker cannot infer ``A | B`` from an argument that is a union."""
    _RawJson = Any
    _Unset = Any
else:
    T_co = TypeVar("T_co", covariant=True)
    _RawJson = msgspec.Raw  # the wire's bytes, until the decoded value takes their place
    _Unset = msgspec.UnsetType  # no frame fills such a field

_T = TypeVar("_T")
Action = Literal["create", "update", "upsert", "delete"]
_strings = msgspec.json.Decoder(tuple[str, ...])
_as_datetime: partial[datetime] = partial(msgspec.convert, type=datetime)
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_NO_NAMES = msgspec.Raw(b"[]")

# A name consists of pairs of a kind and an id, then an optional action, then an optional attribute. An id may contain periods, so
# a part of an id can look like an action. Ids contain no asterisk, so a name with an asterisk for each id is unambiguous.
_ACTION = rf"({'|'.join(get_args(Action))})(?:\.[^.]+)?"
_GENERAL, _ANY = re.compile(rf"(?:[^.*]+\.\*\.)+{_ACTION}"), re.compile(rf"(?:[^.]+\.[^.]+\.)+?{_ACTION}")


class _Version(msgspec.Struct, frozen=True, gc=False):
    id: Any = msgspec.field(default=None, name="$id")
    updated: Any = msgspec.field(default=None, name="$updatedAt")


_version = msgspec.json.Decoder(_Version)


class Event(msgspec.Struct, Generic[T_co], eq=False, gc=False):
    """A change on the server.

    All subscriptions of a connection that match an event share one object: treat its values as read-only. A subscription with
    ``payload=`` gives events whose payload has that type: `Event[Order]`.

    An event keeps the bytes of its frame in memory; its decoded values (the payload, the names, an id) do not. A program that
    keeps many events for long keeps these values instead.

    Raises:
        MalformedEvent: from a property or method, for a part of the event that breaks the protocol.
    """

    # The decoder of frames makes this object, and leaves all parts but the ids encoded. No garbage collection: no part of an
    # event refers back to the event, unless a user writes into the payload.
    _payload: msgspec.Raw = msgspec.field(name="payload")
    _events: _RawJson = msgspec.field(name="events", default=_NO_NAMES)
    _channels: _RawJson = msgspec.field(name="channels", default=_NO_NAMES)
    _timestamp: Any = msgspec.field(name="timestamp", default=None)
    _subscriptions: list[str] = msgspec.field(name="subscriptions", default_factory=list)
    _decoded_payload: _Unset = msgspec.field(name="", default=msgspec.UNSET)
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
        """Make an event that did not come over the wire, for ``catch_up=`` callables.

        Args:
            payload: the row, document, file, ...
            events: the names of the event, as far as you know them.
            channels: the channels of the event.
            timestamp: the time of the event, aware; None takes ``$updatedAt`` of the payload, or else now.
        """
        when = timestamp.isoformat() if timestamp else payload.get("$updatedAt", datetime.now(UTC).isoformat())
        encoded = _encode(payload)
        return Event(msgspec.Raw(encoded), tuple(events), tuple(channels), when, _size=len(encoded))

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The ids of all subscriptions of this connection that match the event."""
        return tuple(self._subscriptions)

    @property
    def id(self) -> str | None:
        """The ``$id`` of the payload; None for a payload without an id. The access decodes nothing else of the payload."""
        identifier = self._id_and_version()[0]
        return identifier if isinstance(identifier, str) else None

    @property
    def version(self) -> tuple[str, str] | None:
        """The ``$id`` and ``$updatedAt`` of the payload, which identify its version; None if one is missing."""
        identifier, updated = self._id_and_version()
        return (identifier, updated) if isinstance(identifier, str) and isinstance(updated, str) else None

    def _id_and_version(self) -> tuple[Any, Any]:
        try:
            version = _version.decode(self._payload)
        except ValueError:  # perhaps an empty object, which arrives as an array
            pass
        else:
            return version.id, version.updated
        payload = _decode_payload(self._payload)
        return (payload.get("$id"), payload.get("$updatedAt")) if type(payload) is dict else (None, None)

    @property
    def action(self) -> Action | None:
        """The action: ``"create"``, ``"update"``, ``"upsert"`` or ``"delete"``; None if the names of the event have no action.

        A name may have an attribute after the action: ``users.alice.update.name`` is an ``"update"``. The action can be wrong
        if an id contains a period and the server sends no name with asterisks.
        """
        for form in (_GENERAL, _ANY):
            for name in self.events:
                if found := form.fullmatch(name):
                    action: Action = found[1]  # type: ignore[assignment]
                    return action
        return None

    def matches(self, pattern: str) -> bool:
        """Tell whether a name of the event matches a pattern, such as ``"databases.*.tables.*.rows.*.update"``.

        The server sends a name in each form: with each id or ``*``, with and without the action, and for each container
        (PROTOCOL: "Messages"). So the update of a row also matches ``"databases.main.tables.*.rows.*"`` and ``"databases.*"``.
        Older servers send fewer names.

        Args:
            pattern: parts with periods between them; ``*`` matches exactly one part, any other part matches itself.
        """
        names = self.events
        if pattern in names:
            return True
        return "*" in pattern and any(map(_pattern_regex(pattern).fullmatch, names))

    @property
    def events(self) -> tuple[str, ...]:
        """The names of the event, most specific first, wildcards included (a row event has about 64)."""
        if type(self._events) is not tuple:
            self._events = _decode_names("events", self._events)
        names: tuple[str, ...] = self._events
        return names

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels on which the server published the event."""
        if type(self._channels) is not tuple:
            self._channels = _decode_names("channels", self._channels)
        names: tuple[str, ...] = self._channels
        return names

    @property
    def timestamp(self) -> datetime | None:
        """The server's time of the event, aware, in milliseconds; a missing offset means UTC.

        None for the events of ``console.tail.{project}``, which come without a time (PROTOCOL: "Messages", rule 12).
        """
        if self._timestamp is not None and not isinstance(self._timestamp, datetime):
            self._timestamp = parse_timestamp(self._timestamp)
        moment: datetime | None = self._timestamp
        return moment

    @property
    def payload(self) -> T_co:
        """The row, document, file, ... as the server sent it: a dict, or a value of the subscription's ``payload=`` type.

        The events of ``console.tail.{project}`` have a list (PROTOCOL: "Messages", rule 12). A deletion has the whole deleted
        row. Integers are exact, however large. PHP writes an empty object as ``[]`` and ``1.0`` as ``1`` (PROTOCOL:
        "Messages"), so an empty list becomes ``{}``.
        """
        if self._decoded_payload is msgspec.UNSET:
            self._decoded_payload = _decode_payload(self._payload)
        payload: T_co = self._decoded_payload
        return payload

    @overload
    def payload_as(self, wanted: type[_T], *, decimals: bool = ...) -> _T: ...
    @overload
    def payload_as(self, wanted: OneOf[A, B, C, D], *, decimals: bool = ...) -> A | B | C | D: ...
    @overload
    def payload_as(self, wanted: UnionType, *, decimals: bool = ...) -> Any: ...
    def payload_as(self, wanted: Any, *, decimals: bool = False) -> Any:
        """Decode the bytes of the payload into a type. Each call decodes again.

        A `Decimal` keeps all digits of its number. An empty object, which PHP writes as ``[]``, fits a field that expects an
        object.

        Args:
            wanted: a msgspec Struct, a dataclass, a TypedDict, ``dict``, or a pydantic model; ``list[...]`` for the events of
                ``console.tail.{project}``. For several types, such as tagged Structs, a tuple ``(Apple, Pear)``: type checkers
                infer the union of up to four types. From a union ``Apple | Pear`` they infer ``Any``.
            decimals: whether numbers with a fraction become `Decimal` in ``dict`` and ``Any``, which leave that open. A
                pydantic type always decides itself.

        Raises:
            BadOption: for a type that cannot hold a payload.
            PayloadMisfit: for a payload that does not fit the type.
        """
        return _decode_into(self, payload_decoder(wanted, decimals=decimals))

    def __repr__(self) -> str:
        # A repr reaches logs, so it shows nothing of the payload but the id, and raises nothing for malformed parts.
        action, identifier, channels = (self._readable(part) for part in ("action", "id", "channels"))
        of = "" if identifier is None else f" of {identifier!r:.60}"
        # The channel with the most parts is the most specific; among equal ones the server sends the newest form last.
        names = [name for name in channels or () if identifier not in name.split(".")] or channels
        on = f" on {max(reversed(names), key=lambda name: name.count('.'))!r:.120}" if names else ""
        return f"<Event {action or 'without an action'}{of}{on}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        # rich shows the locals of a traceback by this method; the method of Struct shows the payload.
        return [(part, self._readable(part)) for part in ("action", "id", "channels")]

    def _readable(self, part: str) -> Any:
        with suppress(MalformedEvent):
            return getattr(self, part)


class _TypedEvent(Event[T_co], gc=True):
    """An event whose payload has a user's type. Such a payload may refer back to the event."""


class PayloadMisfit(RealtimeError):
    """A payload does not fit the requested type. The event's other parts, and the stream, can still be used.

    Attributes:
        wanted: the requested type.
        path: the place in the payload, such as ``"$.lines[0].price"``; ``"$"`` is the whole, ``[...]`` any member of a dict.
        problem: the error at that place: the text of msgspec, or pydantic's error type. It quotes no value of the payload.
        event: the event, with its payload as a dict.
    """

    def __init__(self, wanted: Any, path: str, problem: str, event: Event[dict[str, Any]]) -> None:
        super().__init__(f"the payload does not fit {type_name(wanted)} at {path}: {problem}")
        self.wanted: Any = wanted
        self.path: str = path
        self.problem: str = problem
        self.event: Event[dict[str, Any]] = event


def typed_event(event: Event, decoder: PayloadDecoder[_T]) -> Event[_T]:
    """Copy an event with its payload decoded into a type, or raise `PayloadMisfit`."""
    parts = event._payload, event._events, event._channels, event._timestamp, event._subscriptions  # noqa: SLF001
    return _TypedEvent(*parts, _decode_into(event, decoder), event._size)  # noqa: SLF001


def parse_timestamp(stamp: Any) -> datetime:
    """Decode the server's time, or raise `MalformedEvent`."""
    try:
        moment = _as_datetime(stamp)
    except ValueError:
        moment = None
    if moment is None:  # outside of the handler, here and below: the text of msgspec quotes the value
        del stamp
        raise MalformedEvent("timestamp")
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def dedup_key(event: Event) -> tuple[object, ...]:
    """Make a hashable key of all parts but the ids, which is the same for one event on every link.

    The client decodes the channels on some links only, so the key always decodes the channels. The other parts stay encoded.
    """
    with suppress(MalformedEvent):
        event.channels  # noqa: B018
    parts = event._payload, event._events, event._channels  # noqa: SLF001
    texts = (bytes(part) if isinstance(part, msgspec.Raw) else part for part in parts)
    return *texts, repr(event._timestamp)  # noqa: SLF001


def _decode_into(event: Event[Any], decoder: PayloadDecoder[_T]) -> _T:
    payload = decoder.decode(event._payload)  # noqa: SLF001
    if isinstance(payload, Problem):
        raise PayloadMisfit(decoder.target_type, payload.path, payload.text, event)
    return payload


def _decode_names(part: str, wire: msgspec.Raw) -> tuple[str, ...]:
    try:
        return _strings.decode(wire)
    except ValueError:  # DecodeError, ValidationError and UnicodeDecodeError are all ValueErrors
        pass
    raise MalformedEvent(part)


def _decode_payload(wire: msgspec.Raw) -> Any:
    payload = None
    try:
        payload = _decode(wire)
    except msgspec.ValidationError:  # a number too large for a float, which the standard library reads as infinity
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
