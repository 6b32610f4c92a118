"""The scan for secrets hides texts, names and numbers."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_fsm.audit.secret_scan import REDACTED, looks_secret, mask_secrets, masked, redact, secret_fields
from support.wholelog import JWT


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("", False),
        ("c1", False),
        ("2026-11-24T05:00:00.123456+00:00", False),
        ("eyJhbGciOi", False),
        ("eyJhbGciOiJ", True),
        ("EYJhbGciOiJ", True),
        ("a_session_x = 1", True),
        ("bearer 1234567", False),
        ("Bearer 12345678", True),
        ("token=abcd", True),
        ("token=abc", False),
        ("the token is short", False),
        ("x" * 39 + "1", True),
        ("x" * 38 + "1", False),
        ("x" * 60, False),
        ("1" * 60, False),
        ("a word and " + "x" * 39 + "1" + " more", True),
    ],
)
def test_a_text_is_secret_by_its_looks(text: str, secret: bool) -> None:
    assert looks_secret(text) is secret
    assert masked(text) == (REDACTED if secret else text)
    assert (mask_secrets(text) == text) is not secret


def test_a_number_is_written_as_it_is() -> None:
    assert masked(10**50) == "1" + "0" * 50


@pytest.mark.parametrize(
    ("record", "secret"),
    [
        ({"session": "x"}, ["session"]),
        ({"session": ""}, []),
        ({"my_session": "x", "app.token": "x", "sessions": "x", "mysession": "x"}, ["my_session", "app.token", "sessions"]),
        ({"tokens": 99_999, "token": 100_000, "jwt": -100_000.0, "count": 123_456_789}, ["token", "jwt"]),
        ({"token": True, "password": None}, []),
        ({"request": {"headers": {"cookie": "x"}}, "reply": {"headers": {"size": "x"}}}, ["request"]),
        ({"notes": ["fine", JWT], "others": ["fine"], "tokens": ["x"]}, ["notes", "tokens"]),
        ({"deep": {"token": [1, 2, 123_456]}, "short": {"token": [1]}}, ["deep"]),
        ({"x" * 300 + "_authorizations": "x"}, ["x" * 300 + "_authorizations"]),
        ({JWT: 1}, [REDACTED]),
    ],
)
def test_a_field_is_secret_by_its_name_or_its_value(record: dict[str, Any], secret: list[str]) -> None:
    assert list(secret_fields(record)) == secret
    hidden = {name for name, value in redact(record).items() if value == REDACTED}
    assert hidden == set(secret)
    assert {name: value for name, value in redact(record).items() if value != REDACTED} == {
        name: value for name, value in record.items() if masked(name) not in secret
    }
