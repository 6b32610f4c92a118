"""Several records in a line, and records that a container runtime has split, are judged like any others."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from realtime_fsm.audit import framing
from realtime_fsm.audit.framing import LineReader
from realtime_fsm.audit.sources import newest_moment, sort_by_content
from realtime_fsm.replay.log_reader import read_connection_log
from support.brokenlogs import audited, lines_of
from support.shippers import AT, lines_in
from support.wholelog import LINES, PONG, RECORDS, edited, write

WHOLE = audited(LINES)
STDOUT, STDERR = f"{AT} stdout".encode(), f"{AT} stderr".encode()


def split(line: bytes, *places: int, tag: bytes = b"", stream: bytes = STDOUT) -> list[bytes]:
    """Split a line as containerd does."""
    text, edges = line.rstrip(b"\n"), [0, *places, len(line)]
    parts = [text[begin:end] for begin, end in pairwise(edges)]
    return [stream + (b" F" if part is parts[-1] else b" P") + tag + b" " + part + b"\n" for part in parts]


def in_threes(records: list[bytes], between: bytes) -> list[bytes]:
    texts = [line.rstrip(b"\n") for line in records]
    return [between.join(texts[start : start + 3]) + b"\n" for start in range(0, len(texts), 3)]


JOINED: dict[str, list[bytes]] = {
    "nothing between": in_threes(LINES, b""),
    "a space": in_threes(LINES, b" "),
    "a comma": in_threes(LINES, b", "),
    "an array": [json.dumps(RECORDS).encode() + b"\n"],
    "behind a text": [b"app-1  | " + line for line in in_threes(LINES, b" ")],
    "two in a text": [json.dumps({"message": b"".join(LINES[:2]).decode()}).encode() + b"\n", *LINES[2:]],
    "two in an object": [
        json.dumps({"logEvents": [{"message": line.decode()} for line in LINES[:2]]}).encode() + b"\n",
        *LINES[2:],
    ],
    "a list in an object": [json.dumps({"logEvents": [{"message": line.decode()} for line in LINES]}).encode() + b"\n"],
    "texts in a list": [json.dumps({"rows": [line.decode() for line in LINES]}).encode() + b"\n"],
    "a text of several lines": [json.dumps({"log": b"".join(LINES).decode()}).encode() + b"\n"],
    "one behind the other, wrapped": [b"".join(line.rstrip(b"\n") for line in lines_in("docker", RECORDS)) + b"\n"],
}


@pytest.mark.parametrize("name", JOINED)
def test_several_records_in_a_line_are_all_judged(name: str) -> None:
    report = audited(JOINED[name])
    assert (report.verdict, report.records, report.other) == ("conformant", len(RECORDS), 0), report.first or report.findings
    assert report.life == WHOLE.life


def test_a_violation_in_such_a_line_is_found_in_its_line() -> None:
    first = audited(in_threes(edited(PONG, row="sub41"), b" ")).first
    assert first is not None
    assert (first.rule, first.place.line) == ("row", PONG // 3 + 1)


def test_a_line_that_breaks_off_behind_a_record_is_told() -> None:
    lines = [*LINES[:-2], LINES[-2].rstrip(b"\n") + LINES[-1][:-10]]
    report = audited(lines)
    assert (report.verdict, report.counts["cut"]) == ("inconclusive", 1)


@pytest.mark.parametrize("tag", [b"", b":kube"])
def test_split_lines_of_a_container_are_joined(tag: bytes) -> None:
    parts = [part for line in LINES for part in split(line, 20, len(line) // 2, tag=tag)]
    report = audited(parts)
    assert (report.verdict, report.records, report.other) == ("conformant", len(RECORDS), 0), report.first or report.findings
    assert report.life == WHOLE.life


def test_parts_of_two_streams_may_alternate() -> None:
    other = [part for line in LINES for part in split(b"x" * len(line), 9, stream=STDERR)]
    mixed = [part for pair in zip((p for line in LINES for p in split(line, 30)), other, strict=True) for part in pair]
    report = audited(mixed)
    assert (report.verdict, report.records, report.other) == ("conformant", len(RECORDS), len(RECORDS))


def test_a_record_whose_end_never_came_is_told() -> None:
    report = audited([*lines_in("cri", RECORDS[:-1]), split(LINES[-1], len(LINES[-1]) - 20)[0]])
    assert (report.verdict, report.counts["cut"]) == ("inconclusive", 1)


def test_parts_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "LONGEST", 100)
    reader = LineReader()
    part = STDOUT + b" P " + b"x" * 40 + b"\n"
    told = [line for _ in range(20) for line in reader.pieces(part)]
    assert max(map(len, told)) < 300
    assert len(b"".join(line for line, _ in reader.flush())) <= 100
    assert list(reader.flush()) == []


@pytest.mark.parametrize(
    "line",
    [b"plain text\n", b"realtime. realtime. {\xff}\n", b"{" * 50_000 + b"realtime. realtime.", b"realtime.a {} realtime.b [1]\n"],
)
def test_another_line_stays_as_it_is(line: bytes) -> None:
    assert LineReader().pieces(line) == [line]


def test_files_of_such_lines_are_sorted_and_replayed(tmp_path: Path) -> None:
    half = len(RECORDS) // 2 // 3 * 3
    later = write(tmp_path / "a", in_threes(LINES[half:], b" "))
    earlier = write(tmp_path / "b", [part for line in LINES[:half] for part in split(line, 99)])
    assert sort_by_content([later, earlier]) == [earlier, later]
    moment = newest_moment([earlier, later])
    assert moment is not None
    assert moment.isoformat() == RECORDS[-1]["timestamp"]
    log, plain = (read_connection_log(names) for names in ([later, earlier], [write(tmp_path / "c", LINES)]))
    assert [each.record for each in log.records] == [each.record for each in plain.records]


def test_the_newest_moment_is_that_of_any_record(tmp_path: Path) -> None:
    assert newest_moment([str(tmp_path / "missing"), write(tmp_path / "other", [b"{}\n", b"x\n"])]) is None
    wrong = [{**RECORDS[0], "seq": "x", "timestamp": "2031-01-01T00:00:00Z"}]
    moment = newest_moment([write(tmp_path / "log", [*LINES, *lines_of(wrong)])])
    assert moment is not None
    assert moment.year == 2031
