"""The errors of realtime_fsm, as one tree.

::

    RealtimeError
    ├── Misuse                        the calling code made a mistake
    │   ├── BadOption                 a value cannot be used; also a ValueError
    │   ├── Disposed                  the connection was disposed of
    │   ├── SubscriptionEnded         the subscription has ended
    │   ├── ConcurrentIteration       two consumers wait on one stream
    │   ├── Forked                    a forked process uses the connection of its parent
    │   ├── WrongLoop                 another event loop uses the connection
    │   └── BadTable                  a state table is incomplete or inconsistent
    ├── LinkFailure                   the end of one attempt or one link: the *cause* of another error
    │   ├── DialFailed                the dial opened no WebSocket
    │   │   ├── NameNotResolved       the host's name has no address
    │   │   ├── UpgradeRefused        the server answered with an HTTP status instead of an upgrade
    │   │   └── CertificateRefused    the server's TLS certificate is not trusted (fatal)
    │   ├── IdentityUnavailable       the callable for the session or JWT raised
    │   │   └── TokenUnavailable      the server issued no JWT for a user (in `realtime_fsm.identity`)
    │   ├── GreetedAsGuest            the server does not know the session or JWT (fatal)
    │   ├── Overdue                   an upgrade, greeting, reply, pong or echo did not come in time
    │   ├── StreamEnded               the stream ended without an error frame
    │   ├── FrameTooLarge             the server sent a message above the limit
    │   └── ServerError               the server sent an error frame
    ├── RefusedByServer               the server refuses the connection for good (fatal)
    ├── RetriesExhausted              every attempt that the retry policy allows has failed
    ├── LinkLost                      the link was lost, and auto_reconnect is off
    ├── LinkPaused                    a call needs an answer, but a full consumer pauses the link
    ├── Disconnected                  disconnect() ended a waiting call
    ├── AuthenticationRejected        the server refused a new identity; the link stays
    ├── PresenceRejected              the server refused a presence
    ├── UnsupportedByServer           the server's era lacks a feature
    ├── SubscriptionRejected          the server refused one subscription; the others stay
    ├── ConsumerTooSlow               events were dropped, and the subscription has overflow="error"
    ├── MalformedEvent                a part of an event breaks the protocol
    ├── PayloadMisfit                 a payload does not fit the requested type (in `realtime_fsm.events`)
    └── DrawingFailed                 Graphviz is missing or failed (in `realtime_fsm.diagram`)

An error carries its facts as attributes, and never a session, a JWT, a cookie or a payload. `code` and `message` come from an
error frame: a number (or the string that the server sent instead), and the server's own text, which the audit log leaves out.
"""

from __future__ import annotations

from typing import Any, Literal, Self

IDENTITY_REMEDY = "give session or jwt, or call authenticate()"  # the commands say it in their own words
RETRY_AFTER_LIMIT = 3600.0
"""The longest ``Retry-After`` that a client obeys, in seconds: the mistake of a proxy must not mute the client for days."""


class RealtimeError(Exception):
    """The root of all errors of this library."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default, cls(*args), fails: the arguments of each __init__ differ from the text in `args`.
        return type(self).__new__, (type(self), *self.args), self.__dict__

    def __copy__(self) -> Self:
        """Copy with the cause, without the traceback: several tasks raise one stored error, each with its own traceback."""
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__)
        copy.__cause__ = self.__cause__
        return copy


class Misuse(RealtimeError):
    """The calling code made a mistake; the server did not cause the error."""


class BadOption(Misuse, ValueError):
    """The value of ``option`` cannot be used. The text names the problem and the remedy, and never shows a secret."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option


class Disposed(Misuse):
    """The connection was disposed of: build a new one."""

    def __init__(self) -> None:
        super().__init__("this Realtime was disposed of; build a new one")


class SubscriptionEnded(Misuse):
    """The subscription has ended: subscribe again."""

    def __init__(self) -> None:
        super().__init__("the subscription has ended; subscribe again")


class ConcurrentIteration(Misuse):
    """Two consumers wait on one stream at the same time, and each event would reach only one of them."""

    def __init__(self, what: str) -> None:
        super().__init__(f"another task already waits on {what}; give each consumer its own stream")


class WrongLoop(Misuse):
    """A Realtime belongs to the event loop that used it first."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} belongs to another event loop; build one Realtime per loop")


class Forked(Misuse):
    """A forked process uses a `realtime_fsm.sync.Realtime` of its parent process, whose thread and sockets it lacks."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was made before this process was forked; make one after the fork")


class BadTable(Misuse):
    """The machine cannot run a state table. ``faults`` has a sentence for each fault."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("the table cannot be run: " + "; ".join(faults))
        self.faults = faults


class LinkFailure(RealtimeError):
    """The end of one attempt or one link. Other errors name this failure as their ``cause``.

    Attributes:
        kind: a short stable word for logs (``"stream_ended"``, ``"pong_overdue"``, ...).
        server: host and port of a failed dial; else empty. It holds nothing else of the URL.
    """

    kind: str = "link_failure"
    server: str = ""

    def __str__(self) -> str:
        text = super().__str__()
        return f"{self.server}: {text}" if self.server else text


class DialFailed(LinkFailure):
    """The dial opened no WebSocket. ``reason`` is the text of the system or the HTTP layer, without URL parameters."""

    kind = "dial_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the dial failed: {reason}")
        self.reason = reason


class NameNotResolved(DialFailed):
    """The host's name could not be looked up. Transient: networks come and go."""

    kind = "name_not_resolved"


class UpgradeRefused(DialFailed):
    """The server answered with an HTTP status instead of an upgrade.

    Attributes:
        status: the HTTP status.
        location: the target of a redirect, without login and query; None for every other status. The client follows no redirect,
            because its headers are credentials.
        retry_after: the seconds that the server asks the client to wait (429 and 503), at most 3,600; else None. The next dial
            waits at least that long.
    """

    kind = "upgrade_refused"

    def __init__(self, status: int, *, location: str | None = None, retry_after: float | None = None) -> None:
        text = f"HTTP {status} instead of an upgrade to WebSocket"
        if location is not None:
            remedy = "use https, in an endpoint that leads there" if location.startswith("https:") else "give that endpoint"
            text += f"; it redirects to {location}, which the client does not follow: {remedy}"
        if retry_after is not None:
            retry_after = min(retry_after, RETRY_AFTER_LIMIT)
            text += f"; the server asks to wait for {retry_after:g} seconds"
        super().__init__(text)
        self.status: int = status
        self.location: str | None = location
        self.retry_after: float | None = retry_after


class CertificateRefused(DialFailed):
    """The server's TLS certificate is not trusted. Fatal: another attempt meets the same certificate."""

    kind = "certificate_refused"


class IdentityUnavailable(LinkFailure):
    """The callable for the session or JWT raised, so the client did not dial. Transient: the next attempt calls it again.

    Attributes:
        reason: the type of the exception. Its text may hold a secret, so the error leaves the text out. A callable may raise
            this class itself, with a safe ``text``.
    """

    kind = "identity_unavailable"

    def __init__(self, reason: str, text: str | None = None) -> None:
        super().__init__(text or f"the callable for the session or JWT failed with {reason}")
        self.reason = reason


class GreetedAsGuest(LinkFailure):
    """The server greeted a guest, because it does not know the session or JWT. Fatal."""

    kind = "greeted_as_guest"

    def __init__(self) -> None:
        super().__init__("the server greeted a guest: the session or JWT is unknown or expired; give a fresh one")


class Overdue(LinkFailure):
    """An awaited message did not arrive in time.

    Attributes:
        awaited: ``"upgrade"``, ``"greeting"``, ``"reply"``, ``"pong"``, or ``"echo"`` of a canary.
        seconds: the seconds that the client waited.
    """

    def __init__(self, awaited: str, seconds: float) -> None:
        super().__init__(f"no {awaited} within {seconds:g} seconds")
        self.awaited: str = awaited
        self.seconds: float = seconds
        self.kind: str = f"{awaited}_overdue"


class StreamEnded(LinkFailure):
    """The stream ended, and no error frame came directly before. ``close_code`` is 1006 if no close frame arrived."""

    kind = "stream_ended"

    def __init__(self, close_code: int = 1006) -> None:
        super().__init__(f"the stream ended (close code {close_code})")
        self.close_code = close_code


class FrameTooLarge(LinkFailure):
    """The server sent a message of more than ``limit`` bytes; the client ended the link without reading it. Transient."""

    kind = "frame_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"the server sent a message of more than {limit} bytes, which is the limit (max_frame)")
        self.limit = limit


class ServerError(LinkFailure):
    """The server sent an ``error`` frame.

    Attributes:
        code: the frame's code.
        message: the server's own text; servers in production mask it.
    """

    kind = "error_frame"

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(f"error {code}: {message}")
        self.code: int | str = code
        self.message: str = message


class RefusedByServer(RealtimeError):
    """The server refuses the connection for good. Fix the cause, then call ``reconnect()``.

    Attributes:
        code: the code of the error frame; without such a frame, the close code.
        server: host and port; empty if unknown.
    """

    def __init__(self, code: int | str, message: str, server: str = "") -> None:
        name = f"the server {server}" if server else "the server"
        super().__init__(f"{name} refused the connection with {code}: {message}")
        self.code: int | str = code
        self.message: str = message
        self.server: str = server


class RetriesExhausted(RealtimeError):
    """Every attempt that the retry policy allows has failed. ``reconnect()`` starts afresh.

    Attributes:
        attempts: the number of dials that failed in a row.
        cause: the failure of the last dial.
        option: the exhausted limit of `RetryPolicy`: ``"attempts"``, or ``"reconnect_attempts"`` after a link has been up.
    """

    def __init__(self, attempts: int, cause: LinkFailure, option: Literal["attempts", "reconnect_attempts"] = "attempts") -> None:
        dials = f"{attempts} attempt{'' if attempts == 1 else 's'}"
        super().__init__(f"gave up after {dials}; RetryPolicy.{option} allows no more; the last one: {cause}")
        self.attempts: int = attempts
        self.option: Literal["attempts", "reconnect_attempts"] = option
        self.cause: LinkFailure = cause
        self.__cause__: BaseException | None = cause


class LinkLost(RealtimeError):
    """The link was lost (``cause``), and ``auto_reconnect`` is off. ``connect()`` or ``reconnect()`` opens a new link."""

    def __init__(self, cause: LinkFailure) -> None:
        super().__init__(f"the link was lost: {cause}")
        self.cause: LinkFailure = cause
        self.__cause__: BaseException | None = cause


class LinkPaused(RealtimeError):
    """A call got no answer: for ``seconds``, a full consumer with ``overflow="pause"`` has kept the client from reading."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f'no answer can come: the client has read nothing for {seconds:g} s, as a consumer with overflow="pause" is full;'
            " take its events in another task, or give it a larger buffer="
        )
        self.seconds = seconds


class Disconnected(RealtimeError):
    """The program called ``disconnect()`` while another call was waiting; the waiting call raises this error."""

    def __init__(self) -> None:
        super().__init__("disconnect() was called while this call was waiting")


class AuthenticationRejected(RealtimeError):
    """The server refused a new identity on a live link. The link and its old identity stay."""

    def __init__(self, code: int | str, message: str) -> None:
        super().__init__(f"the server rejected the authentication with {code}: {message}")
        self.code: int | str = code
        self.message: str = message


class SubscriptionRejected(RealtimeError):
    """The server refused this subscription alone; the link and the other subscriptions stay.

    Attributes:
        channels: the channels of the subscription.
        queries: the queries of the subscription.
        guest: whether the client was a guest. A project of Appwrite 2.x can deny guests, with a code that no source names.
    """

    def __init__(
        self, channels: tuple[str, ...], queries: tuple[str, ...], code: int | str, message: str, *, guest: bool = False
    ) -> None:
        denied = guest and not isinstance(code, str) and not 500 <= code < 600  # a 5xx is about the server, not about guests
        remedy = f"; you are a guest, and a project can deny guests: {IDENTITY_REMEDY}" if denied else ""
        super().__init__(f"the server rejected the subscription to {', '.join(channels)} with {code}: {message}{remedy}")
        self.channels: tuple[str, ...] = channels
        self.queries: tuple[str, ...] = queries
        self.code: int | str = code
        self.message: str = message
        self.guest: bool = guest


class PresenceRejected(RealtimeError):
    """The server refused a presence. Later links send the presence that the server accepted last."""

    def __init__(self, code: int | str, message: str) -> None:
        remedy = "; a guest has no presence: give session or jwt" if code == 401 else ""
        super().__init__(f"the server rejected the presence with {code}: {message}{remedy}")
        self.code: int | str = code
        self.message: str = message


class UnsupportedByServer(RealtimeError):
    """The server's ``era``, E1 to E3, lacks a ``feature``: queries, update or presence. A newer Appwrite has it."""

    def __init__(self, feature: str, era: str, releases: str) -> None:
        super().__init__(f"the server is of era {era} (Appwrite {releases}), which has no realtime {feature}; upgrade the server")
        self.feature: str = feature
        self.era: str = era


class ConsumerTooSlow(RealtimeError):
    """The consumer was too slow, so a subscription with ``overflow="error"`` dropped events. Iterate again to continue.

    Attributes:
        buffer: the number of events that the subscription keeps.
        dropped: the number of events that the subscription dropped before the next one.
    """

    def __init__(self, buffer: int, dropped: int) -> None:
        super().__init__(
            f"{dropped} event{' was' if dropped == 1 else 's were'} dropped: the consumer was too slow for a buffer of {buffer};"
            " iterate again to go on, or give a larger buffer= or buffer_bytes=, or another overflow="
        )
        self.buffer: int = buffer
        self.dropped: int = dropped


class MalformedEvent(RealtimeError):
    """A part of an event breaks the protocol. The other parts, and the stream, can still be used.

    Attributes:
        part: ``"events"``, ``"channels"``, ``"timestamp"`` or ``"payload"``.
    """

    def __init__(self, part: str) -> None:
        super().__init__(f"the server sent an event whose {part} cannot be understood")
        self.part = part
