"""The tail of a growing file: each whole line once, through absence, rotation and truncation."""

from __future__ import annotations

from pathlib import Path

from realtime_fsm.audit.tail import Tail


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_a_file_that_cannot_be_opened_after_a_rotation_is_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    tail = Tail(str(log))
    assert list(tail.poll()) == [], "it is not there yet"
    append(log, b"1\n")
    assert list(tail.poll()) == [b"1\n"]
    append(log, b"2\n")
    log.rename(tmp_path / "log.1")
    log.mkdir()
    assert list(tail.poll()) == [b"2\n"], "the rest of the old file comes first"
    assert list(tail.poll()) == []
    log.rmdir()
    append(log, b"3\n")
    assert list(tail.poll()) == [b"3\n"]
    tail.close()


def test_a_tail_that_was_closed_begins_anew_and_is_closed_as_often_as_one_likes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log, b"1\n")
    tail = Tail(str(log))
    tail.close()
    assert list(tail.poll()) == [b"1\n"]
    held = tail._file
    assert held is not None
    tail.close()
    tail.close()
    assert held.closed
    assert list(tail.poll()) == [b"1\n"]
    tail.close()


def test_a_line_that_was_begun_before_a_truncation_is_gone(tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log, b"1\nhalf of a l")
    tail = Tail(str(log))
    assert list(tail.poll()) == [b"1\n"]
    log.write_bytes(b"2\n")
    assert list(tail.poll()) == [b"2\n"]
    assert list(tail.poll()) == [], "what is read is not read again"
    append(log, b"3")
    assert list(tail.poll()) == []
    append(log, b"\n4\n")
    assert list(tail.poll()) == [b"3\n", b"4\n"]
    tail.close()
