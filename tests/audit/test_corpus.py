"""Real-shaped logs: each has the right verdict, and the right answer to the question who was down at an instant."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_fsm.audit.answer import Answer
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.report import Report
from realtime_fsm.audit.sources import Unreadable, open_log, read_lines
from support.corpus import CASES, SITUATIONS, is_plain, lines_of, options_of
from support.views import Figures, Views


def write(name: str, shape: str, folder: Path) -> Path:
    path = folder / "log.jsonl"
    path.write_bytes(SITUATIONS[name].pack(b"".join(lines_of(name, shape))))
    return path


def judged(auditor: Auditor, path: Path) -> Report:
    auditor.begin(str(path))
    try:
        with open_log(str(path)) as file:
            auditor.feed(read_lines(file))
    except Unreadable as unreadable:
        auditor.unusable(str(path), str(unreadable))
    return auditor.finish()


def answered(name: str, path: Path) -> Answer:
    auditor = Auditor(at=SITUATIONS[name].at)
    judged(auditor, path)
    assert auditor.answer is not None
    return auditor.answer


def test_the_logs_are_many() -> None:
    assert len(CASES) >= 40
    assert len(set(CASES)) == len(CASES)


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_the_verdict_is_right(name: str, shape: str, tmp_path: Path) -> None:
    situation = SITUATIONS[name]
    report = judged(Auditor(**options_of(situation)), write(name, shape, tmp_path))
    assert report.verdict == situation.verdict, report.first or report.findings
    if situation.within is not None:
        (outage,) = (outage for connection in report.connections for outage in connection.life.outages)
        assert outage.within == pytest.approx(situation.within, abs=2e-3)
        assert (outage.end, outage.dials) == ("healed", 3)
        assert outage.seconds > outage.within


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_who_was_down_is_told(name: str, shape: str, tmp_path: Path) -> None:
    situation = SITUATIONS[name]
    answer = answered(name, write(name, shape, tmp_path))
    assert {down.connection: down.end for down in answer.down} == situation.down
    assert (answer.healthy, answer.unknown, answer.silent) == (situation.healthy, situation.unknown, 0)
    for down in answer.down:
        assert down.since <= situation.at
        assert down.until is None or down.until > situation.at


@pytest.mark.parametrize(("name", "shape"), [case for case in CASES if is_plain(case[1])])
def test_the_views_agree(name: str, shape: str, tmp_path: Path) -> None:
    path = write(name, shape, tmp_path)
    if SITUATIONS[name].pack is not bytes:
        path.write_bytes(b"".join(lines_of(name, shape)))
    figures, report = Figures(Views([path])), judged(Auditor(), path)
    told = {connection.connection: connection for connection in report.connections}
    for identifier, connection in told.items():
        life = figures.lives[identifier]
        assert life["availability"] == pytest.approx(connection.life.availability)
        seconds = [outage.seconds for outage in connection.life.outages]
        assert [outage["seconds"] for outage in figures.outages[identifier]] == pytest.approx(seconds, abs=2e-3)
