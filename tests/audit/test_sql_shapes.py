"""The SQL reads the shapes and the timestamps that the audit reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_fsm.audit.decoding import parse_moment
from support.brokenlogs import audited, lines_of
from support.shippers import ALL, FORMATS, NOT_IN_VIEWS, lines_in
from support.views import Figures, Views, in_utc
from support.wholelog import RECORDS, write


@pytest.mark.parametrize("shape", FORMATS)
def test_the_views_take_what_the_audit_takes(shape: str, tmp_path: Path) -> None:
    log = Path(write(tmp_path / "log.jsonl", lines_in(shape, RECORDS)))
    report = audited(lines_in(shape, RECORDS))
    assert Figures(Views([log])).compare(report) == 1


def named(shape: str) -> list[bytes]:
    return lines_in(shape, [record | {"connection_id": shape} for record in RECORDS])


def test_the_views_read_the_wrappers_that_they_promise(tmp_path: Path) -> None:
    noise = [
        b"realtime. {",
        b'{"realtime.":{"connection_id":[{"connection_id"',
        b"\xff\xfe realtime.",
        b'{"a":1,"a":"realtime."}',
        b"",
    ]
    promised = [line for shape in ALL if shape not in NOT_IN_VIEWS for line in named(shape)]
    others = [line for shape in NOT_IN_VIEWS for line in named(shape)]
    log = Path(write(tmp_path / "log.jsonl", [*(line + b"\n" for line in noise), *promised, *others]))
    report = audited(promised)
    assert report.connections_total == len(ALL) - len(NOT_IN_VIEWS)
    assert Figures(Views([log], wrapped=True)).compare(report) == report.connections_total
    by_variable = Views([], f"SET VARIABLE realtime_logs = ['{log}']", wrapped=True)
    assert by_variable.one("SELECT count(*) AS count FROM records")["count"] == report.records


STAMPS = [
    "2026-11-24T05:00:00Z", "2026-11-24T05:00:00.123456Z", "2026-11-24T05:00:00.123456789Z", "2026-11-24 05:00:00,123",
    "2026-11-24T05:00", "2026-11-24T10:30:00+05:30", "2026-11-24T10:30:00+0530", "2026-11-24T00:00:00-05", 1_795_496_400,
    1_795_496_400.25, 1_795_496_400_123, 1_795_496_400_123_456, 1_795_496_400_000_000_000, "1795496400", "1795496400.25",
    "1795496400123", "yesterday", "", -1,
]  # fmt: skip


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_views_and_the_audit_read_the_same_timestamps(wrapped: bool, tmp_path: Path) -> None:
    records = [RECORDS[0] | {"timestamp": stamp, "seq": number} for number, stamp in enumerate(STAMPS)]
    views = Views([write(tmp_path / "log.jsonl", lines_of(records))], "SET TimeZone = 'Asia/Tokyo'", wrapped=wrapped)
    found = {row["seq"]: row["timestamp"] for row in views.rows('SELECT seq, "timestamp" FROM lines')}
    assert [(stamp, found[number]) for number, stamp in enumerate(STAMPS)] == [
        (stamp, in_utc(parse_moment(stamp))) for stamp in STAMPS
    ]
