"""The command reads files in any order, compressed or not, mixed or growing, and reports those that it cannot read."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import zstandard

from realtime_fsm.audit import progress, sources, tail
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.sources import Unreadable, open_log, read_blocks, read_lines, sort_by_content
from support.brokenlogs import audited
from support.brokenlogs import lines_of as encoded
from support.commands import audit as main
from support.wholelog import LINES, PONG, RECORDS, edited, renamed, write

MAGIC = b"\x28\xb5\x2f\xfd"


def compressed(lines: list[bytes]) -> bytes:
    return zstandard.ZstdCompressor().compress(b"".join(lines))


def test_a_mixed_log_is_fine_and_extra_fields_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed: list[bytes] = []
    for number, line in enumerate(encoded([{**record, "logger": "app", "pid": 7} for record in RECORDS])):
        mixed += [line, b"plain text\n", b'{"event":"request","n":%d}\n' % number, b'{"event":"realtime.mine","x":1}\n']
    assert main([write(tmp_path / "app.log", mixed)]) == 0
    assert f"{len(RECORDS)} records, {3 * len(RECORDS)} other lines" in capsys.readouterr().out


@pytest.mark.parametrize("stamp", [1_800_000_000.5, "2026-11-24T05:00:00", "2026-11-24 05:00:00+01:00"])
def test_timestamps_may_be_the_applications(stamp: object) -> None:
    assert audited(encoded([{**record, "timestamp": stamp} for record in RECORDS])).verdict == "conformant"


@pytest.mark.parametrize("stamp", ["yesterday", True, 1e30, None])
def test_a_timestamp_that_cannot_be_read_is_told(stamp: object) -> None:
    report = audited(encoded([{**record, "timestamp": stamp} for record in RECORDS]))
    assert report.first is not None
    assert (report.verdict, report.first.rule) == ("inconclusive", "cut"), "the application's logging writes it"
    assert report.first.text == ("the timestamp cannot be read" if stamp else "the record lacks its timestamp (see --map)")


@pytest.mark.parametrize(
    ("index", "wrong", "text"),
    [
        (PONG, {"link": "geheim"}, "Expected `int`, got `str` - at `$.link`"),
        (4, {"change": "geheim"}, "Invalid enum value an unknown word"),
    ],
)
def test_a_field_of_the_wrong_form_is_told_without_its_value(index: int, wrong: dict[str, Any], text: str) -> None:
    found = audited(edited(index, **wrong)).first
    assert found is not None
    assert (found.rule, found.text) == ("form", text)


def test_connections_may_be_interleaved_and_one_can_be_picked() -> None:
    both = [line for pair in zip(renamed("a"), renamed("b"), strict=True) for line in pair]
    assert audited(both).connections_total == 2
    both[PONG * 2] = edited(PONG, connection_id="a", row="sub41")[PONG]
    assert audited(both).verdicts == {"conformant": 1, "violated": 1}
    assert audited(both, only=["b"]).verdict == "conformant"
    both[PONG * 2] = edited(PONG, connection_id="a", machine="another")[PONG]
    assert audited(both, only=["b"]).verdict == "conformant"


def test_files_are_read_in_the_order_of_their_content(tmp_path: Path) -> None:
    cut = len(LINES) // 2
    later, earlier = write(tmp_path / "a.log", LINES[cut:]), write(tmp_path / "b.log.gz", LINES[:cut])
    other = write(tmp_path / "0.log", renamed("other"))
    for names in ([later, earlier, other], [other, later, earlier, earlier]):
        assert main([*names, "--format", "json", "--output", str(tmp_path / "out.json")]) == 0
    assert sort_by_content([later, "-", earlier]) == [earlier, later, "-"]


@contextmanager
def piped(path: Path, content: bytes) -> Iterator[str]:
    """Offer a content through a named pipe, once."""
    os.mkfifo(path)
    writer = Thread(target=path.write_bytes, args=(content,))
    writer.start()
    yield str(path)
    writer.join()


def test_a_pipe_is_read_once_and_after_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = len(LINES) // 2
    earlier = write(tmp_path / "earlier", LINES[:cut])
    with piped(tmp_path / "later", b"".join(LINES[cut:])) as later:
        assert sort_by_content([later, earlier]) == [earlier, later]
        assert main([later, earlier]) == 0
    assert f"{len(LINES)} records" in capsys.readouterr().out


def test_a_pipe_has_an_end_from_which_times_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with piped(tmp_path / "log", b"".join(LINES)) as log:
        assert main([log, "--since", "1h"]) == 0
    assert f"{len(LINES)} records" in capsys.readouterr().out


def test_the_number_decides_where_the_clock_was_set_back(tmp_path: Path) -> None:
    cut = len(LINES) // 2
    late = [{**record, "timestamp": "2020-01-01T00:00:00Z"} for record in RECORDS[cut:]]
    names = [write(tmp_path / "late", encoded(late)), write(tmp_path / "early", LINES[:cut])]
    overlap = write(tmp_path / "late", encoded([{**late[0], "seq": 1}]))
    assert sort_by_content(names) == [overlap, names[1]]


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(b"".join(edited(PONG, row="sub41"))))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert main(["-"]) == 1
    said = capsys.readouterr().out
    assert "verdict: violated" in said
    assert "the 5 records before it" in said, "although they cannot be read again"


def test_the_records_before_a_finding_may_be_in_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = edited(PONG, row="sub41")
    files = [write(tmp_path / "1", bad[: PONG - 2]), write(tmp_path / "2", bad[PONG - 2 :])]
    assert main(files) == 1
    said = capsys.readouterr().out
    assert [f"{name}:{line}: " in said for name, line in ((files[0], PONG - 2), (files[1], 1), (files[1], 2))] == [True] * 3


# --- blocks -----------------------------------------------------------------------------------------------------------


def test_lines_of_any_length_come_whole_and_rubbish_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_BLOCK", 16)
    monkeypatch.setattr(sources, "LONGEST", 64)
    text = b"a\n" * 9 + b"b" * 50 + b"\n\n" + b"c" * 200 + b"\nd"
    blocks = list(read_blocks(io.BytesIO(text)))
    assert b"".join(blocks) == text
    assert all(block.endswith(b"\n") or len(block) >= 64 for block in blocks[:-1])
    assert max(map(len, blocks)) < 64 + 2 * 16
    assert list(read_lines(io.BytesIO(text)))[:11] == [b"a\n"] * 9 + [b"b" * 50 + b"\n", b"\n"]


def test_what_came_before_lines_that_break_off_is_judged() -> None:
    def breaking() -> Any:
        yield from LINES
        raise Unreadable("cut")

    auditor = Auditor()
    with pytest.raises(Unreadable):
        auditor.feed(breaking())
    assert auditor.finish().records == len(LINES)


@pytest.mark.parametrize(
    ("sizes", "read"),
    [([1] * 2001, 2000), ([1 << 19] * 3, 2), ([(1 << 19) + 1] * 3, 1), ([(1 << 20) + 1], 0), ([1, (1 << 20) - 1, 1], 2)],
)
def test_the_first_lines_of_a_file_tell_its_place(sizes: list[int], read: int) -> None:
    assert len(list(sources._head_lines(bytes(size) for size in sizes))) == read


def test_a_file_without_a_record_comes_first_and_of_equals_the_name_decides(tmp_path: Path) -> None:
    third = len(LINES) // 3
    names = [write(tmp_path / name, lines) for name, lines in (("x", [b"?\n"]), ("b", LINES[:third]), ("a", LINES[third:]))]
    twin = write(tmp_path / "c", renamed("twin", RECORDS[:third]))
    assert sort_by_content([*names[::-1], twin]) == [names[0], names[1], twin, names[2]]
    assert sort_by_content([twin, *names]) == [names[0], names[1], twin, names[2]]


def test_files_without_an_order_of_their_numbers_are_sorted_by_time(tmp_path: Path) -> None:
    """No order suits the numbers of both connections."""
    half = len(LINES) // 2
    one = write(tmp_path / "one", [*renamed("a")[:half], *renamed("b")[half:]])
    other = write(tmp_path / "other", [*renamed("b")[:half], *renamed("a")[half:]])
    assert sort_by_content([other, one]) == [one, other]


# --- compressed -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("magic", "reason"),
    [
        (b"PK\x03\x04", "it is a zip archive: unpack it, and name the files in it"),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive: unpack it, and name the files in it"),
        (b"\x04\x22\x4d\x18", "it is compressed with lz4: decompress it first"),
        (b"PAR1", "it is Parquet: ask it with --sql, or export it as JSON lines"),
    ],
)
def test_a_form_that_is_not_read_is_named_with_its_remedy(
    magic: bytes, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    log.write_bytes(magic + b"\n".join([b"rest"] * 9))
    assert main([str(log)]) == 2
    assert f"unusable: {log}: {reason}\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing", "No such file"), ("folder", "it is a directory; name the files in it"), ("no.zst", "")],
)
def test_what_cannot_be_read_is_unusable(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "no.zst").write_bytes(compressed(LINES))

    def absent(module: str) -> Any:
        raise ImportError(module)

    monkeypatch.setattr(sources, "import_module", absent)
    assert main([str(tmp_path / name), write(tmp_path / "good", LINES)]) == 2
    said = capsys.readouterr().out
    assert f"unusable: {tmp_path / name}: {reason}" in said
    assert ("install realtime-fsm[zst]" in said) == (name == "no.zst")


def test_zst_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.zst"
    half = len(LINES) // 2
    path.write_bytes(compressed(LINES[:half]) + compressed(LINES[half:]))  # frames are written one after the other
    with open_log(str(path)) as file:
        assert list(read_lines(file)) == LINES
    assert main([str(path)]) == 0
    path.write_bytes(compressed(edited(PONG, row="sub41")))
    assert main([str(path)]) == 1
    assert "the 5 records before it" in capsys.readouterr().out


@pytest.mark.parametrize(("cut", "code"), [(-20, 3), (40, 2)])
def test_a_zst_that_is_cut_is_told_and_what_comes_before_counts(
    cut: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.zst"
    whole = [line for number in range(300) for line in renamed(f"c{number}")]
    path.write_bytes(compressed(whole)[:cut])
    assert main([str(path)]) == code
    said = capsys.readouterr().out
    assert f"{'doubt' if code == 3 else 'unusable'}: {path}: it is damaged or cut: the last frame is not whole" in said
    assert ("records; 1 file is cut)" in said) == (code == 3)


def test_a_zst_that_is_damaged_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.zst"
    path.write_bytes(MAGIC + b"rubbish" * 100)
    assert main([str(path)]) == 2
    assert f"unusable: {path}: it is damaged or cut" in capsys.readouterr().out


@pytest.mark.parametrize("library", ["compression.zstd", "backports.zstd"])
def test_zst_is_read_with_what_later_pythons_have(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.zst"
    path.write_bytes(compressed(LINES))

    class Library:
        """Replace it."""

        @staticmethod
        def ZstdDecompressor() -> Any:  # noqa: N802  (as both call it)
            return zstandard.ZstdDecompressor().decompressobj()

    def imported(module: str) -> Any:
        if module != library:
            raise ImportError(module)
        return Library

    monkeypatch.setattr(sources, "import_module", imported)
    with open_log(str(path)) as file:
        assert list(read_lines(file)) == LINES


class ZstdError(Exception):
    """As every one of the libraries calls it."""


@pytest.mark.parametrize(("failure", "told"), [(ZstdError("corrupt"), Unreadable), (ZeroDivisionError(), ZeroDivisionError)])
def test_a_damage_is_told_and_a_defect_is_not_hidden(failure: Exception, told: type[Exception]) -> None:
    class Broken(io.BytesIO):
        def read1(self, *_: Any) -> bytes:
            raise failure

    with pytest.raises(told):
        list(read_lines(Broken()))


# --- growing files ----------------------------------------------------------------------------------------------------


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
    assert "the 5 records before it" in said.out, "although the file has gone"
    assert main(["--follow", "-"]) == 2


def test_a_file_that_never_came_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tail.follow_files, "__kwdefaults__", {"sleep": sleep})
    assert main(["--follow", str(tmp_path / "nothing")]) == 2
    assert f"unusable: {tmp_path / 'nothing'}: No such file or directory" in capsys.readouterr().out


def test_a_bar_shows_on_a_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    log = write(tmp_path / "log", LINES)
    monkeypatch.setattr(progress, "LONG", 10)
    terminal = Terminal()
    with progress.Progress([log], terminal) as shown, open_log(log, shown.watch) as file:
        assert list(read_lines(file)) == LINES
        shown.add(1)
    assert "auditing [" in terminal.getvalue()
    silent = io.StringIO()
    with progress.Progress([log], silent) as hidden, open_log(log, hidden.watch) as file:
        assert file.read() == b"".join(LINES)
    assert silent.getvalue() == ""
