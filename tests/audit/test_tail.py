"""The tail of a growing file: each whole line once, through absence, rotation and truncation."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from realtime_fsm.audit.tail import Tail, find_problem, refuse_packed
from realtime_fsm.errors import BadOption


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


def test_a_file_that_does_not_grow_line_by_line_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    refuse_packed("--grow", [str(log)])
    for content in (b"", b"1\n"):
        log.write_bytes(content)
        refuse_packed("--grow", [str(log)])
    for content in (gzip.compress(b"1\n"), "1\n".encode("utf-16"), b"PK\x03\x04"):
        log.write_bytes(content)
        with pytest.raises(BadOption, match=f"--grow: {log} is compressed, or not in UTF-8; read it without --grow"):
            refuse_packed("--grow", [str(tmp_path / "missing"), str(log)])


def test_the_reason_for_which_a_file_cannot_be_opened_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log"
    assert find_problem(str(log)) == "No such file or directory"
    log.touch()
    assert find_problem(str(log)) == ""
    monkeypatch.setattr("os.access", lambda *_: False)
    assert find_problem(str(log)) == "Permission denied"


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
