"""The worst connections come first in every format, by their names, and the healthy ones are counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from realtime_fsm.audit import collector
from support.brokenlogs import Record, audited
from support.commands import audit as main
from support.wholelog import BACK, LINES, LOSS, PONG, RECORDS, kind, moved_on, renamed, write

FORMATS = ["text", "markdown", "html", "json", "junit"]
HEALTHY: list[Record] = RECORDS[:LOSS]
"""The connection before its link is lost; the log ends while it is up."""


def longer(seconds: float) -> list[Record]:
    """The whole log with a longer outage; the lateness of the process excuses the delay."""
    dial, closed = BACK - 5, kind("outage", 1)
    records = [dict(record) for record in RECORDS]
    assert records[closed]["change"] == "closed"
    for record in records[dial : BACK + 1]:
        if record.get("source") == "reconnecting":
            record["dwell"] += seconds
            record["lag"] = seconds
    records[closed]["seconds"] += seconds
    return [*records[:dial], *moved_on(records[dial:], seconds)]


WRONG = [{**record, "row": "sub41"} if index == PONG else record for index, record in enumerate(RECORDS)]


def many(healthy: int) -> list[bytes]:
    """A log of healthy connections, and four others in between."""
    names = [renamed(f"fine-{number:04}", HEALTHY) for number in range(healthy)]
    half = healthy // 2
    others = (
        renamed("brief", RECORDS),
        renamed("lasting", longer(30.0)),
        renamed("wrong", WRONG),
        renamed("holed", [*HEALTHY[:PONG], *HEALTHY[PONG + 1 :]]),
    )
    return [line for lines in (*names[:half], *others, *names[half:]) for line in lines]


def test_the_violated_come_first_then_the_longest_outage() -> None:
    report = audited(many(3))
    assert report.verdicts == {"conformant": 5, "violated": 1, "inconclusive": 1}, report.first
    assert [each.connection for each in report.connections] == [
        "wrong", "lasting", "brief", "holed", "fine-0000", "fine-0001", "fine-0002",
    ]  # fmt: skip
    assert [each.healthy for each in report.connections] == [False] * 4 + [True] * 3
    assert report.healthy == 3


def test_the_best_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "KEPT", 3)
    report = audited(many(10))
    assert [each.connection for each in report.connections] == ["wrong", "lasting", "brief"]
    assert (report.connections_total, report.healthy) == (14, 10)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_names_the_bad_among_a_thousand(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([write(tmp_path / "log", many(996)), "--format", form]) == 1
    said = capsys.readouterr().out
    places = [said.index(name) for name in ("wrong", "lasting", "brief", "holed")]
    assert all(places)
    if form == "json":
        report = json.loads(said)
        assert (report["healthy"], report["first"]["connection"]) == (996, "wrong")
    elif form != "junit":
        assert "... and 996 healthy: 998 conformant, 1 violated, 1 inconclusive in all" in said
        assert "  connection wrong\n" in said, "the first finding names its connection"
        assert "fine-" not in said


def test_further_bad_ones_are_counted_beside_the_healthy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = [line for number in range(25) for line in renamed(f"bad-{number}")]
    assert main([write(tmp_path / "log", [*bad, *many(8)])]) == 1
    assert "... and 9 more connections and 8 healthy: " in capsys.readouterr().out


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_rules_that_were_never_taken_are_named_when_asked_for(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "log", LINES)
    assert main([log, "--format", form]) == 0
    assert "never taken" not in capsys.readouterr().out
    assert main([log, "--format", form, "--coverage"]) == 0
    assert "never taken: " in capsys.readouterr().out
