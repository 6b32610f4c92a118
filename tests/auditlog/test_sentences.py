"""The sentences: each record as text for people, from its own fields."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from auditlog.test_writer import AT, HIDDEN, Sink, audit, transition, write_each
from realtime_fsm.audit.decoding import KINDS as FAILURES
from realtime_fsm.audit.decoding import decode_fast
from realtime_fsm.auditlog.records import RETIRED, TransitionRecord
from realtime_fsm.auditlog.schema import KINDS
from realtime_fsm.auditlog.sentences import _TEMPLATES, CAUSES, meaning, sentence
from realtime_fsm.auditlog.writer import AuditWriter
from realtime_fsm.errors import DialFailed, LinkFailure, Overdue, ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.change import Gap
from realtime_fsm.fsm.table import TABLE
from realtime_fsm.protocol.faults import FaultNews
from support.some import some


def step(row: str, cause: LinkFailure | None = None, **facts: Any) -> str:
    """The sentence of a step."""
    sink = Sink()
    audit().transition(transition(row, cause, **facts), AT)
    structlog.reset_defaults()
    return str(sink.records[0]["sentence"])


@pytest.mark.parametrize(
    ("row", "cause", "facts", "told"),
    [
        (
            "sub58",
            StreamEnded(),
            {"attempt": 0, "delay": 1.8123},
            "link 3 lost: the server, or a middle box, ended the stream (close code 1006); dial 1 in 1.8 s",
        ),
        (
            "pin71",
            Overdue("pong", 10),
            {"delay": 0.04},
            "link 3 lost: the link was silent: the server did not answer a ping in time; dial 3 in 0.0 s",
        ),
        ("sub57", StreamEnded(1012), {}, "link 3 lost: the server, or a middle box, ended the stream (close code 1012);"
         " no dial follows: auto_reconnect is off"),
        ("sub59", StreamEnded(1000), {}, "link 3 lost: the server, or a middle box, ended the stream (close code 1000);"
         " no dial follows: retries used up"),
        (
            "rec24",
            UpgradeRefused(503, retry_after=30.0),
            {"delay": 30.5},
            "dial 2 failed: the server, or a proxy, answered the dial with an HTTP status (HTTP status 503); dial 3 in 30.5 s",
        ),
        ("rec24", DialFailed("x"), {}, "dial 2 failed: no connection to the server came about; dial 3 follows"),
        ("rec25", DialFailed("x"), {}, "dial 2 failed: no connection to the server came about; no dial follows: retries used up"),
        ("rec26", ServerError(1008, "x"), {}, "dial 2 failed: the server sent an error (code 1008);"
         " no dial follows: refused for good"),
        ("rec178", DialFailed("x"), {}, "reconnecting -> connected: the dial failed, and no dial may follow: the"
         " connection returns to the old link, which does not serve everything desired; no connection to the server came about"),
        ("dis2", None, {}, "disconnected -> reconnecting: the program called subscribe()"),
        ("dis2", None, {"delay": 0.45}, "disconnected -> reconnecting: the program called subscribe(); dial 3 in 0.5 s"),
        ("sub152", None, {}, "subscribed -> reconnecting: the program called authenticate()"),
        ("con40", None, {}, "connected -> subscribed: everything desired is acknowledged on this link"),
        ("sub73", None, {}, "subscribed -> reconnecting: the link has reached its greatest age:"
         " the connection dials a new one while this one delivers"),
        ("sub65", None, {}, "subscribed: link 3 is stable: the connection forgives earlier failures"),
        ("sub160", None, {}, "subscribed: the connection sends the canary as soon as no other request is in flight"),
        ("con48", ServerError(1003, "x"), {}, "connected: the server refuses the request in flight, and the link stays up;"
         " the server sent an error (code 1003)"),
        ("sub64", None, {}, "subscribed -> ping: the next ping is due"),
    ],
)  # fmt: skip
def test_a_step_is_told(row: str, cause: LinkFailure | None, facts: dict[str, Any], told: str) -> None:
    assert step(row, cause, **facts) == told


OTHERS: list[tuple[str, Any]] = [
    ("the program wants subscription 01234567", lambda log: log.subscription("0123456789abcdef", "desired", size=7)),
    ("the server acknowledges subscription s1", lambda log: log.subscription("s1", "acknowledged")),
    ("the server rejects subscription s1 (code 1003)", lambda log: log.subscription("s1", "rejected", 1003)),
    ("the server rejects subscription s1", lambda log: log.subscription("s1", "rejected")),
    ("the program no longer wants subscription s1", lambda log: log.subscription("s1", "withdrawn")),
    ("subscription s1 has ended on the server", lambda log: log.subscription("s1", "removed")),
    ("the program wants a presence", lambda log: log.presence("desired")),
    ("the server has stored the presence", lambda log: log.presence("stored")),
    ("the server rejects the presence (code 401)", lambda log: log.presence("rejected", 401)),
    ("the program no longer wants the presence", lambda log: log.presence("withdrawn")),
    ("the server answered a ping after 0.012 s", lambda log: log.ping(0.0123)),
    (
        "an outage begins (the server, or a middle box, ended the stream)",
        lambda log: log.outage("opened", "stream_ended", planned=False),
    ),
    (
        "the outage is over after 2.5 s and 1 dial (the program called disconnect())",
        lambda log: log.outage("closed", "disconnect", planned=True, seconds=2.5, dials=1),
    ),
    (
        "an outage begins (the old link ended before the new one served everything)",
        lambda log: log.outage("opened", RETIRED, planned=False),
    ),
    (
        "the server is at fault: it answers, and cannot do its work",
        lambda log: log.fault(FaultNews(opened=True, seconds=2.5), AT),
    ),
    ("the fault of the server is over after 2.5 s", lambda log: log.fault(FaultNews(opened=False, seconds=2.5), AT)),
    ("subscription s1 dropped 7 of its events, because the consumer was too slow", lambda log: log.dropped("s1", 7)),
    ("link 2 is not read until a slow consumer catches up", lambda log: log.pause("opened", 2, dwell=3.0)),
    ("link 2 is read again after 2.5 s", lambda log: log.pause("closed", 2, dwell=3.0, seconds=2.5)),
    ("link 2 lost: it was draining, and the next link is not up", lambda log: log.retired(2, 0.25)),
    ("the canary came back after 0.2 s", lambda log: log.canary("echoed", seconds=0.25)),
    ("the canary did not come back within 10.2 s", lambda log: log.canary("missed", seconds=10.25)),
    ("the server refused the canary (code 401)", lambda log: log.canary("refused", 401)),
    ("the callable that writes the canary raised an exception", lambda log: log.canary("failed")),
    (
        "subscription s1 may have missed events for 1.5 s, with 2 dials meanwhile",
        lambda log: log.gap("s1", Gap(None, AT, 1.5, 2)),
    ),
    ("the server sent a message that cannot be used: not_json", lambda log: log.malformed("not_json")),
    (
        "the broker stored messages of the relay: 1, the newest 0.2 s after its event",
        lambda log: log.relayed(1, 0, lag=0.25),
    ),
    ("the connection is disposed of, and its socket is closed", lambda log: log.closed()),
]


@pytest.mark.parametrize(("told", "write"), OTHERS)
def test_a_record_is_told(told: str, write: Any) -> None:
    sink = Sink()
    write(audit())
    assert [record["sentence"] for record in sink.records] == [told]


def test_each_kind_of_record_has_a_sentence_for_each_change() -> None:
    known = {(kind.__struct_config__.tag, change) for kind, change in _TEMPLATES}
    for kind in some(each for each in KINDS if each.event != "realtime.transition"):
        changes = next((field.allowed_values for field in kind.fields if field.name == "change"), ("",))
        assert {change for event, change in known if event == kind.event} == set(changes), kind.event


def test_the_first_record_tells_the_versions() -> None:
    sink = Sink()
    write_each(audit())
    versions = sink.records[0]["versions"]
    assert sink.records[0]["sentence"] == (
        f"the connection is used for the first time: realtime-fsm {versions['realtime-fsm']}, Python {versions['python']}"
    )


@pytest.mark.parametrize("row", [row.id for row in TABLE.rows])
def test_each_rule_makes_a_line_that_the_audit_reads_at_full_speed(row: str) -> None:
    for cause, delay in ((None, None), (ServerError(1008, HIDDEN), 12.25)):
        sink = Sink()
        audit().transition(transition(row, cause, delay=delay), AT)
        (record,) = sink.records
        text = str(record["sentence"])
        assert text[0].islower(), text
        assert not {"{", "}", "`", '"', "="} & {*text}, text
        assert len(text) < 260, text
        assert not text.endswith("."), text
        if cause is not None:
            assert "the server sent an error (code 1008)" in text or TABLE_SAYS[row] == "user", text
        assert decode_fast(json.dumps(record).encode()).row == row


TABLE_SAYS = {row.id: "user" if "program called" in step(row.id) else "other" for row in TABLE.rows}


def test_a_long_word_in_a_sentence_is_examined() -> None:
    sink = Sink()
    audit().transition(transition(), AT)
    (record,) = sink.records
    record["sentence"] += " eyJhbGciOiJIUzI1NiJ9eyJzdWI"
    with pytest.raises(ValueError, match="sentence"):
        decode_fast(json.dumps(record).encode())


def test_each_kind_of_failure_has_words() -> None:
    assert CAUSES.keys() >= FAILURES
    assert {meaning(kind) for kind in some(FAILURES)} == {CAUSES[kind] for kind in FAILURES}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("disconnect", "the program called disconnect()"),
        ("deadline", "nothing failed: overdue"),
        ("of_a_later_version", "the link failed"),
    ],
)
def test_a_cause_may_be_a_trigger(kind: str, told: str) -> None:
    assert meaning(kind) == told


def test_a_rule_of_another_table_is_told_by_its_states() -> None:
    record = TransitionRecord(
        machine="0123456789ab", connection_id="c", seq=1, timestamp="2026-11-24T05:00:00Z", link=1, row="sub999", trigger="lost",
        source="subscribed", dest="reconnecting", dwell=1.0, attempt=1, sends=1, cause="stream_ended", error_code=None,
        close_code=1001,
    )  # fmt: skip
    assert sentence(record) == (
        "subscribed -> reconnecting: lost; the server, or a middle box, ended the stream (close code 1001)"
    )


@pytest.mark.parametrize(
    "cause", [ServerError(HIDDEN + "!", HIDDEN), ServerError(0, HIDDEN), DialFailed(HIDDEN)], ids=["code", "text", "reason"]
)
@pytest.mark.parametrize("row", ["sub58", "rec24", "rec25", "rec97", "con48", "rec176"])
def test_a_sentence_holds_no_text_of_the_server(row: str, cause: LinkFailure) -> None:
    told = step(row, cause, delay=1.0)
    assert HIDDEN not in told
    assert meaning(cause.kind) in told


def test_the_writer_gives_the_delay_to_the_microsecond_and_only_where_a_dial_waits() -> None:
    sink = Sink()
    log = AuditWriter("c1", print)
    log.transition(transition("sub58", StreamEnded(), delay=1.23456789), datetime.now(UTC))
    log.transition(transition(), datetime.now(UTC))
    assert [record.get("delay") for record in sink.records] == [1.234568, None]
    assert "delay" not in sink.records[1]
