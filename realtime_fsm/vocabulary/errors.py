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

from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from realtime_fsm.vocabulary.events import Event


def _rebuild(cls: type[RealtimeError], args: tuple[Any, ...], fields: dict[str, Any]) -> RealtimeError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


class RealtimeError(Exception):
    """The root of everything that this library raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Fields are set by keyword in __init__, so the default (cls(*args)) could not copy or pickle them.
        return _rebuild, (type(self), self.args, self.__dict__)

    def again(self) -> Self:
        """A copy to raise: one stored error is raised in several tasks, and each traceback is its own."""
        copy = _rebuild(type(self), self.args, self.__dict__)
        copy.__cause__ = self.__cause__
        assert isinstance(copy, type(self))
        return copy


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


class LinkFailure(RealtimeError):
    """Why one attempt or one link ended.

    Attributes:
        kind: a short stable word for logs (``"stream_ended"``, ``"pong_overdue"``, ...).
        server: host and port, where no link came about; else empty. It holds nothing else of the address.
    """

    kind: str = "link_failure"
    server: str = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.server}: {text}" if self.server else text


class DialFailed(LinkFailure):
    """No WebSocket came about.

    Attributes:
        reason: what the operating system or the HTTP layer said, without address parameters.
    """

    kind = "dial_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the dial failed: {reason}")
        self.reason = reason


class NameNotResolved(DialFailed):
    """The host's name could not be looked up. Transient: networks come and go."""

    kind = "name_not_resolved"


RETRY_AFTER_LIMIT = 3600.0
"""Seconds that a client waits at most for an answer's ``Retry-After``: a mistake of a proxy's must not mute it for days."""


class UpgradeRefused(DialFailed):
    """The server answered with an HTTP status instead of an upgrade.

    Attributes:
        status: the HTTP status.
        location: where a redirect leads to, without login and query; None for every other status. Redirects are not followed:
            the headers are credentials.
        retry_after: seconds that the answer asks to wait (429 and 503), at most 3,600; None where it does not ask. The next dial
            waits for them.
    """

    kind = "upgrade_refused"

    def __init__(self, status: int, *, location: str | None = None, retry_after: float | None = None) -> None:
        text = f"HTTP {status} instead of an upgrade to WebSocket"
        if location is not None:
            remedy = "use https, in an endpoint that leads there" if location.startswith("https:") else "give that endpoint"
            text += f"; it redirects to {location}, which is not followed: {remedy}"
        if retry_after is not None:
            retry_after = min(retry_after, RETRY_AFTER_LIMIT)
            text += f"; it asks to wait for {retry_after:g} seconds"
        super().__init__(text)
        self.status = status
        self.location = location
        self.retry_after = retry_after


class CertificateRefused(DialFailed):
    """TLS: the server's certificate is not trusted. Fatal: another attempt meets the same certificate."""

    kind = "certificate_refused"


class IdentityUnavailable(LinkFailure):
    """The callable that gives the session or JWT raised, so nothing was dialed. Transient: it is asked again.

    Attributes:
        reason: the type of what it raised; its text may hold a secret.
    """

    kind = "identity_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the callable for the session or JWT failed with {reason}")
        self.reason = reason


class GreetedAsGuest(LinkFailure):
    """The server greeted a guest where a user was expected: it does not know the session or JWT. Fatal."""

    kind = "greeted_as_guest"

    def __init__(self) -> None:
        super().__init__("the server greeted a guest: the session or JWT is unknown to it or expired; give a fresh one")


class Overdue(LinkFailure):
    """Nothing came in time.

    Attributes:
        awaited: ``"upgrade"``, ``"greeting"``, ``"reply"``, ``"pong"``, or ``"echo"`` of a canary.
        seconds: how long it was waited for.
    """

    def __init__(self, awaited: str, seconds: float) -> None:
        super().__init__(f"no {awaited} within {seconds:g} seconds")
        self.awaited = awaited
        self.seconds = seconds
        self.kind = f"{awaited}_overdue"


class StreamEnded(LinkFailure):
    """The stream ended without an error frame directly before it.

    Attributes:
        close_code: the WebSocket close code; 1006 when no close frame came (an Appwrite server sends none).
    """

    kind = "stream_ended"

    def __init__(self, close_code: int = 1006) -> None:
        super().__init__(f"the stream ended (close code {close_code})")
        self.close_code = close_code


class FrameTooLarge(LinkFailure):
    """The server sent a message above the limit, which was not read: the link was ended instead. Transient.

    Attributes:
        limit: the largest message that is taken, in bytes.
    """

    kind = "frame_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the server sent a message of more than {limit} bytes, which is the limit (max_frame)")
        self.limit = limit


class ServerError(LinkFailure):
    """The server said why, in an ``error`` frame.

    Attributes:
        code: the frame's code; a string when the server sent one that is not a number.
        message: the server's own text; masked by servers in production.
    """

    kind = "error_frame"

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(f"error {code}: {message}")
        self.code = code
        self.message = message


class RefusedByServer(RealtimeError):
    """Fatal: the server will not have this connection. Mend the cause, then call ``reconnect()``.

    Attributes:
        code: the code of the error frame, or the close code when no error frame came.
        message: the server's own text.
    """

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(f"the server refused the connection with {code}: {message}")
        self.code = code
        self.message = message


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
    """The server refused a presence. It is not restored on later links.

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
        super().__init__(f"the payload does not fit {name_of(wanted)} at {path}: {problem}")
        self.wanted = wanted
        self.path = path
        self.problem = problem
        self.event = event


def name_of(wanted: Any) -> str:
    """A type's name."""
    return wanted.__name__ if isinstance(wanted, type) else f"{wanted!r:.80}"
