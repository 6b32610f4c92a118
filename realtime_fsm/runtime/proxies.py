"""Find the proxy for a dial in the environment: ``WSS_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY`` and the like."""

from __future__ import annotations

import urllib.request
from contextlib import suppress
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from realtime_fsm.errors import DialFailed

_PORTS = {"ws": 80, "wss": 443}


def is_proxy(url: object) -> bool:
    """Tell whether a value is the URL of an HTTP proxy that can be used."""
    try:
        parts = urlsplit(url if isinstance(url, str) and url.isprintable() and " " not in url else "")
        user = unquote(parts.username or "")
        (user + unquote(parts.password or "")).encode("latin-1")  # as Basic authentication has it
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and ":" not in user
    except ValueError:
        return False


def proxy_from_env(url: str) -> str | None:
    """Look up the proxy for a ``ws://`` or ``wss://`` URL: its URL, or None for a direct dial.

    The variable of the scheme comes before ``ALL_PROXY``.

    Raises:
        DialFailed: when the environment names a proxy that cannot be used. The text does not show it: it may hold a password.
    """
    # aiohttp's own search does not know HTTPS_PROXY for wss://.
    parts, proxies = urlsplit(url), urllib.request.getproxies()
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    if urllib.request.proxy_bypass(f"{host}:{port}") or _in_a_network(host, proxies.get("no", "")):
        return None
    names = (parts.scheme, parts.scheme.replace("ws", "http"), "all")
    proxy = next(filter(None, map(proxies.get, names)), None)
    if proxy and not is_proxy(proxy := proxy if "://" in proxy else f"http://{proxy}"):
        raise DialFailed("the environment's proxy is not an http:// or https:// URL")
    return proxy


def _in_a_network(host: str, exceptions: str) -> bool:
    """Tell whether ``NO_PROXY`` names an IP address, in brackets or as part of a network such as ``10.0.0.0/8``.

    The name of a host is not resolved: perhaps only the proxy can resolve it.
    """
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for exception in exceptions.split(","):
        with suppress(ValueError):  # the name of a host, or an IP address with a port
            if address in ip_network(exception.strip().strip("[]"), strict=False):
                return True
    return False
