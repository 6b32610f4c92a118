"""Translate a client of the official SDK into arguments of `Realtime`: its endpoint, project and identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import BadOption
from realtime_fsm.identity import as_user, sdk_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFUSED_HEADERS = {
    "x-appwrite-key": "a server API key has no realtime identity; give as_user= the id of a user, or make a client with"
    " set_session() or set_jwt()",
    "authorization": "realtime does not read a bearer token; make a client with set_session() or set_jwt()",
}
_FORWARDED_HEADERS = ("x-appwrite-impersonate-", "x-appwrite-dev-key", "x-fallback-cookies", "cookie")
_IDENTITIES = ("session", "jwt")


def options_from_client(client: object, user_id: str | None = None, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the arguments of `Realtime` that match an ``appwrite.client.Client``, for `Realtime.from_client`.

    The given arguments take precedence. Where they bring an identity, that of the client does not count.
    """
    headers = sdk_headers(client)
    own = {name: headers[f"x-appwrite-{name}"] for name in _IDENTITIES if headers.get(f"x-appwrite-{name}")}
    further = dict(given or {})
    has_identity = any(further.get(name) is not None for name in _IDENTITIES)
    if user_id is not None:
        if own or has_identity:
            raise BadOption("as_user", "given together with a session or JWT; give one of the two")
        further["jwt"] = as_user(client, user_id)
    elif has_identity:
        own = {}
    else:
        for name, problem in _REFUSED_HEADERS.items():
            if headers.get(name):
                raise BadOption("client", problem)
    config = getattr(client, "_config", {})
    project = headers.get("x-appwrite-project") or config.get("project")
    if not project:
        raise BadOption("client", "it has no project; call set_project() first")
    options: dict[str, Any] = {
        "endpoint": getattr(client, "_endpoint"),  # noqa: B009  (`client` has no type that mypy knows)
        "project": project,
        "self_signed": bool(getattr(client, "_self_signed", None)),
        "headers": {name: value for name, value in headers.items() if value and name.startswith(_FORWARDED_HEADERS)},
    }
    return options | own | further
