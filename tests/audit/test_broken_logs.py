"""Logs that were broken by hand: each gets the right verdict, the right rule and the right line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from realtime_fsm.audit.sources import split_lines
from support.brokenlogs import Record, audited, lines_of
from support.commands import audit as main
from support.wholelog import (
    BACK,
    CLOSE,
    DIAL,
    END,
    FIRST_UP,
    JWT,
    LINES,
    LOSS,
    OPEN,
    PING,
    PONG,
    RECORDS,
    at,
    edited,
    kind,
    renumbered,
    shifted,
    spliced,
    swapped,
    without,
    write,
)

GAP = {"event": "realtime.gap", "subscription": "s1", "since": None, "until": "2026-11-24T05:00:00Z", "seconds": 1.5, "dials": 1}
DROPPED = {"event": "realtime.dropped", "subscription": "s1", "count": 3}
PAUSE = {"event": "realtime.pause", "change": "opened", "paused": 1, "seconds": 0.0, "dwell": 0.0}
RETIRED = {"event": "realtime.retired", "dwell": 0.5}
FAULT = {"event": "realtime.fault", "change": "opened", "since": "2026-11-24T05:00:00Z", "until": None, "seconds": 0.5}
REJECTED = {"event": "realtime.subscription", "subscription": "s1", "change": "rejected", "dwell": 0.0, "size": 0}
CLOSED = {"event": "realtime.outage", "change": "closed", "planned": False, "seconds": 1.0, "dials": 1}
COMMON = {name: OPEN[name] for name in ("schema", "machine", "connection_id", "timestamp", "level")}


def lacking(index: int, *names: str) -> list[bytes]:
    """Some fields are missing in a record."""
    return lines_of([{k: v for k, v in r.items() if i != index or k not in names} for i, r in enumerate(RECORDS)])


def inserted(index: int, *records: Record) -> list[bytes]:
    """Other records come before one; their numbers are right."""
    link = RECORDS[index]["link"]
    return renumbered([*RECORDS[:index], *({**COMMON, "link": link, **r} for r in records), *RECORDS[index:]])


def timeless(record: Record) -> Record:
    """A record without the moment of its step, as an old log has it."""
    return {name: value for name, value in record.items() if name != "at"}


def crowded() -> list[bytes]:
    """33 frames in a minute: a request is answered and another one goes out, again and again."""
    index = kind("ping") + 1
    before, after = RECORDS[:index], RECORDS[index:]
    model, sends = timeless(RECORDS[at("con40")]), RECORDS[at("pin42")]["sends"]
    extra: list[Record] = []
    for n in range(1, 34):
        step = {**model, "source": "subscribed", "dest": "subscribed", "dwell": n / 100, "sends": sends + n}
        extra += [{**step, "row": "sub4", "trigger": "subscribe"}, {**step, "row": "sub41", "trigger": "acknowledged"}]
    return renumbered([*before, *extra, *after])


BROKEN: dict[str, tuple[Callable[[], list[bytes]], str, str, int]] = {
    # name: the log, the verdict, the rule of the first finding, its line
    "a row that the table lacks": (lambda: edited(PONG, row="pin99"), "violated", "row", PONG + 1),
    "a row of another state": (lambda: edited(PONG, row="sub41"), "violated", "row", PONG + 1),
    "a sibling of the row": (lambda: edited(DIAL, row="rec33"), "violated", "cause", DIAL + 1),
    "another trigger": (lambda: edited(LOSS, trigger="woken"), "violated", "trigger", LOSS + 1),
    "another source": (lambda: edited(LOSS, source="ping"), "violated", "source", LOSS + 1),
    "another dest": (lambda: edited(LOSS, dest="connected"), "violated", "dest", LOSS + 1),
    "a stretch that comes twice": (lambda: renumbered([*RECORDS[:LOSS], *RECORDS[PING:]]), "violated", "budget", LOSS + 1),
    "a step is left out, and numbers fixed": (
        lambda: renumbered([*RECORDS[:PONG], *RECORDS[LOSS:]]), "violated", "source", PONG + 1,
    ),
    "a link without a dial": (lambda: edited(PONG, link=2), "violated", "link", PONG + 1),
    "a dial that makes no new link": (lambda: edited(DIAL, link=1), "violated", "link", DIAL + 1),
    "two links at once": (lambda: edited(DIAL, link=3), "violated", "link", DIAL + 1),
    "an attempt that is not counted": (lambda: edited(FIRST_UP, attempt=2), "violated", "attempt", FIRST_UP + 1),
    "a ping that is not counted": (lambda: edited(PING, sends=1), "violated", "budget", PING + 1),
    "a frame that no row sends": (lambda: edited(PONG, sends=9), "violated", "budget", PONG + 1),
    "an overfull budget": (crowded, "violated", "budget", kind("ping") + 62),
    "a late pong": (lambda: shifted(PONG, 30.0), "violated", "pong", PONG + 1),
    "a delay that is too short": (lambda: shifted(DIAL, -0.9), "violated", "delay", DIAL + 1),
    "a delay that is too long": (lambda: shifted(DIAL, 15.0), "violated", "delay", DIAL + 1),
    "time that goes back": (lambda: edited(PONG, dwell=-0.5), "violated", "clock", PONG + 1),
    "a loss without a cause": (lambda: edited(LOSS, cause=None), "violated", "cause", LOSS + 1),
    "a cause without a loss": (lambda: edited(PONG, cause="stream_ended"), "violated", "cause", PONG + 1),
    "healed without an acknowledgement": (
        lambda: renumbered([r for i, r in enumerate(RECORDS) if i != kind("subscription", 2)]), "violated", "healed", BACK,
    ),
    "the end of a link that never drained": (
        lambda: inserted(LOSS, {**RETIRED, "retired": 1}), "violated", "link", LOSS + 1,
    ),
    "a step after the end": (
        lambda: renumbered([*RECORDS[: END + 1], RECORDS[PONG], *RECORDS[END + 1 :]]), "violated", "end", END + 2,
    ),
    "a record after the close": (
        lambda: renumbered([*RECORDS, {**RECORDS[kind("subscription")], "link": 2}]), "violated", "end", CLOSE + 2,
    ),
    "a close before the end": (lambda: renumbered([*RECORDS[:PONG], RECORDS[CLOSE] | {"link": 1}]), "violated", "end", PONG + 1),
    "a JWT in a field": (lambda: edited(PONG, user=JWT), "violated", "secret", PONG + 1),
    "a session by its name": (lambda: edited(PONG, request={"headers": {"session": "hunter2"}}), "violated", "secret", PONG + 1),
    "a secret that is a number": (lambda: edited(PONG, password=12345678), "violated", "secret", PONG + 1),
    "a secret that is the name of a number": (lambda: edited(PONG, **{JWT: 1}), "violated", "secret", PONG + 1),
    "a cookie in a list": (lambda: edited(PONG, notes=["a_session_demo=0123"]), "violated", "secret", PONG + 1),
    "a secret as an error code": (lambda: edited(LOSS, error_code="f" * 20 + "0" * 44), "violated", "secret", LOSS + 1),
    "a secret as a subscription": (
        lambda: edited(kind("subscription"), subscription=JWT[:34]), "violated", "secret", kind("subscription") + 1,
    ),
    "a field of another type": (lambda: edited(PONG, sends="two"), "violated", "form", PONG + 1),
    "a field that is missing": (lambda: lacking(PONG, "dwell"), "violated", "form", PONG + 1),
    "a number that is a text": (lambda: edited(PONG, seq="x"), "violated", "form", PONG + 1),
    "a last number that is a text": (lambda: edited(CLOSE, seq="x"), "violated", "form", CLOSE + 1),
    "a ping without its round trip": (lambda: lacking(kind("ping"), "round_trip"), "violated", "form", kind("ping") + 1),
    "a subscription that nothing became of": (
        lambda: lacking(kind("subscription"), "change"), "violated", "form", kind("subscription") + 1,
    ),
    "a subscription without an id": (
        lambda: lacking(kind("subscription"), "subscription"), "violated", "form", kind("subscription") + 1,
    ),
    "a change of another kind of record": (
        lambda: edited(kind("subscription"), change="opened"), "violated", "form", kind("subscription") + 1,
    ),
    "a gap without a length": (lambda: inserted(LOSS, {**GAP, "seconds": None}), "violated", "form", LOSS + 1),
    "a gap of less than nothing": (lambda: inserted(LOSS, {**GAP, "seconds": -1.5}), "violated", "form", LOSS + 1),
    "nothing that was dropped": (lambda: inserted(LOSS, {**DROPPED, "count": 0}), "violated", "form", LOSS + 1),
    "an outage of no kind": (
        lambda: inserted(LOSS, {"event": "realtime.outage", "change": "desired", "planned": True, "seconds": 0.0, "dials": 0}),
        "violated", "form", LOSS + 1,
    ),
    "a presence of no kind": (
        lambda: inserted(LOSS, {"event": "realtime.presence", "change": "removed"}), "violated", "form", LOSS + 1,
    ),
    "a pause without a length": (lambda: inserted(LOSS, {**PAUSE, "seconds": None}), "violated", "form", LOSS + 1),
    "a pause of no kind": (lambda: inserted(LOSS, {**PAUSE, "change": "stored"}), "violated", "form", LOSS + 1),
    "the end of a draining link without a number": (
        lambda: inserted(LOSS, {**RETIRED, "retired": 0}), "violated", "form", LOSS + 1,
    ),
    "a message that is malformed in no way": (
        lambda: inserted(LOSS, {"event": "realtime.malformed", "kind": ""}), "violated", "form", LOSS + 1,
    ),
    "a secret as what is malformed": (
        lambda: inserted(LOSS, {"event": "realtime.malformed", "kind": JWT[:34]}), "violated", "secret", LOSS + 1,
    ),
    "a secret as the subscription of a gap": (
        lambda: inserted(LOSS, {**GAP, "subscription": JWT[:34]}), "violated", "secret", LOSS + 1,
    ),
    "a secret as the subscription of what was dropped": (
        lambda: inserted(LOSS, {**DROPPED, "subscription": JWT[:34]}), "violated", "secret", LOSS + 1,
    ),
    "a secret among the versions": (
        lambda: edited(0, versions=OPEN["versions"] | {"python": f"token={JWT}"}), "violated", "secret", 1,
    ),
    "a server fault of no kind": (lambda: inserted(LOSS, {**FAULT, "change": "stored"}), "violated", "form", LOSS + 1),
    "a server fault of less than nothing": (lambda: inserted(LOSS, {**FAULT, "seconds": -1.0}), "violated", "form", LOSS + 1),
    "a server fault twice": (lambda: inserted(LOSS, FAULT, FAULT), "violated", "recovery", LOSS + 2),
    "a server fault without a link": (lambda: inserted(DIAL, {**FAULT, "link": 1}), "violated", "recovery", DIAL + 1),
    "the end of no server fault": (lambda: inserted(LOSS, {**FAULT, "change": "closed"}), "violated", "recovery", LOSS + 1),
    "a recovery from no server fault": (
        lambda: inserted(
            LOSS, {**timeless(RECORDS[PONG]), "row": "sub114", "trigger": "recovered", "source": "subscribed", "dwell": 0.5}
        ),
        "violated", "recovery", LOSS + 1,
    ),
    "a server fault that ends what was acknowledged": (
        lambda: inserted(LOSS, {**REJECTED, "error_code": 500}), "violated", "kept", LOSS + 1,
    ),
    "an outage that is over too early": (
        lambda: inserted(DIAL, CLOSED | {"link": 1}), "violated", "healed", DIAL + 1,
    ),
    "settings that make no sense": (lambda: edited(0, retry=OPEN["retry"] | {"base": -1}), "violated", "form", 1),
    "a hole": (lambda: without(PONG), "inconclusive", "seq", PONG + 1),
    "a number twice": (lambda: spliced(PONG, lines_of(RECORDS)[PONG]), "inconclusive", "seq", PONG + 2),
    "swapped lines": (lambda: swapped(PONG), "inconclusive", "seq", PONG + 1),
    "the beginning is missing": (lambda: lines_of(RECORDS[3:]), "inconclusive", "seq", 1),
    "cut in the middle of the last line": (
        lambda: [*lines_of(RECORDS)[:-1], lines_of(RECORDS)[-1][:60]], "inconclusive", "cut", CLOSE + 1,
    ),
    "a line that is damaged": (
        lambda: [*lines_of(RECORDS)[:PONG], lines_of(RECORDS)[PONG][9:150] + b"\n", *lines_of(RECORDS)[PONG + 1 :]],
        "inconclusive", "seq", PONG + 2,
    ),
    "a line that is not UTF-8": (
        lambda: [line.replace(b'"pong"', b'"p\xffng"') for line in lines_of(RECORDS)], "inconclusive", "cut", PONG + 1,
    ),
    "another table": (lambda: lines_of([r | {"machine": "0123456789ab"} for r in RECORDS]), "inconclusive", "table", 1),
    "another schema": (lambda: lines_of([r | {"schema": 99} for r in RECORDS]), "inconclusive", "schema", 1),
    "a kind of record from the future": (
        lambda: edited(kind("ping"), event="realtime.moon"), "inconclusive", "schema", kind("ping") + 1,
    ),
    "binary rubbish": (lambda: [bytes(range(256)) * 40, b"\x00" * 4096], "unusable", "", 0),
    "other people's events only": (
        lambda: [b'{"event":"request","path":"/"}\n', b'{"event":"realtime.started","users":3}\n', b"Traceback:\n"],
        "unusable", "", 0,
    ),
    "other people's events in between": (
        lambda: [part for line in LINES for part in (line, b'{"event":"request","seq":1}\n')], "conformant", "", 0,
    ),
    "nothing": (list, "unusable", "", 0),
}  # fmt: skip


def test_the_whole_log_is_conformant() -> None:
    report = audited(LINES)
    assert (report.verdict, report.exit_code, report.first) == ("conformant", 0, None)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_log_gets_the_right_verdict_and_line(name: str) -> None:
    make, verdict, rule, line = BROKEN[name]
    report = audited(make())
    found = "" if report.first is None else report.first.rule
    where = 0 if report.first is None else report.first.place.line
    assert (report.verdict, found, where) == (verdict, rule, line), report.first
    if report.first is not None and report.first.connection is not None and line > 5 and "damaged" not in name:
        assert [shown.place.line for shown in report.first.before] == list(range(line - 5, line)), "the five before it"
    assert JWT[:34] not in msgspec.json.encode(report).decode()


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_gets_the_report_that_its_lines_get(name: str, tmp_path: Path) -> None:
    lines = BROKEN[name][0]()
    log, out = write(tmp_path / "log", lines), tmp_path / "report"
    report = audited(split_lines(b"".join(lines)), name=log)
    assert main([log, "--format", "json", "--output", str(out)]) == report.exit_code
    assert msgspec.json.decode(out.read_bytes()) == msgspec.json.decode(msgspec.json.encode(report))
