"""``realtime-fsm doctor``, as a command."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from realtime_fsm.cli.main import main
from realtime_fsm.testing import RealtimeServer
from realtime_fsm.testing.server import BlockingServer
from support.commands import COMMAND, PATIENCE, result_of
from support.some import some

TIME = r"\d+(\.\d+)? (us|ms|s)"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the command 80 columns, no identity and no proxy."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in [name for name in os.environ if name.startswith("APPWRITE_") or name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[BlockingServer]:
    with RealtimeServer() as server:
        yield server


def doctor(*words: str) -> int:
    return main(["doctor", *words, "--pings", "1"])


def test_each_check_is_a_line_and_the_last_line_names_the_cause(
    server: BlockingServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert doctor(server.endpoint, "--project", "demo", "rows", "account") == 0
    output = re.sub(TIME, "1 ms", capsys.readouterr().out)
    assert re.sub(r"port \d+", "port 8090", output) == (
        "ok       name       127.0.0.1 needs no resolver\n"
        "ok       tcp        port 8090 accepts in 1 ms\n"
        "ok       proxy      none; the dial is direct\n"
        "ok       tls        none; http:// stays on this machine\n"
        "ok       clock      this machine and the server agree\n"
        "ok       upgrade    to WebSocket in 1 ms\n"
        "ok       greeting   after 1 ms\n"
        "warning  identity   a guest: no session and no JWT is given\n"
        "                    -> Give a session or JWT. As a guest you receive only what\n"
        "                       the role `any` or `guests` may read.\n"
        "ok       ping       answered in 1 ms\n"
        "ok       era        E4: Appwrite 1.9.5 and later\n"
        "ok       subscribe  rows: acknowledged in 1 ms\n"
        "warning  subscribe  account: a guest receives no event there\n"
        "                    -> Give a session or JWT: this channel has no events for a\n"
        "                       guest.\n"
        "ok       budget     29 of 32 messages and 127 of 128 dials a minute are left\n"
        "Most probable cause of missing events: subscribe: account: a guest receives no\n"
        "event there\n"
    )


def test_a_narrow_terminal_gets_lines_of_50_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    assert doctor("http://127.0.0.1:1/v1", "--project", "demo") == 1
    assert capsys.readouterr().out.splitlines()[1:4] == [
        "failed   tcp        port 1 cannot be reached:",
        "                    127.0.0.1: Connection refused",
        "                    -> Check the host and port of",
    ]


def test_a_failure_exits_with_1_and_lists_the_missing_checks(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor("http://127.0.0.1:1/v1", "--project", "demo") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "failed   tcp        port 1 cannot be reached: 127.0.0.1: Connection refused"
    assert "Not checked: proxy, tls, clock, upgrade, greeting, identity, ping, era, budget" in lines


def test_the_proxy_comes_from_the_environment(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert doctor("http://host.example/v1", "--project", "demo") == 1
    assert "port 1 of the proxy cannot be reached" in capsys.readouterr().out


def test_json_holds_the_report(server: BlockingServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(server.endpoint, "--project", "other", "--format", "json") == 1
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"endpoint", "project", "status", "checks", "not_checked", "cause"}
    assert (report["project"], report["status"]) == ("other", "failed")
    assert report["not_checked"] == ["identity", "ping", "era", "budget"]
    for check in some(report["checks"]):
        assert set(check) == {"name", "status", "text", "remedy"}
    assert report["checks"][-1]["name"] == "greeting"


@pytest.mark.parametrize("given", ["option", "environment"])
def test_the_identity_is_an_option_or_in_the_environment(
    given: str, server: BlockingServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = server.add_user("alice")
    monkeypatch.setenv("APPWRITE_SESSION", session if given == "environment" else "another")
    options = ["--session", session] if given == "option" else []
    assert doctor(server.endpoint, "--project", "demo", *options, "--echo", "--idle", "0.1") == 0
    output = capsys.readouterr().out
    assert "identity   user alice\n" in output
    assert "echo       an event came back " in output
    assert "idle       the link survives 100 ms without traffic\n" in output
    assert session not in output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ftp://localhost", "--project", "demo"), "endpoint: scheme 'ftp' cannot be dialed"),
        (("http://localhost", "--project", "demo", "--session", ""), "session: not a non-empty string"),
        (("http://localhost", "--project", "demo", "console.tail.demo"), "is for project 'console' alone"),
        (("ftp://localhost", "--project", "demo", "--as-user", "bob"), "endpoint: scheme 'ftp' cannot be dialed"),
        (("http://localhost", "--project", "demo", "--as-user", "bob"), "put it into APPWRITE_API_KEY"),
    ],
)
def test_a_misuse_exits_with_2(words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor(*words) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [(("--pings", "0"), "from 1 to 12"), (("--idle", "soon"), "from 0.1 to 3600"), ((), "required: --project")],
)
def test_a_wrong_option_exits_with_2(words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "http://localhost", *words])
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err


def test_a_terminal_gets_colours_unless_the_user_wants_none() -> None:
    words = [*COMMAND, "doctor", "http://127.0.0.1:1/v1", "--project", "demo"]
    printed = []
    for no_color in ("", "1"):
        terminal, theirs = pty.openpty()
        environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm"}
        assert subprocess.run(words, stdout=theirs, env=environment, timeout=PATIENCE, check=False).returncode == 1
        os.close(theirs)
        printed.append(os.read(terminal, 65_536).decode())
        os.close(terminal)
    coloured, plain = printed
    assert coloured.startswith("\x1b[32mok\x1b[0m       name       127.0.0.1")
    assert "\x1b[31mfailed\x1b[0m   tcp" in coloured
    assert re.sub(r"\x1b\[\d*m", "", coloured) == plain


def test_ctrl_c_ends_an_examination(server: BlockingServer) -> None:
    process = subprocess.Popen(
        [*COMMAND, "doctor", server.endpoint, "--project", "demo", "--idle", "600"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert any("era" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130


def test_the_completion_knows_the_command() -> None:
    pytest.importorskip("shtab")
    printed = result_of("--print-completion", "bash").stdout
    for word in ("doctor", "--pings", "--echo", "--idle"):
        assert word in printed
