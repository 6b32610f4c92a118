"""The answer to the question who was down at an instant: on the command line, and after any record is lost."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from realtime_fsm.audit import answering, downtime
from realtime_fsm.audit.answer import Answer
from realtime_fsm.audit.auditor import Auditor
from realtime_fsm.audit.causes import MEANINGS, describe_cause
from realtime_fsm.audit.decoding import KINDS
from realtime_fsm.audit.formats.answer import answer_lines
from realtime_fsm.fsm.table import Trigger
from support.brokenlogs import Record, answered, lines_of
from support.commands import audit as main
from support.corpus import SITUATIONS, WALKS, begun, end, later, moment, told, within
from support.lives import ALL
from support.some import some
from support.wholelog import JWT, write


@pytest.fixture(autouse=True)
def _in_india(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone in which no hour of the clock is that of UTC."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def asked(records: list[Record], at: Any, **options: Any) -> Answer:
    return answered(lines_of(records), at, **options)


def log_of(tmp_path: Path, *walks: str) -> str:
    return write(tmp_path / "log", lines_of(record for walk in walks for record in WALKS[walk]))


def clock(walk: str) -> str:
    """The local time of an instant in the outage of a walk, to the second after its beginning."""
    return (begun(walk) + timedelta(seconds=1)).astimezone().strftime("%H:%M:%S")


# --- on the command line ----------------------------------------------------------------------------------------------


def test_one_command_tells_who_was_down_since_when_why_and_what_was_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(tmp_path, "healed", "healthy")
    assert main([log, "--at", clock("healed")]) == 0
    lines = capsys.readouterr().out.splitlines()
    loss = next(record for record in WALKS["healed"] if record["seq"] == told("healed", "outage")["seq"] - 1)
    assert lines[0].endswith(" IST: 1 of 2 connections was not available") or " IST: 1 of 2 connections were" in lines[0]
    assert lines[2].startswith(f"connection healed: down since {begun('healed').astimezone().strftime('%Y-%m-%d %H:%M:%S')}")
    assert "IST, healed " in lines[2]
    assert lines[3] == (
        "  why: the server, or a middle box, ended the stream (stream_ended, close code 1006);"
        " then no connection to the server came about (dial_failed)"
    )
    assert lines[4] == "  attempts: 3"
    assert lines[5].startswith("  missed: subscription s1, ")
    assert lines[6] == f"  look at: record {loss['seq']}, {log}:{loss['seq']}"
    assert lines[8] == "and 1 healthy"
    assert lines[9].startswith("the log: conformant, from ")


def test_json_tells_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path, "healed", "healthy")
    assert main([log, "--at", within("healed").isoformat(), "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["down_total"], answer["healthy"], answer["connections"], answer["exit_code"]) == (1, 1, 2, 0)
    (down,) = answer["down"]
    closed = told("healed", "outage", "closed")
    assert (down["connection"], down["end"], down["cause"], down["attempts"]) == ("healed", "healed", "stream_ended", 3)
    assert down["seconds"] == pytest.approx(closed["seconds"], abs=1e-5)
    assert down["place"] == {"file": log, "line": down["seq"]}
    assert [missed["subscription"] for missed in down["missed"]] == ["s1"]


def test_standard_input_is_read_for_its_end_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stdin:
        buffer = io.BufferedReader(io.BytesIO(Path(log_of(tmp_path, "healed")).read_bytes()))

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert main(["-", "--at", clock("healed")]) == 0
    said = capsys.readouterr().out
    assert "1 of 1 connection was not available" in said
    assert f"  look at: record {told('healed', 'outage')['seq'] - 1}, -:" in said


def test_a_connection_that_is_still_down_comes_first_with_its_last_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = log_of(tmp_path, "gave_up", "healed", "healthy")
    both = max(within("gave_up"), within("healed"))
    assert main([log, "--at", both.isoformat()]) == 0
    said = capsys.readouterr().out
    assert said.index("connection gave_up: down") < said.index("connection healed: down")
    lasted = end("healthy") - begun("gave_up")
    assert f"still down after {round(lasted.total_seconds()) // 60} min" in said
    assert "; it gave up after 2 attempts: no connection to the server came about (dial_failed)" in said
    assert "  missed: subscription s1, since " in said


def test_connections_are_chosen_by_the_beginning_of_their_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path, "gave_up", "healed", "healthy")
    at = ["--at", within("gave_up").isoformat()]
    assert main([log, *at, "--connection", "gave"]) == 0
    assert "1 of 1 connection was" in capsys.readouterr().out
    assert main([log, *at, "--connection", "heal"]) == 0
    assert "of 2 connections were" in capsys.readouterr().out
    assert main([log, *at, "--connection", "nobody"]) == 2
    assert "the log has no connection" in capsys.readouterr().out


@pytest.mark.parametrize("seconds", [-5.0, 1e6])
def test_an_instant_outside_of_the_log_has_no_answer(seconds: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = begun("healed") + timedelta(seconds=seconds * 100)
    assert main([log_of(tmp_path, "healed"), "--at", at.isoformat()]) == 2
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first.endswith(": the log tells nothing of that time; name one within the log")
    assert not any("healthy" in line for line in lines)
    assert re.fullmatch(r"the log: from \S+ \S+ \w+ until \S+ \S+ \w+", last), "no verdict on the log"


def test_a_violation_of_the_log_is_told_beside_the_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [{**record, "row": "sub41"} if record["seq"] == 12 else record for record in WALKS["healed"]]
    assert main([write(tmp_path / "log", lines_of(records)), "--at", within("healed").isoformat()]) == 1
    assert f"first violation: {tmp_path / 'log'}:12: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--at", "03:12", "--since", "1h"], "--at does not go with --since"),
        (["--at", "03:12", "--follow"], "--at does not go with --follow"),
        (["--at", "03:12", "--format", "html"], "--at does not go with --format html"),
        (["--since", "2026-11-24", "--until", "2026-11-23"], "--since: 2026-11-24 is after --until 2026-11-23"),
        (["--since", "999999999d"], "'999999999d' is no time"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([log_of(tmp_path, "healed"), *options]) == 2
    assert sentence in capsys.readouterr().err


def test_a_bad_time_is_named_with_the_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([log_of(tmp_path, "healed"), "--at", "tomorrow"])
    assert caught.value.code == 2
    assert "argument --at: 'tomorrow' is no time; give one such as 03:12, 03:12Z, 1h, " in capsys.readouterr().err


# --- windows ----------------------------------------------------------------------------------------------------------


def test_a_span_counts_from_the_end_of_the_log_and_its_zone_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = log_of(tmp_path, "healthy")
    assert main([log, "--since", "1m"]) == 0
    said = capsys.readouterr().out
    begin = (end("healthy") - timedelta(minutes=1)).astimezone()
    assert f"judged from {begin.strftime('%Y-%m-%d %H:%M:%S')}" in said
    assert "IST until the end of the log" in said
    assert main([log, "--since", "2026-11-24 10:30", "--format", "markdown"]) == 0, "05:00 UTC, in local time"
    assert "Judged from 2026-11-24 10:30:00 IST until the end of the log." in capsys.readouterr().out


def test_an_outage_outside_of_a_window_is_not_counted_in_it() -> None:
    auditor = Auditor(since=end("healed") - timedelta(seconds=1))
    auditor.begin("log")
    auditor.feed(lines_of(WALKS["healed"]))
    report = auditor.finish()
    assert report.life.failures == 0
    assert report.life.availability == 100


def test_an_open_outage_counts_until_the_moment_that_is_given() -> None:
    until = end("gave_up") + timedelta(hours=2)
    auditor = Auditor(until=until)
    auditor.begin("log")
    auditor.feed(lines_of(WALKS["gave_up"]))
    (outage,) = auditor.finish().connections[0].life.outages
    assert outage.seconds == pytest.approx((until - begun("gave_up")).total_seconds())


# --- other ways to be away --------------------------------------------------------------------------------------------

AWAY: dict[tuple[str, float], tuple[Any, ...]] = {
    # the life, and the seconds since its beginning: kind, cause, planned, since when, end, until when
    ("at_fault", 35.0): ("fault", "error_frame", False, 0.0, "healed", 39.0),
    ("at_fault", 40.5): ("fault", "error_frame", False, 39.0, "healed", 41.5),
    ("at_fault_to_the_end", 32.0): ("outage", "error_frame", False, 0.0, "still down", None),
    ("at_fault_to_the_end", 34.0): ("outage", "error_frame", False, 33.5, "still down", None),
    ("lost_and_not_dialed", 6.0): ("outage", "stream_ended", False, 0.0, "healed", 12.0),
    ("lost_and_not_dialed", 15.0): ("outage", "stream_ended", False, 12.0, "disposed", 21.0),
    ("handed_over_too_late", 13.0): ("outage", "retired", False, 12.85, "healed", 13.35),
    ("given_up_and_disposed_of", 30.0): ("outage", "stream_ended", False, 23.0, "disposed", 39.0),
}


@pytest.mark.parametrize(("life", "second"), AWAY)
def test_each_way_to_be_away_is_told(life: str, second: float) -> None:
    start = moment(ALL[life][0])
    (down,) = asked(ALL[life], start + timedelta(seconds=second)).down
    since, until = ((at - start).total_seconds() if at is not None else None for at in (down.since, down.until))
    assert (down.kind, down.cause, down.planned, since, down.end, until) == AWAY[life, second]
    assert down.seq is not None
    assert down.place is not None
    assert ALL[life][down.place.line - 1]["seq"] == down.seq


@pytest.mark.parametrize(
    ("life", "second", "healthy", "unwanted"),
    [("handed_over", 11.0, 1, 0), ("disconnected_by_the_user", 20.0, 0, 1), ("healed", 10.0, 1, 0), ("planned", 4.25, 0, 0)],
)
def test_who_is_available_is_not_told(life: str, second: float, healthy: int, unwanted: int) -> None:
    answer = asked(ALL[life], moment(ALL[life][0]) + timedelta(seconds=second))
    assert (answer.healthy, answer.unwanted) == (healthy, unwanted)
    assert answer.down_total == answer.connections - healthy - unwanted


def test_a_connection_whose_records_cannot_be_read_is_unknown() -> None:
    records = [{**record, "schema": 99} for record in WALKS["healed"]]
    answer = asked([*records, *({**r, "connection_id": "other"} for r in WALKS["healthy"])], within("healed"))
    assert (answer.unknown, answer.healthy, answer.down_total) == (1, 1, 0)
    assert "and 1 of which the log does not tell: records are missing" in list(answer_lines(answer, None))


def test_many_spans_are_counted() -> None:
    closed = told("healed", "outage", "closed")
    gap = next(record for record in WALKS["healed"] if record["event"] == "realtime.gap")
    before = [record for record in WALKS["healed"] if record["seq"] < gap["seq"]]
    gaps = [{**gap, "seq": gap["seq"] + number, "subscription": f"s{number}"} for number in range(150)]
    after = [{**r, "seq": r["seq"] + 149} for r in WALKS["healed"] if r["seq"] > gap["seq"]]
    (down,) = asked([*before, *gaps, *after], within("healed")).down
    assert (down.end, down.until) == ("healed", moment(closed))
    assert len(down.missed) == downtime.MOST_MISSED
    assert "  missed: ... and 80 more subscriptions" in list(
        answer_lines(asked([*before, *gaps, *after], within("healed")), None)
    )


# --- lost records -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("walk", ["healed", "gave_up", "still_away", "disposed_of", "logged_out", "never_up", "healthy"])
def test_whichever_record_is_lost_no_other_is_blamed(walk: str) -> None:
    """The answer is that of the whole log, or that the log does not tell."""
    records = WALKS[walk]
    instants = [end(walk) - timedelta(seconds=seconds) for seconds in (0.01, 40.0)]
    if walk not in ("healthy", "never_up"):
        instants.append(within(walk))
    for at in some(instant for instant in instants if instant >= moment(records[0])):
        whole = asked(records, at)
        for index in some(range(1, len(records) - 1)):
            answer = asked([*records[:index], *records[index + 1 :]], at)
            known = (answer.down_total, answer.healthy, answer.unwanted)
            assert answer.unknown == 1 or known == (whole.down_total, whole.healthy, whole.unwanted), (index, at)


def test_most_answers_survive_the_loss_of_a_record() -> None:
    records, at = WALKS["healed"], within("healed")
    answers = [asked([*records[:index], *records[index + 1 :]], at) for index in range(1, len(records) - 1)]
    known = [answer for answer in answers if answer.down_total == 1]
    assert len(known) == len(answers)
    assert {(down.since - begun("healed")).total_seconds() < 0.001 for answer in known for down in answer.down} == {True}


# --- the sentences ----------------------------------------------------------------------------------------------------


def test_of_many_only_the_worst_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "KEPT", 30)
    records = [{**record, "connection_id": f"c{number}"} for number in range(50) for record in WALKS["gave_up"]]
    answer = asked([*records, *WALKS["healed"]], within("healed"))
    assert (answer.down_total, len(answer.down)) == (51, 30)
    lines = list(answer_lines(answer, None))
    assert "... and 31 more connections down" in lines
    assert sum(line.startswith("connection ") for line in lines) == 20


def test_a_connection_without_records_although_it_pings_is_silent() -> None:
    records = [*WALKS["healthy"][:20], *({**record, "connection_id": "other"} for record in WALKS["healthy"])]
    answer = asked(records, end("healthy") - timedelta(seconds=1))
    assert (answer.healthy, answer.silent) == (1, 1)
    assert "and 1 whose records end before, without a reason" in list(answer_lines(answer, None))


def test_an_answer_tells_no_secret() -> None:
    records = [{**record, "connection_id": JWT} for record in WALKS["gave_up"]]
    records = [{**r, "subscription": JWT} if r["event"] == "realtime.subscription" else r for r in records]
    records = [{**r, "error_code": JWT} if r.get("cause") == "dial_failed" else r for r in records]
    answer = asked(records, within("gave_up"))
    assert answer.down_total == 1
    assert JWT not in "\n".join(answer_lines(answer, None))


def test_every_cause_has_its_words() -> None:
    assert MEANINGS.keys() >= KINDS
    for trigger in some(Trigger):
        assert describe_cause(trigger.value).endswith(f"({trigger.value})")
    assert describe_cause("disconnect") == "the program called disconnect() (disconnect)"
    assert describe_cause("no such kind") == "the link failed (no such kind)"


def test_every_situation_is_told_as_text() -> None:
    for situation in some(SITUATIONS.values()):
        answer = asked(situation.records, situation.at)
        lines = list(answer_lines(answer, None))
        assert sum(line.startswith("connection ") for line in lines) == len(answer.down)
        assert all(line.isprintable() for line in lines)


# --- the order, and the edges of a log --------------------------------------------------------------------------------


def test_failures_come_before_planned_outages_then_the_longest_then_the_earlier_connection() -> None:
    at = within("healed")
    planned_by = (at - begun("logged_out")).total_seconds() - 0.4
    walks = [
        ("planned", later(WALKS["logged_out"], planned_by)), ("first", WALKS["healed"]), ("brief", later(WALKS["healed"], 0.2)),
        ("lasting", WALKS["still_away"]), ("second", WALKS["healed"]),
    ]  # fmt: skip
    records = [{**record, "connection_id": name} for name, walk in walks for record in walk]
    down = asked(records, at).down
    assert [each.connection for each in down] == ["lasting", "first", "brief", "second", "planned"]
    assert [each.planned for each in down] == [False] * 4 + [True]
    assert down[1].seconds == down[2].seconds == down[3].seconds == pytest.approx(9.0)


def test_an_answer_tells_the_span_of_the_log_and_both_ends_belong_to_it() -> None:
    early, late = WALKS["healthy"], later(WALKS["healed"], 1.0)
    begins, ends = moment(early[0]), moment(late[-1])
    for seconds, is_told in ((-0.001, False), (0.0, True), (60.0, True)):
        answer = asked([*late, *early], begins + timedelta(seconds=seconds))
        assert (answer.begins, answer.ends) == (begins, max(ends, end("healthy")))
        assert (answer.verdict, answer.exit_code) == (("conformant", 0) if is_told else ("unusable", 2))
    newest = max(ends, end("healthy"))
    for seconds, verdict in ((0.0, "conformant"), (0.001, "unusable")):
        assert asked([*late, *early], newest + timedelta(seconds=seconds)).verdict == verdict
    assert asked(early, begins).zone == "UTC"
    assert (asked([], begins).verdict, asked([], begins).begins) == ("unusable", None)


def test_the_length_of_an_outage_is_told_to_the_microsecond_and_is_never_negative() -> None:
    records = later(WALKS["still_away"], 1 / 3e5)
    (down,) = asked(records, end("still_away")).down
    assert down.seconds == round(down.seconds, 6) > 0.0
    back = [*WALKS["healed"], *later(WALKS["healed"][-1:], -3600.0, "other")]
    (down,) = asked(back, within("healed")).down
    assert down.seconds == pytest.approx(9.0)
    assert down.last == end("healed")
