"""The picture of the demonstration: the text of a terminal, as an SVG.

Design: the picture is a function of the demonstration's code, so that a check can compare it. Port, path and moments differ from
run to run, so the picture shows fixed ones: a hundredth of a second a line, and a second and a half for the outage.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from functools import cache
from html import escape

COLUMN, LINE, MARGIN, BAR = 8.1, 21, 22, 40
WIDTH = 118
COLOURS = {"server": "#e3b341", "state": "#79c0ff", "event": "#7ee787", "client": "#d2a8ff"}
INK, QUIET = "#e6edf3", "#8b949e"


def spans(line: str) -> list[tuple[int, str, str]]:
    """The parts of a line: column, colour, text."""
    found = re.match(r"( *[\d.]+ s)  (\w+) +(.*)", line)
    if found is None:
        return [(0, INK if line.startswith("$") else QUIET, line)]
    return [(0, QUIET, found[1]), (found.start(2), COLOURS[found[2]], found[2]), (found.start(3), INK, found[3])]


def wrapped(line: str) -> list[str]:
    """A long line, continued under its text."""
    if len(line) <= WIDTH:
        return [line]
    cut = line.rfind(" ", 0, WIDTH)
    indent = 15 if line.startswith("The ") else 19
    return [line[:cut], *wrapped(" " * indent + line[cut + 1 :])]


def picture(text: str) -> str:
    """The SVG."""
    lines = [part for line in text.splitlines() for part in wrapped(line)]
    width = round(WIDTH * COLUMN + 2 * MARGIN)
    height = BAR + len(lines) * LINE + MARGIN
    dots = "".join(
        f'<circle cx="{24 + 20 * n}" cy="20" r="6" fill="{c}"/>' for n, c in enumerate(("#ff5f57", "#febc2e", "#28c840"))
    )
    rows = "".join(
        f'<text x="{MARGIN + column * COLUMN:.1f}" y="{BAR + LINE * (number + 0.7):.1f}" fill="{colour}" '
        f'textLength="{len(part) * COLUMN:.1f}" lengthAdjust="spacingAndGlyphs" xml:space="preserve">{escape(part)}</text>\n'
        for number, line in enumerate(lines)
        for column, colour, part in spans(line)
        if part
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
        f'<rect width="{width}" height="{height}" rx="10" fill="#0d1117"/>{dots}\n'
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="13.5">\n'
        f"{rows}</g></svg>\n"
    )


def steady(text: str) -> str:
    """Give the demonstration's text a fixed port, a log without its folder, and fixed moments."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8080", text)
    text = re.sub(r"(The audit log: )\S*[/\\]", r"\1", text)
    lines: list[str] = []
    moment = 0.0
    for line in text.splitlines():
        moment += 1.5 if "reconnecting -> connected" in line and any("because" in earlier for earlier in lines) else 0.01
        lines.append(re.sub(r"^ *[\d.]+ s(?=  )", f"{moment:6.2f} s", line))
    return "\n".join(lines)


@cache
def demo_picture() -> str:
    """Run the demonstration, and draw it."""
    with tempfile.TemporaryDirectory() as place:
        command = (sys.executable, "-m", "realtime_fsm", "demo", "--log", f"{place}/demo-audit.jsonl")
        shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return picture(f"$ realtime-fsm demo\n{steady(shown)}")
