"""The credentials of a dial: a session or JWT as a string, or a callable that the client calls before every dial."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from copy import copy
from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import BadOption, IdentityUnavailable
from realtime_fsm.protocol.options import ResolvedIdentity
from realtime_fsm.runtime.callbacks import Callback
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import Context

    from realtime_fsm.errors import ServerError

Secret = str | Callable[[], Awaitable[str] | str]

_IDENTITY_HEADERS = ("x-appwrite-session", "x-appwrite-jwt")


class Credentials:
    """The secrets and headers of a connection's dials. The repr shows none of them.

    Raises:
        BadOption: when session and jwt are given, or a value cannot be used.
    """

    __slots__ = ("_context", "_given", "_headers", "jwt", "session")

    def __init__(self, session: Secret | None, jwt: Secret | None, headers: Mapping[str, str]) -> None:
        for name, secret in (("session", session), ("jwt", jwt)):
            if secret is not None and not isinstance(secret, str) and not callable(secret):
                raise BadOption(name, f"{type(secret).__name__} is neither a string nor an async callable that gives one")
        # With a stand-in for the secret of a callable, a bad combination fails now, and not at the first dial.
        stand_in = [secret if secret is None or isinstance(secret, str) else "secret" for secret in (session, jwt)]
        ResolvedIdentity(stand_in[0], stand_in[1], headers)
        self.session: Secret | None = session
        self.jwt: Secret | None = jwt
        self._headers = headers
        self._context = copy_context()
        self._given: tuple[str | None, str | None] | None = None  # the secrets of the newest dial

    @property
    def expects_user(self) -> bool:
        """Whether the server should name a user."""
        return self.session is not None or self.jwt is not None

    @property
    def renewable(self) -> bool:
        """Whether a callable gives the secret, so that the next one may differ."""
        return callable(self.session) or callable(self.jwt)

    def with_session(self, session: Secret | None) -> Credentials:
        """Return a copy with another session or none, and without the old session and JWT, also in headers."""
        kept = {name: value for name, value in self._headers.items() if name.lower() not in _IDENTITY_HEADERS}
        return Credentials(session, None, kept)

    @sealed
    async def headers(self, renewal: ServerError | None = None) -> dict[str, str]:
        """Return the headers of the next dial, with the secrets that callables give now.

        Raises:
            IdentityUnavailable: when a callable raises, or returns a value that is not a secret.
            ServerError: `renewal`, the server's refusal of the last secret, when the callable gives the same secret again.
        """
        given = await self.resolve_secret(self.session, self._context), await self.resolve_secret(self.jwt, self._context)
        same, self._given = given == self._given, given
        if renewal is not None and same:
            raise copy(renewal)
        return ResolvedIdentity(*given, self._headers).as_headers()

    @staticmethod
    async def resolve_secret(secret: Secret | None, context: Context | None = None) -> str | None:
        """Return a secret as a string. Its callers are sealed, because its frame holds the secret.

        A callable runs in `context`: that in which the user gave it, by default the present one.

        Raises:
            IdentityUnavailable: when a callable raises, or returns a value that is not a secret.
        """
        if secret is None or isinstance(secret, str):
            return secret
        value, failure = await Callback("credential", _call_for_secret, context).call(secret)
        if failure is None:
            assert isinstance(value, str)
            return value
        # The text and the traceback of an exception may hold the secret; those of IdentityUnavailable do not.
        unavailable = copy(failure) if isinstance(failure, IdentityUnavailable) else IdentityUnavailable(type(failure).__name__)
        del value, failure
        raise unavailable from None


class Identity:
    """The identity of a connection: the credentials of its dials, and the account that the server named.

    Attributes:
        credentials: the credentials that the server confirmed last; before that, the given ones.
        dialing: those of the next dial, or of the link that is not greeted yet; they may be on trial.
        user: the account that the server named; None for a guest, and before the first greeting.
    """

    __slots__ = ("credentials", "dialing", "user")

    def __init__(self, credentials: Credentials) -> None:
        self.credentials: Credentials = credentials
        self.dialing: Credentials = credentials
        self.user: dict[str, Any] | None = None

    def adopt(self, credentials: Credentials) -> None:
        """Replace the credentials without a trial."""
        self.credentials = self.dialing = credentials

    def begin_trial(self, credentials: Credentials) -> None:
        """Dial with other credentials, until the server names a user."""
        self.dialing = credentials

    def end_trial(self) -> None:
        """Dial with the confirmed credentials again."""
        self.dialing = self.credentials

    def confirm(self, user: dict[str, Any] | None) -> None:
        """Keep the account that the server named. An account confirms the credentials on trial; a guest ends the trial."""
        self.user = user
        if user is not None:
            self.credentials = self.dialing
        self.end_trial()


async def _call_for_secret(secret: Callable[[], Awaitable[str] | str]) -> str | None:
    answer = secret()
    value = await answer if inspect.isawaitable(answer) else answer
    return ResolvedIdentity(session=str(value) if isinstance(value, str) else "").session
