"""Records that come twice, too early or too late: the audit judges them in the order of their numbers, and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.audit import connections
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.fsm.inputs import Authenticate, Closed, LinkClosed, LogOut, Pong, Reconnect
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.options import Timeouts
from support.bench import Bench
from support.brokenlogs import Scribe, audited, collected, lines_of
from support.commands import audit as main
from support.some import some
from support.verdicts import found
from support.wholelog import DIAL, JWT, LINES, LOSS, PING, PONG, RECORDS, edited, moved, renamed, spliced, swapped, without, write


def told(lines: list[bytes], **options: Any) -> tuple[str, str, int]:
    """The verdict, the rule of the first finding, and its line."""
    report = audited(lines, **options)
    assert report.first is not None
    return report.verdict, report.first.rule, report.first.place.line


@pytest.mark.parametrize("index", range(len(LINES) - 1))
def test_the_figures_of_a_disordered_log_are_those_of_the_whole(index: int) -> None:
    whole = audited(LINES)
    for lines in (swapped(index), moved(LINES, index, len(LINES) - index), spliced(index, LINES[index]), [*LINES, LINES[index]]):
        report = audited(lines)
        assert found(report) == ("inconclusive", "seq")
        assert (report.life, report.rows) == (whole.life, whole.rows)
        assert (report.records, report.other) == (len(lines), 0)


def test_a_violation_beside_a_disorder_is_a_violation() -> None:
    wrong = edited(DIAL, link=3)
    for lines in (moved(wrong, PING, 1), moved(wrong, DIAL, 3), moved(wrong, DIAL, -3)):
        verdict, rule, line = told(lines)
        assert (verdict, rule) == ("violated", "link")
        assert lines[line - 1] == wrong[DIAL], "the record itself, wherever it stands"


def test_a_file_and_its_copy_are_no_violation(tmp_path: Path) -> None:
    assert told([*LINES, *LINES]) == ("inconclusive", "seq", len(LINES) + 1)
    assert main([write(tmp_path / "log", LINES), write(tmp_path / "copy", LINES)]) == 3


def test_a_record_after_the_close_is_a_violation_even_after_a_hole() -> None:
    late = lines_of([{**RECORDS[PONG], "seq": len(RECORDS) + 5}])
    assert told([*LINES, *late])[:2] == ("violated", "end")


def test_a_secret_in_a_record_that_is_left_out_is_found() -> None:
    lines = [*LINES, *lines_of([{**RECORDS[PONG], "token": JWT}])]
    assert told(lines) == ("violated", "secret", len(lines))
    assert told(moved(edited(LOSS, token=JWT), LOSS, -2))[:2] == ("violated", "secret")


def test_a_broken_record_waits_like_any_other() -> None:
    strange = edited(PONG, schema=99)
    assert told(moved(strange, PONG, 2))[:2] == ("inconclusive", "seq")
    assert audited(moved(strange, PONG, -2)).counts["schema"] == 1


def test_the_wait_for_a_record_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_EARLY", 3)
    lines = without(PONG)
    judge = Auditor()
    judge.begin("log")
    judge.feed(lines[: PONG + 3])
    assert judge._connections.waiting == 3
    judge.feed(lines[PONG + 3 : PONG + 4])
    assert judge._connections.waiting == 0
    judge.feed([*lines[PONG + 4 :], LINES[PONG]])
    report = judge.finish()
    assert report.counts["seq"] == 2, "the hole, and the record that fills it too late"
    assert report.verdict == "inconclusive"


def test_many_connections_wait_within_a_common_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_EARLY_TOGETHER", 10)
    judge = Auditor()
    judge.begin("log")
    for step in some(range(1, len(LINES))):
        judge.feed(renamed(f"c{number}")[step] for number in range(30))
        assert judge._connections.waiting <= 10
    report = judge.finish()
    assert report.verdicts == {"inconclusive": 30}
    assert report.records == 30 * (len(LINES) - 1)


def test_a_hole_after_the_window_is_no_doubt() -> None:
    until = audited(LINES).connections[0].first
    assert until is not None
    lines = [LINES[0], *LINES[2:]]
    assert found(audited(lines, until=until)) == ("conformant", None)
    assert found(audited([LINES[0], LINES[2], LINES[1], *LINES[3:]], until=until)) == ("conformant", None)


def test_after_a_hole_nothing_tells_whether_a_dial_waits_for_a_link() -> None:
    """Lose the record of a step that closes the link first; the dial after its end is no second attempt."""
    with collected() as records:
        bench = Bench(retry=RetryPolicy(dials_per_minute=None))
        Scribe(bench)
        bench.to(State.SUBSCRIBED)
        bench.do(LogOut())
        bench.do(Closed(bench.generation))
    assert [record["row"] for record in records if "row" in record][-2:] == ["sub152", "rec153"]
    for index in some(range(len(records) - 1)):
        assert found(audited(lines_of([*records[:index], *records[index + 1 :]]))) == ("inconclusive", "seq")


def handing_over(bench: Bench) -> None:
    """Lose the old link of a handover, on a server that greets like an E3 and refuses a dial without channels."""
    bench.subscribe("s1")
    bench.open()
    bench.err(1008)
    bench.open()
    bench.greet()
    bench.do(Authenticate("session"))
    bench.open()
    bench.do(Reconnect())
    bench.do(LinkClosed(bench.context.draining_generation or 0))
    bench.open()
    bench.lose()
    bench.expire()
    bench.open()
    bench.err(1008)


def idling(bench: Bench) -> None:
    """Close an idle link, after pings that went out in `unsubscribed`."""
    bench.to(State.UNSUBSCRIBED)
    bench.expire_until("uns64")
    bench.hear(Pong(bench.generation))
    bench.expire_until("uns63")


@pytest.mark.parametrize(("live", "last"), [(handing_over, "rec94"), (idling, "uns63")])
def test_a_lost_record_leaves_a_doubt_about_the_facts_that_it_held(live: Callable[[Bench], None], last: str) -> None:
    with collected() as records:
        bench = Bench(timeouts=Timeouts(idle=100.0))
        Scribe(bench)
        live(bench)
    assert [record["row"] for record in records if "row" in record][-1] == last
    assert audited(lines_of(records)).verdict == "conformant"
    for index in some(range(len(records))):
        report = audited(lines_of([*records[:index], *records[index + 1 :]]))
        assert report.verdict != "violated", (index, report.first)
