"""Check the options of a connection at the call: URL, identity, timeouts and texts."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from realtime_fsm.errors import BadOption
from realtime_fsm.protocol.channels import ChannelPrefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_HOST_AND_PATH = re.compile(r"(?!eyJ)(localhost|(?=[^/]*[.:])[\w.-]+)(:\d{1,5})?(/[\w./-]*)?")
_LONGEST_LABEL = 20  # characters; a secret is longer, or has no dot
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,35}")


def check_seconds(option: str, value: float | None, *, none: bool = False) -> None:
    """Refuse a value that is not a finite number of seconds above 0; ``none`` allows None."""
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise BadOption(option, f"{value!r:.40} is not a number of seconds above 0")


def check_count(option: str, value: int | None, *, none: bool = False) -> None:
    """Refuse a value that is not a whole number above 0; ``none`` allows None."""
    if value is None and none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise BadOption(option, f"{value!r:.40} is not a whole number above 0{', or None for no limit' if none else ''}")


def check_identifier(option: str, value: object, kind: str) -> None:
    """Refuse a value that is not a valid id of the server; ``kind`` names it in the error."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        shown = f"{value!r:.60}" if isinstance(value, str) else type(value).__name__
        rule = "up to 36 of a-z A-Z 0-9 . _ -, not starting with a special character"
        raise BadOption(option, f"{shown} is not {kind} ({rule})")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the client waits, in seconds.

    Attributes:
        dial: for the WebSocket upgrade, from the start of the dial.
        greeting: for the server's ``connected`` frame after the upgrade.
        reply: for the reply to a control request; also for a consumer that pauses the link during a call (`LinkPaused`).
        close: for the closing handshake; in ``realtime_fsm.sync`` also for running callables.
        idle: for another subscription, before the client closes a link without subscriptions; None keeps such a link.

    Raises:
        BadOption: for a value that is not a positive, finite number of seconds.
    """

    dial: float = 10.0
    greeting: float = 10.0
    reply: float = 10.0
    close: float = 5.0
    idle: float | None = None

    def __post_init__(self) -> None:
        for name in ("dial", "greeting", "reply", "close"):
            check_seconds(f"Timeouts.{name}", getattr(self, name))
        check_seconds("Timeouts.idle", self.idle, none=True)


def realtime_url(endpoint: str, project: str) -> str:
    """Make the URL to dial: ``https://host/v1`` becomes ``wss://host/v1/realtime?project=...`` (PROTOCOL: "Connecting").

    Without a project the server would connect the client to its own console project, so this function refuses a missing project.
    """
    if not isinstance(endpoint, str):
        raise BadOption("endpoint", f"{type(endpoint).__name__} is not a string such as 'https://cloud.appwrite.io/v1'")
    if any(character.isspace() or not character.isprintable() for character in endpoint):
        raise BadOption("endpoint", "it holds white space; give a URL such as 'https://cloud.appwrite.io/v1'")
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:  # its text quotes parts of the URL, which may hold a password
        raise BadOption("endpoint", "it is not a URL; give one such as 'https://cloud.appwrite.io/v1'") from None
    if "://" not in endpoint:
        raise BadOption("endpoint", f"{shown_host(endpoint)} is not a URL; give one such as 'https://cloud.appwrite.io/v1'")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme.lower())
    if scheme is None:
        raise BadOption("endpoint", f"scheme {parts.scheme!r} cannot be dialed; give an http:// or https:// URL")
    if not parts.hostname:
        raise BadOption("endpoint", "no host in it; give a URL such as 'https://cloud.appwrite.io/v1'")
    if parts.username is not None or parts.query or parts.fragment:
        raise BadOption("endpoint", "credentials, query and fragment do not belong into it; give scheme, host and path")
    check_identifier("project", project, "a project id")
    netloc = host_in_url(parts.hostname) + ("" if port is None else f":{port}")
    return f"{scheme}://{netloc}{parts.path.rstrip('/')}/realtime?project={quote(project, safe='')}"


def host_in_url(host: str) -> str:
    """Write a host as in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def shown_host(word: str) -> str:
    """Quote a word that should be a URL, where it looks like a host with a path: a login, a token or a query stays hidden."""
    looks_like_host = _HOST_AND_PATH.fullmatch(word) and all(len(part) <= _LONGEST_LABEL for part in re.split("[.:/]", word))
    return f"{word!r:.80}" if looks_like_host or not word else "it"


def host_and_port(url: str) -> str:
    """Name the server of a WebSocket URL by host and port, such as ``cloud.appwrite.io:443``."""
    parts = urlsplit(url)
    return f"{host_in_url(parts.hostname or '')}:{parts.port or (443 if parts.scheme == 'wss' else 80)}"


@dataclass(frozen=True, slots=True)
class ResolvedIdentity:
    """The identity of one dial. No repr shows a secret.

    The header ``X-Appwrite-Session`` or ``X-Appwrite-JWT`` carries the identity (PROTOCOL: "Identity at connect"). The server
    refuses both at once with 403, so this class refuses the pair.

    Raises:
        BadOption: for both at once, an empty secret, a secret that is not a string, or a wrong header.
    """

    session: str | None = field(default=None, repr=False)
    jwt: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for name in ("session", "jwt"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value or not value.isprintable()):
                raise BadOption(name, "not a non-empty string that fits into a header (its value is not shown)")
        if self.session is not None and self.jwt is not None:
            raise BadOption("jwt", "given together with session, which the server refuses with 403; give one of the two")
        given = [name for name in ("session", "jwt") if getattr(self, name) is not None]
        for key, value in self.headers.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise BadOption("headers", f"header {key!r} is not a pair of strings (values are not shown)")
            if not _HEADER_NAME.fullmatch(key) or not _HEADER_VALUE.fullmatch(value):
                raise BadOption("headers", f"header {key!r} holds characters that HTTP does not allow (values are not shown)")
            if key.lower() in ("x-appwrite-session", "x-appwrite-jwt"):
                given.append(key)
            if len(given) > 1:
                raise BadOption("headers", f"{key} beside {given[0]}: the server takes one identity; give one of the two")
            if key.lower() == "x-appwrite-key":
                raise BadOption("headers", "X-Appwrite-Key: a server API key has no realtime identity; give session or jwt")

    def as_headers(self) -> dict[str, str]:
        """Return the headers to dial with."""
        headers = dict(self.headers)
        if self.session is not None:
            headers["X-Appwrite-Session"] = self.session
        if self.jwt is not None:
            headers["X-Appwrite-JWT"] = self.jwt
        return headers


def validated_strings(option: str, values: Iterable[str], *, least: int = 1) -> tuple[str, ...]:
    """Return each string once, in order; refuse fewer than ``least`` strings, and a string that the server cannot take."""
    if isinstance(values, str):
        raise BadOption(option, "a single string; give a list of strings")
    strings = tuple(values)
    for value in strings:
        if not isinstance(value, str) or not value:
            shown = repr(value) if isinstance(value, str | ChannelPrefix) else type(value).__name__
            raise BadOption(option, f"{shown} is not a non-empty string")
        if not is_valid_unicode(value):
            raise BadOption(option, f"{value!r} is no valid Unicode, so it cannot be sent; give it as UTF-8")
    if len(strings) < least:
        raise BadOption(option, "none was given; name at least one, such as 'rows'")
    return tuple(dict.fromkeys(map(str.__str__, strings)))  # the JSON codec takes no subclass of str, such as `FinalChannel`


def is_valid_unicode(value: str) -> bool:
    """Tell whether a text can be sent: half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
