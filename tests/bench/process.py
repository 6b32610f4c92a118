"""The processes: the server, and a child for each candidate. Each ends with the pipe that it is held by."""

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
PATIENCE = 180.0


def environment() -> dict[str, str]:
    """The environment of a child: it finds our modules, and is not traced by coverage, which would cost more than the rest."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    path = os.pathsep.join((str(TESTS), str(TESTS.parent), *filter(None, [kept.get("PYTHONPATH")])))
    return {**kept, "PYTHONPATH": path, "NODE_PATH": str(NODE_MODULES)}


class Process:
    """A process that is spoken to by lines."""

    def __init__(self, *command: str) -> None:
        self._command = command
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=TESTS, env=environment(), text=True)

    def ask(self, **command: Any) -> Any:
        """Give a command and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self.hear()

    def hear(self) -> Any:
        """The next line."""
        assert self._process.stdout is not None
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            line = self._process.stdout.readline()
        finally:
            watchdog.cancel()
        if not line:
            raise RuntimeError(f"{' '.join(self._command[1:])} ended without an answer, or was silent for {PATIENCE:g} s")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()  # the end of its stdin ends it


def child() -> Process:
    """A child that runs Python: see `bench.child`."""
    return Process(sys.executable, "-m", "bench.child")


def node() -> Process:
    """A child that runs the JavaScript SDK."""
    return Process("node", "--expose-gc", str(Path(__file__).with_name("sdk.js")))


class Server(Process):
    """The server.

    Attributes:
        port: where it listens.
    """

    def __init__(self) -> None:
        super().__init__(sys.executable, "-m", "bench.server")
        self.port: int = self.hear()
