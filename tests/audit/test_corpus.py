"""Real-shaped logs: each has the right verdict, and the right answer to the question who was down at an instant."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime_fsm.audit.answer import Answer
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.report import Report
from realtime_fsm.audit.sources import Unreadable, open_log, read_lines
from support.corpus import CASES, SITUATIONS, lines_of, options_of
from support.shippers import NOT_IN_VIEWS, WRAPPERS
from support.some import some
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
    assert all(down.since <= situation.at for down in answer.down)
    assert all(down.until is None or down.until > situation.at for down in answer.down)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_views_agree(wrapped: bool, tmp_path: Path) -> None:
    """All cases that the views read are in one log."""
    path, cases = tmp_path / "log.jsonl", [case for case in CASES if case[1] not in NOT_IN_VIEWS]
    cases = [case for case in cases if (case[1] in WRAPPERS) == wrapped]
    path.write_bytes(b"".join(b"".join(lines_of(*case, f"{number}-")) for number, case in enumerate(cases)))
    figures, report = Figures(Views([path], wrapped=wrapped)), judged(Auditor(), path)
    assert report.connections_total > len(cases) > 20
    for connection in some(report.connections):
        life = figures.lives[connection.connection]
        assert life["availability"] == pytest.approx(connection.life.availability), connection.connection
        told = [(outage.end, outage.seconds) for outage in connection.life.outages]
        found = [(outage["ended"], outage["seconds"]) for outage in figures.outages[connection.connection]]
        assert found == [(end, pytest.approx(seconds, abs=2e-3)) for end, seconds in told], connection.connection
