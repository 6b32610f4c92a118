"""The scan for secrets: sessions, JWTs, cookies, keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(
    r"(?:^|[_\-.\s])(?:session|secret|passw(?:or)?d|token|jwt|cookies?|authorization|credentials?|api_?key|dev_?key)s?$",
    re.IGNORECASE,
)
_LONGEST_NAME = len("_authorizations")
_VALUE = re.compile(
    r"""
    eyJ[\w-]{8,}                                                    # a JWT, or Appwrite's session secrets: JSON in base64
    | a_session_\w+\s*=                                             # a cookie of Appwrite's
    | \bbearer\s+\S{8,}
    | \b(?:session|secret|passw(?:or)?d|token|jwt|cookie|authorization|api[_-]?key|dev[_-]?key)["']?\s*[=:]\s*["']?\S{4,}
    | (?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{40,}(?![\w-])   # a long token
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Moments, ids and words are harmless, and ten times faster to recognize. Of the above only a JWT would fit.
_HARMLESS = re.compile(r"[\w.+-]{0,39}|[\d:.+\-TZ ]{0,39}")
_LONG_NUMBER = 100_000
REDACTED = "(hidden: it looks like a secret)"


def looks_secret(text: str) -> bool:
    """Whether a text holds a likely secret."""
    if _HARMLESS.fullmatch(text) and "eyj" not in text.lower():
        return False
    return _VALUE.search(text) is not None


def masked(value: str | int) -> str:
    """Write a value of a record, unless it looks like a secret."""
    return REDACTED if isinstance(value, str) and looks_secret(value) else str(value)


def mask_secrets(text: str) -> str:
    """Hide the likely secrets of a text."""
    return _VALUE.sub(REDACTED, text)


def secret_fields(record: dict[str, Any]) -> Iterator[str]:
    """List the names of fields that hold a likely secret, also deep within."""
    for name, value in record.items():
        if _is_secret(name, value):
            yield masked(name)


def redact(record: dict[str, Any]) -> dict[str, Any]:
    """Hide the likely secrets of a record."""
    return {masked(name): REDACTED if _is_secret(name, value) else value for name, value in record.items()}


def _is_secret(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return looks_secret(value) or (bool(value) and _names_secret(name))
    if isinstance(value, dict):
        return any(_is_secret(str(key), part) for key, part in value.items())
    if isinstance(value, list):
        return any(_is_secret(name, part) for part in value)
    is_long_number = isinstance(value, int | float) and abs(value) >= _LONG_NUMBER  # a short one counts tokens or sessions
    return looks_secret(name) or (is_long_number and _names_secret(name))


def _names_secret(name: str) -> bool:
    return _NAME.search(name, max(0, len(name) - _LONGEST_NAME)) is not None
