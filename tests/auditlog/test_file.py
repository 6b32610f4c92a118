"""The audit log in a file: JSON lines that survive rotation and failing disks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from realtime_fsm import State, audit
from realtime_fsm.auditlog.file import AuditFile
from realtime_fsm.auditlog.writer import AuditWriter
from support.bench import Bench
from support.network import Network
from support.some import some
from support.virtual import eventually, run


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def a_life(*, losses: int = 0) -> None:
    network = Network()
    async with network.realtime() as realtime:
        await realtime.subscribe("rows")
        for loss in range(losses):
            network.socket.cut()
            await eventually(lambda loss=loss: len(network.dials) == loss + 2 and realtime.state is State.SUBSCRIBED)  # type: ignore[misc]


@pytest.mark.parametrize("kind", [str, Path])
def test_records_are_appended_as_json_lines(tmp_path: Path, kind: type[str | Path]) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text('{"event":"earlier"}\n', encoding="utf-8")
    with audit.configure(kind(path)):
        run(a_life)
    lines = records(path)
    assert [line["event"] for line in lines[:2]] == ["earlier", "realtime.open"]
    assert [line["seq"] for line in lines[1:]] == list(range(1, len(lines)))
    assert all(str(line["timestamp"]).endswith("Z") and line["level"] for line in lines[1:])


def test_a_file_that_is_renamed_or_removed_is_opened_anew(tmp_path: Path) -> None:
    path, moved = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    with AuditFile(path, interval=0) as file:
        file.write(b"1")
        path.rename(moved)
        file.write(b"2")
        file.write(b"3")
        path.unlink()
        file.write(b"4")
    assert moved.read_text() == "1\n"
    assert path.read_text() == "4\n"
    path.unlink()
    with pytest.raises(ValueError, match="the audit file is closed"):
        file.write(b"5")
    assert not path.exists()
    file.close()


def test_a_rename_is_noticed_a_tenth_of_a_second_after_the_check_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("realtime_fsm.auditlog.file.time.monotonic", lambda: now)
    path = tmp_path / "audit.jsonl"
    with AuditFile(path) as file:
        path.rename(tmp_path / "1")
        for now in (0.0, 0.09, 0.1, 0.11):
            file.write(b"%g" % now)
        path.rename(tmp_path / "2")
        for now in (0.19, 0.2, 0.31):
            file.write(b"%g" % now)
        path.rename(tmp_path / "3")
        for now in (0.32, 0.42):
            file.write(b"%g" % now)
    assert [(tmp_path / name).read_text().split() for name in ("1", "2", "3", "audit.jsonl")] == [
        ["0", "0.09"],
        ["0.1", "0.11", "0.19"],
        ["0.2", "0.31", "0.32"],
        ["0.42"],
    ]


def test_a_file_that_stays_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    really = Path.open

    def counted(path: Path, *options: Any, **more: Any) -> Any:
        opened.append(path)
        return really(path, *options, **more)

    monkeypatch.setattr(Path, "open", counted)
    with AuditFile(tmp_path / "audit.jsonl", interval=0) as file:
        file.write(b"1")
        file.write(b"2")
    assert opened == [tmp_path / "audit.jsonl"]


def test_a_folder_that_is_gone_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path = folder / "audit.jsonl"
    with AuditFile(path, interval=0) as file:
        path.unlink()
        folder.rmdir()
        for _ in range(2):
            with pytest.raises(FileNotFoundError):
                file.info(b"lost")
        folder.mkdir()
        file.warning(b"kept")
    assert path.read_text() == "kept\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_never_stops_the_link_and_is_reported() -> None:
    with audit.configure("/dev/full"):
        run(lambda: a_life(losses=2), reports=1)


def test_a_file_that_cannot_be_opened_raises_and_configures_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        audit.configure(tmp_path / "no such folder" / "audit.jsonl")
    assert not structlog.is_configured()


def test_two_connections_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"

    async def both() -> None:
        await asyncio.gather(a_life(losses=1), a_life(losses=1))

    with audit.configure(path):
        run(both)
    by_connection: dict[object, list[object]] = {}
    for line in records(path):
        by_connection.setdefault(line["connection_id"], []).append(line["seq"])
    assert [seqs == list(range(1, len(seqs) + 1)) for seqs in by_connection.values()] == [True, True]


def test_the_applications_processors_apply_to_the_file_of_configure(tmp_path: Path) -> None:
    def stamped(_: object, __: str, record: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {**record, "host": "here"}

    path = tmp_path / "audit.jsonl"
    with audit.configure(path):
        structlog.configure(processors=[stamped, *structlog.get_config()["processors"]])
        structlog.get_logger().info("my own", n=1)
        run(a_life)
    lines = records(path)
    assert len(lines) > 5
    assert {line["host"] for line in lines} == {"here"}


def test_the_applications_levels_apply_to_the_file_of_configure(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit.configure(path):
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
        run(lambda: a_life(losses=1))
    assert {line["level"] for line in records(path)} == {"warning"}


def test_a_later_configuration_counts_for_a_connection_that_has_written(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    log = AuditWriter("c1", lambda failure: None)
    for path in (first, second):
        with audit.configure(path):
            log.ping(0.5)
    assert [[line["seq"] for line in records(path)] for path in (first, second)] == [[1], [2]]


def test_a_line_holds_the_record_in_the_order_of_its_fields_then_sentence_event_and_level(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    with audit.configure(path):
        run(lambda: a_life(losses=1))
    for line in some(records(path)):
        kind = next(kind for kind in audit.RECORDS if kind.__struct_config__.tag == line["event"])
        fields = [name for name in kind.__struct_fields__ if name in line and name != "sentence"]
        assert list(line) == [*fields, "sentence", "event", "level"]


def test_a_time_on_the_second_is_written_like_any_other(tmp_path: Path) -> None:
    transition, failures = Bench().to(State.SUBSCRIBED).last.transition, list[BaseException]()
    assert transition is not None
    with audit.configure(tmp_path / "audit.jsonl"):
        sink = AuditWriter("c1", failures.append)
        for microsecond in (0, 10):
            sink.transition(transition, datetime(2026, 1, 2, 3, 4, 5, microsecond, tzinfo=UTC))
    assert not failures
    assert [line["timestamp"] for line in records(tmp_path / "audit.jsonl")] == [
        "2026-01-02T03:04:05.000000Z",
        "2026-01-02T03:04:05.000010Z",
    ]
