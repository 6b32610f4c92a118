"""The command: what it reads, in which order, what it prints, and with which code it ends."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.auditing import auditor, command, ledger, progress, sources, tail
from realtime_fsm.auditing.auditor import Auditor
from realtime_fsm.auditing.command import main
from realtime_fsm.auditing.gauges import Histogram
from realtime_fsm.auditing.sources import Unreadable, in_order, open_log
from realtime_fsm.auditing.words import percent, span
from support.brokenlogs import audited, lines_of
from test_auditing_broken import LOSS, PONG, RECORDS, edited, without

LINES = lines_of(RECORDS)


def write(path: Path, lines: list[bytes]) -> str:
    data = b"".join(lines)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def renamed(name: str) -> list[bytes]:
    return lines_of([{**record, "connection_id": name} for record in RECORDS])


# --- what is read -----------------------------------------------------------------------------------------------------


def test_a_mixed_log_is_fine_and_extra_fields_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed: list[bytes] = []
    for number, line in enumerate(lines_of([{**record, "logger": "app", "pid": 7} for record in RECORDS])):
        mixed += [line, b"plain text\n", b'{"event":"request","n":%d}\n' % number, b'{"event":"realtime.mine","x":1}\n']
    assert main([write(tmp_path / "app.log", mixed)]) == 0
    assert f"{len(RECORDS)} records, {3 * len(RECORDS)} other lines" in capsys.readouterr().out


@pytest.mark.parametrize("stamp", [1_800_000_000.5, "2026-11-24T05:00:00", "2026-11-24 05:00:00+01:00"])
def test_timestamps_may_be_the_applications(stamp: object) -> None:
    assert audited(lines_of([{**record, "timestamp": stamp} for record in RECORDS])).verdict == "conformant"


@pytest.mark.parametrize("stamp", ["yesterday", True, 1e30, None])
def test_a_timestamp_that_cannot_be_read_is_told(stamp: object) -> None:
    report = audited(lines_of([{**record, "timestamp": stamp} for record in RECORDS]))
    assert report.first is not None
    assert report.first.rule == "form"


def test_connections_may_be_interleaved_and_one_can_be_picked() -> None:
    both = [line for pair in zip(renamed("a"), renamed("b"), strict=True) for line in pair]
    assert audited(both).connections_total == 2
    both[PONG * 2] = edited(PONG, connection_id="a", row="sub41")[PONG]
    assert audited(both).verdicts == {"conformant": 1, "violated": 1}
    assert audited(both, only=["b"]).verdict == "conformant"


def test_files_are_read_in_the_order_of_their_content(tmp_path: Path) -> None:
    cut = len(LINES) // 2
    later, earlier = write(tmp_path / "a.log", LINES[cut:]), write(tmp_path / "b.log.gz", LINES[:cut])
    other = write(tmp_path / "0.log", renamed("other"))
    for names in ([later, earlier, other], [other, later, earlier, earlier]):
        assert main([*names, "--format", "json", "--output", str(tmp_path / "out.json")]) == 0
    assert in_order([later, "-", earlier]) == [earlier, later, "-"]


def test_the_number_decides_where_the_clock_was_set_back(tmp_path: Path) -> None:
    cut = len(LINES) // 2
    late = [{**record, "timestamp": "2020-01-01T00:00:00Z"} for record in RECORDS[cut:]]
    names = [write(tmp_path / "late", lines_of(late)), write(tmp_path / "early", LINES[:cut])]
    overlap = write(tmp_path / "late", lines_of([{**late[0], "seq": 1}]))
    assert in_order(names) == [overlap, names[1]]


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(b"".join(LINES)))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert main(["-"]) == 0
    assert "verdict: conformant" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["missing", "folder", "cut.gz", "no.zst"])
def test_what_cannot_be_read_is_unusable(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "cut.gz").write_bytes(gzip.compress(os.urandom(4000) + b"".join(LINES))[:-40])
    (tmp_path / "no.zst").write_bytes(b"\x28\xb5\x2f\xfdrubbish")

    def absent(module: str) -> Any:
        raise ImportError(module)

    monkeypatch.setattr(sources, "import_module", absent)
    assert main([str(tmp_path / name), write(tmp_path / "good", LINES)]) == 2
    assert f"unusable: {tmp_path / name}" in capsys.readouterr().out


@pytest.mark.parametrize("library", ["compression.zstd", "backports.zstd", "zstandard"])
def test_zst_is_read_with_whatever_there_is(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + b"".join(LINES))

    class Library:
        """Stands in for one of the three."""

        class ZstdError(Exception):
            pass

        class ZstdFile(io.BytesIO):
            def __init__(self, raw: Any) -> None:
                super().__init__(raw.read()[4:])

        class ZstdDecompressor:
            def stream_reader(self, raw: Any, *, read_across_frames: bool) -> Any:
                return io.BytesIO(raw.read()[4:])

    def imported(module: str) -> Any:
        if module != library:
            raise ImportError(module)
        return Library

    monkeypatch.setattr(sources, "import_module", imported)
    with open_log(str(path)) as file:
        assert list(sources.lines_of(file)) == LINES

    class Broken(io.BytesIO):
        def read1(self, *_: Any) -> bytes:
            raise Library.ZstdError("corrupt")

    with pytest.raises(Unreadable, match="corrupt"):
        list(sources.lines_of(Broken()))

    class Defect(io.BytesIO):
        def read1(self, *_: Any) -> bytes:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(sources.lines_of(Defect()))


# --- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "json", "markdown", "junit", "html"])
def test_every_format_names_the_first_violation(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path / "bad", edited(PONG, row="sub41"))
    assert main([bad, write(tmp_path / "good", renamed("good")), "--format", form]) == 1
    said = capsys.readouterr().out
    assert f'"line": {PONG + 1}' in said if form == "json" else f"{bad}:{PONG + 1}" in said
    assert "pin42" in said, "what the table allows there"
    if form == "junit":
        suite = ET.fromstring(said)[0]  # noqa: S314  (our own)
        assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    if form == "json":
        report = json.loads(said)
        assert (report["verdict"], report["exit_code"], report["verdicts"]) == ("violated", 1, {"conformant": 1, "violated": 1})
        assert len(report["first"]["before"]) == 5


@pytest.mark.parametrize("form", ["text", "markdown", "junit", "html"])
def test_every_format_tells_of_doubts_and_of_what_is_unusable(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    doubtful = write(tmp_path / "doubtful", [*without(PONG), b'{"event":"realtime.ping","connection_id":'])
    assert main([doubtful, str(tmp_path / "missing"), "--format", form]) == 2
    assert str(tmp_path / "missing") in capsys.readouterr().out


def test_many_connections_are_summed_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = lines_of([{**record, "connection_id": "bad"} for record in RECORDS if record["seq"] != PONG])
    kept = 120
    monkeypatch.setattr(ledger, "KEPT", kept)
    lines = [line for number in range(kept + 5) for line in renamed(f"c{number}")]
    report = audited([*lines, *bad])
    assert (report.connections_total, len(report.connections)) == (kept + 6, kept)
    assert report.connections[-1].connection == "bad"
    log = write(tmp_path / "log", lines[: 110 * len(LINES)])
    for form in ("text", "markdown", "html"):
        assert main([log, "--format", form]) == 0
        assert "more connections" in capsys.readouterr().out


def test_life_is_told() -> None:
    (connection,) = audited(LINES).connections
    life = connection.life
    assert life.states["ping"] == pytest.approx(0.1)
    assert life.ping.p99 == pytest.approx(0.1, rel=0.01)
    assert life.failures == 1
    (outage,) = life.outages
    assert (outage.cause, outage.dials, outage.planned, outage.end) == ("stream_ended", 1, False, "healed")
    assert outage.seconds == life.to_recovery == pytest.approx(1.5)
    assert life.availability == pytest.approx(100 * 31.1 / 32.6, rel=0.001)


def test_percentiles_are_within_one_per_cent() -> None:
    chance = random.Random(7)
    for _ in range(20):
        values = sorted(chance.lognormvariate(chance.uniform(-8, 8), chance.uniform(0.1, 3)) for _ in range(999))
        histogram = Histogram()
        for value in values:
            histogram.add(value)
        for percentile in (50, 95, 99):
            true = values[-(-percentile * 999 // 100) - 1]
            assert histogram.percentile(percentile) == pytest.approx(true, rel=0.01)
    assert Histogram().percentile(50) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "none"), (0, "0 ms"), (2e-5, "20 us"), (0.25, "250 ms"), (61.5, "61.5 s"), (3700, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_times_are_said_shortly(seconds: float | None, said: str) -> None:
    assert span(seconds) == said
    assert percent(99.9999) == "99.999 %"


# --- flags ------------------------------------------------------------------------------------------------------------


def test_notes_and_doubts_can_be_made_to_fail(tmp_path: Path) -> None:
    good, hole = write(tmp_path / "good", LINES), write(tmp_path / "hole", without(PONG))
    assert [main([good]), main([good, "--fail-on", "outage"]), main([good, "--fail-on", "gap"])] == [0, 1, 0]
    assert [main([hole]), main([hole, "--fail-on", "seq"])] == [3, 1]
    assert main([write(tmp_path / "open", LINES[:-1]), "--fail-on", "open"]) == 1


def test_a_span_of_time_is_judged_alone(tmp_path: Path) -> None:
    bad = write(tmp_path / "bad", edited(PONG, row="sub41"))
    moment = RECORDS[PONG + 1]["timestamp"]
    assert [
        main([bad]),
        main([bad, "--since", RECORDS[LOSS + 1]["timestamp"]]),
        main([bad, "--until", RECORDS[PONG - 1]["timestamp"]]),
    ] == [
        1,
        0,
        0,
    ]
    assert main([bad, "--until", moment]) == 1
    assert main([bad, "--since", "2030-01-01T00:00:00+00:00"]) == 2
    with pytest.raises(SystemExit):
        main([bad, "--since", "tomorrow"])


def test_a_report_can_be_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = write(tmp_path / "log", LINES)
    assert main([log, "--output", str(tmp_path / "report.txt")]) == 0
    assert (tmp_path / "report.txt").read_text(encoding="utf-8").startswith("verdict: conformant")
    assert main([log, "--output", str(tmp_path / "no" / "report.txt")]) == 2
    assert "No such file" in capsys.readouterr().err


def test_it_can_be_added_to_a_command_line(tmp_path: Path) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    options = parser.parse_args(["audit", write(tmp_path / "log", LINES)])
    assert options.run(options) == 0


def test_growing_files_are_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    lines = edited(PONG, row="sub41")
    third = len(lines) // 3

    def rotate() -> None:
        path.rename(tmp_path / "log.1")
        path.write_bytes(b"".join(lines[third : 2 * third]))

    def append(data: bytes) -> None:
        with path.open("ab") as file:
            file.write(data)

    acts: list[Callable[[], object]] = [
        lambda: path.write_bytes(b"".join(lines[:third])[:-20]),
        lambda: append(b"".join(lines[:third])[-20:]),
        rotate,
        lambda: path.rename(tmp_path / "away"),
        lambda: (tmp_path / "away").rename(path),
        lambda: path.write_bytes(lines[2 * third]),  # truncated
        lambda: append(b"".join(lines[2 * third + 1 :])),
        lambda: append(b'{"event":"realt'),
        lambda: Path(path.rename(tmp_path / "log.2")).touch(),
    ]

    def sleep(_: float) -> None:
        if not acts:
            raise KeyboardInterrupt
        acts.pop(0)()

    monkeypatch.setattr(tail.follow_files, "__kwdefaults__", {"sleep": sleep})
    assert main(["--follow", str(path)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"realtime-fsm audit: {path}:")
    assert f"{len(RECORDS)} records" in said.out
    assert main(["--follow", "-"]) == 2


def test_a_bar_shows_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    log = write(tmp_path / "log", LINES)
    monkeypatch.setattr(progress, "LONG", 10)
    terminal = Terminal()
    with progress.Progress([log], terminal) as shown, open_log(log, shown.watch) as file:
        assert list(sources.lines_of(file)) == LINES
        shown.add(1)
    assert "auditing [" in terminal.getvalue()
    silent = io.StringIO()
    with progress.Progress([log], silent) as hidden, open_log(log, hidden.watch) as file:
        assert file.read() == b"".join(LINES)
    assert silent.getvalue() == ""


def test_memory_does_not_grow_with_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    def fed(count: int) -> int:
        judge = Auditor()
        tracemalloc.start()
        judge.feed(line for number in range(count) for line in renamed(f"c{number}"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert judge.live == 0
        return peak

    monkeypatch.setattr(ledger, "KEPT", 20)
    monkeypatch.setattr(auditor, "REMEMBERED", 20)
    few, many = fed(100), fed(300)
    assert many < few * 1.2


# --- the page ---------------------------------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_opens_in_a_browser(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    main([write(tmp_path / "log", LINES), "--format", "html", "--output", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), "it needs nothing from anywhere"
    assert CHROMIUM is not None
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    arguments = [CHROMIUM, *quiet, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()]
    dom = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True).stdout
    assert dom.count('class="bar"') == len(audited(LINES, detail=True).connections[0].bars)
    assert "outage: 1.5 s, cause stream_ended, attempts 1" in dom
    assert "sub64 x 1, 30 s" in dom
