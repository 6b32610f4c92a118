"""The one REST call that the embedded server answers: an API key asks for the JWT of a user.

Source: Appwrite's own code, release 1.6 and later (``POST /v1/users/{id}/jwts``); no recording shows the call.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realtime_fsm.testing.backend import Backend
    from realtime_fsm.testing.request import HttpRequest

SCOPE = "users.write"
"""The scope that a key needs for the call."""

_PATH = re.compile(r"/v1/users/([^/]+)/jwts")
_DEFAULT, _MOST = 900, 3600  # seconds


class _Refused(Exception):
    """The server refuses a call, with a status, its own type of error and a text."""


def answer(backend: Backend, request: HttpRequest, now: float) -> tuple[int, bytes]:
    """Answer a POST request with a status and a JSON document; `now` is in seconds since the epoch."""
    try:
        token = _create_jwt(backend, request, now)
    except _Refused as refused:
        status, kind, message = refused.args
        document = {"message": message, "code": status, "type": kind, "version": "embedded"}
        return status, json.dumps(document).encode()
    return HTTPStatus.CREATED, json.dumps({"jwt": token}).encode()


def _create_jwt(backend: Backend, request: HttpRequest, now: float) -> str:
    try:
        directory = backend.directory(request.header("X-Appwrite-Project") or "console")
    except LookupError:
        text = "Project with the requested ID could not be found. Please check the value of the X-Appwrite-Project header."
        raise _Refused(HTTPStatus.NOT_FOUND, "project_not_found", text) from None
    path = _PATH.fullmatch(request.target)
    if path is None:
        raise _Refused(HTTPStatus.NOT_FOUND, "general_route_not_found", "Route not found.")
    scopes = directory.keys.get(request.header("X-Appwrite-Key"))
    if scopes is None or SCOPE not in scopes:
        role = "User (role: guests)" if scopes is None else "app.demo@service.localhost (role: applications)"
        raise _Refused(HTTPStatus.UNAUTHORIZED, "general_unauthorized_scope", f'{role} missing scopes (["{SCOPE}"])')
    arguments: dict[str, Any] = json.loads(request.body or b"{}")
    duration = arguments.get("duration", _DEFAULT)
    if isinstance(duration, bool) or not isinstance(duration, int) or not 0 <= duration <= _MOST:
        text = f"Invalid `duration` param: Value must be a valid range between 0 and {_MOST}"
        raise _Refused(HTTPStatus.BAD_REQUEST, "general_argument_invalid", text)
    # Any other id belongs to no session, because a user has at most one session here, whose id no client knows.
    of_session = arguments.get("sessionId", "recent()") in ("recent", "recent()")
    try:
        return directory.issue_jwt(path[1], expires=now + duration, of_session=of_session)
    except LookupError:
        text = "User with the requested ID could not be found."
        raise _Refused(HTTPStatus.NOT_FOUND, "user_not_found", text) from None
