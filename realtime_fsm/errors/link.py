"""Why an attempt or a link ended: the part of the tree of errors below `LinkFailure`.

`realtime_fsm.errors` draws the tree, and has all names.
"""

from __future__ import annotations

from realtime_fsm.errors.root import RealtimeError


class LinkFailure(RealtimeError):
    """Why one attempt or one link ended.

    Attributes:
        kind: a short stable word for logs (``"stream_ended"``, ``"pong_overdue"``, ...).
        server: host and port, where no link came about, or no other is dialed; else empty. It holds nothing else of the address.
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
