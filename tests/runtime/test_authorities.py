"""The file in ``SSL_CERT_FILE``, which OpenSSL ignores where it is of no use."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_fsm.runtime.authorities import cert_file_problem

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", ""),
        (str(DATA / "authority.pem"), ""),
        (__file__, f"SSL_CERT_FILE={__file__} holds no certificate"),
        ("/nowhere/a.pem", "SSL_CERT_FILE=/nowhere/a.pem cannot be read: No such file or directory"),
        ("/", "SSL_CERT_FILE=/ cannot be read: Is a directory"),
    ],
)
def test_a_file_that_names_no_authority_is_told(path: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", path)
    assert cert_file_problem() == problem


def test_the_variable_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert cert_file_problem() == ""
