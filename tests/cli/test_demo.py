"""``realtime-fsm demo``, as a command."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.cli.demo import _Printer
from support.commands import Terminal, result_of
from support.virtual import Stopwatch


def test_the_demo_shows_the_main_job(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    log.write_text("an earlier log\n")
    result = result_of("demo", "--log", str(log))
    assert (result.returncode, result.stderr) == (0, "")
    said = re.findall(r"^ +\d\.\d\d s  (server|event|client) +(.*)$", result.stdout, re.MULTILINE)
    rows = "databases.main.tables.orders.rows"
    assert said[0][0] == "server"
    assert re.fullmatch(r"listens at http://127\.0\.0\.1:\d+/v1", said[0][1])
    assert said[1:] == [
        *(("event", f'{rows}.row{n}.create  {{"$id":"row{n}","title":"order {n}"}}') for n in (1, 2, 3)),
        ("server", "ends the stream without a close frame, as real servers do"),
        ("event", f'{rows}.row1.update  {{"$id":"row1","title":"order 1, after the outage"}}'),
        ("client", "is disposed of, and leaves no task or socket behind"),
    ]
    assert "  state   subscribed -> reconnecting: getting a link, because the stream ended (close code 1006)\n" in result.stdout
    path = re.search(r"The path: +(.*)", result.stdout)
    assert path is not None
    assert path[1].split(" -> ") == [
        "disconnected", "reconnecting", "connected", "subscribed", "reconnecting", "connected", "subscribed", "unsubscribed",
        "disposing",
    ]  # fmt: skip
    assert f"{log} ({len(log.read_text().splitlines())} records)" in result.stdout
    assert "earlier" not in log.read_text()


async def test_an_event_that_does_not_come_is_awaited_for_half_a_minute() -> None:
    async def no_events() -> AsyncIterator[object]:
        await asyncio.Event().wait()
        yield None

    subscription: Any = no_events()
    watch = Stopwatch()
    with pytest.raises(TimeoutError):
        await _Printer(StringIO()).print_events(subscription, 1)
    assert watch.now == 30.0


def test_each_line_is_shown_at_once() -> None:
    terminal = Terminal()
    _Printer(terminal).say("server", "listens")
    assert terminal.shown == ["  0.00 s  server  listens\n"]


def test_the_log_of_the_demo_audits(tmp_path: Path) -> None:
    log = tmp_path / "audit.jsonl"
    assert result_of("demo", "--log", str(log)).returncode == 0
    judged = result_of("audit", str(log))
    assert (judged.returncode, judged.stdout.splitlines()[0][:19]) == (0, "verdict: conformant")
    lines = log.read_text(encoding="utf-8").splitlines()
    greeted = next(number for number, text in enumerate(lines) if '"row":"rec22"' in text)
    lines[greeted] = lines[greeted].replace('"dest":"connected"', '"dest":"subscribed"')
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    judged = result_of("audit", str(log))
    assert (judged.returncode, f"{log}:{greeted + 1}" in judged.stdout) == (1, True)
