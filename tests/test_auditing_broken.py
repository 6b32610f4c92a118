"""Logs that were broken by hand: each gets the right verdict, the right rule and the right line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from realtime_fsm.vocabulary.inputs import Dispose, Pong, Unsubscribe
from realtime_fsm.vocabulary.table import State
from support.bench import Bench
from support.brokenlogs import BEGIN, Record, Scribe, audited, collected, lines_of


def whole() -> list[Record]:
    """A log without a fault: up, subscribed, a ping and its pong, a loss, up again, disposed of."""
    with collected() as records:
        bench = Bench()
        scribe = Scribe(bench, "c1")
        bench.to(State.SUBSCRIBED)
        bench.expire_until("sub64")
        bench.now += 0.1
        bench.hear(Pong(bench.generation))
        bench.lose()
        bench.expire()
        bench.open()
        bench.greet()
        bench.acknowledge()
        bench.do(Unsubscribe("s1"))
        bench.acknowledge()
        bench.do(Dispose(), after=1.0)
        scribe.audit.closed()
    for second, record in enumerate(records):
        record["timestamp"] = (BEGIN + timedelta(seconds=second)).isoformat()
    return records


RECORDS = whole()


def at(row: str, nth: int = 0) -> int:
    """The index of the record of a row."""
    return [index for index, record in enumerate(RECORDS) if record.get("row") == row][nth]


def kind(event: str, nth: int = 0) -> int:
    return [index for index, record in enumerate(RECORDS) if record["event"] == f"realtime.{event}"][nth]


def edited(index: int, **fields: Any) -> list[bytes]:
    return lines_of([*RECORDS[:index], {**RECORDS[index], **fields}, *RECORDS[index + 1 :]])


def without(index: int) -> list[bytes]:
    return lines_of([*RECORDS[:index], *RECORDS[index + 1 :]])


def spliced(index: int, *lines: bytes) -> list[bytes]:
    whole = lines_of(RECORDS)
    return [*whole[:index], *lines, *whole[index:]]


def renumbered(records: list[Record]) -> list[bytes]:
    return lines_of([{**record, "seq": number} for number, record in enumerate(records, 1)])


def swapped(index: int) -> list[bytes]:
    lines = lines_of(RECORDS)
    lines[index], lines[index + 1] = lines[index + 1], lines[index]
    return lines


def shifted(index: int, seconds: float) -> list[bytes]:
    """One dwell altered."""
    return edited(index, dwell=RECORDS[index]["dwell"] + seconds)


def crowded() -> list[bytes]:
    """33 frames in a minute: a request is answered and another one goes out, again and again."""
    index = kind("ping") + 1
    before, after = RECORDS[:index], RECORDS[index:]
    model, sends = RECORDS[at("con40")], RECORDS[at("pin42")]["sends"]
    extra: list[Record] = []
    for n in range(1, 34):
        step = {**model, "source": "subscribed", "dest": "subscribed", "dwell": n / 100, "sends": sends + n}
        extra += [{**step, "row": "sub4", "trigger": "subscribe"}, {**step, "row": "sub41", "trigger": "acknowledged"}]
    return renumbered([*before, *extra, *after])


LOSS, DIAL, PONG, PING, BACK = at("sub58"), at("rec32"), at("pin42"), at("sub64"), at("con40", 1)
FIRST_UP, END = at("rec22"), at("uns14")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
OPEN = RECORDS[0]
CLOSE = len(RECORDS) - 1

BROKEN: dict[str, tuple[Callable[[], list[bytes]], str, str, int]] = {
    # name: the log, the verdict, the rule of the first finding, its line
    "a row that the table lacks": (lambda: edited(PONG, row="pin99"), "violated", "row", PONG + 1),
    "a row of another state": (lambda: edited(PONG, row="sub41"), "violated", "row", PONG + 1),
    "a sibling of the row": (lambda: edited(DIAL, row="rec33"), "violated", "cause", DIAL + 1),
    "another trigger": (lambda: edited(LOSS, trigger="woken"), "violated", "trigger", LOSS + 1),
    "another source": (lambda: edited(LOSS, source="ping"), "violated", "source", LOSS + 1),
    "another dest": (lambda: edited(LOSS, dest="connected"), "violated", "dest", LOSS + 1),
    "a stretch that comes twice": (lambda: renumbered([*RECORDS[:LOSS], *RECORDS[PING:]]), "violated", "budget", LOSS + 1),
    "a step is left out, and numbers mended": (
        lambda: renumbered([*RECORDS[:PONG], *RECORDS[LOSS:]]), "violated", "source", PONG + 1,
    ),
    "a link that nobody dialed": (lambda: edited(PONG, link=2), "violated", "link", PONG + 1),
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
    "a step after the end": (
        lambda: renumbered([*RECORDS[: END + 1], RECORDS[PONG], *RECORDS[END + 1 :]]), "violated", "end", END + 2,
    ),
    "a record after the close": (
        lambda: renumbered([*RECORDS, {**RECORDS[kind("subscription")], "link": 2}]), "violated", "end", CLOSE + 2,
    ),
    "a close before the end": (lambda: renumbered([*RECORDS[:PONG], RECORDS[CLOSE] | {"link": 1}]), "violated", "end", PONG + 1),
    "a JWT in a field": (lambda: edited(PONG, user=JWT), "violated", "secret", PONG + 1),
    "a session by its name": (lambda: edited(PONG, request={"headers": {"session": "hunter2"}}), "violated", "secret", PONG + 1),
    "a cookie in a list": (lambda: edited(PONG, notes=["a_session_demo=0123"]), "violated", "secret", PONG + 1),
    "a secret as an error code": (lambda: edited(LOSS, error_code="f" * 20 + "0" * 44), "violated", "secret", LOSS + 1),
    "a secret as a subscription": (
        lambda: edited(kind("subscription"), subscription=JWT[:34]), "violated", "secret", kind("subscription") + 1,
    ),
    "a field of another type": (lambda: edited(PONG, sends="two"), "violated", "form", PONG + 1),
    "a field that is missing": (
        lambda: lines_of([{k: v for k, v in r.items() if (i, k) != (PONG, "dwell")} for i, r in enumerate(RECORDS)]),
        "violated", "form", PONG + 1,
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
    "a line that is no UTF-8": (
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
    "nothing": (list, "unusable", "", 0),
}  # fmt: skip


def test_the_whole_log_is_conformant() -> None:
    report = audited(lines_of(RECORDS))
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
    assert JWT not in msgspec.json.encode(report).decode()
