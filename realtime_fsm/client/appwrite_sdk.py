"""The official SDK's client, as far as realtime has a use for it: where it goes, and as whom."""

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
    """The arguments of `Realtime` that do what an ``appwrite.client.Client`` does.

    Raises:
        BadOption: for something that is no such client, one without a project, or one whose identity realtime cannot use.
    """
    headers = _headers(client)
    for name, why in _REFUSED_HEADERS.items():
        if headers.get(name):
            raise BadOption("client", why)
    config = getattr(client, "_config", {})
    project = headers.get("x-appwrite-project") or config.get("project")
    if not project:
        raise BadOption("client", "it has no project; call set_project() first")
    options: dict[str, Any] = {
        "endpoint": getattr(client, "_endpoint"),  # noqa: B009  (it is of no type that we know)
        "project": project,
        "self_signed": bool(getattr(client, "_self_signed", False)),
        "headers": {name: value for name, value in headers.items() if value and name.startswith(_FORWARDED_HEADERS)},
    }
    identity = {name: headers.get(f"x-appwrite-{name}") for name in ("session", "jwt")}
    return options | {name: value for name, value in identity.items() if value}


def _headers(client: object) -> Mapping[str, str]:
    # The SDK has no other way to ask: these attributes have been there since its first release.
    headers = getattr(client, "_global_headers", None)
    if not isinstance(headers, dict) or not isinstance(getattr(client, "_endpoint", None), str):
        raise BadOption("client", f"{type(client).__name__} is not an appwrite.client.Client")
    return {name.lower(): value for name, value in headers.items()}
