"""An outage is what the client's `realtime.outage` records say, and the transitions beside these must agree."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import pytest

from realtime_fsm.audit.report import OutageLine
from realtime_fsm.fsm.table import LIVE
from support.brokenlogs import BEGIN, Record, audited, lines_of
from support.lives import ALL, ENDS, LIVES
from support.simlogs import SEEDS, logs_of, number_of
from support.some import some
from support.verdicts import altered, found
from support.wholelog import DIAL, LINES, LOSS, RECORDS, kind, renumbered

OPENED, CLOSED = kind("outage"), kind("outage", 1)


def outages_of(log: Iterable[Record], **options: Any) -> list[OutageLine]:
    (connection,) = audited(lines_of(log), **options).connections
    return connection.life.outages


def without(*indexes: int) -> list[bytes]:
    """Leave records out, and number the others anew."""
    return renumbered([record for index, record in enumerate(RECORDS) if index not in indexes])


# --- the records ------------------------------------------------------------------------------------------------------


def test_in_storms_the_outages_are_those_of_the_records() -> None:
    causes: set[str] = set()
    for seed in SEEDS:
        for log in some(logs_of(seed)):
            told = [record for record in log if record["event"] == "realtime.outage"]
            outages = outages_of(log)
            closed = [record for record in told if record["change"] == "closed"]
            healed = [outage for outage in outages if outage.end == "healed"]
            assert [(outage.cause, outage.planned, outage.dials) for outage in healed] == [
                (record["cause"], record["planned"], record["dials"]) for record in closed
            ]
            assert [outage.seconds for outage in healed] == pytest.approx([record["seconds"] for record in closed])
            unfinished = told[-1:] if told and told[-1]["change"] == "opened" else []
            assert [outage.cause for outage in outages if outage.end != "healed"] == [record["cause"] for record in unfinished]
            causes.update(outage.cause for outage in outages)
    assert {"stream_ended", "pong_overdue", "echo_overdue", "disconnect", "log_out", "retired"} <= causes


@pytest.mark.parametrize("name", LIVES)
def test_an_outage_that_no_record_ends_lasts_until_the_end_of_the_log(name: str) -> None:
    (connection,) = audited(lines_of(ALL[name])).connections
    life = connection.life
    assert [outage.end for outage in life.outages] == ENDS[name]
    lasting = [outage.at + outage.seconds for outage in life.outages if outage.end != "healed"]
    assert lasting == pytest.approx([sum(life.states.values())] * len(lasting), abs=1e-5)


def test_a_planned_outage_is_no_failure_and_no_recovery() -> None:
    (connection,) = audited(lines_of(ALL["planned"])).connections
    life = connection.life
    assert [(outage.cause, outage.planned) for outage in life.outages] == [("log_out", True)] * 2
    assert (life.failures, life.to_recovery, life.resubscribe.count) == (0, None, 0)


def test_the_time_in_disconnected_counts_only_after_a_failure() -> None:
    (lost,) = audited(lines_of(ALL["lost_and_not_dialed"])).connections
    (wanted,) = audited(lines_of(ALL["disconnected_by_the_user"])).connections
    assert lost.life.states["disconnected"] == pytest.approx(12 + 9)
    assert lost.life.availability == pytest.approx(0, abs=1)
    assert wanted.life.states["disconnected"] == pytest.approx(50)
    assert wanted.life.availability == pytest.approx(100)


# --- beside the transitions -------------------------------------------------------------------------------------------

CONTRADICTIONS: dict[str, tuple[list[bytes], str, int]] = {
    # name: the log, the rule of the first finding, its line
    "no record begins it": (without(OPENED), "healed", LOSS + 2),
    "no record ends it": (without(CLOSED), "healed", CLOSED + 2),
    "no record tells it": (without(OPENED, CLOSED), "healed", LOSS + 2),
    "it begins twice": (renumbered([*RECORDS[:DIAL], RECORDS[OPENED], *RECORDS[DIAL:]]), "healed", DIAL + 1),
    "it ends twice": (renumbered([*RECORDS[: CLOSED + 1], *RECORDS[CLOSED:]]), "healed", CLOSED + 2),
    "it begins on a live link": (renumbered([*RECORDS[:LOSS], RECORDS[OPENED], *RECORDS[LOSS:]]), "healed", LOSS + 1),
    "it begins with another failure": (altered(RECORDS, OPENED, cause="error_frame"), "cause", OPENED + 1),
    "it begins with what the user did": (altered(RECORDS, OPENED, cause="reconnect"), "cause", OPENED + 1),
    "nothing failed": (altered(RECORDS, OPENED, planned=True), "cause", OPENED + 1),
    "it ends as another one": (altered(RECORDS, CLOSED, cause="error_frame"), "cause", CLOSED + 1),
    "it lasted longer": (altered(RECORDS, CLOSED, seconds=RECORDS[CLOSED]["seconds"] + 1.1), "clock", CLOSED + 1),
    "it lasted less long": (altered(RECORDS, CLOSED, seconds=RECORDS[CLOSED]["seconds"] - 1.1), "clock", CLOSED + 1),
    "it lasted less than nothing": (altered(RECORDS, CLOSED, seconds=-0.5), "form", CLOSED + 1),
    "its dials are less than none": (altered(RECORDS, CLOSED, dials=-1), "form", CLOSED + 1),
}


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_record_that_the_transitions_contradict_is_a_violation(name: str) -> None:
    lines, rule, line = CONTRADICTIONS[name]
    report = audited(lines)
    assert found(report) == ("violated", rule), report.first
    assert report.first is not None
    assert report.first.place.line == line


@pytest.mark.parametrize("index", [OPENED, CLOSED])
def test_a_record_that_is_missing_is_a_doubt(index: int) -> None:
    assert found(audited([*LINES[:index], *LINES[index + 1 :]])) == ("inconclusive", "seq")


def test_a_log_whose_outages_tell_no_cause_is_judged_without() -> None:
    told = [{name: value for name, value in r.items() if name != "cause" or "row" in r} for r in RECORDS]
    assert found(audited(lines_of(told))) == ("conformant", None)
    assert [outage.cause for outage in outages_of(told)] == ["missing"]


# --- the ways of a handover -------------------------------------------------------------------------------------------

HANDOVERS: dict[str, tuple[float, tuple[Any, ...] | None]] = {
    "handing_over": (2.0, None),
    "handed_over": (3.0, None),
    "handed_over_at_the_second_try": (3.75, (0.0, "retired", False, 0, 0.5)),
    "handed_over_too_late": (3.25, (0.5, "retired", False, 0, 0.0)),
    "never_handed_over": (2.75, (0.0, "retired", False, 0, 0.0)),
    "handed_over_as_somebody_else": (2.75, None),
    "given_up_while_handing_over": (2.0, None),
    "disconnected_while_handing_over": (2.5, (4.0, "disconnect", True, 0, 0.0)),
    "disposed_of_while_handing_over": (2.5, None),
}
"""How long each is in `reconnecting`, and its outage: how long, why, whether planned, the dials and the longest gap in it."""


@pytest.mark.parametrize("name", HANDOVERS)
def test_a_handover_is_an_outage_only_where_it_fails(name: str) -> None:
    away, expected = HANDOVERS[name]
    (connection,) = audited(lines_of(ALL[name])).connections
    life = connection.life
    outages = [(outage.seconds, outage.cause, outage.planned, outage.dials, outage.gap) for outage in life.outages]
    assert life.states["reconnecting"] == pytest.approx(away)
    assert outages == ([] if expected is None else [(pytest.approx(expected[0]), *expected[1:])])
    assert life.failures == (expected is not None and not expected[2])
    wanted = sum(life.states[state] for state in LIVE) + away
    lost = 0.0 if expected is None or life.states["disconnected"] else expected[0]
    assert life.availability == pytest.approx(100 * (wanted - lost) / wanted)


def test_every_life_with_a_handover_is_looked_at() -> None:
    assert {name for name in LIVES if "hand" in name} == {*HANDOVERS, "handed_over_in_an_outage"}


def test_an_outage_that_is_to_fail_is_found_at_its_record() -> None:
    (connection,) = audited(lines_of(ALL["handed_over_too_late"]), fail_on=["outage"]).connections
    (finding,) = (finding for finding in connection.findings if finding.rule == "outage")
    assert finding.record is not None
    assert (finding.record["event"], finding.record["cause"]) == ("realtime.outage", "retired")
    assert finding.weight == "violation"


# --- a window ---------------------------------------------------------------------------------------------------------


def stamped(log: Iterable[Record], first: int, moment: datetime) -> list[Record]:
    """Give the records before one the moment of the beginning, and the others another one."""
    return [{**r, "timestamp": (BEGIN if number < first else moment).isoformat()} for number, r in enumerate(log)]


@pytest.mark.parametrize(("name", "away", "lost"), [("handed_over", 1.75, 0.0), ("handed_over_too_late", 2.0, 0.5)])
def test_a_window_that_begins_in_a_handover_counts_the_rest(name: str, away: float, lost: float) -> None:
    log = ALL[name]
    first = max(i for i, record in enumerate(log) if number_of(record.get("row", "")) == "96") + 2
    late = stamped(log, first, BEGIN + timedelta(seconds=2))
    (connection,) = audited(lines_of(late), since=BEGIN + timedelta(seconds=1.25)).connections
    life = connection.life
    wanted = sum(life.states[state] for state in LIVE) + away
    assert life.states["reconnecting"] == pytest.approx(away)
    assert sum(outage.seconds for outage in life.outages) == pytest.approx(lost)
    assert life.availability == pytest.approx(100 * (wanted - lost) / wanted)


def test_a_window_that_begins_in_an_outage_counts_the_rest_and_tells_all_of_it() -> None:
    late = stamped(RECORDS, DIAL, BEGIN + timedelta(seconds=2))
    (whole,) = outages_of(RECORDS)
    (rest,) = outages_of(late, since=BEGIN + timedelta(seconds=1))
    assert rest.within == pytest.approx(whole.seconds - 1)
    assert rest.seconds == pytest.approx(whole.seconds)
    assert rest.at == pytest.approx(whole.at)
