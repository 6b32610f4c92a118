"""The outages of an audit are those that the client tells of itself; a handover is one only where it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from realtime_fsm.audit.report import ConnectionReport
from realtime_fsm.fsm.table import LIVE
from support.brokenlogs import BEGIN, Record, audited, lines_of
from support.lives import ALL, LIVES
from support.simlogs import SEEDS, logs_of, number_of
from support.some import some

# --- beside the records of the client ---------------------------------------------------------------------------------


@dataclass
class Told:
    """An outage as the client tells it.

    Attributes:
        began: the number of the record with which it began.
        until: the number of the record that ends it, or of the last one.
        unwanted: whether it began because the user wanted no link; an audit does not call that an outage.
        dials: how many it tells, and one more for a handover, whose first dial was no part of an outage when it was made.
        cut: whether an audit may see its end earlier: the user disconnected in it, or a link came up while nothing was desired.
    """

    began: int
    until: int
    planned: bool
    unwanted: bool
    seconds: float | None = None
    dials: int = 0
    cut: bool = False


def moves(record: Record) -> bool:
    return "row" in record and record["source"] != record["dest"]


def is_unwanted(record: Record) -> bool:
    return moves(record) and record["dest"] == "disconnected" and record["cause"] is None


def beginning(log: tuple[Record, ...], opened: int) -> int:
    """The number of the record that an outage began with. It is told behind the step, or while one in `reconnecting` is taken."""
    before = next(i for i in range(opened - 1, -1, -1) if log[i]["event"] not in ("realtime.ping", "realtime.fault"))
    if log[before]["event"] == "realtime.retired":
        return before
    if moves(log[before]) and log[before]["dest"] not in LIVE and number_of(log[before]["row"]) != "96":
        return before
    step = next(i for i in range(opened, len(log)) if "row" in log[i])
    if number_of(log[step]["row"]) in ("91", "152"):
        return step
    return next(i for i in range(step, -1, -1) if moves(log[i]))


def told_by_the_client(log: tuple[Record, ...]) -> list[Told]:
    """All of a connection, closed or not."""
    outages: list[Told] = []
    desired: set[str] = set()
    for number, record in enumerate(log):
        under_way = bool(outages) and outages[-1].seconds is None
        if record["event"] == "realtime.subscription":
            if record["change"] == "desired":
                desired.add(record["subscription"])
            elif record["change"] != "acknowledged":
                desired.discard(record["subscription"])
        elif record["event"] == "realtime.outage" and record["change"] == "opened":
            began = beginning(log, number)
            outages.append(Told(began, len(log), record["planned"], is_unwanted(log[began])))
            outages[-1].dials += number_of(log[began].get("row", "")) == "96"
        elif record["event"] == "realtime.outage":
            outages[-1].seconds, outages[-1].until = record["seconds"], number
            outages[-1].dials += record["dials"]
        elif under_way and moves(record):
            up_for_nothing = record["dest"] in LIVE and record["source"] not in LIVE and not desired
            outages[-1].cut |= is_unwanted(record) or up_for_nothing
    return outages


def numbered(log: tuple[Record, ...]) -> list[Record]:
    """With the numbers of the records as their times, so that an outage of an audit tells where it began."""
    return [{**record, "timestamp": (BEGIN + timedelta(seconds=i)).isoformat()} for i, record in enumerate(log)]


def compared(log: tuple[Record, ...], connection: ConnectionReport) -> Iterator[str]:
    """Compare each outage with what the client tells. The answer says of each what it was."""
    found = {round((outage.start - BEGIN).total_seconds()): outage for outage in connection.life.outages}
    told = told_by_the_client(log)
    for outage in some(told):
        if outage.unwanted:
            assert outage.began not in found
            yield "unwanted"
            continue
        own = found.pop(outage.began)
        assert own.planned == outage.planned
        if outage.seconds is None:
            assert own.end != "healed" or outage.cut
            yield "not over"
        elif outage.cut:
            assert own.seconds <= outage.seconds + 2e-6
            yield "cut"
        else:
            assert own.seconds == pytest.approx(outage.seconds, abs=5e-4)
            assert (own.end, own.dials) == ("healed", outage.dials)
            yield "retired" if own.cause == "retired" else "handover" if "96" in log[outage.began].get("row", "") else "loss"
    hidden = [began for began in found if any(o.began < began < o.until and (o.cut or o.unwanted) for o in told)]
    assert [*found] == hidden, "the rest lies in outages that an audit saw the end of before"


def test_in_storms_the_outages_are_those_that_the_client_tells() -> None:
    kinds: list[str] = []
    handovers = 0
    for seed in SEEDS:
        for log in some(logs_of(seed)):
            (connection,) = audited(lines_of(numbered(log))).connections
            assert connection.verdict != "violated"
            assert connection.life.outages_left_out == 0
            kinds += compared(log, connection)
            handovers += sum(number_of(record["row"]) == "96" for record in log if "row" in record)
    counts: dict[str, Any] = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert counts["loss"] > 100
    assert counts["retired"] > 0
    assert handovers > 5 * counts["handover"] > 0, "most of them are no outage"


# --- the ways of a handover -------------------------------------------------------------------------------------------

HANDOVERS: dict[str, tuple[Any, ...]] = {
    "handing_over": (2.0, None),
    "handed_over": (3.0, None),
    "handed_over_at_the_second_try": (3.75, (3.75, "deadline", True, 2, 0.5)),
    "handed_over_too_late": (3.25, (0.5, "retired", False, 0, 0.0)),
    "never_handed_over": (2.75, (0.0, "retired", False, 0, 0.0)),
    "handed_over_as_somebody_else": (2.75, (0.5, "authenticate", True, 1, 0.0)),
    "given_up_while_handing_over": (2.0, (4.0, "dial_failed", False, 0, 0.0)),
    "disconnected_while_handing_over": (2.5, None),
    "disposed_of_while_handing_over": (2.5, None),
}
"""How long each is in `reconnecting`, and its outage: how long, why, whether planned, the dials and the longest gap in it."""


@pytest.mark.parametrize("name", HANDOVERS)
def test_a_handover_is_an_outage_only_where_it_fails(name: str) -> None:
    away, expected = HANDOVERS[name]
    (connection,) = audited(lines_of(ALL[name])).connections
    life = connection.life
    assert life.states["reconnecting"] == pytest.approx(away)
    outages = [(outage.seconds, outage.cause, outage.planned, outage.dials, outage.gap) for outage in life.outages]
    if expected is None:
        assert (outages, life.failures) == ([], 0)
        assert life.availability == pytest.approx(100)
        return
    seconds, _, planned, *_ = expected
    assert outages == [(pytest.approx(seconds), *expected[1:])]
    assert life.failures == (not planned)
    up = sum(life.states[state] for state in LIVE) + away
    lost = 0.0 if life.states["error"] else seconds
    assert life.availability == pytest.approx(100 * (up - lost) / (up + life.states["error"]))


def test_every_life_with_a_handover_is_looked_at() -> None:
    assert {name for name in LIVES if "hand" in name} == {*HANDOVERS, "handed_over_in_an_outage"}


def test_the_early_end_of_a_link_that_made_room_is_where_an_outage_is_found() -> None:
    (connection,) = audited(lines_of(ALL["handed_over_too_late"]), fail_on=["outage"]).connections
    (finding,) = (finding for finding in connection.findings if finding.rule == "outage")
    assert finding.record is not None
    assert finding.record["event"] == "realtime.retired"
    assert finding.weight == "violation"


@pytest.mark.parametrize(("name", "seconds"), [("handed_over", None), ("handed_over_at_the_second_try", 2.5)])
def test_a_window_that_begins_in_a_handover_counts_the_rest(name: str, seconds: float | None) -> None:
    log = ALL[name]
    first = max(i for i, record in enumerate(log) if number_of(record.get("row", "")) == "96") + 2
    late = [{**record, "timestamp": (BEGIN + timedelta(seconds=2)).isoformat()} for record in log[first:]]
    early = [{**record, "timestamp": BEGIN.isoformat()} for record in log[:first]]
    (connection,) = audited(lines_of([*early, *late]), since=BEGIN + timedelta(seconds=1.25)).connections
    life = connection.life
    assert [outage.seconds for outage in life.outages] == ([] if seconds is None else [pytest.approx(seconds)])
    up = sum(life.states[state] for state in LIVE)
    assert life.states["reconnecting"] == pytest.approx(seconds or 1.75)
    assert life.availability == pytest.approx(100 if seconds is None else 100 * up / (up + seconds))
