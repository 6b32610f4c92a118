"""Everything that realtime_fsm raises, as one tree.

::

    RealtimeError
    ├── Misuse                        the caller asked for something that makes no sense
    │   ├── BadOption                 a value that cannot be used; also a ValueError
    │   ├── Disposed                  the connection was disposed of; it cannot be used again
    │   ├── SubscriptionEnded         the subscription was ended; it cannot be changed any more
    │   ├── ConcurrentIteration       two consumers at once on one stream
    │   ├── Forked                    used in a process that was forked from its own
    │   ├── WrongLoop                 used from an event loop other than its own
    │   └── BadTable                  a state table that is not total, not closed or not understood
    ├── LinkFailure                   why one attempt or one link ended: always the *cause* of something
    │   ├── DialFailed                no WebSocket came about
    │   │   ├── NameNotResolved       the host's name could not be looked up
    │   │   ├── UpgradeRefused        the server answered with an HTTP status instead of an upgrade
    │   │   └── CertificateRefused    TLS: the server's certificate is not trusted (fatal)
    │   ├── IdentityUnavailable       the callable that gives the session or JWT raised
    │   ├── GreetedAsGuest            the server does not know the session or JWT (fatal)
    │   ├── Overdue                   nothing came in time: upgrade, greeting, reply, pong or echo
    │   ├── StreamEnded               the stream ended without an error frame
    │   ├── FrameTooLarge             the server sent a message above the limit
    │   └── ServerError               the server said why
    ├── RefusedByServer               fatal: the server will not have this connection; no attempt follows
    ├── RetriesExhausted              every attempt that the retry policy allows has failed
    ├── LinkLost                      the link was lost and auto_reconnect is off
    ├── LinkPaused                    a call needs an answer, and a full consumer keeps the link from being read
    ├── Disconnected                  disconnect() ended what was waiting
    ├── AuthenticationRejected        the server refused another identity on a live link, which lives on
    ├── PresenceRejected              the server refused a presence
    ├── UnsupportedByServer           the server is of an era that lacks what was asked for
    ├── SubscriptionRejected          the server refused one subscription; the others live
    ├── ConsumerTooSlow               events were dropped, and the subscription is to tell so by an error
    ├── MalformedEvent                a part of an event is not what the protocol says
    └── PayloadMisfit                 a payload is not what the type that was asked for says

An error carries its facts as attributes. No error carries a session, a JWT, a cookie or a payload.
The text of an error frame is the server's own (`message`); it is kept out of the audit log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from realtime_fsm.errors.link import (
    RETRY_AFTER_LIMIT,
    CertificateRefused,
    DialFailed,
    FrameTooLarge,
    GreetedAsGuest,
    IdentityUnavailable,
    LinkFailure,
    NameNotResolved,
    Overdue,
    ServerError,
    StreamEnded,
    UpgradeRefused,
)
from realtime_fsm.errors.root import RealtimeError

if TYPE_CHECKING:
    from realtime_fsm.events import Event

__all__ = [
    "RETRY_AFTER_LIMIT",
    "AuthenticationRejected",
    "BadOption",
    "BadTable",
    "CertificateRefused",
    "ConcurrentIteration",
    "ConsumerTooSlow",
    "DialFailed",
    "Disconnected",
    "Disposed",
    "Forked",
    "FrameTooLarge",
    "GreetedAsGuest",
    "IdentityUnavailable",
    "LinkFailure",
    "LinkLost",
    "LinkPaused",
    "MalformedEvent",
    "Misuse",
    "NameNotResolved",
    "Overdue",
    "PayloadMisfit",
    "PresenceRejected",
    "RealtimeError",
    "RefusedByServer",
    "RetriesExhausted",
    "ServerError",
    "StreamEnded",
    "SubscriptionEnded",
    "SubscriptionRejected",
    "UnsupportedByServer",
    "UpgradeRefused",
    "WrongLoop",
    "type_name",
]


class Misuse(RealtimeError):
    """The caller asked for something that makes no sense. The peer has no part in it."""


class BadOption(Misuse, ValueError):
    """A value that cannot be used. The text names the option, what is wrong and the remedy; never a secret.

    Attributes:
        option: the name of the option.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option


class Disposed(Misuse):
    """The connection was disposed of: build a new one."""

    def __init__(self) -> None:
        super().__init__("this Realtime was disposed of; build a new one")


class SubscriptionEnded(Misuse):
    """The subscription was ended; it cannot be changed any more."""

    def __init__(self) -> None:
        super().__init__("the subscription was ended; subscribe anew")


class ConcurrentIteration(Misuse):
    """Two consumers wait on one stream at the same time; each event would reach only one of them."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is already being waited on by another task; give each consumer a stream of its own")


class WrongLoop(Misuse):
    """A Realtime belongs to the event loop on which it was first used."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} belongs to another event loop; build one Realtime per loop")


class Forked(Misuse):
    """A `realtime_fsm.sync.Realtime` has a thread and sockets, which a process that was forked does not share."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was made before this process was forked; make one after the fork")


class BadTable(Misuse):
    """A state table that cannot be run.

    Attributes:
        faults: every fault that was found, one sentence each.
    """

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("the table cannot be run: " + "; ".join(faults))
        self.faults = faults


class RefusedByServer(RealtimeError):
    """Fatal: the server will not have this connection. Mend the cause, then call ``reconnect()``.

    Attributes:
        code: the code of the error frame, or the close code when no error frame came.
        message: the server's own text.
        server: its host and port; empty where they are not known.
    """

    def __init__(self, code: int | str, message: str, server: str = "") -> None:
        name = f"the server {server}" if server else "the server"
        super().__init__(f"{name} refused the connection with {code}: {message}")
        self.code = code
        self.message = message
        self.server = server


class RetriesExhausted(RealtimeError):
    """Every attempt that the retry policy allows has failed. ``reconnect()`` starts afresh.

    Attributes:
        attempts: how many dials in a row failed.
        cause: why the last one did.
        option: the limit of `RetryPolicy` that is used up: ``"attempts"``, or ``"reconnect_attempts"`` after a link has been up.
    """

    def __init__(self, attempts: int, cause: LinkFailure, option: Literal["attempts", "reconnect_attempts"] = "attempts") -> None:
        dials = f"{attempts} attempt{'' if attempts == 1 else 's'}"
        super().__init__(f"gave up after {dials}; RetryPolicy.{option} allows no more; the last one: {cause}")
        self.attempts = attempts
        self.option = option
        self.cause = cause
        self.__cause__ = cause


class LinkLost(RealtimeError):
    """The link was lost and ``auto_reconnect`` is off. ``connect()`` or ``reconnect()`` opens a new one.

    Attributes:
        cause: why.
    """

    def __init__(self, cause: LinkFailure) -> None:
        super().__init__(f"the link was lost: {cause}")
        self.cause = cause
        self.__cause__ = cause


class LinkPaused(RealtimeError):
    """No answer can come: nothing is read from the link, because a consumer with ``overflow="pause"`` is full.

    Attributes:
        seconds: for how long nothing was read.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f'no answer can come: nothing was read for {seconds:g} s, because a consumer with overflow="pause" is full;'
            " take its events meanwhile, in another task, or give it a larger buffer="
        )
        self.seconds = seconds


class Disconnected(RealtimeError):
    """``disconnect()`` was called while this call was waiting."""

    def __init__(self) -> None:
        super().__init__("disconnect() was called while this call was waiting")


class AuthenticationRejected(RealtimeError):
    """The server refused another identity on a live link. The link lives on as who it was.

    Attributes:
        code: the code of the error frame.
        message: the server's own text.
    """

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(f"the server rejected the authentication with {code}: {message}")
        self.code = code
        self.message = message


class SubscriptionRejected(RealtimeError):
    """The server refused this subscription alone; the link and the other subscriptions live.

    Attributes:
        channels: what was asked for.
        queries: the queries asked for.
        code: the code of the error frame.
        message: the server's own text.
        guest: whether a guest asked. A project of Appwrite 2.x can deny guests; the code of that refusal is not known.
    """

    def __init__(
        self, channels: tuple[str, ...], queries: tuple[str, ...], code: int | str, message: str, *, guest: bool = False
    ) -> None:
        denied = guest and not isinstance(code, str) and not 500 <= code < 600  # those say that the server cannot work
        remedy = "; you are a guest, and a project can deny guests: give session or jwt, or call authenticate()" if denied else ""
        super().__init__(f"the server rejected the subscription to {', '.join(channels)} with {code}: {message}{remedy}")
        self.guest = guest
        self.channels = channels
        self.queries = queries
        self.code = code
        self.message = message


class PresenceRejected(RealtimeError):
    """The server refused a presence. Later links restore the one that the server stored before, if there is one.

    Attributes:
        code: the code of the error frame.
        message: the server's own text.
    """

    def __init__(self, code: int | str, message: str) -> None:
        remedy = "; a guest has no presence: give session or jwt" if code == 401 else ""
        super().__init__(f"the server rejected the presence with {code}: {message}{remedy}")
        self.code = code
        self.message = message


class UnsupportedByServer(RealtimeError):
    """The server is of an era that lacks what was asked for. A newer Appwrite has it.

    Attributes:
        feature: ``"queries"``, ``"update"`` or ``"presence"``.
        era: the server's era, ``"E1"`` to ``"E3"``.
    """

    def __init__(self, feature: str, era: str, releases: str) -> None:
        super().__init__(f"the server is of era {era} (Appwrite {releases}), which has no {feature} for realtime; upgrade it")
        self.feature = feature
        self.era = era


class ConsumerTooSlow(RealtimeError):
    """Events were dropped because the consumer was too slow, with ``overflow="error"``. Iterate again to go on.

    Attributes:
        buffer: how many events the subscription keeps.
        dropped: how many were dropped, between what was given last and what comes next.
    """

    def __init__(self, buffer: int, dropped: int) -> None:
        super().__init__(
            f"{dropped} event{' was' if dropped == 1 else 's were'} dropped: the consumer was too slow for a buffer of {buffer};"
            " iterate again to go on, or give a larger buffer= or buffer_bytes=, or another overflow="
        )
        self.buffer = buffer
        self.dropped = dropped


class MalformedEvent(RealtimeError):
    """A part of an event is not what the protocol says. The other parts, and the stream, can still be used.

    Attributes:
        part: ``"events"``, ``"channels"``, ``"timestamp"`` or ``"payload"``.
    """

    def __init__(self, part: str) -> None:
        super().__init__(f"the server sent an event whose {part} cannot be understood")
        self.part = part


class PayloadMisfit(RealtimeError):
    """A payload does not fit the type that was asked for. The event's other parts, and the stream, can still be used.

    Attributes:
        wanted: the type.
        path: where in the payload, such as ``"$.lines[0].price"``; ``"$"`` is the whole, ``[...]`` any member of a dict.
        problem: what is wrong there, in the words of msgspec or the error type of pydantic. Of the payload it holds nothing.
        event: what came, with its payload as a dict.
    """

    def __init__(self, wanted: Any, path: str, problem: str, event: Event[dict[str, Any]]) -> None:
        super().__init__(f"the payload does not fit {type_name(wanted)} at {path}: {problem}")
        self.wanted = wanted
        self.path = path
        self.problem = problem
        self.event = event


def type_name(wanted: Any) -> str:
    """A type's name."""
    return wanted.__name__ if isinstance(wanted, type) else f"{wanted!r:.80}"
