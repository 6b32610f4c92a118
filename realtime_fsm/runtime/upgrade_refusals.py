"""Read an HTTP answer that refuses the upgrade: the target of a redirect, and the wait before the next attempt."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from realtime_fsm.errors import UpgradeRefused
from realtime_fsm.protocol.options import host_in_url

if TYPE_CHECKING:
    from collections.abc import Mapping

_RETRIED = (429, 503)
_LONGEST = 200  # characters of a redirect's target in an error's text


def refusal(status: int, headers: Mapping[str, str], url: str) -> UpgradeRefused:
    """Make the error of an answer to an ``http://`` or ``https://`` request; the names of the headers may have any case."""
    location = _target(headers.get("Location"), url) if 300 <= status < 400 else None
    wait = _seconds(headers.get("Retry-After"), headers.get("Date")) if status in _RETRIED else None
    return UpgradeRefused(status, location=location, retry_after=wait)


def _target(location: str | None, url: str) -> str | None:
    """Return the target of a redirect: scheme, host, port and path. Login and query may hold a secret."""
    try:
        parts = urlsplit(urljoin(url, location or ""))
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return None
    if location is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    target = f"{parts.scheme}://{host_in_url(parts.hostname)}{port}{parts.path}"
    return target[:_LONGEST] if target.isprintable() else None


def _seconds(text: str | None, date: str | None) -> float | None:
    """Read the wait in seconds: a number, or a date (RFC 9110, 10.2.3), counted from the answer's own date."""
    if text is None:
        return None
    if (text := text.strip()).isdecimal():
        return float(text[:9])
    now = _moment(date) or datetime.now(UTC)
    until = _moment(text)
    return None if until is None else max(0.0, (until - now).total_seconds())


def _moment(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
