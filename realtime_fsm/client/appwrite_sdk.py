"""Translate a client of the official SDK into arguments of `Realtime`: its endpoint, project and identity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_fsm.errors import BadOption

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFUSED_HEADERS = {
    "x-appwrite-key": "a server API key has no realtime identity; make a client with set_session() or set_jwt()",
    "authorization": "realtime does not read a bearer token; make a client with set_session() or set_jwt()",
}
_FORWARDED_HEADERS = ("x-appwrite-impersonate-", "x-appwrite-dev-key", "x-fallback-cookies", "cookie")


def options_from_client(client: object) -> dict[str, Any]:
    """Return the arguments of `Realtime` that match an ``appwrite.client.Client``.

    Raises:
        BadOption: for another object, a client without a project, or an identity that realtime cannot use.
    """
    headers = _headers(client)
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
        "self_signed": bool(getattr(client, "_self_signed", False)),
        "headers": {name: value for name, value in headers.items() if value and name.startswith(_FORWARDED_HEADERS)},
    }
    identity = {name: headers.get(f"x-appwrite-{name}") for name in ("session", "jwt")}
    return options | {name: value for name, value in identity.items() if value}


def _headers(client: object) -> Mapping[str, str]:
    # The SDK has no public way to read them; these attributes have been there since its first release.
    headers = getattr(client, "_global_headers", None)
    if not isinstance(headers, dict) or not isinstance(getattr(client, "_endpoint", None), str):
        raise BadOption("client", f"{type(client).__name__} is not an appwrite.client.Client")
    return {name.lower(): value for name, value in headers.items()}
