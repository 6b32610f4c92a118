"""Who dials: the parts of the upgrade request that matter, and the users, sessions and JWTs of a project."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from realtime_fsm.testing.presence import Presences
from realtime_fsm.testing.url import parameters, texts
from realtime_fsm.testing.wire import Refusal, decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONSOLE = "console"
"""The server's own project; a dial that names none, or names it wrongly, lands there."""

_BORN = "2026-01-01T00:00:00.000+00:00"  # the peer reads no clock
_EXPIRES = 4_102_444_800  # 2100-01-01
_NO_LIST = (
    "Appwrite\\Messaging\\Adapter\\Realtime::convertChannels(): Argument #1 ($channels) must be of type array, string given, "
    "called in /app/aw/app/realtime.php on line 491"
)
_JWT_SEGMENTS = 3
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_BOTH = (
    "JWT and cookie used in the same request. Use either `setJWT` or `setCookie`. Learn about which authentication method to use "
    "in the SSR docs: https://appwrite.io/docs/products/auth/server-side-rendering"
)


@dataclass(frozen=True, slots=True)
class Request:
    """An upgrade request. Its repr is empty: the target and the headers may carry credentials.

    Attributes:
        target: the path and the query string, as in the request line.
        headers: names and values, in order.
    """

    target: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def header(self, name: str) -> str:
        """Look a header up.

        Args:
            name: its name, in any case.

        Returns:
            The first value, or an empty string.
        """
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class UpgradeParams:
    """What an upgrade request asks for.

    Attributes:
        path: that of its URL.
        parameters: those of its URL.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.path, _, query = request.target.partition("?")
        self.parameters = parameters(query)

    @property
    def address(self) -> str:
        """Where it comes from, as far as it says so: the first one in ``X-Forwarded-For``, or an empty string."""
        return self._request.header("X-Forwarded-For").partition(",")[0].strip()

    def _parameter(self, name: str) -> str:
        value = self.parameters.get(name, "")
        return value if isinstance(value, str) else ""

    @property
    def project(self) -> str:
        """The project's id; `CONSOLE` when there is none, or a list of them."""
        return self._parameter("project") or self._request.header("X-Appwrite-Project") or CONSOLE

    @property
    def channels(self) -> list[str]:
        """The channels in the URL.

        Raises:
            Refusal: with 0 when they are no list.
        """
        channels = self.parameters.get("channels", {})
        if isinstance(channels, str):
            raise Refusal(0, _NO_LIST)
        return texts(channels)

    def check_origin(self, platforms: Iterable[str]) -> None:
        """Refuse a foreign origin.

        Args:
            platforms: the host names that are allowed.

        Raises:
            Refusal: with 1008 when the ``Origin`` header names another host.
        """
        origin = self._request.header("Origin")
        host = _host(origin) or origin
        if origin and host not in set(platforms):
            raise Refusal(
                1008,
                f"Invalid Origin. Register your new client ({host}) as a new Web platform on your project console dashboard",
            )

    @property
    def session(self) -> str:
        """The session string from the header, the cookie or the fallback cookies; empty when there is none."""
        names = (f"a_session_{self.project}", f"a_session_{self.project}_legacy")
        cookies = self._cookies()
        fallback = self._fallback_cookies()
        offered = [self._request.header("X-Appwrite-Session")]
        offered += [cookies.get(name, "") for name in names]
        offered += [fallback.get(name, "") for name in names]
        return next(filter(None, offered), "")

    @property
    def jwt(self) -> str:
        """The JWT from the header or the URL; empty when there is none."""
        return self._request.header("X-Appwrite-JWT") or self._parameter("jwt")

    def _cookies(self) -> dict[str, str]:
        pairs = (part.partition("=") for part in self._request.header("Cookie").split(";"))
        return {name.strip(): unquote(value.strip().strip('"')) for name, _, value in pairs}

    def _fallback_cookies(self) -> dict[str, str]:
        try:
            cookies = decode(self._request.header("X-Fallback-Cookies").encode())
        except ValueError:
            return {}
        if not isinstance(cookies, dict):
            return {}
        return {name: value for name, value in cookies.items() if isinstance(value, str)}


@dataclass(frozen=True, slots=True)
class Account:
    """A user of a project.

    Attributes:
        user_id: the user's id.
        document: what the server says about the user.
        roles: the roles that the user's connections have.
        secret: the secret of the user's session; in no repr.
    """

    user_id: str
    document: Mapping[str, object] = field(repr=False)
    roles: frozenset[str]
    secret: str = field(repr=False)


class UserDirectory:
    """The users of one project.

    Attributes:
        presences: what they say about themselves.
    """

    def __init__(self, unknown: frozenset[str] = frozenset()) -> None:
        """Start with no user.

        Args:
            unknown: what a user document does not hold yet.
        """
        self.presences = Presences()
        self._unknown = unknown
        self._accounts: dict[str, Account] = {}
        self._ended: set[str] = set()  # the users whose sessions have ended
        self._jwts: dict[str, tuple[Account, bool]] = {}

    def add(self, user_id: str, secret: str, attributes: Mapping[str, object], roles: Iterable[str]) -> str:
        """Add a user with one session.

        Args:
            user_id: the user's id.
            secret: the session's secret.
            attributes: what the user document says beyond, or instead of, the usual.
            roles: roles beyond ``any``, ``users`` and ``user:{id}``.

        Returns:
            The session string.

        Raises:
            ValueError: when the user exists.
        """
        if user_id in self._accounts:
            raise ValueError(f"user {user_id!r} exists")
        everything = frozenset({"any", "users", f"user:{user_id}", *roles})
        usual = {name: value for name, value in _document(user_id).items() if name not in self._unknown}
        self._accounts[user_id] = Account(user_id, {**usual, **attributes}, everything, secret)
        session = json.dumps({"id": user_id, "secret": secret}, separators=(",", ":"))
        return base64.b64encode(session.encode()).decode()

    def issue_jwt(self, user_id: str, *, expired: bool) -> str:
        """Issue a JWT.

        Args:
            user_id: for whom.
            expired: whether it is worthless already.

        Returns:
            The token.

        Raises:
            LookupError: when there is no such user.
        """
        account = self._accounts.get(user_id)
        if account is None:
            raise LookupError(f"there is no user {user_id!r}")
        claims = {"userId": user_id, "sessionId": "current", "exp": 0 if expired else _EXPIRES}
        signed = f"{_segment({'typ': 'JWT', 'alg': 'HS256'})}.{_segment(claims)}"
        digest = hashlib.sha256(f"{account.secret}.{signed}".encode()).digest()
        token = f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
        self._jwts[token] = account, expired
        return token

    def identify(self, dial: UpgradeParams) -> Account | None:
        """Find out who dials.

        Args:
            dial: the dial.

        Returns:
            The user, or None for a guest; a worthless session makes a guest.

        Raises:
            Refusal: with 401 for a JWT that is bad or expired, with 403 for one beside a session. A JWT whose session has ended
                makes a guest.
        """
        if dial.jwt and dial.session:
            raise Refusal(_FORBIDDEN, _BOTH)
        if dial.jwt:
            return self._by_jwt(dial.jwt)
        return self.by_session(dial.session)

    def by_session(self, session: str) -> Account | None:
        """Find the user of a session.

        Args:
            session: the session string.

        Returns:
            The user, or None when the string is worthless.
        """
        try:
            held = decode(base64.b64decode(session, validate=True))
        except (binascii.Error, ValueError):
            return None
        if not isinstance(held, dict) or not isinstance(held.get("id"), str):
            return None
        account = self._present(held["id"])
        return account if account is not None and account.secret == held.get("secret") else None

    def end_session(self, user_id: str) -> None:
        """End a user's session: from now on, it and the JWTs that came of it make a guest of those who dial.

        Args:
            user_id: whose.

        Raises:
            LookupError: when there is no such user.
        """
        if user_id not in self._accounts:
            raise LookupError(f"there is no user {user_id!r}")
        self._ended.add(user_id)

    def _present(self, user_id: str) -> Account | None:
        """The account of a user whose session goes on."""
        return None if user_id in self._ended else self._accounts.get(user_id)

    def _by_jwt(self, token: str) -> Account | None:
        account, expired = self._jwts.get(token, (None, False))
        if account is None or expired:
            segments = token.count(".") + 1
            why = "Expired" if expired else "Signature failed"
            why = why if segments >= _JWT_SEGMENTS else "Incomplete segments"
            raise Refusal(_UNAUTHORIZED, f"Failed to verify JWT. Invalid token: {why}")
        return self._present(account.user_id)


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:  # a bracket too many
        return None


def _segment(value: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")


def _document(user_id: str) -> dict[str, object]:
    return {
        "$id": user_id,
        "$createdAt": _BORN,
        "$updatedAt": _BORN,
        "name": user_id,
        "registration": _BORN,
        "status": True,
        "labels": [],
        "passwordUpdate": "",
        "email": f"{user_id}@example.com",
        "phone": "",
        "emailVerification": True,
        "emailCanonical": None,
        "emailIsFree": None,
        "emailIsDisposable": None,
        "emailIsCorporate": None,
        "emailIsCanonical": None,
        "phoneVerification": False,
        "mfa": False,
        "prefs": {},
        "targets": [],
        "accessedAt": _BORN,
        "impersonator": False,
        "impersonatorUserId": None,
    }
