"""The values of arguments: what a bound takes, and what it refuses."""

from __future__ import annotations

import pytest

from realtime_fsm.cli.arguments import fold_lines
from realtime_fsm.cli.main import _parser, main
from support.some import some

NEEDED = {
    "listen": ["http://127.0.0.1/v1", "--project", "demo", "rows"],
    "relay": ["http://127.0.0.1/v1", "--project", "demo", "rows", "--to", "nats://h"],
    "doctor": ["http://127.0.0.1/v1", "--project", "demo"],
    "serve": [],
    "inspect": ["log"],
    "audit": ["log"],
    "replay": ["log"],
}
"""The arguments without which a command does not begin."""


OF_SERVER = {"endpoint": "http://127.0.0.1/v1", "project": "demo", "as_user": None}
OF_CONNECTION = {**OF_SERVER, "channels": ["rows"], "log": None, "attempts": 3, "reconnect_attempts": None, "health": None}
OF_LOGS: dict[str, object] = {"connection": [], "map": [], "follow": False}
DEFAULTS: dict[str, dict[str, object]] = {
    "listen": {**OF_CONNECTION, "tui": False},
    "relay": {**OF_CONNECTION, "to": ["nats://h"], "stream": "APPWRITE", "outage": 600.0, "catch_up": False},
    "doctor": {
        **OF_SERVER, "channels": [], "session": None, "pings": 3, "echo": False, "idle": None, "format": "text",
    },
    "serve": {"port": 8090, "project": "demo", "era": "E4", "every": 1.0},
    "inspect": {**OF_LOGS, "names": ["log"], "listen": None, "project": None, "port": 0, "no_browser": False},
    "audit": {
        **OF_LOGS, "files": ["log"], "format": "text", "output": None, "at": None, "since": None, "until": None, "table": [],
        "fail_on": [], "coverage": False, "sql": False, "wrapped": False,
    },
    "replay": {
        "files": ["log"], "connection": [], "map": [], "since": 1, "until": None, "step": False, "speed": None, "emit_test": None,
    },
    "diagram": {"format": None, "view": "overview", "output": None, "diff": None},
    "explain": {"words": [], "format": "text"},
    "demo": {"log": "demo-audit.jsonl"},
}  # fmt: skip
"""All options of each command, as they are where the user gives none."""


@pytest.mark.parametrize("command", DEFAULTS)
def test_an_option_that_is_not_given_has_its_default(command: str) -> None:
    options = vars(_parser().parse_args([command, *NEEDED.get(command, [])]))
    assert {name: value for name, value in options.items() if name not in ("run", "print_completion")} == DEFAULTS[command]


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("listen", "ENDPOINT, --project, CHANNEL"),
        ("relay", "ENDPOINT, --project, CHANNEL, --to"),
        ("doctor", "ENDPOINT, --project"),
        ("inspect", "NAME"),
        ("replay", "FILE"),
    ],
)
def test_an_argument_without_a_default_is_required(command: str, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args([command])
    assert capsys.readouterr().err.endswith(f"the following arguments are required: {missing}\n")


def parsed(command: str, option: str, word: str) -> object:
    options = vars(_parser().parse_args([command, *NEEDED[command], option, word]))
    return options[{"--from": "since", "--to": "until"}.get(option, option[2:].replace("-", "_"))]


@pytest.mark.parametrize(
    ("command", "option", "word", "value"),
    [
        ("doctor", "--pings", "1", 1),
        ("doctor", "--pings", "12", 12),
        ("doctor", "--idle", "0.1", 0.1),
        ("doctor", "--idle", "3600", 3600.0),
        ("serve", "--every", "0", 0.0),
        ("serve", "--every", "3600", 3600.0),
        ("serve", "--port", "0", 0),
        ("serve", "--port", "65535", 65_535),
        ("inspect", "--port", "65535", 65_535),
        ("relay", "--outage", "1", 1.0),
        ("relay", "--outage", "604800", 604_800.0),
        ("listen", "--attempts", "1", 1),
        ("listen", "--attempts", "forever", None),
        ("listen", "--reconnect-attempts", "7", 7),
        ("listen", "--health", "host:0", ("host", 0)),
        ("listen", "--health", "[::1]:8080", ("::1", 8080)),
        ("replay", "--from", "1", 1),
        ("replay", "--to", "1", 1),
        ("replay", "--speed", "1e-300", 1e-300),
        ("replay", "--speed", "1e9", 1e9),
        ("replay", "--emit-test", "test_it.py", "test_it.py"),
        ("replay", "--emit-test", "-", "-"),
        ("audit", "--map", "event=message", [("event", "message")]),
        ("audit", "--map", "seq=a=b", [("seq", "a=b")]),
    ],
)
def test_a_value_within_the_bounds_is_taken(command: str, option: str, word: str, value: object) -> None:
    assert parsed(command, option, word) == value


@pytest.mark.parametrize(
    ("command", "option", "words", "rule"),
    [
        ("doctor", "--pings", ["0", "13", "1.5"], "a whole number from 1 to 12"),
        ("doctor", "--idle", ["0.09", "3600.1", "nan"], "a number of seconds from 0.1 to 3600"),
        ("serve", "--every", ["-0.1", "3601"], "a number of seconds from 0 to 3600"),
        ("inspect", "--port", ["-1", "65536"], "a port from 0 to 65535"),
        ("relay", "--outage", ["0.9", "604801"], "a number of seconds from 1 to 604800"),
        ("listen", "--attempts", ["0", "never"], "a whole number from 1 on, or 'forever'"),
        (
            "listen",
            "--health",
            [":1", "1", "::1:1", "[]:1", "[::1:1", "::1]:1"],
            "HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080",
        ),
        ("replay", "--from", ["0", "x"], "the number of a record, from 1 on"),
        ("replay", "--to", ["0"], "the number of a record, from 1 on"),
        ("replay", "--speed", ["0", "-1", "1.1e9"], "a factor above 0, such as 10"),
        ("audit", "--map", ["event", "event=", "=message", "noise=x"], "FIELD=KEY, with a field of a record"),
    ],
)
def test_another_value_is_refused_with_the_rule(
    command: str, option: str, words: list[str], rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in some(words):
        with pytest.raises(SystemExit) as ended:
            parsed(command, option, word)
        assert (ended.value.code, f"{word!r} is not {rule}" in capsys.readouterr().err) == (2, True), word


@pytest.mark.parametrize("command", ["audit", "replay"])
def test_the_help_fits_the_terminal(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 72


def test_each_line_is_folded_on_its_own_behind_its_label() -> None:
    assert list(fold_lines("rules:  one, two, three\n\nno label but words", 16, " ")) == [
        " rules:  one,", "         two,", "         three", "", " no label but", " words",
    ]  # fmt: skip
    assert list(fold_lines("a long label: one two", 18)) == ["a long label: one", "two"], "too narrow for a column"
