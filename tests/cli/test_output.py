"""The output of the command: to a slow reader, a stuck reader, and a pipe that is closed, full or non-blocking."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from select import PIPE_BUF, select
from types import SimpleNamespace
from typing import Any

import pytest

from realtime_fsm.cli import output
from realtime_fsm.cli.output import WIDTH, columns, fold, os_error_text, warnings_printed
from realtime_fsm.testing import RealtimeServer

COMMAND = [sys.executable, "-m", "realtime_fsm"]
PATIENCE = 30.0
LARGE = "é" * 150_000  # more than a pipe holds
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
SORTS = [(blocking, unbuffered) for blocking in (True, False) for unbuffered in ("", "1")]


async def _listening(
    blocking: bool, unbuffered: str, work: Callable[[RealtimeServer, asyncio.subprocess.Process, int], Awaitable[None]]
) -> bytes:
    """Run `listen` on a server with large events and a pipe; gives what it says on stderr."""
    ours, theirs = os.pipe()
    os.set_blocking(theirs, blocking)
    async with RealtimeServer(projects=["demo"]) as server:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "listen", server.endpoint, "--project", "demo", "rows",
            stdout=theirs, stderr=subprocess.PIPE, env={**ENVIRONMENT, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
        os.close(theirs)
        try:
            async with asyncio.timeout(PATIENCE):
                await server.wait_for_subscriptions(1)
                for number in range(6):
                    server.publish(["rows.1.create"], ["rows"], {"n": number, "text": LARGE})
                await work(server, process, ours)
                assert process.stderr is not None
                return await process.stderr.read()
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.mark.parametrize(("blocking", "unbuffered"), SORTS)
def test_large_events_reach_a_slow_reader_in_full(blocking: bool, unbuffered: str) -> None:
    async def read(_server: RealtimeServer, process: asyncio.subprocess.Process, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as file:
            lines = [await asyncio.to_thread(file.readline) for _ in range(6)]
            assert [json.loads(line)["payload"]["n"] for line in lines] == list(range(6))
            process.send_signal(signal.SIGINT)
            assert await asyncio.to_thread(file.read) == b""
        assert await process.wait() == 130

    assert asyncio.run(_listening(blocking, unbuffered, read)) == b""


@pytest.mark.parametrize(("blocking", "unbuffered"), SORTS)
def test_an_interrupt_finishes_the_line_that_is_being_read(blocking: bool, unbuffered: str) -> None:
    async def read(_server: RealtimeServer, process: asyncio.subprocess.Process, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as file:
            start = await asyncio.to_thread(file.read, 1000)
            process.send_signal(signal.SIGINT)
            lines = (start + await asyncio.to_thread(file.read)).splitlines(keepends=True)
        assert all(line.endswith(b"}\n") for line in lines)
        assert await process.wait() == 130

    assert asyncio.run(_listening(blocking, unbuffered, read)) == b""


@pytest.mark.parametrize("blocking", [True, False])
def test_a_stuck_reader_does_not_delay_an_interrupt(blocking: bool) -> None:
    async def interrupt(_server: RealtimeServer, process: asyncio.subprocess.Process, pipe: int) -> None:
        await asyncio.to_thread(os.read, pipe, 1)  # the output has begun, and the reader stops
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
        os.close(pipe)

    assert asyncio.run(_listening(blocking, "", interrupt)) == b""


@pytest.mark.parametrize(("blocking", "unbuffered"), SORTS)
def test_a_reader_that_leaves_ends_listen_quietly(blocking: bool, unbuffered: str) -> None:
    async def leave(_server: RealtimeServer, process: asyncio.subprocess.Process, pipe: int) -> None:
        await asyncio.to_thread(os.read, pipe, 1)
        os.close(pipe)
        assert await process.wait() == 0

    assert asyncio.run(_listening(blocking, unbuffered, leave)) == b""


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = command.replace("realtime-fsm", f'"{sys.executable}" -m realtime_fsm')
    return subprocess.run(
        ["/bin/bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=folder, env=ENVIRONMENT
    )


def test_a_reader_that_leaves_ends_the_demo_quietly(tmp_path: Path) -> None:
    shown = shell("realtime-fsm demo | head -1", tmp_path)
    assert re.fullmatch(r" *0\.\d\d s  server  listens at \S+\n", shown.stdout)
    assert shown.stderr == ""


@pytest.mark.parametrize("command", ["realtime-fsm diagram", "realtime-fsm audit --sql x", "realtime-fsm demo"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(command: str, closed: str, tmp_path: Path) -> None:
    if command.endswith("demo") and closed != "<&- >&- 2>&-":
        pytest.skip("once is enough: it takes a second")
    done = shell(f"{command} {closed}", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == "") is (">&-" in closed.replace("2>&-", ""))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
@pytest.mark.parametrize(("command", "code"), [("realtime-fsm diagram", 1), ("realtime-fsm audit --sql x", 2)])
def test_a_full_device_is_named(command: str, code: int, tmp_path: Path) -> None:
    done = shell(f"{command} > /dev/full", tmp_path)
    assert (done.returncode, done.stderr.split(": ", 1)[1]) == (code, "standard output: No space left on device\n")


def test_a_warning_is_a_problem_in_a_block_and_a_warning_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_printed():
        warnings.simplefilter("always")
        warnings.warn("the window is short", RuntimeWarning, stacklevel=1)
    assert capsys.readouterr().err == "realtime-fsm: warning: the window is short\n"
    with pytest.warns(RuntimeWarning, match="again"):
        warnings.warn("again", RuntimeWarning, stacklevel=1)


# --- in this process --------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """Make a full pipe the standard output. Gives the reader's end, and the number of bytes in the pipe."""
    ours, theirs = os.pipe()
    monkeypatch.setattr(output, "STDOUT", theirs)
    os.set_blocking(theirs, False)
    size = os.write(theirs, b"-" * 10_000_000)
    os.set_blocking(theirs, True)
    yield ours, size
    os.close(ours)
    os.close(theirs)


def test_the_output_drops_the_rest_when_its_patience_ends(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, size = pipe
    waits: list[float | None] = []

    def wait(_: object, ready: object, __: object, timeout: float | None) -> tuple[list[int], object, list[int]]:
        """Read a piece after half a second; with no time left, look at the pipe."""
        if not timeout:
            return select((), (output.STDOUT,), (), 0)
        waits.append(timeout)
        clock.now += 0.5
        os.read(reader, PIPE_BUF)
        return [], ready, []

    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(output, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(output, "select", wait)
    output.write_all(b"+" * 10 * PIPE_BUF, 1.25)
    assert waits == [1.25, 0.75, 0.25]
    assert os.read(reader, 10_000_000).count(b"+") == 3 * PIPE_BUF
    assert size % PIPE_BUF == 0


@pytest.mark.loopback
async def test_a_line_waits_for_its_reader_and_after_a_cancellation_for_a_second(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, size = pipe
    line = bytes(range(256)) * (size // 128)  # twice as much as fits
    writing = asyncio.ensure_future(output.write_line(line))
    seen = b""
    while len(seen) < size + len(line):
        seen += await asyncio.to_thread(os.read, reader, 65_536)
    await writing
    assert seen[size:] == line
    left: list[tuple[int, float]] = []
    monkeypatch.setattr(output, "write_all", lambda rest, patience: left.append((len(rest), patience)))
    writing = asyncio.ensure_future(output.write_line(line))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert left == [(len(line) - size, 1.0)]
    assert not asyncio.get_running_loop().remove_writer(output.STDOUT), "nothing waits for the pipe"


def test_closed_standard_streams_become_the_null_device(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, int]] = []
    asked: list[int] = []

    def fstat(number: int) -> None:
        asked.append(number)
        if number == 1:
            raise OSError

    monkeypatch.setattr(output, "os", SimpleNamespace(
        fstat=fstat, open=lambda *given: opened.append(given), devnull=os.devnull, O_RDWR=os.O_RDWR
    ))  # fmt: skip
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    output.reopen_standard_streams()
    assert (asked, opened) == ([0, 1, 2], [(os.devnull, os.O_RDWR)])
    streams: list[Any] = [sys.stdout, sys.stderr]
    assert [stream.fileno() for stream in streams] == [1, 2]
    assert [stream.buffer.raw.closefd for stream in streams] == [False, False], "the numbers belong to the process"
    output.reopen_standard_streams()
    assert [sys.stdout, sys.stderr] == streams, "an open stream stays"


def test_json_is_indented_by_two_columns() -> None:
    assert output.pretty_json({"a": ["\x1b"]}) == '{\n  "a": [\n    "\\u001b"\n  ]\n}'


def test_a_text_is_folded_at_its_spaces_alone() -> None:
    text = "a well-known \x1b[2J word-that-is-longer-than-a-line ends"
    assert fold(text, 20, "- ", "  ") == ["- a well-known", r"  \x1b[2J", "  word-that-is-longer-than-a-line", "  ends"]


@pytest.mark.parametrize("words", [["listen", "nonsense", "--project", "demo", "rows"], ["audit", "/missing"]])
def test_a_broken_standard_error_keeps_the_exit_code(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        assert subprocess.run([*COMMAND, *words], stderr=full, timeout=PATIENCE, check=False).returncode == 2


@pytest.mark.parametrize(("asked", "folded"), [("", WIDTH), ("1", 40), ("60", 60), ("999", WIDTH)])
def test_a_text_is_folded_to_the_columns_that_the_user_has(asked: str, folded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", asked)
    assert columns() == folded


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (OSError("no number"), "no number"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EACCES, "Permission denied", "/nowhere/x"), "/nowhere/x: Permission denied"),
        (OSError(errno.ENOENT, "No such file or directory", "/x"), "/x: No such file or directory"),
        (OSError(errno.ENOENT, "No such file or directory", "/nowhere/x"), "/nowhere/x: the folder /nowhere does not exist"),
        (OSError(errno.ENOENT, "it is gone", "--option /nowhere/x"), "--option /nowhere/x: it is gone"),
    ],
)
def test_a_failure_of_the_system_names_the_file_and_the_missing_folder(failure: OSError, text: str) -> None:
    assert os_error_text(failure) == text
