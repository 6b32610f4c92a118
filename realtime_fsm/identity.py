"""Give a backend with a server API key the identity of a user, by tokens that renew.

::

    client = Client().set_endpoint("https://cloud.appwrite.io/v1").set_project("demo").set_key(key)

    async with Realtime.from_client(client, as_user="worker") as realtime:
        subscription = await realtime.subscribe("databases.main.tables.orders.rows")

A server API key has no realtime identity: with the key alone a connection is a guest. But the key may issue JSON Web Tokens (JWT)
for a user, and a connection with such a token is that user. Create a user for the backend; the user's permissions decide which
events arrive. This needs the official SDK (extra ``appwrite``), Appwrite 1.6 or later, and a key with the scope ``users.write``.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from copy import copy
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Literal, cast

from realtime_fsm.errors import BadOption, IdentityUnavailable
from realtime_fsm.protocol.options import check_identifier
from realtime_fsm.sealing import sealed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["TokenUnavailable", "as_user"]

Problem = Literal["missing_scope", "wrong_key", "unknown_user", "unknown_project", "no_answer", "no_token", "refused"]

_LEAST, _MOST = 120, 3600
_RENEW_BEFORE = 60.0
"""The seconds before its end at which a token is no longer fresh: up to ``Timeouts.dial`` (10 s) until the server reads the
token, and the rest for a server whose clock differs."""
_PATIENCE = 9.0
"""The seconds that a call waits for the answer: less than ``Timeouts.dial``, so that the failed dial names the cause."""
_ABANDON_AFTER = 60.0
"""The seconds after which a request counts as lost. The SDK sets no timeout, so a request may never end."""
_NO_SESSION = "none"
"""This session id binds a token to the user alone; by default, it would end with the user's newest session."""
_CLOCKS = (time.monotonic, time.time)
"""A token is fresh if both clocks agree: the first may stop while the computer sleeps, and a user may set the second back."""
_REMEDIES: dict[Problem, str] = {
    "missing_scope": "the API key lacks the scope users.write; add the scope to the key",
    "wrong_key": "the server does not accept the API key; give a key of this project that has not expired",
    "unknown_user": "the project has no such user; create the user, or name another one",
    "unknown_project": "the server has no such project; check the endpoint and the project's id",
    "no_answer": "the server gave no answer; check the endpoint and the network",
    "no_token": "the answer holds no JWT; check that the endpoint is that of an Appwrite server",
    "refused": "the server refused the request; check that the endpoint is that of Appwrite 1.6 or later",
}


class TokenUnavailable(IdentityUnavailable):
    """Appwrite issued no JWT for a user, so the client did not dial. Transient: the next attempt asks again.

    Attributes:
        user_id: the user.
        problem: ``"missing_scope"``, ``"wrong_key"``, ``"unknown_user"``, ``"unknown_project"``, ``"no_answer"``, ``"no_token"``
            or ``"refused"``. The text names the remedy.
        code: the HTTP status of the answer; 0 without one.
    """

    kind = "token_unavailable"

    def __init__(self, user_id: str, problem: Problem = "no_answer", code: int = 0) -> None:
        status = f" (HTTP {code})" if code else ""
        super().__init__(type(self).__name__, f"no JWT for user {user_id!r}: {_REMEDIES[problem]}{status}")
        self.user_id: str = user_id
        self.problem: Problem = problem
        self.code: int = code


def as_user(client: object, user_id: str, *, seconds: int = 900) -> Callable[[], Awaitable[str]]:
    """Make a callable for the ``jwt=`` of either `Realtime`: the callable gives a fresh token of a user before each dial.

    ``Realtime.from_client(client, as_user=user_id)`` does the same with the default duration. The callable keeps a token until 60
    seconds before its end, which leaves time for a dial and for clocks that differ. It makes one request at a time, in a thread,
    because the SDK's calls block. Several connections and event loops may share the callable. A logout of the user does not end
    the token. The server reads the identity only when a link connects, so a token that expires on a live link ends nothing.
    ``Realtime(max_link_age=...)`` makes the server read the identity again.

    Args:
        client: an ``appwrite.client.Client`` with an API key that has the scope ``users.write``.
        user_id: the id of the user, who needs no session.
        seconds: the duration of a token in seconds, from 120 to 3,600; Appwrite's own default is 900.

    Returns:
        The callable. It raises `TokenUnavailable`, which becomes the cause of the failed attempt.

    Raises:
        BadOption: for an object other than a client, a client without an API key, or an id or duration that Appwrite refuses.
            Also if the SDK is missing.
    """
    check_identifier("user_id", user_id, "a user id")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not _LEAST <= seconds <= _MOST:
        raise BadOption("seconds", f"{seconds!r:.40} is not a whole number of seconds from {_LEAST} to {_MOST}")
    if not sdk_headers(client).get("x-appwrite-key"):
        raise BadOption("client", "it has no API key; call set_key() with a key that has the scope users.write")
    try:
        from appwrite.services.users import Users
    except ImportError:
        raise BadOption("client", "the official SDK is missing; install realtime-fsm[appwrite]") from None
    return _UserToken(Users(cast("Any", client)), user_id, seconds)


def sdk_headers(client: object) -> Mapping[str, str]:
    """Return the headers of a client of the official SDK by their lower-case names, or raise `BadOption` for another object."""
    # Older releases have no public way to read headers; every release has these attributes.
    headers = getattr(client, "_global_headers", None)
    if not isinstance(headers, dict) or not isinstance(getattr(client, "_endpoint", None), str):
        raise BadOption("client", f"{type(client).__name__} is not an appwrite.client.Client")
    return {name.lower(): value for name, value in headers.items()}


class _UserToken:
    """Gives the token of a user, and requests a new token shortly before its end. The repr shows the user only."""

    def __init__(self, users: Any, user_id: str, seconds: int) -> None:
        self._users = users
        self._user_id = user_id
        self._seconds = seconds
        self._lock = Lock()
        self._token = ""
        self._ends: tuple[float, float]  # of the token, by each of the clocks
        self._request: Future[TokenUnavailable | None] | None = None
        self._asked: float  # when, by the first clock

    def __repr__(self) -> str:
        return f"<as_user {self._user_id!r}>"

    @sealed
    async def __call__(self) -> str:
        request = self._pending_request()
        if request is not None:
            answer = asyncio.wrap_future(request)
            await asyncio.wait([answer], timeout=_PATIENCE)
            failure = answer.result() if answer.done() else TokenUnavailable(self._user_id, "no_answer")
            if failure is not None:
                raise copy(failure)  # several callers may wait for this answer
        return self._token

    def _pending_request(self) -> Future[TokenUnavailable | None] | None:
        """Return the pending request, or a new one; None if the token is fresh."""
        with self._lock:
            if self._token and all(clock() < end - _RENEW_BEFORE for clock, end in zip(_CLOCKS, self._ends, strict=True)):
                return None
            now = _CLOCKS[0]()
            if self._request is None or self._request.done() or now - self._asked > _ABANDON_AFTER:
                self._request, self._asked = Future(), now
                # Not a thread of asyncio's pool: the process waits for those at its end, and a request may hang.
                Thread(target=self._fetch, args=(self._request,), name="realtime_fsm as_user", daemon=True).start()
            return self._request

    def _fetch(self, request: Future[TokenUnavailable | None]) -> None:
        """Request a token. The future holds a failure or None, but not the token, because its repr shows its result."""
        ends = _CLOCKS[0]() + self._seconds, _CLOCKS[1]() + self._seconds  # before the request: rather too early than too late
        try:
            answer = self._users.create_jwt(self._user_id, session_id=_NO_SESSION, duration=self._seconds)
            token = answer["jwt"] if isinstance(answer, dict) else answer.jwt
        except Exception as failure:  # noqa: BLE001  (of the SDK, of requests or of pydantic; their texts may hold the key)
            request.set_result(TokenUnavailable(self._user_id, *_explain(failure)))
            return
        if not token or not isinstance(token, str):
            request.set_result(TokenUnavailable(self._user_id, "no_token"))
            return
        with self._lock:
            self._token, self._ends = token, ends
        request.set_result(None)


def _explain(failure: Exception) -> tuple[Problem, int]:
    """Return the problem, and the HTTP status, of an exception of the SDK."""
    code, kind = getattr(failure, "code", 0), getattr(failure, "type", None)
    if not code:  # the SDK wraps a failure of the network; any other exception is about the answer
        return ("no_answer" if isinstance(getattr(failure, "message", None), Exception) else "no_token"), 0
    if kind in ("user_not_found", "project_not_found"):
        return ("unknown_user" if kind == "user_not_found" else "unknown_project"), code
    if code not in (401, 403):
        return "refused", code
    is_guest = "role: guests" in str(failure)  # an unknown key makes a guest, who also lacks the scope
    return ("missing_scope" if kind == "general_unauthorized_scope" and not is_guest else "wrong_key"), code
