"""The lesson of the tutorial, done as a reader does it: the commands as processes, and each shown output is a real one."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.commands import PATIENCE, line, obey_ctrl_c, result_of, running
from support.pages import ROOT, blocks_of, eventually, source_of

PAGE = ROOT / "docs" / "tutorial" / "ten-minutes.md"
INSTALL, SERVE, LISTEN, LOST, BACK, END, AUDIT, REPLAY = (block.splitlines() for block in blocks_of(PAGE, "console"))
EVENT = "sample"
RUN = """\
import runpy, sys
from realtime_fsm.runtime.jitter import drawing
with drawing(lambda: 0.25):  # the page shows a run without a ping; one could leave at any moment of the first 30 s
    runpy.run_path(sys.argv[1], run_name="__main__")
"""


def shape(text: str) -> str:
    """Return a line without its ids, fingerprints, moments, durations, numbers and actions, which differ from run to run."""
    text = re.sub(r"\b(?:[0-9a-f]{32}|[0-9a-f]{12})\b|\d{4}-\d\d-\d\dT[\d:.+]+", "#", text)
    text = re.sub(r"(?<![a-z])\d[\d.]*( [mu]?s\b)?|(?<=\brow)\d+", "#", text)
    return " ".join(re.sub(r"^(create|update|delete)\b|attempts?", "*", text).split())


def missing(shown: list[str], real: str) -> list[str]:
    """Return the shown lines, without the command, that no line of a real output resembles."""
    shapes = {shape(line) for line in real.splitlines()}
    return [line for line in shown if line.strip() and not line.startswith("$") and shape(line) not in shapes]


def read(process: subprocess.Popen[str], part: str, count: int = 1) -> str:
    """Read the output of a process until so many lines hold a text."""
    lines: list[str] = []
    while sum(part in text for text in lines) < count:
        lines.append(line(process))
        assert lines[-1], f"the process has ended: {lines}"
    return "".join(lines)


def failed_dials(log: Path) -> int:
    return sum(json.loads(text).get("trigger") == "dial_failed" for text in log.read_text(encoding="utf-8").splitlines())


@contextmanager
def reader(endpoint: str, folder: Path, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Save the page's program, with another endpoint, and run it as a reader does, but with the same delays each time."""
    text = source_of(PAGE).lstrip()
    assert text.count("http://127.0.0.1:8090/v1") == 1
    (folder / "listener.py").write_text(text.replace("http://127.0.0.1:8090/v1", endpoint), encoding="utf-8")
    command = [sys.executable, "-c", RUN, "listener.py"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True, preexec_fn=obey_ctrl_c, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def test_each_step_shows_what_the_page_shows(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with running("serve", "--port", "0", "--every", "0.1") as server:
            printed = read(server, "realtime-fsm listen")
            assert missing(SERVE, printed) == []
            endpoint = re.findall(r"http://\S+/v1", printed)[0]
            listener = stack.enter_context(reader(endpoint, tmp_path))
            assert missing(LISTEN, read(listener, EVENT, 2)) == []
            server.send_signal(signal.SIGINT)
            assert server.wait(PATIENCE) == 130
        assert missing(LOST, read(listener, "->")) == []
        asyncio.run(eventually(lambda: failed_dials(tmp_path / "audit.jsonl"), within=PATIENCE))
        with running("serve", "--port", str(urlsplit(endpoint).port), "--every", "0.1"):
            assert missing(BACK, read(listener, EVENT, 2)) == []
            listener.send_signal(signal.SIGINT)
            rest, _ = listener.communicate(timeout=PATIENCE)
        assert (listener.returncode, missing(END, rest)) == (0, [])
    for shown in (AUDIT, REPLAY):
        result = result_of(*shown[0].removeprefix("$ realtime-fsm ").split(), cwd=tmp_path)
        assert (result.returncode, missing(shown, result.stdout)) == (0, [])


def test_without_a_server_the_listener_ends_as_the_page_says(tmp_path: Path) -> None:
    with reader("http://127.0.0.1:1/v1", tmp_path, stderr=subprocess.PIPE) as listener:
        _, told = listener.communicate(timeout=PATIENCE)
    said = re.search(r"the listener dials (\w+) times.*?`(\w+)` and\s+`([^`]+)`", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert said is not None
    assert (said[1], failed_dials(tmp_path / "audit.jsonl")) == ("three", 3)
    assert re.search(rf"\.{said[2]}: .*{said[3]}$", told), told


def test_a_line_that_no_output_resembles_is_missing() -> None:
    assert missing(["$ command", "outage of 3 s", "nothing"], "outage of 12.5 ms\n") == ["nothing"]
    assert missing(END, "-- connected -> disposing\n") == END
