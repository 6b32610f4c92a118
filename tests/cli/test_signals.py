"""Signals end the commands that run on: Ctrl-C where it came in ignored, SIGTERM, and the end of the terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.commands import COMMAND, PATIENCE, line, running, serving

ROWS = ("--project", "demo", "rows", "--log")


@contextmanager
def running_with(ignored: tuple[signal.Signals, ...], *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command that inherits ignored signals, as from a shell without job control that starts it in the background."""
    with ExitStack() as stack:
        before = [(number, signal.signal(number, signal.SIG_IGN)) for number in ignored]
        try:
            process = stack.enter_context(running(*arguments, **options))
        finally:
            for number, handler in before:
                signal.signal(number, handler)
        yield process


@pytest.fixture(autouse=True)
def _hangup_is_not_ignored() -> Iterator[None]:
    """Let the commands inherit no ignored SIGHUP, also where `nohup` runs the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def records_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines()]


def assert_closed(log: Path) -> None:
    assert records_of(log)[-1]["event"] == "realtime.close"


def test_ctrl_c_ends_listen_where_it_came_in_ignored(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    with (
        serving("--every", "0.05") as endpoint,
        running_with((signal.SIGINT,), "listen", endpoint, *ROWS, str(log)) as listener,
    ):
        line(listener)
        listener.send_signal(signal.SIGINT)
        assert listener.wait(PATIENCE) == 130
    assert_closed(log)


@pytest.mark.parametrize("ignored", [(), (signal.SIGINT, signal.SIGTERM)], ids=["", "ignored"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_following_with_the_report(number: signal.Signals, ignored: Any, tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    with serving("--every", "0.05") as endpoint, running("listen", endpoint, *ROWS, str(log)) as listener:
        line(listener)
        listener.terminate()
        assert listener.wait(PATIENCE) == 128 + signal.SIGTERM
    wrong = [record | {"row": "con22"} if record["event"] == "realtime.transition" else record for record in records_of(log)]
    log.write_text("".join(f"{json.dumps(record)}\n" for record in wrong), encoding="utf-8")
    with running_with(ignored, "audit", "--follow", str(log), stderr=subprocess.PIPE) as follower:
        assert follower.stderr is not None
        assert "realtime-fsm audit: " in follower.stderr.readline(), "it tells a violation as soon as it has read it"
        follower.send_signal(number)
        report, _ = follower.communicate(timeout=PATIENCE)
    assert follower.returncode == 1
    assert "violated" in report


def on_a_terminal(log: Path, endpoint: str) -> tuple[subprocess.Popen[bytes], int]:
    """`listen` as the leader of a session with a terminal; gives the process, and our side of the terminal."""
    ours, theirs = pty.openpty()

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [*COMMAND, "listen", endpoint, *ROWS, str(log)],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(theirs)
    return process, ours


def test_the_end_of_the_terminal_leaves_a_record(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    with serving("--every", "0.05") as endpoint:
        process, terminal = on_a_terminal(log, endpoint)
        try:
            shown = b""
            while b'{"timestamp"' not in shown:
                shown += os.read(terminal, 4096)
            os.close(terminal)
            assert process.wait(PATIENCE) in (128 + signal.SIGHUP, 1)
        finally:
            process.kill()
            process.wait(PATIENCE)
    assert_closed(log)


def test_sighup_ends_listen_but_not_under_nohup(tmp_path: Path) -> None:
    plain_log, nohup_log = tmp_path / "plain.jsonl", tmp_path / "nohup.jsonl"
    with serving("--every", "0.05") as endpoint:
        with running("listen", endpoint, *ROWS, str(plain_log)) as plain:
            line(plain)
            plain.send_signal(signal.SIGHUP)
            assert plain.wait(PATIENCE) == 128 + signal.SIGHUP
        with running_with((signal.SIGHUP,), "listen", endpoint, *ROWS, str(nohup_log)) as nohup:
            line(nohup)
            nohup.send_signal(signal.SIGHUP)
            assert line(nohup)
            nohup.terminate()
            assert nohup.wait(PATIENCE) == 128 + signal.SIGTERM
    assert_closed(plain_log)
    assert_closed(nohup_log)
