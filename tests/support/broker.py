"""A real nats-server with JetStream on a free loopback port, for tests; where none is installed the tests are skipped."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import nats
import pytest
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

BINARY = shutil.which("nats-server")
needs_broker = pytest.mark.skipif(BINARY is None, reason="nats-server is not installed (Debian: apt-get install nats-server)")
_PATIENCE = 15.0


class Broker:
    """A broker that can be killed, and started again on its port and its files."""

    def __init__(self, folder: Path, *options: str, config: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder
        self._options = options
        if config:
            (folder / "nats.conf").write_text(config, encoding="utf-8")
            self._options += ("-c", str(folder / "nats.conf"))
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        assert BINARY is not None
        log = self._folder / "nats.log"
        place = ("-a", "127.0.0.1", "-p", str(self.port), "-l", str(log))
        store = () if "--plain" in self._options else ("-js", "-sd", str(self._folder / "store"))
        options = [option for option in self._options if option != "--plain"]
        before = log.read_text(encoding="utf-8").count("Server is ready") if log.exists() else 0
        self.process = subprocess.Popen([BINARY, *place, *store, *options])
        deadline = time.monotonic() + _PATIENCE
        while not log.exists() or log.read_text(encoding="utf-8").count("Server is ready") == before:
            assert self.process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop the process, and wait until it has stopped: before that it may still answer."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(_PATIENCE)


@contextmanager
def running_broker(*options: str, config: str = "") -> Iterator[Broker]:
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(Path(folder), *options, config=config)
        try:
            yield broker
        finally:
            broker.kill()


async def _ignore(_: Exception) -> None:
    """Take the errors of a broker that a test kills, which nats-py would print."""


@asynccontextmanager
async def client_of(broker: Broker) -> AsyncIterator[JetStreamContext]:
    async with await nats.connect(broker.url, error_cb=_ignore) as client:
        yield client.jetstream()


async def stored(js: JetStreamContext, stream: str = "APPWRITE") -> list[Any]:
    """All messages of a stream."""
    state = (await js.stream_info(stream)).state
    found = []
    for number in range(state.first_seq, state.last_seq + 1):
        try:
            found.append(await js.get_msg(stream, number))
        except NotFoundError:  # deleted
            continue
    return found


async def eventually_stored(js: JetStreamContext, count: int, stream: str = "APPWRITE") -> list[Any]:
    """Wait for so many messages in a stream."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            state = (await js.stream_info(stream)).state
        except NotFoundError:
            state = None
        if state is not None and state.messages >= count:
            return await stored(js, stream)
        assert time.monotonic() < deadline, None if state is None else state.messages
        await asyncio.sleep(0.02)


class Process:
    """A script of tests/support, which prints lines, as a process of its own."""

    def __init__(self, module: str, *arguments: object, env: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        tests = Path(__file__).resolve().parents[1]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tests, env=env)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.stdout is not None and not self.process.stdout.closed:
            self.kill()
