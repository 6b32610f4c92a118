"""The upgrade request of a dial: the project, the channels, the origin and the credentials that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from realtime_fsm.testing.url import parameters, texts
from realtime_fsm.testing.wire import POLICY, UNCAUGHT, Refusal, decode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from realtime_fsm.testing.request import HttpRequest
    from realtime_fsm.testing.url import Parameters

CONSOLE = "console"
"""The server's own project; a dial that names no project, or a list of them, goes there."""

_NO_LIST = (
    "Appwrite\\Messaging\\Adapter\\Realtime::convertChannels(): Argument #1 ($channels) must be of type array, string given, "
    "called in /app/aw/app/realtime.php on line 491"
)


class UpgradeParams:
    """The parameters of an upgrade request, from its URL and its headers."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        path, _, query = request.target.partition("?")
        self.path: str = path
        self.parameters: Parameters = parameters(query)

    @property
    def client_ip(self) -> str:
        """The first IP in ``X-Forwarded-For``, or an empty string."""
        return self._request.header("X-Forwarded-For").partition(",")[0].strip()

    @property
    def project(self) -> str:
        """The id of the project; `CONSOLE` when the request names no project, or a list of them."""
        return self._parameter("project") or self._request.header("X-Appwrite-Project") or CONSOLE

    @property
    def channels(self) -> list[str]:
        """The channels in the URL; the server refuses with 0 a parameter that is not a list."""
        channels = self.parameters.get("channels", {})
        if isinstance(channels, str):
            raise Refusal(UNCAUGHT, _NO_LIST)
        return texts(channels)

    @property
    def session(self) -> str:
        """The session string from the header, the cookie or the fallback cookies, or an empty string."""
        names = (f"a_session_{self.project}", f"a_session_{self.project}_legacy")
        offered = [jar.get(name, "") for jar in (self._cookies(), self._fallback_cookies()) for name in names]
        return next(filter(None, [self._request.header("X-Appwrite-Session"), *offered]), "")

    @property
    def jwt(self) -> str:
        """The JWT from the header or the URL, or an empty string."""
        return self._request.header("X-Appwrite-JWT") or self._parameter("jwt")

    def check_origin(self, platforms: Iterable[str]) -> None:
        """Refuse with 1008 an ``Origin`` header that names none of the allowed hosts."""
        origin = self._request.header("Origin")
        host = _host(origin) or origin
        if origin and host not in set(platforms):
            raise Refusal(
                POLICY,
                f"Invalid Origin. Register your new client ({host}) as a new Web platform on your project console dashboard",
            )

    def _parameter(self, name: str) -> str:
        value = self.parameters.get(name, "")
        return value if isinstance(value, str) else ""

    def _cookies(self) -> dict[str, str]:
        pairs = (pair.partition("=") for pair in self._request.header("Cookie").split(";"))
        return {name.strip(): unquote(value.strip().strip('"')) for name, _, value in pairs}

    def _fallback_cookies(self) -> dict[str, str]:
        try:
            cookies = decode(self._request.header("X-Fallback-Cookies").encode())
        except ValueError:
            return {}
        found = cookies.items() if isinstance(cookies, dict) else ()
        return {name: value for name, value in found if isinstance(value, str)}


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:  # a bracket too many
        return None
