"""The command itself: version, misuse and failures."""

from __future__ import annotations

import re

import pytest

from support.commands import result_of


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("listen", "ftp://localhost", "--project", "demo", "rows"), 2, "endpoint: scheme 'ftp' cannot be dialed"),
        (
            ("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "1", "rows"),
            1,
            "at http://127.0.0.1:1/v1: gave up after 1 attempt",
        ),
        (("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--log", "/nowhere/log", "rows"), 1, "No such file"),
        (("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "few", "rows"), 2, "'few' is not a whole number"),
        (("listen", "http://127.0.0.1:1/v1", "--project", "demo", "--attempts", "0", "rows"), 2, "from 1 on, or 'forever'"),
        (("serve", "--port", "99999"), 2, "'99999' is not a port from 0 to 65535"),
        (("serve", "--port", "few"), 2, "'few' is not a port from 0 to 65535"),
        (("serve", "--every", "nan"), 2, "'nan' is not a number of seconds from 0 to 3600"),
        (("serve", "--every", "soon"), 2, "'soon' is not a number of seconds"),
        (("serve", "--project", "a b"), 2, "project: 'a b' is not a project id"),
        (("replay", "--speed", "quick", "log"), 2, "'quick' is not a factor above 0"),
        (("replay", "--to", "-3", "log"), 2, "'-3' is not the number of a record"),
        (("serve", "--era", "E9"), 2, "invalid choice: 'E9'"),
        ((), 2, "usage"),
    ],
)
def test_misuse_and_failures(arguments: tuple[str, ...], code: int, sentence: str) -> None:
    result = result_of(*arguments)
    assert result.returncode == code
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_the_version() -> None:
    assert re.fullmatch(r"realtime-fsm \d+\.\d+\.\d+\n", result_of("--version").stdout)
