"""The SQL: DuckDB gives the figures of the built-in audit, whatever the logs are like."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from realtime_fsm.audit.sql import script
from realtime_fsm.auditlog.records import RECORDS
from realtime_fsm.auditlog.schema import FIELDS, KINDS
from realtime_fsm.fsm.table import TABLE
from support.brokenlogs import Record
from support.brokenlogs import lines_of as encoded
from support.commands import audit as main
from support.lives import ALL, ENDS, LIVES, interleaved, simulated
from support.some import some
from support.views import Figures, Views, built_in, compare, into_parquet, write

# --- the same figures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LIVES)
def test_a_life_has_the_same_figures_both_ways(name: str, tmp_path: Path) -> None:
    report = compare([write(tmp_path / "log.jsonl", ALL[name])])
    assert report.verdict == "conformant", report.first
    assert [outage.end for outage in report.connections[0].life.outages] == ENDS[name]


@pytest.mark.parametrize("seed", [7, 14, 24, 29, 122])
def test_a_storm_has_the_same_figures_both_ways(seed: int, tmp_path: Path) -> None:
    report = compare([write(tmp_path / "log.jsonl", simulated(seed))])
    assert report.verdict != "violated"
    assert report.life.failures > 3


def test_the_demonstration_has_the_same_figures_both_ways(tmp_path: Path) -> None:
    log = tmp_path / "demo.jsonl"
    subprocess.run([sys.executable, "-m", "realtime_fsm", "demo", "--log", str(log)], capture_output=True, timeout=60, check=True)
    assert compare([log]).life.failures == 1


def test_records_that_are_missing_leave_the_same_holes(tmp_path: Path) -> None:
    """A hole is a doubt and no violation, wherever it is."""
    variants: list[Record] = []
    handovers = [name for name in LIVES if "hand" in name]
    faults = [name for name in LIVES if "fault" in name]
    for name, length in itertools.product(("healed", "given_up", "healed_at_the_second_try", *faults, *handovers), (1, 5, 9)):
        for start in range(len(ALL[name])) if name not in faults or length == 5 else ():
            kept = ALL[name][:start] + ALL[name][start + length :]
            variants += [{**record, "connection_id": f"{name} without {length} from {start}"} for record in kept]
    log = write(tmp_path / "log.jsonl", variants)
    report, views = built_in([log]), Views([log])
    assert report.verdict == "inconclusive", report.first
    assert Figures(views).compare(report) == report.connections_total
    assert views.one("FROM availability WHERE connection_id = 'healed without 5 from 9'")["missing"] == 5


def test_the_dwell_of_other_records_is_not_time_that_passed(tmp_path: Path) -> None:
    def told(record: Record) -> Record:
        return {**record, "dwell": 0.25} if record["event"] == "realtime.subscription" else record

    whole = ALL["healed_at_the_second_try"]
    acknowledged = [record["seq"] for record in whole if record.get("change") == "acknowledged"]
    kept = [told(record) for record in whole if record["seq"] != acknowledged[0] + 1]
    views = Views([log := write(tmp_path / "log.jsonl", kept)])
    Figures(views).compare_connection(built_in([log]).connections[0])


# --- what it reads ----------------------------------------------------------------------------------------------------


def test_connections_may_be_interleaved_and_spread_over_files_of_any_kind_and_order(tmp_path: Path) -> None:
    records = interleaved()
    third = len(records) // 3
    plain = write(tmp_path / "c.jsonl", records[:third])
    packed = write(tmp_path / "b.jsonl.gz", records[third : 2 * third])
    last = write(tmp_path / "a.jsonl", records[2 * third :])
    parquet = into_parquet(tmp_path / "z.parquet", last)
    report = compare([plain, packed, last], Views([parquet, tmp_path / "c.*", packed]))
    assert report.connections_total == len(LIVES)
    compare([plain, packed, last], Views([last, packed, plain]))
    whole = into_parquet(tmp_path / "whole.parquet", tmp_path / "[abc].jsonl*")
    compare([plain, packed, last], Views([whole]))


def test_what_comes_twice_counts_once(tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", ALL["healed"])
    again = write(tmp_path / "b.jsonl", ALL["healed"][3:9])
    compare([log], Views([log, again]))


def test_other_lines_are_passed_over(tmp_path: Path) -> None:
    rubbish = [
        b"plain text\n", b"\n", b"42\n", b'"realtime.ping"\n', b"[1]\n", b"\xff\xfe\x00\n", b'{"broken\n', b"null\n",
        b'{"event":"request","seq":"abc","link":{"a":1},"dwell":[1],"timestamp":17,"retry":7}\n',
        b'{"event":"realtime.mine","x":1}\n', b'{"event":"realtime.ping","host":"db"}\n', b'{"event":["realtime.ping"]}\n',
    ]  # fmt: skip
    lines: list[bytes] = []
    for line in encoded({**record, "logger": "app", "pid": 7, "deep": {"a": [1]}} for record in interleaved()):
        lines += [line, rubbish[len(lines) // 2 % len(rubbish)]]
    log = tmp_path / "mixed.log"
    log.write_bytes(b"".join(lines) + b'{"event":"realtime.close","connec')
    clean = write(tmp_path / "clean.jsonl", interleaved())
    assert compare([clean], views := Views([log])).verdict == "conformant"
    assert views.rows("FROM left_out") == []


def test_records_that_cannot_be_used_are_left_out_and_told(tmp_path: Path) -> None:
    good, other = ALL["healed"], [{**record, "machine": None} for record in ALL["planned"]]
    newer = [{**record, "schema": 2} for record in ALL["rejected"][:1]]
    without = [{key: value for key, value in record.items() if key != "dwell"} for record in ALL["dialing"] if "dwell" in record]
    unknown = [{**ALL["rejected"][1], "event": "realtime.unheard_of"}]
    odd = [{**ALL["rejected"][1], "timestamp": "yesterday"}]
    log = write(tmp_path / "log.jsonl", [*good, *other, *newer, *without, *unknown, *odd])
    views = Views([log])
    figures = Figures(views)
    assert set(figures.lives) == {"healed", None}
    (healed,) = (each for each in built_in([log]).connections if each.connection == "healed")
    figures.compare_connection(healed)
    told = {(row["event"], row["schema"], row["machine"]): row["records"] for row in views.rows("FROM left_out")}
    assert sum(told.values()) == len(other) + len(newer) + len(without) + len(unknown) + len(odd)
    assert told["realtime.open", 1, None] == 1
    assert told["realtime.open", 2, TABLE.fingerprint] == 1
    assert told["realtime.unheard_of", 1, TABLE.fingerprint] == 1


@pytest.mark.parametrize(
    "stamp", [1_800_000_000.5, "2027-01-15T08:00:00.5", "2027-01-15 09:00:00.5+01:00", "2027-01-15T08:00:00.500000Z"]
)
def test_timestamps_may_be_the_applications_and_are_told_in_utc(stamp: object, tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [{**record, "timestamp": stamp} for record in ALL["healed"]])
    views = Views([log], "SET TimeZone = 'America/New_York'")
    compare([log], views)
    assert views.one("FROM availability WHERE connection_id = 'healed'")["first"] == datetime(2027, 1, 15, 8, 0, 0, 500_000)  # noqa: DTZ001  (UTC, as the views tell it)


def test_parquet_of_other_makers_is_read(tmp_path: Path) -> None:
    """Columns that no record has, times and numbers of other types, and no column that is not needed."""
    log = write(tmp_path / "log.jsonl", ALL["given_up"])
    other = tmp_path / "other.parquet"
    duck = Views([log]).duck
    duck.execute(
        "CREATE TABLE other AS SELECT event, machine, connection_id, seq::INTEGER AS seq, timestamp, link::SMALLINT AS link,"
        " row, trigger, source, dest, dwell::FLOAT AS dwell, attempt, sends, cause, change, planned, seconds, dials,"
        " {'id': 7} AS host FROM records WHERE event IN ('realtime.transition', 'realtime.outage')"
    )
    duck.execute(f"COPY other TO '{other}' (FORMAT parquet)")
    found = Views([other]).one("FROM availability WHERE connection_id IS NULL")
    expected = built_in([log]).life
    assert (found["failures"], found["gave_up"]) == (expected.failures, expected.gave_up)
    assert found["error"] == pytest.approx(expected.states["error"], rel=1e-6)


# --- the script -------------------------------------------------------------------------------------------------------


def test_names_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "it's; DROP TABLE x --$live"
    folder.mkdir()
    log = write(folder / "a'b.jsonl", ALL["healed"])
    compare([log])


def test_without_names_the_logs_are_in_a_variable(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", ALL["healed"])
    with pytest.raises(duckdb.Error, match="SET VARIABLE realtime_logs"):
        Views([])
    compare([log], Views([], f"SET VARIABLE realtime_logs = ['{log}']"))
    assert "SET VARIABLE realtime_logs" in script([]).split("CREATE OR REPLACE MACRO")[0]


def test_what_its_header_promises_works(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", interleaved())
    views = Views([log])
    header = script([str(log)]).split("CREATE OR REPLACE MACRO")[0]
    once = re.search(r"CREATE TABLE kept .*", header)
    copy = re.search(r"COPY \(.*", header)
    assert once is not None
    assert copy is not None
    views.duck.execute(once[0])
    compare([log], views)
    views.duck.execute(copy[0].replace("records.parquet", str(tmp_path / "records.parquet")))
    compare([log], Views([tmp_path / "records.parquet"]))
    for view in some(re.findall(r"CREATE OR REPLACE VIEW (\w+)", script([]))):
        assert view in header


def test_the_views_tell_what_happened(tmp_path: Path) -> None:
    views = Views([write(tmp_path / "log.jsonl", ALL["healed_at_the_second_try"])])
    steps = [record for record in ALL["healed_at_the_second_try"] if record["event"] == "realtime.transition"]
    found = views.rows("FROM transitions ORDER BY seq")
    assert [(row["row"], row["dwell"], row["close_code"]) for row in found] == [
        (step["row"], step["dwell"], step["close_code"]) for step in steps
    ]
    assert [row["elapsed"] for row in found] == sorted(row["elapsed"] for row in found)
    changes = views.rows("FROM subscriptions ORDER BY seq")
    assert [(row["change"], row["desired"]) for row in changes] == [("desired", 1), ("acknowledged", 1), ("acknowledged", 1)]
    assert views.rows("FROM pings") == []


def test_the_command_writes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--sql", "s3://bucket/logs/*.jsonl.gz", "more.parquet"]) == 0
    said = capsys.readouterr().out
    assert said == script(["s3://bucket/logs/*.jsonl.gz", "more.parquet"])
    assert main(["--sql", "--output", str(tmp_path / "life.sql")]) == 0
    assert (tmp_path / "life.sql").read_text(encoding="utf-8") == script([])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--sql", "-"], "--sql is for files"),
        (["--sql", "log", "--fail-on", "gap"], "--fail-on does not go with --sql"),
        (["--sql", "log", "--format", "json"], "--format does not go with --sql"),
        (["--sql", "log", "--follow"], "--follow does not go with --sql"),
        ([], "name a FILE"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"realtime-fsm audit: {sentence}")
    assert said.out == ""


# --- the shapes that it is made from ----------------------------------------------------------------------------------


def test_every_field_of_every_record_has_a_shape_and_a_meaning() -> None:
    assert [kind.event for kind in KINDS] == [str(record.__struct_config__.tag) for record in RECORDS]
    for kind, record in zip(KINDS, RECORDS, strict=True):
        assert kind.description
        assert tuple(field.name for field in kind.fields) == record.__struct_fields__
        assert all(field.description for field in kind.fields)
    assert (FIELDS["error_code"].json_type, FIELDS["dwell"].json_type, FIELDS["retry"].json_type) == ("string", "float", "json")
    assert (FIELDS["cause"].required, FIELDS["lag"].required, FIELDS["dest"].required) == (False, False, True)


def test_a_name_holds_the_same_in_all_kinds() -> None:
    for kind in KINDS:
        for field in some(kind.fields):
            assert (field.name, field.json_type) == (field.name, FIELDS[field.name].json_type)
