"""Start the server, and a child for each candidate. The end of its stdin ends each process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

TESTS = Path(__file__).parents[1]
NODE_MODULES = TESTS / "peers" / "node_modules"
ANSWER_TIMEOUT = 180.0


def environment() -> dict[str, str]:
    """Build the environment of a child: with our modules, and without coverage, which slows the measured code down."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    path = os.pathsep.join((str(TESTS), str(TESTS.parent), *filter(None, [kept.get("PYTHONPATH")])))
    return {**kept, "PYTHONPATH": path, "NODE_PATH": str(NODE_MODULES)}


class Process:
    """A process that reads and writes lines."""

    def __init__(self, *command: str) -> None:
        self._command = command
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=TESTS, env=environment(), text=True)

    def call(self, **command: Any) -> Any:
        """Send a command and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self.read_answer()

    def read_answer(self) -> Any:
        """Return the next answer; kill a process that stays silent."""
        assert self._process.stdout is not None
        watchdog = threading.Timer(ANSWER_TIMEOUT, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise RuntimeError(f"{' '.join(self._command[1:])} ended, or stayed silent for {ANSWER_TIMEOUT:g} s")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()  # closes its stdin, which ends the process


def child() -> Process:
    """Start a child that runs Python: see `bench.child`."""
    return Process(sys.executable, "-m", "bench.child")


def node() -> Process:
    """Start a child that runs the JavaScript SDK."""
    return Process("node", "--expose-gc", str(Path(__file__).with_name("sdk.js")))


class Server(Process):
    """The server.

    Attributes:
        port: the port of the server.
    """

    def __init__(self) -> None:
        super().__init__(sys.executable, "-m", "bench.server")
        self.port: int = self.read_answer()
