"""The event: what the user gets. It keeps the wire's bytes and decodes each part when it is first touched."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args, overload

import msgspec

from realtime_fsm.vocabulary.errors import MalformedEvent
from realtime_fsm.vocabulary.payloads import reader_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import UnionType

    from typing_extensions import TypeVar as TypeVarWithDefault

    from realtime_fsm.vocabulary.payloads import Reader

    T_co = TypeVarWithDefault("T_co", covariant=True, default=dict[str, Any])
    """What the payload is: a plain `Event` is an `Event[dict[str, Any]]`."""
else:
    T_co = TypeVar("T_co", covariant=True)

_T = TypeVar("_T")
Action = Literal["create", "update", "upsert", "delete"]
_strings = msgspec.json.Decoder(tuple[str, ...])
_moment = msgspec.json.Decoder(datetime)
_anything = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_NOT_YET: Any = ...  # of all things that no part can be, one that survives being copied and pickled

# A name is pairs of a kind and an id, then perhaps an action, then perhaps the attribute that it concerns. An id may hold
# periods, and thus look like an action, but no asterisk: the names in which every id is one cannot be mistaken.
_ACTION = rf"({'|'.join(get_args(Action))})(?:\.[^.]+)?"
_GENERAL, _ANY = re.compile(rf"(?:[^.*]+\.\*\.)+{_ACTION}"), re.compile(rf"(?:[^.]+\.[^.]+\.)+?{_ACTION}")


class _Named(msgspec.Struct, frozen=True, gc=False):
    id: Any = msgspec.field(default=None, name="$id")
    updated: Any = msgspec.field(default=None, name="$updatedAt")


_named = msgspec.json.Decoder(_Named)


class Event(Generic[T_co]):
    """Something happened on the server.

    One event is one object, however many subscriptions of this connection it reaches: treat what it gives as read-only.
    Until a part is touched it is held as the bytes of its frame; the frame is released when the event is. A subscription with
    ``payload=`` gives events whose payload has been decoded into that type: `Event[Order]`.

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
        self._payload: Any = _NOT_YET
        self.subscriptions = tuple(subscriptions)

    @staticmethod
    def restored(
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
        return Event(parts[0], parts[1], parts[2], parts[3], ())

    @property
    def id(self) -> str | None:
        """The ``$id`` of the payload; None where it has none. The rest of the payload is not decoded for it.

        Raises:
            MalformedEvent: when the payload cannot be understood.
        """
        identifier = self._names()[0]
        return identifier if isinstance(identifier, str) else None

    @property
    def version(self) -> tuple[str, str] | None:
        """Which version of what the payload is: its ``$id`` and ``$updatedAt``; None where it has none.

        Raises:
            MalformedEvent: when the payload cannot be understood.
        """
        identifier, updated = self._names()
        return (identifier, updated) if isinstance(identifier, str) and isinstance(updated, str) else None

    def _names(self) -> tuple[Any, Any]:
        try:
            named = _named.decode(self._wire[3])
        except ValueError:  # an empty object, perhaps, which comes as an array
            payload = _object(self._wire[3])
            return payload.get("$id"), payload.get("$updatedAt")
        return named.id, named.updated

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
        in (PROTOCOL: "Messages (E4)"); the update of a row matches ``"databases.main.tables.*.rows.*"`` and ``"databases.*"``
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
        return "*" in pattern and any(map(_form(pattern).fullmatch, names))

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
    def payload(self) -> T_co:
        """The row, document, file, ... as the server sent it: a dict, or what ``payload=`` has made of it.

        A deletion carries the whole of what was deleted. Integers are exact, however large. PHP writes an empty object as ``[]``
        and ``1.0`` as ``1`` (PROTOCOL: "Messages (E4)"): an empty list is given as ``{}``.

        Raises:
            MalformedEvent: when the server sent something that is no object.
        """
        if self._payload is _NOT_YET:
            self._payload = _object(self._wire[3])
        payload: T_co = self._payload
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
            wanted: a msgspec Struct, a dataclass, a TypedDict, ``dict``, a union of tagged Structs, or a pydantic model.
            decimals: whether numbers with a fraction, where the type leaves open what they are, become `Decimal`: in ``dict``
                and ``Any``. Not for pydantic, whose types say it.

        Raises:
            BadOption: when nothing can be decoded into the type.
            PayloadMisfit: when the payload does not fit it, or is no object.
        """
        return reader_for(wanted, decimals=decimals).read(self._wire[3], self)

    def read_by(self, reader: Reader[_T]) -> Event[_T]:
        """The same event with its payload as a reader decodes it.

        Raises:
            PayloadMisfit: when it does not fit.
        """
        event: Event[_T] = Event(*self._wire, self.subscriptions)
        event._payload = reader.read(self._wire[3], self)
        return event

    def __repr__(self) -> str:
        # No payload here: a repr ends up in logs. The same for the ids that names of events are made of.
        return f"<Event for {', '.join(self.subscriptions) or 'nobody'}>"


def _part(name: str, decoder: msgspec.json.Decoder[_T], wire: msgspec.Raw) -> _T:
    try:
        return decoder.decode(wire)
    except ValueError:  # DecodeError, ValidationError and UnicodeDecodeError are all ValueErrors
        raise MalformedEvent(name) from None


def _object(wire: msgspec.Raw) -> dict[str, Any]:
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
    return payload


@lru_cache(256)
def _form(pattern: str) -> re.Pattern[str]:
    return re.compile(r"\.".join("[^.]+" if part == "*" else re.escape(part) for part in pattern.split(".")))
