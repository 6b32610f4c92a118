"""The output of the command: to a slow reader, a stuck reader, and a pipe that is closed, full or non-blocking."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from realtime_fsm.cli.output import fold, warnings_printed
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


def test_a_text_is_folded_at_its_spaces_alone() -> None:
    text = "a well-known \x1b[2J word-that-is-longer-than-a-line ends"
    assert fold(text, 20, "- ", "  ") == ["- a well-known", r"  \x1b[2J", "  word-that-is-longer-than-a-line", "  ends"]


@pytest.mark.parametrize("words", [["listen", "nonsense", "--project", "demo", "rows"], ["audit", "/missing"]])
def test_a_broken_standard_error_keeps_the_exit_code(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        assert subprocess.run([*COMMAND, *words], stderr=full, timeout=PATIENCE, check=False).returncode == 2
