"""The collector chooses the first finding, orders the connections by their figures, and counts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from realtime_fsm.audit import collector
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.collector import ReportBuilder
from realtime_fsm.audit.report import Finding, Location, Report
from realtime_fsm.audit.window import Window
from realtime_fsm.fsm.table import TABLE
from support.brokenlogs import BEGIN, Record, audited, lines_of
from support.wholelog import BACK, LINES, LOSS, PONG, RECORDS, edited, renamed, without

ALWAYS = Window(None, None)


def builder() -> ReportBuilder:
    return ReportBuilder(detail=False, fail_on=(), tables=[TABLE])


def built(made: ReportBuilder, lines: int = 0, *, surplus: int = 0) -> Report:
    files = ["a", "b", "a"]
    return made.report(files, lines, ALWAYS, is_strange=False, absence=lambda: f"{lines} lines lack it", surplus=surplus)


def finding(rule: str, weight: str, line: int = 1) -> Finding:
    return Finding(rule, weight, "why", Location("a", line))


def test_the_first_violation_goes_before_a_doubt_and_a_note_is_never_first() -> None:
    made = builder()
    told = [finding("late", "note"), finding("seq", "doubt"), finding("cut", "doubt"), finding("form", "violation"),
            finding("row", "violation"), finding("seq", "doubt")]  # fmt: skip
    first: list[str | None] = []
    for each in told:
        made.add_unattributed(each)
        first.append(None if made.first is None else made.first.rule)
    assert first == [None, "seq", "seq", "form", "form", "form"]
    report = built(made, 9, surplus=1)
    assert (report.verdict, report.counts) == ("violated", {"form": 1, "row": 1, "seq": 2, "cut": 1, "late": 1})
    assert (report.records, report.other, report.findings) == (6, 4, told)


def test_the_verdict_is_that_of_the_heaviest_finding() -> None:
    for weights, verdict in (
        ((), "unusable"), (("note",), "conformant"), (("doubt", "note"), "inconclusive"), (("doubt", "violation"), "violated"),
    ):  # fmt: skip
        made = builder()
        for weight in weights:
            made.add_unattributed(finding("form", weight))
        assert built(made).verdict == verdict
        made.add_unreadable("c", "it is gone", is_begun=False)
        assert built(made).verdict == ("violated" if verdict == "violated" else "unusable")


def test_a_file_that_is_cut_is_a_doubt_and_one_that_cannot_be_read_is_no_finding() -> None:
    made = builder()
    made.add_unreadable("a", "it is gone", is_begun=False)
    assert made.first is None
    made.add_unreadable("b", "it is cut", is_begun=True)
    report = built(made)
    assert [(each.weight, each.text, str(each.place)) for each in report.findings] == [
        ("unusable", "it is gone", "a"), ("doubt", "it is cut", "b"),
    ]  # fmt: skip
    assert (report.counts, report.first) == ({"cut": 1}, report.findings[1])
    strict = ReportBuilder(detail=False, fail_on=["cut"], tables=[TABLE])
    strict.add_unreadable("b", "it is cut", is_begun=True)
    assert built(strict).verdict == "violated"


def test_files_without_a_record_are_one_finding() -> None:
    report = built(builder(), 7)
    assert [(each.rule, each.weight, each.text, str(each.place)) for each in report.findings] == [
        ("cut", "unusable", "7 lines lack it", "a, b")
    ]
    assert report.files == ["a", "b"]
    assert (report.exit_code, report.machine, report.never_taken) == (2, TABLE.fingerprint, [row.id for row in TABLE.rows])


def test_the_collector_keeps_a_bounded_number_of_findings_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "KEPT", 3)
    made = builder()
    for line in range(5):
        made.add_unattributed(finding("form", "violation", line))
    report = built(made)
    assert ([each.place.line for each in report.findings], report.counts, report.records) == ([0, 1, 2], {"form": 5}, 5)


# --- connections ------------------------------------------------------------------------------------------------------


def longer(seconds: float) -> list[Record]:
    """Return the records of the whole log, with some seconds more in `subscribed`."""
    records = [dict(record) for record in RECORDS]
    for record in records[LOSS - 3 :]:
        if "at" in record:
            record["at"] += seconds
    loss = next(record for record in records[LOSS - 3 :] if record.get("source") == "subscribed")
    loss["dwell"] += seconds
    return records


def test_of_equal_outages_the_lower_availability_and_the_earlier_connection_is_worse() -> None:
    report = audited([*renamed("first"), *renamed("better", longer(20.0)), *renamed("second")])
    assert [each.connection for each in report.connections] == ["first", "second", "better"]
    assert report.healthy == 0


def test_a_doubtful_connection_is_worse_than_a_good_one_of_the_same_figures() -> None:
    healthy = RECORDS[:LOSS]
    disordered = [healthy[0], healthy[2], healthy[1], *healthy[3:]]
    report = audited([*renamed("good", healthy), *renamed("doubtful", disordered), *renamed("other", healthy)])
    assert [each.connection for each in report.connections] == ["doubtful", "good", "other"]
    assert (report.healthy, report.verdicts) == (2, {"conformant": 2, "inconclusive": 1})


def test_a_finding_is_counted_and_its_first_one_shown() -> None:
    records = [{**record, "row": "none"} if index in (PONG, BACK) else record for index, record in enumerate(RECORDS)]
    (connection,) = audited(lines_of(records)).connections
    assert (connection.counts["row"], connection.healthy) == (2, False)
    assert [each.place.line for each in connection.findings if each.rule == "row"] == [PONG + 1]
    wrong = edited(LOSS, row="none")
    (connection,) = audited([*wrong[:PONG], *wrong[PONG + 1 :]]).connections
    assert [each.rule for each in connection.findings][:2] == ["row", "seq"], "in the order of the rules"
    assert list(connection.counts) == [each.rule for each in connection.findings]


def test_a_connection_that_is_not_disposed_of_is_open_at_the_last_line() -> None:
    (connection,) = audited(LINES[:PONG]).connections
    (note,) = (each for each in connection.findings if each.rule == "open")
    assert (note.weight, note.place.line, note.connection) == ("note", PONG, "c1")
    assert note.text == "it has not been disposed of, and is at last ping"
    assert (connection.ended, connection.judged) == (False, True)
    (connection,) = audited([*LINES[:PONG], *LINES[PONG + 1 : PONG + 2]]).connections
    assert connection.ended is False
    (connection,) = audited(LINES[1:PONG]).connections
    assert connection.judged is False
    (connection,) = audited(LINES).connections
    assert (connection.ended, "open" in connection.counts) == (True, False)


def test_the_dwells_of_each_rule_are_kept_where_a_page_shows_them() -> None:
    rows = {row.row: (row.count, row.dwell) for row in audited(LINES, detail=True).rows}
    assert list(rows["pin42"]) == [1, pytest.approx(0.1, rel=0.01)]
    assert {row.dwell for row in audited(LINES).rows} == {None}


def test_a_span_of_time_is_told_beside_the_figures() -> None:
    since, until = BEGIN + timedelta(seconds=3), BEGIN + timedelta(seconds=8)
    report = audited(LINES, since=since, until=until)
    assert (report.since, report.until, report.records, report.other) == (since, until, 6, len(LINES) - 6)
    assert sum(row.count for row in report.rows) == sum("row" in record for record in RECORDS[3:9])


def test_the_first_violation_so_far_is_told() -> None:
    auditor = Auditor()
    auditor.feed(without(PONG)[:-1])
    auditor.settle()
    assert auditor.violation is None, "a doubt is no violation"
    auditor.feed(edited(LOSS, seq=99, connection_id="other", row="none")[LOSS : LOSS + 1])
    auditor.settle()
    assert auditor.violation is not None
    assert auditor.violation.rule == "row"
