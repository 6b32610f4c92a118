"""The users of a project, their sessions and their JWTs."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

from realtime_fsm.testing.accounts import Account, usual_document
from realtime_fsm.testing.presence import Presences
from realtime_fsm.testing.wire import Refusal, decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from realtime_fsm.testing.upgrade import UpgradeParams

EXPIRES = 4_102_444_800.0
"""The default end of a JWT, in seconds since the epoch: 2100-01-01."""
_JWT_SEGMENTS = 3
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_NOT_VERIFIED = "Failed to verify JWT. Invalid token: "
_BOTH = (
    "JWT and cookie used in the same request. Use either `setJWT` or `setCookie`. Learn about which authentication method to use "
    "in the SSR docs: https://appwrite.io/docs/products/auth/server-side-rendering"
)


class UserDirectory:
    """The users of one project."""

    def __init__(self, project: str, absent_fields: frozenset[str]) -> None:
        """Start without users. `absent_fields` are missing in the user documents of the era."""
        self.project: str = project
        self.presences: Presences = Presences()  # the presences of the users
        self._absent_fields = absent_fields
        self._accounts: dict[str, Account] = {}
        self._logged_out: set[str] = set()  # the ids of users whose session has ended
        self._jwts: dict[str, tuple[Account, float, bool]] = {}  # the account, the end, and whether it is of the session
        self.keys: dict[str, frozenset[str]] = {}  # the scopes of each API key

    def add(self, user_id: str, secret: str, attributes: Mapping[str, object], roles: Iterable[str]) -> str:
        """Add a user with one session, and return the session string, as `RealtimeServer.add_user`."""
        if user_id in self._accounts:
            raise ValueError(f"user {user_id!r} exists")
        all_roles = frozenset({"any", "users", f"user:{user_id}", *roles})
        usual = {name: value for name, value in usual_document(user_id).items() if name not in self._absent_fields}
        self._accounts[user_id] = Account(user_id, {**usual, **attributes}, all_roles, secret)
        session = json.dumps({"id": user_id, "secret": secret}, separators=(",", ":"))
        return base64.b64encode(session.encode()).decode()

    def issue_jwt(self, user_id: str, *, expires: float = EXPIRES, of_session: bool = True) -> str:
        """Issue a JWT, which ends at `expires`, in seconds since the epoch, or with the session before, if it is `of_session`."""
        account = self._account(user_id)
        claims = {"userId": user_id, "sessionId": "current" if of_session else "", "exp": int(expires)}
        signed = f"{_segment({'typ': 'JWT', 'alg': 'HS256'})}.{_segment(claims)}"
        digest = hashlib.sha256(f"{account.secret}.{signed}".encode()).digest()
        token = f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"
        self._jwts[token] = account, expires, of_session
        return token

    def end_session(self, user_id: str) -> None:
        """End a user's session: a later dial with the session, or with a JWT of it, is a guest's."""
        self._account(user_id)
        self._logged_out.add(user_id)

    def identify(self, params: UpgradeParams, now: float) -> Account | None:
        """Find the user of an upgrade request; None for a guest.

        A session that is not valid, and a JWT whose session has ended, make a guest. The server refuses with 401 a JWT that is
        not valid or has expired, and with 403 a JWT beside a session.
        """
        if params.jwt and params.session:
            raise Refusal(_FORBIDDEN, _BOTH)
        if params.jwt:
            return self._by_jwt(params.jwt, now)
        return self.by_session(params.session)

    def by_session(self, session: str) -> Account | None:
        """Find the user of a session string; None when the string is not valid."""
        try:
            parsed = decode(base64.b64decode(session, validate=True))
        except ValueError:
            return None
        if not isinstance(parsed, dict) or not isinstance(parsed.get("id"), str):
            return None
        account = self._logged_in(parsed["id"])
        return account if account is not None and account.secret == parsed.get("secret") else None

    def _account(self, user_id: str) -> Account:
        if user_id not in self._accounts:
            raise LookupError(f"there is no user {user_id!r}")
        return self._accounts[user_id]

    def _logged_in(self, user_id: str) -> Account | None:
        return None if user_id in self._logged_out else self._accounts.get(user_id)

    def _by_jwt(self, token: str, now: float) -> Account | None:
        if token not in self._jwts:
            reason = "Signature failed" if len(token.split(".")) >= _JWT_SEGMENTS else "Incomplete segments"
            raise Refusal(_UNAUTHORIZED, _NOT_VERIFIED + reason)
        account, expires, of_session = self._jwts[token]
        if now >= expires:
            raise Refusal(_UNAUTHORIZED, _NOT_VERIFIED + "Expired")
        return self._logged_in(account.user_id) if of_session else account


def _segment(value: Mapping[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value, separators=(",", ":")).encode()).decode().rstrip("=")
