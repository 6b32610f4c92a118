"""``realtime-fsm inspect``, as a command."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest

from realtime_fsm.cli.inspect import _consume, _refuse_unreadable
from realtime_fsm.cli.main import main
from realtime_fsm.errors import BadOption, Disconnected
from support.brokenlogs import lines_of
from support.commands import PATIENCE, line, result_of, running, serving
from support.corpus import WALKS

LINES = lines_of(WALKS["healed"])


@contextmanager
def inspecting(*arguments: str, **options: Any) -> Iterator[str]:
    """`realtime-fsm inspect`; gives the URL that it prints, and ends the command as Ctrl-C does."""
    with running("inspect", *arguments, "--no-browser", **options) as command:
        found = re.fullmatch(r"The page is at (http://127\.0\.0\.1:\d+/\?token=[\w-]+)\n", line(command))
        assert found is not None
        assert line(command) == "Ctrl-C ends it.\n"
        yield found[1]
        command.send_signal(signal.SIGINT)
        assert command.wait(PATIENCE) == 130


def told_until(url: str, word: str) -> dict[str, Any]:
    """The first message of the stream that has a word."""
    end = time.monotonic() + PATIENCE
    with urlopen(url.replace("/?", "/events?"), timeout=PATIENCE) as stream:  # noqa: S310  (it is printed by the command)
        for raw in stream:
            if time.monotonic() > end:
                break
            if raw.startswith(b"data: ") and word in raw.decode():
                told: dict[str, Any] = json.loads(raw[6:])
                return told
    raise AssertionError(f"no message has {word!r}")


def test_a_whole_log_is_shown_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_bytes(b"".join(LINES))
    with inspecting(str(log)) as url, urlopen(url, timeout=PATIENCE) as page:  # noqa: S310  (as above)
        told_until(url, '"live":false')  # perhaps in the middle of the log
        told = told_until(url, '"live":false')  # a new browser gets all views
        assert b"<svg" in page.read()
    assert [(view["id"], view["state"]) for view in told["views"]] == [("healed", "subscribed")]
    assert told["title"] == str(log)
    assert told["end"] == told["views"][0]["last"]


def test_a_growing_log_is_followed(tmp_path: Path) -> None:
    log, errors = tmp_path / "audit.jsonl", tmp_path / "errors"
    with errors.open("wb") as stderr, inspecting("--follow", str(log), stderr=stderr) as url:
        assert errors.read_text() == f"realtime-fsm: {log}: No such file or directory; waiting for it\n"
        log.write_bytes(b"".join(LINES[:6]))
        told_until(url, '"seq":6')
        with log.open("ab") as file:
            file.write(b"".join(LINES[6:]))
        assert told_until(url, f'"seq":{len(LINES)}')["live"] is True


def test_standard_input_is_shown_as_it_comes(tmp_path: Path) -> None:
    source = tmp_path / "pipe"
    source.write_bytes(b"".join(LINES))
    with source.open("rb") as stdin, inspecting("-", stdin=stdin) as url:
        told_until(url, '"live":false')  # perhaps in the middle of the log
        assert told_until(url, '"live":false')["views"][0]["seq"] == len(LINES)


def test_only_the_wanted_connections_of_a_renamed_log_are_shown(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    records = [{**record, "message": record["event"]} for walk in ("healed", "healthy") for record in WALKS[walk]]
    for record in records:
        del record["event"]
    log.write_bytes(b"".join(lines_of(records)))
    with inspecting(str(log), "--map", "event=message", "--connection", "heale") as url:
        told_until(url, '"live":false')
        assert [view["id"] for view in told_until(url, '"live":false')["views"]] == ["healed"]


def test_a_connection_of_its_own_is_shown() -> None:
    with serving("--every", "0.1") as endpoint, inspecting("--listen", endpoint, "--project", "demo", "rows", "account") as url:
        told = told_until(url, '"phase":"acknowledged"')
        (view,) = told["views"]
        assert [one["channels"] for one in view["subscriptions"].values()] == [["rows", "account"]]
        assert told["title"] == f"demo at {endpoint}"


def test_a_connection_that_fails_stays_on_the_page() -> None:
    with serving("--every", "0") as endpoint, inspecting("--listen", endpoint, "--project", "other", "rows") as url:
        told = told_until(url, '"problem":"the ')
        assert "1008" in told["problem"]
        assert [(view["state"], len(view["causes"])) for view in told["views"]] == [("error", 1)]


def test_a_log_that_cannot_be_opened_ends_the_command(tmp_path: Path) -> None:
    log, missing = tmp_path / "log", tmp_path / "missing"
    log.write_bytes(b"".join(LINES))
    result = result_of("inspect", str(log), str(missing), "--no-browser")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"realtime-fsm: NAME: {missing}: No such file or directory\n"


def test_a_log_without_a_record_to_show_ends_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(LINES))
    assert main(["inspect", str(log), "--connection", "zzz", "--no-browser"]) == 2
    printed = capsys.readouterr()
    problem = f"{log}: no record of connection 'zzz' is in it: {len(LINES)} lines; it holds 'healed'"
    assert (printed.out, printed.err) == ("", f"realtime-fsm: NAME: {problem}\n")


def test_a_compressed_log_is_not_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.gz"
    log.write_bytes(gzip.compress(b"".join(LINES)))
    for command in ("inspect", "audit"):
        assert main([command, "--follow", str(log)]) == 2
        assert f"--follow: {log} is compressed, or not in UTF-8; read it without --follow\n" in capsys.readouterr().err


def test_a_pipe_is_not_opened_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(pipe, LINES[0])
        _refuse_unreadable([str(tmp_path / "pipe")])
        assert os.read(pipe, 65_536) == LINES[0]
    finally:
        os.close(pipe)


def test_a_log_that_is_cut_is_told_and_the_page_stays(tmp_path: Path) -> None:
    log = tmp_path / "log.gz"
    log.write_bytes(gzip.compress(b"".join(LINES))[:-8])
    with running("inspect", str(log), "--no-browser", stderr=-1) as command:
        url = line(command).split()[-1]
        assert told_until(url, "it is damaged or cut")["live"] is False
        command.send_signal(signal.SIGTERM)
        assert command.wait(PATIENCE) == 143
        assert command.stderr is not None
        assert command.stderr.read().startswith(f"realtime-fsm: {log}: it is damaged or cut: ")
        command.stderr.close()


def test_a_taken_port_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with inspecting("--follow", str(tmp_path / "log")) as url:
        port = url.split(":")[2].split("/")[0]
        result = result_of("inspect", "--follow", str(tmp_path / "log"), "--port", port)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"realtime-fsm: port {port}: Address already in use; choose another port, or 0 for one that is free\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--listen", "http://127.0.0.1/v1", "rows"], "--project: --listen needs the id of the project"),
        (["log", "--project", "demo"], "--project: it goes with --listen"),
        (["-", "--follow"], "--follow: it is for files"),
        (["--listen", "http://127.0.0.1/v1", "--project", "demo", "rows", "--follow"], "--follow: it is for logs"),
        (["--listen", "http://127.0.0.1/v1", "--project", "demo", "rows", "--map", "event=message"], "--map: it is for logs"),
        (["--listen", "http://127.0.0.1/v1", "--project", "demo", "rows", "--connection", "a"], "--connection: it is for logs"),
        (["--listen", "nowhere", "--project", "demo", "rows"], "endpoint: "),
        (["--listen", "http://127.0.0.1:9/v1", "--project", "demo", "", "--no-browser"], "channels: "),
    ],
)
def test_a_misuse_exits_with_2(words: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *words]) == 2
    assert capsys.readouterr().err.startswith(f"realtime-fsm: {problem}")


class Failing:
    """A connection that fails for good."""

    async def subscribe(self, *channels: str) -> None:
        assert channels == ("rows", "account")
        raise Disconnected


async def test_the_browsers_are_told_at_once_that_a_connection_has_failed() -> None:
    realtime: Any = Failing()
    told: list[str] = []
    board: Any = SimpleNamespace(problem="", touch=lambda: told.append(board.problem))
    await _consume(realtime, ["rows", "account"], board)
    assert told == [str(Disconnected())]


def test_a_connection_takes_the_proxy_and_the_identity_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[tuple[object, ...]] = []

    def realtime(*words: str, **options: object) -> None:
        given.append((*words, options))
        raise BadOption("endpoint", "enough")

    monkeypatch.setattr("realtime_fsm.cli.inspect.Realtime", realtime)
    monkeypatch.setenv("APPWRITE_SESSION", "")
    monkeypatch.setenv("APPWRITE_JWT", "token")
    assert main(["inspect", "--listen", "http://127.0.0.1/v1", "--project", "demo", "rows"]) == 2
    assert given == [("http://127.0.0.1/v1", "demo", {"trust_env": True, "session": None, "jwt": "token"})]
    assert capsys.readouterr().err == "realtime-fsm: endpoint: enough\n"


def test_the_browser_opens_unless_it_is_unwanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened: list[str] = []

    def interrupt(url: str) -> None:
        opened.append(url)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("realtime_fsm.cli.inspect.open_browser", interrupt)
    log = tmp_path / "log"
    log.write_bytes(b"".join(LINES))
    assert main(["inspect", str(log)]) == 130
    (url,) = opened
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32,}", url)
