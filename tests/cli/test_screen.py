"""The screen of ``realtime-fsm listen --tui``: what it draws, and when it refuses to."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest
from rich.console import Console

from realtime_fsm import Change, DialFailed, RetriesExhausted, RetryPolicy, State
from realtime_fsm.cli.main import main
from realtime_fsm.cli.screen import Screen
from realtime_fsm.runtime.sockets import Socket
from support.commands import COMMAND, PATIENCE, result_of, serving
from support.network import Network
from support.virtual import VirtualLoop, eventually


def drawn(screen: Screen, height: int = 40) -> str:
    """The present moment, without colours."""
    console = Console(file=io.StringIO(), width=120, height=height)
    console.print(screen)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


async def test_the_screen_shows_counts_events_changes_and_failures() -> None:
    network = Network()
    async with network.realtime() as realtime:
        screen = Screen(realtime, ["rows", "files"])
        assert "disconnected  no link, and none is wanted" in drawn(screen)
        assert drawn(screen).count("waits") == 2
        task = asyncio.ensure_future(screen.run(Console(file=io.StringIO(), width=120)))
        await eventually(lambda: "subscribed  the link is up" in drawn(screen) and "waits" not in drawn(screen))
        for _ in range(12):
            network.publish("rows")
            await asyncio.sleep(0)
        await eventually(lambda: " 12 " in drawn(screen))
        network.socket.cut()
        await eventually(lambda: len(network.sockets) == 2 and "subscribed  the link is up" in drawn(screen))
        shown = drawn(screen)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert "subscribed -> reconnecting: getting a link, because the stream ended (close code 1006)" in shown
    assert [line.split()[1:6:2] for line in shown.splitlines() if "files" in line and "0" in line] == [["files", "0", "0"]]
    assert len(shown.splitlines()) < 40


@pytest.mark.parametrize("height", [24, 50])
async def test_the_newest_failure_is_on_a_screen_of_any_height(height: int) -> None:
    network = Network()
    async with network.realtime(retry=RetryPolicy(attempts=None, base=0.1, cap=0.1)) as realtime:
        screen = Screen(realtime, ["rows", "files"])
        task = asyncio.ensure_future(screen.run(Console(file=io.StringIO())))
        await eventually(lambda: "waits" not in drawn(screen))
        for _ in range(12):
            network.publish("rows")
            await asyncio.sleep(0)
        for number in range(12):
            network.script.extend([DialFailed(f"reason {number}")])
        network.socket.cut()
        await eventually(lambda: "reason 11" in drawn(screen, height))
        lines = drawn(screen, height).splitlines()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert len(lines) <= height
    assert sum("reason" in line for line in lines) == {24: 3, 50: 10}[height]


async def test_a_low_terminal_shows_the_newest_line_of_each_list() -> None:
    async with Network().realtime() as realtime:
        screen = Screen(realtime, ["rows"])
        screen._events.extend(["older", "newest"])
        shown = drawn(screen, 10)
        assert ("older" in shown, "newest" in shown) == (False, True)


async def test_a_long_line_is_cut_and_the_table_is_as_wide_as_the_terminal() -> None:
    async with Network().realtime() as realtime:
        screen = Screen(realtime, ["rows"])
        screen._counts["rows"] = 1234
        screen._events.extend(["x" * 300, "newest"])
        lines = drawn(screen, 30).splitlines()
    assert {len(line) for line in lines} == {120}
    assert [line.count("x") for line in lines if "xx" in line] == [115]
    assert "xxx… │" in "".join(lines)
    assert [line.split() for line in lines if "waits" in line] == [["│", "rows", "│", "waits", "│", "│"]]


async def test_the_screen_leaves_the_terminal_as_it_was() -> None:
    async with Network().realtime() as realtime:
        terminal = io.StringIO()
        task = asyncio.ensure_future(Screen(realtime, ["rows"]).run(Console(file=terminal, force_terminal=True)))
        await eventually(lambda: "subscribed" in terminal.getvalue())
        assert not any("Refresh" in type(thread).__name__ for thread in threading.enumerate()), "the loop alone draws"
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert terminal.getvalue().startswith("\x1b[?1049h"), "the other screen"
    assert "\x1b[?1049l" in terminal.getvalue()


async def test_the_screen_ends_with_the_error_of_the_connection() -> None:
    network = Network()

    async def refuse(*_: object) -> Socket:
        raise DialFailed("no route")

    with patch.object(network, "dial", refuse):
        async with network.realtime(retry=RetryPolicy(attempts=2)) as realtime:
            screen = Screen(realtime, ["rows"])
            with pytest.raises(RetriesExhausted):
                await screen.run(Console(file=io.StringIO(), width=120))
            shown = drawn(screen)
    assert "the dial failed: no route; the next dial is in" in shown
    assert "error  no link, and no attempt will be made" in shown


class Refused:
    """A connection whose subscriptions fail at once."""

    state, _driver = State.ERROR, SimpleNamespace(failures=SimpleNamespace())

    async def subscribe(self, channel: str) -> None:
        raise DialFailed(channel)

    async def states(self) -> AsyncIterator[Change]:
        await asyncio.Event().wait()
        yield  # type: ignore[misc]


async def test_the_screen_takes_the_errors_of_all_channels() -> None:
    """An error that no one takes is reported on the terminal when Python frees it."""
    realtime: Any = Refused()
    with pytest.raises(DialFailed):
        await Screen(realtime, ["rows", "files"]).run(Console(file=io.StringIO()))
    gc.collect()
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    assert loop.reported == []


async def test_a_state_has_its_colour_and_each_list_its_newest_lines() -> None:
    async with Network().realtime() as realtime:
        screen = Screen(realtime, ["rows"])
        console = Console(file=io.StringIO(), width=120, height=25, force_terminal=True, color_system="standard")
        console.print(screen)
        assert re.search(r"\x1b\[1(;39)?mdisconnected\x1b\[0m  no link", console.file.getvalue())  # type: ignore[attr-defined]
        await realtime.connect()
        for events in (screen._events, screen._changes, screen._failures):
            events.extend(f"{number}." for number in range(12))
        console.print(screen)
        assert "\x1b[1;32mconnected\x1b[0m  the link is up" in console.file.getvalue()  # type: ignore[attr-defined]
        lines = [line.strip("│ ") for line in drawn(screen, 25).splitlines()]
    assert lines[-15:] == [line for title in lines[-15::5] for line in (title, "9.", "10.", "11.", lines[-1])]
    assert [title.split()[1] for title in lines[-15::5]] == ["Events", "Changes", "Failed"]


WORDS = ["listen", "http://127.0.0.1:1/v1", "--project", "demo", "rows", "--tui"]


def test_without_rich_the_extra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with patch.dict(sys.modules, {"realtime_fsm.cli.screen": None}):
        assert main(WORDS) == 2
    assert capsys.readouterr().err == "realtime-fsm: --tui: the package rich is missing; install realtime-fsm[tui]\n"


def test_without_a_terminal_there_is_no_screen() -> None:
    refused = result_of(*WORDS)
    problem = "standard output is no terminal; leave the option out"
    assert (refused.returncode, refused.stderr) == (2, f"realtime-fsm: --tui: {problem}\n")


def test_the_command_draws_on_a_terminal() -> None:
    terminal, theirs = pty.openpty()
    shown = b""
    with serving("--every", "0.05") as endpoint:
        command = [*COMMAND, "listen", endpoint, "--project", "demo", "rows", "--tui"]
        listener = subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"})
        os.close(theirs)
        while b"databases." not in shown:
            shown += os.read(terminal, 65536)
        listener.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # the end of a terminal that its program has closed
            while rest := os.read(terminal, 65536):
                shown += rest
        assert listener.wait(PATIENCE) == 130
    os.close(terminal)
    assert b"realtime-fsm listen" in shown
    assert b"Traceback" not in shown
