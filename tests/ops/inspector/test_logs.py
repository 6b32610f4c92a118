"""Logs as the source of the page: whole and growing, plain and wrapped."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from realtime_fsm.audit.tail import Tail
from realtime_fsm.client.threads import DaemonThreads
from realtime_fsm.ops.inspector import logs
from realtime_fsm.ops.inspector.board import Board
from realtime_fsm.ops.inspector.logs import LogReader, explain_empty
from support.brokenlogs import lines_of
from support.corpus import WALKS
from support.inspecting import board_of, browsing, content_of
from support.shippers import ALL, lines_in
from support.virtual import Stopwatch

LINES = lines_of(WALKS["healed"])


async def read(*files: Path | str, board: Board | None = None) -> Board:
    board = board or Board("log")
    await LogReader(board).read(map(str, files))
    return board


async def test_a_whole_log_ends_in_its_last_state(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"something else\n" + b"".join(LINES) + b'{"event": "cut')
    board = await read(log)
    assert board.views == board_of(WALKS["healed"]).views
    assert (board.live, board.problem) == (False, "")


async def test_rotated_and_compressed_files_may_come_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"".join(LINES[12:]))
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"".join(LINES[:12])))
    assert (await read(tmp_path / "a", tmp_path / "b.gz")).views == board_of(WALKS["healed"]).views


@pytest.mark.parametrize("shape", ALL)
async def test_each_shape_that_the_audit_reads_is_shown(shape: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(lines_in(shape, WALKS["healed"])))
    (view,) = (await read(log)).views
    assert (view.id, view.state, view.seq, view.lost) == ("healed", "subscribed", len(LINES), 0)


async def test_a_record_of_another_version_counts_and_harms_nothing(tmp_path: Path) -> None:
    strange = [{**WALKS["healed"][-1], "event": "realtime.unheard", "seq": len(LINES) + number} for number in (1, 2)]
    log = tmp_path / "log"
    log.write_bytes(b"".join(LINES) + b"".join(json.dumps(each).encode() + b"\n" for each in strange))
    (view,) = (await read(log)).views
    assert (view.others, view.state, view.lost) == ({"realtime.unheard": 2}, "subscribed", 0)


async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    assert (await read(missing)).problem == f"{missing}: No such file or directory"
    both = (await read(missing, tmp_path)).problem
    assert both.startswith(f"{tmp_path}: ")
    assert both.endswith(f"; {missing}: No such file or directory")


async def test_a_log_without_a_record_says_so(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("nothing of ours\n")
    assert (await read(log)).problem == f"{log}: no record of a connection is in it: 1 line"
    log.write_bytes(b"".join(LINES))
    problem = (await read(log, board=Board("log", ["unknown"]))).problem
    assert problem == f"{log}: no record of connection 'unknown' is in it: {len(LINES)} lines"


def test_a_log_with_no_record_to_show_is_explained_as_the_audit_does(tmp_path: Path) -> None:
    log, untimed = tmp_path / "log", tmp_path / "untimed"
    log.write_bytes(b"".join(LINES))
    records = [{name: value for name, value in record.items() if name != "timestamp"} for record in WALKS["healed"]]
    untimed.write_bytes(b"".join(lines_of(records)))
    (tmp_path / "empty").touch()
    assert explain_empty([str(tmp_path / "empty"), str(log)], ["heal"], {}) == ""
    assert explain_empty([str(tmp_path / "empty")], (), {}) == f"{tmp_path / 'empty'}: it is empty"
    explained = f"{log}: no record of connection 'x' is in it: {len(LINES)} lines; it holds 'healed'"
    assert explain_empty([str(log)], ["x"], {}) == explained
    assert explain_empty([str(untimed)], (), {}) == f"{untimed}:1: the record lacks its timestamp (see --map)"
    (tmp_path / "damaged").write_bytes(gzip.compress(b"x")[:8])
    assert explain_empty([str(tmp_path / "damaged")], (), {}).startswith(f"{tmp_path / 'damaged'}: it is damaged or cut")


def test_files_with_no_record_to_show_are_explained_together(tmp_path: Path) -> None:
    other, *empty = [tmp_path / name for name in "abcdefg"]
    other.write_text("nothing of ours\n")
    for file in empty:
        file.touch()
    names = ", ".join(map(str, [other, *empty]))
    assert explain_empty(map(str, [*empty, other]), (), {}) == f"{names}: no record of this library is in it: 1 line"


@pytest.mark.parametrize("count", [5, 6])
def test_of_many_files_that_cannot_be_read_five_are_named(count: int, tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(count)]
    for file in files:
        file.write_bytes(gzip.compress(b"x")[:8])
    said = explain_empty(map(str, files), (), {})
    assert [f"{file}: " in said for file in files] == [True] * 5 + [False] * (count - 5)
    assert said.endswith(" and more") is (count > 5)


async def test_browsers_are_told_at_once_that_a_log_has_ended(tmp_path: Path) -> None:
    log, board = tmp_path / "log", Board("log")
    log.write_text("nothing of ours\n")
    async with browsing(board) as messages:
        watch = Stopwatch()
        await read(log, board=board)
        told = content_of(await anext(messages))
        assert (told["live"], "no record" in told["problem"]) == (False, True)
        assert watch.now < 1


async def test_renamed_fields_tell_the_order_of_files(tmp_path: Path) -> None:
    renamed = [{**record, "message": record["event"], "moment": record["timestamp"]} for record in WALKS["healed"]]
    for record in renamed:
        del record["event"], record["timestamp"]
    for name, part in (("a", renamed[12:]), ("b", renamed[:12])):
        (tmp_path / name).write_bytes(b"".join(lines_of(part)))
    board = Board("log")
    await LogReader(board, {"event": "message", "timestamp": "moment"}).read([str(tmp_path / "a"), str(tmp_path / "b")])
    assert board.views == board_of(WALKS["healed"]).views


async def test_threads_and_files_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[str] = []

    class Threads(DaemonThreads):
        def shutdown(self, *given: object, **more: object) -> None:
            given_back.append("threads")
            super().shutdown()

    class File(Tail):
        def close(self) -> None:
            given_back.append(self.name)
            super().close()

    monkeypatch.setattr(logs, "DaemonThreads", Threads)
    monkeypatch.setattr(logs, "Tail", File)
    await read(tmp_path / "missing")
    assert given_back == ["threads"]
    following = asyncio.ensure_future(LogReader(Board("log")).follow(["a", "b"]))
    await asyncio.sleep(0)
    following.cancel()
    await asyncio.wait([following])
    assert given_back == ["threads", "b", "a"]


async def test_a_growing_log_is_followed_through_a_rotation(tmp_path: Path) -> None:
    log, board = tmp_path / "log", Board("log")
    reading = asyncio.ensure_future(LogReader(board).follow([str(log), str(log)]))
    await asyncio.sleep(1)
    assert board.views == []
    log.write_bytes(b"".join(LINES[:9]) + LINES[9][:20])
    await asyncio.sleep(1)
    assert [view.seq for view in board.views] == [9]
    with log.open("ab") as file:
        file.write(LINES[9][20:])
    log.rename(tmp_path / "log.1")
    log.write_bytes(b"".join(LINES[10:]))
    await asyncio.sleep(1)
    assert board.views == board_of(WALKS["healed"]).views
    assert board.live
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()


async def test_a_long_log_leaves_the_loop_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LINES", 2)
    monkeypatch.setattr(logs, "PAUSE", 3600.0)
    log, board = tmp_path / "log", Board("log")
    log.write_bytes(b"".join(LINES))
    reading = asyncio.ensure_future(LogReader(board).follow([str(log)]))
    seen = []
    for _ in range(4):
        await asyncio.sleep(0)
        seen.append(board.views[0].seq if board.views else 0)
    assert seen == [2, 4, 6, 8]
    reading.cancel()
    await asyncio.wait([reading])
