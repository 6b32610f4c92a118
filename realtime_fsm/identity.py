"""An identity for a backend that holds a server API key: a user of the project, by tokens that renew.

::

    client = Client().set_endpoint("https://cloud.appwrite.io/v1").set_project("demo").set_key(key)

    async with Realtime.from_client(client, as_user="worker") as realtime:
        subscription = await realtime.subscribe("databases.main.tables.orders.rows")

A server API key has no realtime identity: with the key alone a connection is a guest. The key may issue JSON Web Tokens (JWT) for
a user, though, and a connection with such a token is that user. Create a user for the backend, and let its permissions decide
which events it gets. This needs the official SDK (extra ``appwrite``), Appwrite 1.6 or later, and a key with the scope
``users.write``.

The server reads the identity when a link connects, and not again. So a token that expires on a live link ends nothing: the link
goes on as the same user, and only the next dial needs a fresh token. ``Realtime(max_link_age=...)`` makes the server look at the
identity again after a while.
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
"""Seconds before its end from which a token is not given any more. Up to ``Timeouts.dial`` (10 s) pass until the server reads a
token; the rest is for servers whose clocks differ."""
_PATIENCE = 9.0
"""Seconds that a call waits for the answer: less than ``Timeouts.dial``, so that the failed dial names the cause."""
_ABANDON_AFTER = 60.0
"""Seconds after which a request counts as lost. The SDK sets no timeout, so a request may never end."""
_NO_SESSION = "none"
"""The id of no session: the token belongs to the user alone. By default it would end with the user's newest session."""
_CLOCKS = (time.monotonic, time.time)
"""A token is fresh where both clocks say so: the first may stand still while the machine sleeps, the second may be set back."""
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
    """Appwrite issued no JWT for a user, so nothing was dialed. Transient: the next attempt asks again.

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
    """Make a callable for the ``jwt=`` of `Realtime`, of either face: it gives a fresh token of a user before each dial.

    ``Realtime.from_client(client, as_user=user_id)`` does the same with the default duration. The callable keeps a token until 60
    seconds before its end: up to ``Timeouts.dial`` pass until the server reads it, and clocks may differ. It makes one request at
    a time, in a thread, because the SDK's calls block; several connections and event loops may share it. The token belongs to no
    session, so a logout of the user does not end it. A token that expires on a live link ends nothing: the server reads the
    identity when a link connects.

    Args:
        client: an ``appwrite.client.Client`` with an API key that has the scope ``users.write``.
        user_id: the id of the user, who needs no session.
        seconds: how long a token lasts, from 120 to 3,600; Appwrite's own default is 900.

    Returns:
        The callable. It raises `TokenUnavailable`, which becomes the cause of the failed attempt.

    Raises:
        BadOption: for another client, one without an API key, an id or a duration that Appwrite refuses, or without the SDK.
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
    # Older releases have no public way to read them; these attributes have been there since the first release.
    headers = getattr(client, "_global_headers", None)
    if not isinstance(headers, dict) or not isinstance(getattr(client, "_endpoint", None), str):
        raise BadOption("client", f"{type(client).__name__} is not an appwrite.client.Client")
    return {name.lower(): value for name, value in headers.items()}


class _UserToken:
    """Gives the token of a user, and asks for another one shortly before its end. Its repr shows the user only."""

    def __init__(self, users: Any, user_id: str, seconds: int) -> None:
        self._users = users
        self._user_id = user_id
        self._seconds = seconds
        self._lock = Lock()
        self._token = ""
        self._ends = 0.0, 0.0  # by each of the clocks
        self._request: Future[TokenUnavailable | None] | None = None
        self._asked = 0.0

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
        """Return the request to wait for, which may be a new one; None where the token is fresh."""
        with self._lock:
            if all(clock() < end - _RENEW_BEFORE for clock, end in zip(_CLOCKS, self._ends, strict=True)):
                return None
            now = time.monotonic()
            if self._request is None or self._request.done() or now - self._asked > _ABANDON_AFTER:
                self._request, self._asked = Future(), now
                # A thread of its own: one that hangs must not keep the process from ending, as those of asyncio do.
                Thread(target=self._fetch, args=(self._request,), name="realtime_fsm as_user", daemon=True).start()
            return self._request

    def _fetch(self, request: Future[TokenUnavailable | None]) -> None:
        """Ask for a token. The request gets the failure or None, and not the token: the repr of a future shows its result."""
        ends = _CLOCKS[0]() + self._seconds, _CLOCKS[1]() + self._seconds  # from before the request, so rather too early
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
    if not code:  # the SDK wraps what kept the answer away; any other exception is about the answer
        return ("no_answer" if isinstance(getattr(failure, "message", None), Exception) else "no_token"), 0
    if kind in ("user_not_found", "project_not_found"):
        return ("unknown_user" if kind == "user_not_found" else "unknown_project"), code
    if code not in (401, 403):
        return "refused", code
    is_guest = "role: guests" in str(failure)  # an unknown key makes a guest, who lacks the scope as well
    return ("missing_scope" if kind == "general_unauthorized_scope" and not is_guest else "wrong_key"), code
