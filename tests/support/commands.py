"""The command line, run as a command."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

from realtime_fsm.cli.main import main

PATIENCE = 30.0
COMMAND = [sys.executable, "-m", "realtime_fsm"]


class Terminal(StringIO):
    """A terminal: it shows its text at each flush, and `shown` keeps what it has shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []

    def flush(self) -> None:
        self.shown.append(self.getvalue())


def obey_ctrl_c() -> None:
    """Undo in a new process what a shell does to programs in the background: they ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def audit(arguments: Sequence[str]) -> int:
    """`realtime-fsm audit`, in this process."""
    return main(["audit", *arguments])


@contextmanager
def running(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE)
        assert process.stdout is not None
        process.stdout.close()


@contextmanager
def serving(*more: str) -> Iterator[str]:
    """`realtime-fsm serve`; gives the endpoint that it prints."""
    with running("serve", "--port", "0", *more) as server:
        yield re.search(r"http://\S+/v1", line(server))[0]  # type: ignore[index]
        server.send_signal(signal.SIGINT)
        assert server.wait(PATIENCE) == 130


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def result_of(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False, **options)
