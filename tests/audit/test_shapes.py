"""A log has the same verdict and the same figures, however it is wrapped, renamed, formatted, encoded or compressed."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path

import msgspec
import pytest
import zstandard

from realtime_fsm.audit import shapes
from realtime_fsm.audit.decoding import BadRecord, ExtendedRecord, decode_unusual, parse_moment
from realtime_fsm.audit.report import Report
from realtime_fsm.audit.shapes import Shapes
from realtime_fsm.audit.sources import open_log, read_lines, sort_by_content
from realtime_fsm.replay.log_reader import read_connection_log
from support.brokenlogs import audited, lines_of
from support.commands import audit as main
from support.lives import ALL as LIVES_OF_ALL
from support.lives import LIVES
from support.shippers import ALL, lines_in, moved
from support.wholelog import JWT, LINES, PONG, RECORDS, edited, kind, write

WHOLE = audited(LINES)
LIFE = [record for name in LIVES for record in LIVES_OF_ALL[name]]
KNOWN_LIFE = audited(lines_of(LIFE))


def figures(report: Report) -> list[object]:
    """All that a report tells, but the records of findings, which are shown as the log has them."""
    lives = [
        (c.connection, c.verdict, c.records, c.first, c.last, c.state, c.ended, c.judged, c.counts, c.life)
        for c in report.connections
    ]  # fmt: skip
    return [report.verdict, report.counts, report.records, report.other, lives, report.life, report.rows]


# --- shapes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ALL)
def test_a_record_is_found_in_each_shape(shape: str) -> None:
    report = audited(lines_in(shape, RECORDS))
    assert report.verdict == "conformant", report.first or report.findings
    assert figures(report) == figures(WHOLE)


@pytest.mark.parametrize("shape", ALL)
def test_each_life_has_the_same_figures_in_each_shape(shape: str) -> None:
    report, known = audited(lines_in(shape, LIFE)), KNOWN_LIFE
    assert report.verdicts == known.verdicts
    assert (report.records, report.other, report.counts, report.rows) == (known.records, 0, known.counts, known.rows)
    found, plain = ([(each.life.availability, each.life.states) for each in one.connections] for one in (report, known))
    assert found == plain


@pytest.mark.parametrize("shape", ALL)
def test_a_violation_is_found_in_each_shape(shape: str) -> None:
    records = [*RECORDS[:PONG], {**RECORDS[PONG], "row": "sub41"}, *RECORDS[PONG + 1 :]]
    found = audited(lines_in(shape, records)).first
    assert found is not None
    assert (found.rule, found.place.line) == ("row", PONG + 1)
    assert found.record is not None
    assert found.record["row"] == "sub41", "the finding shows the record, and not its wrapper"


def test_shapes_may_change_from_line_to_line() -> None:
    names = list(ALL)
    lines = [lines_in(names[index % len(names)], [record])[0] for index, record in enumerate(RECORDS)]
    noise = [line for each in lines for line in (each, b"GET /realtime.js {x} 200\n", b'{"log":"no record"}\n')]
    report = audited(noise)
    assert (report.verdict, report.records, report.other) == ("conformant", len(RECORDS), 2 * len(RECORDS))


def test_the_way_to_the_last_record_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, lines = Shapes(), lines_in("docker", RECORDS)
    assert reader.read(lines[0])[1] is not None
    monkeypatch.setattr(Shapes, "_in_text", None)
    monkeypatch.setattr(shapes, "decode_unusual", None)
    plain, made = reader.read(lines[1])
    assert made is not None
    assert json.loads(plain) == RECORDS[1]


def test_a_key_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [{**moved(record, connection_id="conn", timestamp="when"), "timestamp": "2020-01-01"} for record in RECORDS]
    log = write(tmp_path / "log", lines_of(records))
    assert main([log]) == 1, "the records lack a field"
    assert main([log, "--map", "connection_id=conn", "--map", "timestamp=when", "--format", "json", "-o", f"{log}.json"]) == 0
    assert json.loads(Path(f"{log}.json").read_text())["connections"][0]["first"].startswith("2026-11-24T05:00:00")
    with pytest.raises(SystemExit):
        main([log, "--map", "conn"])
    assert "'conn' is not FIELD=KEY" in capsys.readouterr().err


def test_a_secret_in_a_wrapped_record_is_told() -> None:
    records = [*RECORDS[:PONG], {**RECORDS[PONG], "user": JWT}, *RECORDS[PONG + 1 :]]
    assert audited(lines_in("docker", records)).counts["secret"] == 1


@pytest.mark.parametrize("shape", ["docker", "cri", "logfmt", "gcp json", "numbers as texts", "nulls dropped"])
def test_a_replay_reads_the_same_shapes(shape: str, tmp_path: Path) -> None:
    log = read_connection_log([write(tmp_path / "log", lines_in(shape, RECORDS))])
    plain = read_connection_log([write(tmp_path / "plain", LINES)])
    assert [each.record for each in log.records] == [each.record for each in plain.records]


def test_files_of_wrapped_records_are_sorted(tmp_path: Path) -> None:
    lines = lines_in("docker", RECORDS)
    later, earlier = write(tmp_path / "a", lines[PONG:]), write(tmp_path / "b", lines[:PONG])
    assert sort_by_content([later, earlier]) == [earlier, later]


@pytest.mark.parametrize(("shape", "cut"), [("docker", 130), ("cri", 30), ("cri", 90), ("nested", 30)])
def test_a_wrapped_record_that_the_end_of_the_file_cuts_is_told(shape: str, cut: int) -> None:
    lines = lines_in(shape, RECORDS)
    report = audited([*lines[:-1], lines[-1][:-cut]])
    assert (report.verdict, report.counts) == ("inconclusive", WHOLE.counts | {"cut": 1, "open": 1})


def test_a_last_line_that_is_cut_does_not_hide_that_no_record_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [repr(record).encode() + b"\n" for record in RECORDS]
    assert main([write(tmp_path / "log", [*lines[:-1], lines[-1][:-1]])]) == 2
    assert "no record of this library is in it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        (0, "1970-01-01T00:00:00"),
        (99_999_999_999, "5138-11-16T09:46:39"),  # the last one in seconds
        (100_000_000_000, "1973-03-03T09:46:40"),
        (99_999_999_999_999, "5138-11-16T09:46:39.999"),
        (100_000_000_000_000, "1973-03-03T09:46:40"),
        (99_999_999_999_999_999, "5138-11-16T09:46:39.999999"),
        (100_000_000_000_000_000, "1973-03-03T09:46:40"),
        ("1732424400.25", "2024-11-24T05:00:00.250"),
        (10**20, None),
        (-1, None),
        (True, None),
    ],
    ids=repr,
)
def test_the_size_of_a_number_tells_its_unit(stamp: object, moment: str | None) -> None:
    assert parse_moment(stamp) == (None if moment is None else datetime.fromisoformat(moment).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, None) for text in ("", "None", "null", "nil")),
        *((text, True) for text in ("True", "true")),
        *((text, False) for text in ("False", "false")),
        ("7", "7"),
        (r'"a \"b\" \\c"', 'a "b" \\c'),
        ("{'a': 1}", {"a": 1}),
        ('{"a": null}', {"a": None}),
        ("{a", "{a"),
    ],
    ids=repr,
)
def test_the_value_of_a_pair_is_read(text: str, value: object) -> None:
    assert shapes._value(text) == value


@pytest.mark.parametrize(("size", "cut"), [(1 << 16, True), ((1 << 16) + 1, False)])
def test_a_line_that_is_longer_than_any_record_is_none_that_was_cut(size: int, cut: bool) -> None:
    line = b'{"' + b"x" * (size - 2)
    assert (decode_unusual(line) == BadRecord("cut", "the file ends in the middle of a line")) is cut


def test_msgspec_reads_texts_as_numbers() -> None:
    """The audit relies on it where a shipper makes a text of each number."""
    assert msgspec.convert({"a": "3", "b": "x"}, dict[str, int | str], strict=False) == {"a": "3", "b": "x"}
    assert msgspec.convert("3", float | int | None, strict=False) == 3


# --- limits -----------------------------------------------------------------------------------------------------------


def in_objects(value: object, depth: int) -> bytes:
    return json.dumps(reduce(lambda inner, _: {"message": inner}, range(depth), value)).encode()


@pytest.mark.parametrize(("depth", "found"), [(1, True), (8, True), (9, False)])
def test_a_record_is_found_five_objects_below_the_fourth_brace(depth: int, found: bool) -> None:
    _, made = Shapes().read(in_objects(RECORDS[0], depth))
    assert isinstance(made, ExtendedRecord) is found


@pytest.mark.parametrize("quote", ['""', '\\"'])
@pytest.mark.parametrize(("depth", "found"), [(1, True), (7, True), (8, False)])
def test_a_record_in_quotes_is_found_four_objects_below_the_fourth_brace(quote: str, depth: int, found: bool) -> None:
    text = json.dumps(RECORDS[0]).replace('"', quote)
    _, made = Shapes().read(in_objects(f"a field, {text}", depth))
    assert isinstance(made, ExtendedRecord) is found


@pytest.mark.parametrize(("braces", "found"), [(3, True), (4, False)])
def test_a_record_is_found_behind_three_braces(braces: int, found: bool) -> None:
    _, made = Shapes().read(b"{ " * braces + json.dumps(RECORDS[0]).encode())
    assert isinstance(made, ExtendedRecord) is found


def nested(record: dict[str, object], **outer: object) -> bytes:
    return json.dumps({**outer, "message": json.dumps(record)}).encode()


@pytest.mark.parametrize("name", ["agent", "annotations", "kubernetes", "labels", "tags", "trace_id", "span_id", "stream"])
def test_the_audit_ignores_the_fields_that_a_shipper_adds(name: str) -> None:
    report = audited(edited(PONG, **{name: "0123456789abcdef" * 3}))
    assert report.verdict == "conformant", report.first
    assert audited(edited(PONG, other="0123456789abcdef" * 3)).counts["secret"] == 1


def test_only_the_beginning_of_a_long_text_is_searched() -> None:
    logfmt, size = lines_in("logfmt", RECORDS)[0], 1 << 16
    for before, found in ((size - len(logfmt) - 1, True), (size - len(logfmt) // 2, False)):
        _, made = Shapes().read(b"x" * before + b" " + logfmt)
        assert isinstance(made, ExtendedRecord) is found, before


def test_the_text_behind_an_object_does_not_hide_it() -> None:
    record = json.dumps(RECORDS[0]).encode()
    _, made = Shapes().read(record + b" and " + b"x" * (1 << 16))
    assert isinstance(made, ExtendedRecord)


def test_a_time_around_a_record_is_taken_only_where_the_record_has_none() -> None:
    times = {"time": "2026-11-24T06:00:00Z", "date": "2026-11-24T07:00:00Z", "ts": "2026-11-24T08:00:00Z"}
    for outer, hour in ((times, 8), ({name: times[name] for name in ("date", "time")}, 6), ({"date": times["date"]}, 7)):
        _, made = Shapes().read(nested({k: v for k, v in RECORDS[0].items() if k != "timestamp"}, **outer))
        assert isinstance(made, ExtendedRecord)
        assert made.line.timestamp.hour == hour
    _, made = Shapes().read(nested(RECORDS[0], **times))
    assert isinstance(made, ExtendedRecord)
    assert made.line.timestamp == parse_moment(RECORDS[0]["timestamp"])


def test_a_time_before_a_text_is_taken() -> None:
    record = json.dumps({k: v for k, v in RECORDS[0].items() if k != "timestamp"})
    _, made = Shapes().read(f"app [2026-11-24 05:00:00,250] info: {record}".encode())
    assert isinstance(made, ExtendedRecord)
    assert made.line.timestamp == parse_moment("2026-11-24T05:00:00.250Z")


def test_a_key_without_a_value_is_true() -> None:
    told = " ".join(f"{name}={json.dumps(value)}" for name, value in RECORDS[kind("outage")].items() if name != "planned")
    for flags, planned in (("planned", True), ("planned=false", False)):
        _, made = Shapes().read(f"{told} {flags}".encode())
        assert isinstance(made, ExtendedRecord), flags
        assert made.line.planned is planned


# --- nothing is recognised --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"event":"realtime.ping","x":7}', "lacks machine, connection_id, seq, timestamp, link (see --map)"),
        (b'{"seq":7,"link":1,"x":"realtime.x"}', "lacks event, machine, connection_id, timestamp (see --map)"),
        (
            b'{"a":{"seq":7,"x":"realtime.x"},"b":{"seq":7,"link":1}}',
            "lacks event, machine, connection_id, timestamp (see --map)",
        ),
        (b"realtime. " + b"y" * 190, f"values: realtime. {'y' * 190}\n"),
        (b"realtime. " + b"y" * 191, f"values: realtime. {'y' * 190}...\n"),
        (b"realtime.ping \x1b[31m came\n", r"is neither JSON nor pairs of keys and values: realtime.ping \x1b[31m came"),
        (
            b'  "event": "realtime.ping",\n',
            'is a part of a record that takes several lines: "event": "realtime.ping",; write one record a line with'
            " `jq -c . FILE`\n",
        ),
        (b'x {"e":"realtime.ping","token":"%s"} ' % JWT.encode() + b"y" * 300, "(hidden: it looks like a secret)"),
    ],
)
def test_the_first_line_that_looks_like_a_record_is_shown(
    line: bytes, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log", [b"hello\n", line, b"\n"])
    assert main([log]) == 2
    said = capsys.readouterr().out
    assert f"no record of this library is in it: 2 lines; {log}:2 " in said or f"3 lines; {log}:2 " in said
    assert told in said
    assert JWT not in said
    assert max(map(len, said.splitlines())) < 500


def test_hostile_lines_are_lines_of_other_programs() -> None:
    hostile = [
        b'{"realtime.": ' + b"[" * 100_000, b'{"a":' * 50_000 + b'"realtime.', b"realtime. connection_id=" + b'x="' * 20_000,
        b"realtime. " + b"a={" * 20_000 + b" connection_id=1", b'{"x":"realtime. connection_id=1 retry={[[[[}"}',
        b"realtime.{\xff}",
        b'{"connection_id":"realtime.","event":["realtime.ping"]}',
    ]  # fmt: skip
    report = audited([*(line + b"\n" for line in hostile), *LINES])
    assert (report.verdict, report.other) == ("conformant", len(hostile))


# --- files ------------------------------------------------------------------------------------------------------------

TEXT = b"".join(LINES)
PACKED = {
    "gz": gzip.compress(TEXT),
    "two.gz": gzip.compress(TEXT[:5000]) + gzip.compress(TEXT[5000:]),
    "zeros.gz": gzip.compress(TEXT) + bytes(512),
    "rubbish.gz": gzip.compress(TEXT) + b"rubbish\n",
    "bz2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT) + bytes(4) + lzma.compress(b""),
    "zst": zstandard.ZstdCompressor().compress(TEXT),
    "bom": b"\xef\xbb\xbf" + TEXT,
    "utf-16": TEXT.decode().encode("utf-16"),
    "utf-16-be": TEXT.decode().encode("utf-16-be"),
    "utf-16.gz": gzip.compress(TEXT.decode().encode("utf-16")),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_file_is_read_as_its_first_bytes_tell(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[name])
    assert main([str(path)]) == 0, capsys.readouterr().out
    assert f"(1 connection, {len(RECORDS)} records)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gz", "bz2", "xz", "zst"])
def test_a_cut_file_is_told_and_read_up_to_its_last_good_byte(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[name][:-4])
    assert main([str(path)]) == (2 if name == "zst" else 3), "so short a file in zstd is one block, which is lost"
    said = capsys.readouterr().out
    weight = "unusable" if name == "zst" else "doubt"
    assert f"{weight}: {path}: it is damaged or cut: the last frame is not whole" in said
    assert name == "zst" or f"(1 connection, {len(RECORDS)} records; 1 file is cut)" in said


def test_a_damaged_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("gz", "bz2", "xz", "zst"):
        path = tmp_path / name
        path.write_bytes(PACKED[name][:8] + bytes(range(256)) * 8)
        assert main([str(path)]) == 2
        assert f"unusable: {path}: it is damaged or cut" in capsys.readouterr().out


def archive(path: Path, **files: bytes) -> str:
    with tarfile.open(path, "w:gz") as out:
        for name, data in files.items():
            info = tarfile.TarInfo(f"logs/{name}")
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return str(path)


def test_the_files_in_an_archive_are_read_in_their_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = len(LINES) // 2
    path = archive(tmp_path / "a.tgz", new=b"".join(LINES[half:]), old=gzip.compress(b"".join(LINES[:half])), other=b"x\n")
    named = [name for name in sort_by_content([path]) if not name.endswith("other")]
    assert named == [f"{path}::logs/old", f"{path}::logs/new"]
    assert main([path]) == 0, capsys.readouterr().out
    with open_log(f"{path}::logs/old") as file:
        assert list(read_lines(file)) == LINES[:half]


def test_an_archive_that_is_cut_or_lacks_a_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(archive(tmp_path / "a.tgz", new=TEXT))
    assert main([f"{path}::logs/none"]) == 2
    assert "the archive has no such file" in capsys.readouterr().out
    path.write_bytes(path.read_bytes()[:-30])
    assert main([str(path)]) == 3
    assert f"doubt: {path}: it is damaged or cut" in capsys.readouterr().out
