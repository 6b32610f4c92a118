"""The audit brings the records of a connection into order: records wait for earlier ones, which may be missing."""

from __future__ import annotations

import pytest

from realtime_fsm.audit import connections
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.report import ConnectionReport, Report
from support.brokenlogs import BEGIN, audited, lines_of
from support.wholelog import JWT, LINES, PONG, RECORDS, edited, renamed


def only_connection(report: Report) -> ConnectionReport:
    (connection,) = report.connections
    return connection


def texts(report: Report, rule: str = "seq") -> list[tuple[str, int]]:
    """The texts of a rule's first findings, and their lines."""
    findings = [*report.findings, *(each for connection in report.connections for each in connection.findings)]
    return [(each.text, each.place.line) for each in findings if each.rule == rule]


@pytest.mark.parametrize(
    ("order", "text", "line"),
    [
        ([1, 0], "number 2 comes before number 1", 1),
        ([0, 2, 1], "number 3 comes before number 2", 2),
        ([0, 2, 3, 1], "number 3 comes before number 2", 2),
        ([0, 1, 1], "number 2 is repeated: name a copied log once, or leave repeated lines out", 3),
        ([0, 1, 2, 1], "number 2 is repeated: name a copied log once, or leave repeated lines out", 4),
        ([0, 2, 2, 1], "number 3 is repeated: name a copied log once, or leave repeated lines out", 3),
        ([0, 3, 2, 1], "number 3 comes before number 2", 3),
        ([0, 2], "1 record is missing before number 3", 2),
        ([0, 3], "2 records are missing before number 4", 2),
        ([3, 4], "the connection's log begins with number 4", 1),
    ],
)
def test_a_disorder_is_told_once_at_its_record(order: list[int], text: str, line: int) -> None:
    report = audited(LINES[index] for index in order)
    assert texts(report) == [(text, line)]
    assert only_connection(report).records == len(order)


def test_records_wait_until_an_earlier_one_comes() -> None:
    auditor, waiting = Auditor(), []
    for index in (0, 3, 2, 4, 1, 5, 7, 6):
        auditor.feed([LINES[index]])
        waiting.append(auditor._connections.waiting)
    assert waiting == [0, 1, 2, 3, 0, 0, 1, 0]
    auditor.feed([LINES[9]])
    auditor.settle()
    assert (auditor._connections.waiting, len(auditor._connections.live)) == (0, 1)


def test_after_a_hole_a_number_that_has_had_its_turn_may_be_a_late_one(monkeypatch: pytest.MonkeyPatch) -> None:
    described: list[tuple[int, bool]] = []

    def describe(seq: int, *, is_sure: bool) -> str:
        described.append((seq, is_sure))
        return ""

    monkeypatch.setattr(connections, "describe_repetition", describe)
    auditor = Auditor()
    auditor.feed([LINES[0], LINES[0], LINES[2]])
    auditor.settle()
    auditor.feed([LINES[1]])
    assert described == [(1, True), (2, False)]


def test_records_after_the_span_of_time_do_not_wait() -> None:
    auditor = Auditor(until=BEGIN.replace(second=3))
    auditor.feed([*LINES[:3], LINES[5], LINES[4]])
    assert auditor._connections.waiting == 2
    auditor.feed([LINES[3]])
    assert auditor._connections.waiting == 0
    auditor.feed(LINES[6:])
    report = auditor.finish()
    assert (report.records, texts(report)) == (4, [("number 5 comes before number 4", 5)])


@pytest.mark.parametrize("most", [1, 2, 5])
def test_the_wait_ends_when_too_many_records_wait(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_EARLY", "MAX_EARLY_TOGETHER"):
        with monkeypatch.context() as patched:
            patched.setattr(connections, name, most)
            auditor = Auditor()
            auditor.feed([LINES[0], *LINES[2 : 2 + most]])
            assert auditor._connections.waiting == most
            auditor.feed([LINES[2 + most]])
            assert auditor._connections.waiting == 0


def test_a_connection_lives_until_its_last_record() -> None:
    auditor, live = Auditor(), []
    for line in [*LINES, LINES[PONG]]:
        auditor.feed([line])
        live.append(len(auditor._connections.live))
    assert live == [1] * (len(LINES) - 1) + [0, 0]


def test_a_connection_that_ended_is_followed_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_ENDED_TRACKED", 2)
    late = lines_of([{**RECORDS[PONG], "connection_id": "a", "seq": len(RECORDS) + 1}])
    for between, connections_total, rule in ((renamed("b"), 2, "end"), ([*renamed("b"), *renamed("c")], 4, "seq")):
        report = audited([*renamed("a"), *between, *late])
        assert report.connections_total == connections_total
        assert report.first is not None
        assert (report.first.connection, report.first.rule) == ("a", rule)


def test_a_broken_record_without_a_number_leaves_a_hole() -> None:
    broken = lines_of([{name: value for name, value in RECORDS[PONG].items() if name != "seq"}])
    report = audited([*LINES[:PONG], *broken, *LINES[PONG + 1 :]])
    assert (report.verdict, report.counts["form"], report.records) == ("violated", 1, len(LINES))
    assert texts(report) == [(f"1 record is missing before number {PONG + 2}", PONG + 2)]


def test_the_report_itself_has_the_finding_of_a_broken_record_without_a_connection() -> None:
    broken = lines_of([{**RECORDS[PONG], "connection_id": 7, "event": "realtime.moon"}])
    report = audited([*LINES, *broken])
    assert texts(report, "schema") == [("this version does not know the kind of record", len(LINES) + 1)]
    assert (report.findings[0].connection, report.records, report.connections_total) == (None, len(LINES) + 1, 1)
    assert audited([*LINES, *broken], only=["c1"]).findings == []


def test_an_id_that_looks_like_a_secret_is_told_at_its_first_record_and_hidden() -> None:
    report = audited(renamed(JWT))
    assert texts(report, "secret") == [("the connection's id looks like a secret", 1)]
    assert "eyJ" not in only_connection(report).connection


def test_a_broken_record_counts_at_its_moment() -> None:
    """It counts in a span of time, and as the first or the last record of its connection."""
    strange = edited(PONG, schema=99)
    moment = BEGIN.fromisoformat(RECORDS[PONG]["timestamp"])
    for since, counted in ((moment, 1), (moment.replace(microsecond=1), 0), (None, 1)):
        assert audited(strange, since=since).counts.get("schema", 0) == counted
    connection = only_connection(audited(strange[PONG : PONG + 1]))
    assert (connection.first, connection.last, connection.records) == (moment, moment, 1)
    connection = only_connection(audited(strange[: PONG + 1]))
    assert (connection.first, connection.last) == (BEGIN, moment)
