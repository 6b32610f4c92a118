"""The frames on the wire: JSON text, decoded once into typed frozen values, and encoded from values.

Invariant: `decode` never raises. A message that breaks the protocol becomes a `Malformed`, which names the problem in one word.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from realtime_fsm.events import Event  # noqa: TC001  (msgspec reads the annotation)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_encode = msgspec.json.Encoder().encode

MAX_CLIENT_FRAME = 65_536
"""The largest frame that the server accepts, header included, in bytes (PROTOCOL: "Messages", rule 6)."""
MAX_CLIENT_PAYLOAD = MAX_CLIENT_FRAME - 8
"""The bytes for the text: the header of such a frame takes 2 + 2 (length) + 4 (mask)."""

Code = int | str
"""The code of an error frame: a number, or the text of any other JSON value."""


class AcknowledgedSubscription(msgspec.Struct, frozen=True, rename="camel"):
    """One subscription as the server acknowledged it."""

    subscription_id: str
    channels: tuple[str, ...] = ()


class _Greeting(msgspec.Struct, frozen=True):
    user: msgspec.Raw = msgspec.Raw(b"null")
    # Of any type: a wrong value must not make the greeting malformed.
    channels: Any = ()
    subscriptions: Any = None


class ConnectedFrame(msgspec.Struct, frozen=True, tag="connected"):
    """The greeting: the link is ready. A client sends nothing before it (PROTOCOL: "Connecting")."""

    data: _Greeting

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that the server named."""
        channels = self.data.channels
        return tuple(c for c in channels if isinstance(c, str)) if isinstance(channels, list) else ()

    @property
    def slots(self) -> dict[int, str] | None:
        """The ids that the server chose, by slot; None before E3. The server sends a list, or an object if slots have gaps."""
        ids = self.data.subscriptions
        if isinstance(ids, list):
            ids = {str(slot): identifier for slot, identifier in enumerate(ids)}
        if not isinstance(ids, dict):
            return None
        return {int(slot): identifier for slot, identifier in ids.items() if slot.isdecimal() and isinstance(identifier, str)}


class _Reply(msgspec.Struct, frozen=True):
    to: str
    subscriptions: tuple[AcknowledgedSubscription, ...] = ()
    user: msgspec.Raw = msgspec.Raw(b"null")
    presence: msgspec.Raw = msgspec.Raw(b"null")


class ResponseFrame(msgspec.Struct, frozen=True, tag="response"):
    """The answer to a control request."""

    data: _Reply


class _Fault(msgspec.Struct, frozen=True):
    # Of any type: even an odd error frame explains the end of a link.
    code: Any = None
    message: Any = ""


class ErrorFrame(msgspec.Struct, frozen=True, tag="error"):
    """An error of the server."""

    data: _Fault

    @property
    def code(self) -> Code:
        """The code; the server may send any JSON scalar (PROTOCOL: "Four server eras")."""
        code = self.data.code
        if isinstance(code, str) or (isinstance(code, int) and not isinstance(code, bool)):
            return code
        return _encode(code).decode()

    @property
    def message(self) -> str:
        """The text of the server; empty if the frame has no text."""
        message = self.data.message
        return message if isinstance(message, str) else ""


class PongFrame(msgspec.Struct, frozen=True, tag="pong"):
    """The answer to a ping."""


class EventFrame(msgspec.Struct, frozen=True, tag="event", gc=False):
    """An event; its parts stay encoded until the user reads them."""

    data: Event


class Malformed(msgspec.Struct, frozen=True):
    """A message that breaks the protocol.

    Attributes:
        kind: ``"not_json"``, ``"too_deep"``, ``"unknown_type"`` or ``"wrong_shape"``.
    """

    kind: str


Frame = ConnectedFrame | ResponseFrame | ErrorFrame | PongFrame | EventFrame

_KNOWN = frozenset({"connected", "response", "error", "pong", "event"})


class _Typed(msgspec.Struct, frozen=True):
    type: str


# JSON allows half of a surrogate pair, Unicode does not, and msgspec then refuses the whole text. The client must not lose an
# event over one character. The pattern matches escapes from left to right: a whole pair, a lone half, any other.
_HEX = rb"[0-9a-fA-F]"
_ESCAPE = re.compile(rb"\\u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}|(\\u[dD][89a-fA-F]%b{2})|\\." % (_HEX, _HEX, _HEX), re.DOTALL)


def _replace_lone_surrogates(data: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)


decode_event: Callable[[bytes | str], EventFrame] = msgspec.json.Decoder(EventFrame).decode
"""Decode an event, 0.05 us faster than `decode` does; any other message raises ValueError or RecursionError."""
_decode_frame: Callable[[bytes | str], Frame] = msgspec.json.Decoder(Frame).decode
_typed = msgspec.json.Decoder(_Typed)


def decode(data: bytes) -> Frame | Malformed:
    """Decode one message from the server. Raises nothing."""
    try:
        return _decode_frame(data)
    except RecursionError:
        return Malformed("too_deep")
    except ValueError:  # DecodeError, ValidationError and UnicodeDecodeError are all ValueErrors
        replaced = _replace_lone_surrogates(data)
        return Malformed(_malformed_kind(data)) if replaced == data else decode(replaced)


def _malformed_kind(data: bytes) -> str:
    try:
        return "wrong_shape" if _typed.decode(data).type in _KNOWN else "unknown_type"
    except msgspec.ValidationError:
        return "wrong_shape"
    except RecursionError:
        return "too_deep"
    except ValueError:
        return "not_json"


PING = b'{"type":"ping"}'


def subscribe_item(identifier: str, channels: Sequence[str], queries: Sequence[str]) -> bytes:
    """Encode one item of a ``subscribe`` message."""
    item: dict[str, object] = {"subscriptionId": identifier, "channels": channels}
    if queries:
        item["queries"] = queries
    return _encode(item)


def unsubscribe_item(identifier: str) -> bytes:
    """Encode one item of an ``unsubscribe`` message."""
    return _encode({"subscriptionId": identifier})


def message(kind: str, items: Iterable[bytes]) -> bytes:
    """Join encoded items to a ``subscribe`` or ``unsubscribe`` message."""
    return b'{"type":"%b","data":[%b]}' % (kind.encode(), b",".join(items))


def authentication(session: str) -> bytes:
    """Encode an ``authentication`` message."""
    return _encode({"type": "authentication", "data": {"session": session}})


def presence(
    status: str, metadata: Mapping[str, Any] | None, permissions: Sequence[str] | None, identifier: str | None = None
) -> bytes:
    """Encode a ``presence`` message. The server keeps the stored value of a missing part, and chooses a missing id."""
    data = {"status": status, "presenceId": identifier, "metadata": metadata, "permissions": permissions}
    return _encode({"type": "presence", "data": {name: value for name, value in data.items() if value is not None}})


ENVELOPE_BYTES = len(message("unsubscribe", ()))
"""Bytes of a ``subscribe`` or ``unsubscribe`` message without items: of the longer of the two."""
