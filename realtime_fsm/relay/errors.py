"""The errors of the relay. No text holds a login, a token or a payload.

::

    RelayError
    ├── BrokerUnavailable     the broker is missing, or was away longer than the outage to be covered
    │   └── CredentialsUnusable   the login cannot be tried, because its file is missing or incomplete (not exported)
    ├── BrokerRefused         the broker refuses the login, or a permission is missing
    ├── InsecureBroker        TLS failed
    ├── StreamUnfit           the stream cannot take the messages
    ├── StreamFull            the stream is full, and refuses new messages
    ├── MessageTooLarge       an event is larger than the broker takes
    └── CatchUpFailed         the callable that lists missed rows raised
"""

from __future__ import annotations

from typing import ClassVar

from realtime_fsm.errors import RealtimeError

TRUST_OPTIONS = "SSL_CERT_FILE or tls="
"""The options that name an authority to trust; a command has the first alone."""
_TRUST_REMEDY = f"trust its authority by {TRUST_OPTIONS}"


class RelayError(RealtimeError):
    """The root of the errors of `Relay.run`. The broker keeps all messages that it has acknowledged.

    Run the relay again after the remedy: it goes on after the newest message of the stream.
    """


class _BrokerError(RelayError):
    """A failure of the connection to the broker.

    Attributes:
        server: the hosts and ports of the broker, and nothing else of its URLs.
        reason: the text of the operating system or of the broker's client.
    """

    _text: ClassVar[str]

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(self._text.format(server, reason))
        self.server: str = server
        self.reason: str = reason


class BrokerUnavailable(_BrokerError):
    """The broker does not answer: it is missing, frozen, or without JetStream. ``server`` and ``reason`` tell where and why.

    The same error reports a file of credentials that is missing or incomplete when the relay connects again.
    """

    _text = "the broker {} does not answer: {}; check that nats-server -js runs there"


class CredentialsUnusable(BrokerUnavailable):
    """The file of credentials is missing or incomplete, such as during its rotation. Transient: the next link reads it again."""

    _text = "the login at the broker {} cannot be tried: {}"


class BrokerRefused(_BrokerError):
    """The broker refuses the login, or a permission is missing. ``server`` and ``reason`` tell where and why."""

    _text = (
        "the broker {} refuses: {}; check the login, and its permissions to publish to appwrite.> and $JS.API.>, and to"
        " subscribe to _INBOX.>"
    )


class InsecureBroker(_BrokerError):
    """The broker's certificate is not trusted, or the broker has no TLS. ``server`` and ``reason`` tell where and why."""

    _text = "TLS with the broker {} failed: {}"

    def __init__(self, server: str, reason: str, remedy: str = _TRUST_REMEDY) -> None:
        super().__init__(server, f"{reason}; {remedy}")
        self.reason = reason


class StreamUnfit(RelayError):
    """The ``stream`` cannot take the messages, or cannot be created."""

    def __init__(self, stream: str, problem: str, remedy: str = "change it with the nats command, or name another") -> None:
        super().__init__(f"the stream {stream} cannot be used: {problem}; {remedy}")
        self.stream = stream


class StreamFull(RelayError):
    """The ``stream`` has reached its limit and refuses new messages."""

    def __init__(self, stream: str, problem: str) -> None:
        super().__init__(f"the stream {stream} takes no more messages: {problem}; raise its limits, or purge old messages")
        self.stream = stream


class MessageTooLarge(RelayError):
    """An event does not fit into a message of the broker.

    Attributes:
        subject: the subject of the message.
        size: the bytes of the payload.
    """

    def __init__(self, subject: str, size: int, problem: str) -> None:
        super().__init__(
            f"an event of {size} bytes for {subject} is too large: {problem}; raise max_payload of the broker, or max_msg_size"
            " of the stream"
        )
        self.subject = subject
        self.size = size


class CatchUpFailed(RelayError):
    """The callable ``catch_up`` raised an exception of the type ``reason``, so rows would be missing from the stream."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"catch_up failed with {reason}, and the relay has stopped before later events; run the relay again")
        self.reason = reason


class OtherChannelsWarning(UserWarning):
    """The newest message of the project in the stream is of a relay with other channels."""


class ShortWindowWarning(UserWarning):
    """The stream forgets ids before the longest outage to be covered is over, so an event may come twice."""
