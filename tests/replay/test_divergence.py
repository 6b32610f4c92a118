"""The divergence: the step at which the log and the machine differ, and its explanation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from realtime_fsm.auditlog.records import TransitionRecord
from realtime_fsm.errors import DialFailed, LinkFailure, ServerError, StreamEnded, UpgradeRefused
from realtime_fsm.fsm.inputs import (
    Connect,
    Disconnect,
    PingEnabledChanged,
    Pong,
)
from realtime_fsm.fsm.names import Effect
from realtime_fsm.fsm.policies import RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.replay.divergence import Diverged, kind_and_code
from realtime_fsm.replay.log_reader import IncompleteLog
from realtime_fsm.replay.replayer import Replayer
from support.bench import Bench
from support.brokenlogs import Record
from support.replay_cases import edited, lived, replay, without_fields
from support.replaying import changed, emitted, log_of, replayed, run_emitted
from support.wholelog import DIAL, LOSS, PONG, RECORDS, at, kind


def use_each_fact(bench: Bench) -> None:
    """Use each fact that a record can hold."""
    bench.do(Connect())
    bench.do(Disconnect())
    bench.do(Connect())  # the second dial in a minute waits
    bench.expire()
    bench.open()
    bench.greet()
    bench.subscribe("s1")
    bench.err(0)
    bench.expire_until("con115")
    bench.acknowledge()
    bench.expire_until("sub64")
    bench.hear_something()
    bench.expire()
    bench.expire_until("sub64")
    bench.hear(Pong(bench.generation))
    bench.err(1008)
    bench.hear_something()
    bench.lose(1001)
    bench.expire_until("rec32")
    bench.open()
    bench.greet()
    bench.acknowledge()
    bench.expire_until("sub65")
    bench.do(PingEnabledChanged(enabled=False))
    bench.do(PingEnabledChanged(enabled=True))
    bench.expire_until("sub64")
    bench.err(1008)
    bench.lose(1001)


LOG = lived(use_each_fact, retry=RetryPolicy(dials_per_minute=1, base=4.0, stable_after=50.0))


@pytest.mark.parametrize(
    ("row", "nth", "field", "value", "noticed"),
    [
        ("rec22", 0, "draw", 0.001, "sub64"),
        ("con110", 0, "draw", 0.6, "con115"),
        ("sub58", 0, "draw", 0.4, "rec32"),
        ("sub58", 0, "draw", 0.6, "rec32"),
        ("rec22", 1, "draw", 0.9, "sub64"),
        ("dis1", 1, "dial_slot", 1059.0, "rec32"),
        ("dis1", 1, "dial_slot", 1061.0, "rec32"),
        ("dis1", 0, "dial_slot", 1010.0, "dis1"),
        ("dis1", 0, "at", 999.0, "rec13"),
        ("rec22", 0, "at", 1060.5, "rec22"),
        ("pin67", 0, "heard", False, "pin67"),
        ("sub58", 0, "heard", False, "sub58"),
        ("pin58", 0, "heard", True, "pin58"),
        ("pin58", 0, "error_code", 500, "pin58"),
        ("sub16", 1, "enabled", False, "sub64"),
        ("rec32", 0, "lag", 0.1, "rec32"),
        ("sub64", 0, "dwell", 29.0, "sub64"),
        ("rec21", 0, "draw", 0.5, "rec21"),
        ("rec21", 0, "heard", True, "rec21"),
        ("rec21", 0, "enabled", True, "rec21"),
    ],
)
def test_an_altered_fact_diverges(row: str, nth: int, field: str, value: Any, noticed: str, tmp_path: Path) -> None:
    replay(tmp_path, LOG)
    index = [index for index, record in enumerate(LOG) if record.get("row") == row][nth]
    with pytest.raises(Diverged) as parted:
        replay(tmp_path, [*LOG[:index], {**LOG[index], field: value}, *LOG[index + 1 :]])
    told = parted.value.located.record
    assert (told.row, told.seq > index) == (noticed, True)  # type: ignore[union-attr]


FACTS = ("at", "draw", "enabled", "heard", "dial_slot")


def test_a_log_of_an_older_version_is_replayed_up_to_a_missing_fact(tmp_path: Path) -> None:
    records = without_fields(RECORDS, *FACTS, "size")
    log = log_of(tmp_path / "log", records)
    steps = Replayer(log).play()
    first = [next(steps) for _ in range(2)]
    assert [step.result.transition.row.id for step in first] == ["dis1", "rec21"]  # type: ignore[union-attr]
    assert [step.input_.at for step in first] == [0.0, 0.0], "the dwells alone tell no other beginning"
    with pytest.raises(IncompleteLog, match=rf"log:{at('rec22') + 1}: an older version wrote the record"):
        next(steps)


@pytest.mark.parametrize("field", ["draw", "enabled", "heard", "dial_slot"])
def test_records_of_an_older_version_are_incomplete_where_a_step_needs_a_fact(field: str, tmp_path: Path) -> None:
    seq = next(record["seq"] for record in LOG if field in record)
    with pytest.raises(IncompleteLog, match=f"log:{seq}: "):
        replay(tmp_path, without_fields(LOG, *FACTS, after=seq - 1))


@pytest.mark.parametrize(
    ("records", "index", "said"),
    [
        (lambda: edited(PONG, row="pin44", dest="connected"), PONG, "row: pin44 in the log, pin42 in the machine"),
        (lambda: edited(PONG, row="nonsense"), PONG, "the table has no such transition rule"),
        (lambda: edited(PONG, trigger="lost"), PONG, "pin42 is a rule for pong"),
        (lambda: edited(PONG, source="connected"), PONG, "source: connected in the log, ping in the machine"),
        (lambda: edited(PONG, sends=7), PONG, "sends: 7 in the log, 2 in the machine"),
        (lambda: edited(LOSS, link=2), LOSS, "link: 2 in the log, 1 in the machine"),
        (lambda: edited(LOSS, attempt=3), LOSS, "attempt: 3 in the log, 1 in the machine"),
        (lambda: edited(LOSS, row="sub57", dest="disconnected"), LOSS, "sub57: reconnect_off fails <- the log"),
        (lambda: edited(LOSS, cause="moon"), LOSS, "cause: moon 1006 in the log, stream_ended 1006 in the machine"),
        (lambda: edited(DIAL, dwell=9.0), DIAL, "dwell: 9.000000 s in the log, 1.500000 s in the machine"),
        (lambda: edited(DIAL, at=1039.1), DIAL, "missed by 0.000000 s in the log, by 7.500000 s in the mach"),
        (lambda: edited(DIAL, at=1030.2), DIAL, "the deadline is at 31.600000 s (dial), and the log's step is at 30.2"),
        (lambda: edited(kind("subscription", 1), change="removed"), at("con40"), "subscriptions: s1 removed in the log, s1 ack"),
        (lambda: edited(kind("subscription", 1), change="withdrawn"), at("con40"), "the user called unsubscribe, and the log"),
    ],
)  # fmt: skip
def test_the_difference_is_named(records: Callable[[], list[Record]], index: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(Diverged) as parted:
        replay(tmp_path, records())
    lines = "\n".join([str(parted.value), *parted.value.lines])
    assert said in lines
    assert f"log:{index + 1}: " in lines


def test_a_subscribe_without_its_subscription_record_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(IncompleteLog, match=rf"log:{at('con4') + 1}: .*does not tell the user's subscription"):
        replay(tmp_path, edited(kind("subscription"), change="acknowledged"))


def misplaced(live: Callable[[Bench], object], model: str, **fields: Any) -> list[Record]:
    """A log with a step of another log at its end."""
    records = lived(live)
    step = {**RECORDS[at(model)], "connection_id": "c1", "seq": len(records) + 1, "dwell": 0.0, **fields}
    return [*records, step]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (lambda: misplaced(lambda bench: bench.to(State.CONNECTED), "con40"), "no step: no request is in flight"),
        (lambda: misplaced(lambda bench: bench.to(State.ERROR), "sub58"), "no step: the machine has no link"),
        (lambda: misplaced(lambda bench: bench.to(State.ERROR), "sub64"), "no step: the machine has no deadline"),
        (lambda: misplaced(lambda bench: bench.to(State.CONNECTED), "pin42", row="end80", trigger="closed"), "no socket"),
        (lambda: misplaced(lambda bench: bench.to(State.CONNECTED), "pin42"), "no step: The pong is late"),
        (lambda: misplaced(lambda bench: bench.to(State.DISPOSING), "uns14"), "no step: Nothing follows the end."),
    ],
)  # fmt: skip
def test_the_reason_for_no_step_is_named(records: Callable[[], list[Record]], said: str, tmp_path: Path) -> None:
    with pytest.raises(Diverged) as parted:
        replay(tmp_path, records())
    assert said in "\n".join(parted.value.lines)


def test_a_log_diverges_from_another_table(tmp_path: Path) -> None:
    """The purpose of a replay: the path of an incident, with another table."""
    log = log_of(tmp_path / "log", RECORDS)
    text = emitted(log)
    with changed("sub58", effects=(Effect.ABORT_LINK, Effect.NOTIFY_LINK_LOST), dest=State.DISCONNECTED):
        with pytest.raises(Diverged, match=f"log:{LOSS + 1}: "):
            replayed(log)
        with pytest.raises(AssertionError, match="LinkClosed"):
            run_emitted(text)
    run_emitted(text)


def test_another_lag_on_the_first_link_is_named(tmp_path: Path) -> None:
    """A rounded moment excuses another deadline, but only on its link."""
    with pytest.raises(Diverged) as parted:
        replay(tmp_path, edited(LOSS, lag=0.5))
    assert parted.value.located.record.seq == LOSS + 1
    own = RECORDS[LOSS]["lag"]
    assert f"deadline: missed by 0.500000 s in the log, by {own:.6f} s in the machine" in parted.value.lines
    assert (RECORDS[LOSS]["link"], own < 0.5) == (1, True)


EXPLAINED: list[tuple[int, dict[str, Any], list[str]]] = [
    (
        LOSS,
        {"row": "sub57", "dest": "disconnected"},
        [
            "row: sub57 in the log, sub58 in the machine",
            "dest: disconnected in the log, reconnecting in the machine",
            "the log:     sub57: subscribed x lost if reconnect_off -> disconnected",
            "the machine: sub58: subscribed x lost if may_retry -> reconnecting",
            "its state:   subscribed at 30.100000 s, link 1, attempt 1, 1 of 1 subscriptions acknowledged, nothing in flight",
            "the guards, in order:",
            "  sub57: reconnect_off fails <- the log",
            "  sub58: may_retry holds <- the machine",
            "  sub59: none",
        ],
    ),
    (
        DIAL,
        {"at": 1030.2},
        [
            "row: rec32 in the log, none in the machine",
            "the log:     rec32: reconnecting x deadline if attempt_due stays reconnecting",
            "the machine: no step: the deadline is at 31.600000 s (dial), and the log's step is at 30.200000 s",
            "its state:   reconnecting at 30.200000 s, link 1, attempt 1, 0 of 1 subscriptions acknowledged, nothing in flight",
        ],
    ),
    (
        at("con40"),
        {"row": "con41"},
        [
            "row: con41 in the log, con40 in the machine",
            "the log:     con41: connected x acknowledged stays connected",
            "the machine: con40: connected x acknowledged if all_acknowledged -> subscribed",
            "its state:   connected at 0.000000 s, link 1, attempt 1, 0 of 1 subscriptions acknowledged, "
            "a request in flight (subscribe)",
            "the guards, in order:",
            "  con40: all_acknowledged holds <- the machine",
            "  con41: none <- the log",
        ],
    ),
]


@pytest.mark.parametrize(("index", "fields", "lines"), EXPLAINED)
def test_a_divergence_is_explained_by_the_state_and_the_guards(
    index: int, fields: dict[str, Any], lines: list[str], tmp_path: Path
) -> None:
    with pytest.raises(Diverged) as parted:
        replay(tmp_path, edited(index, **fields))
    assert list(parted.value.lines) == lines


@pytest.mark.parametrize("field", ["dwell", "lag"])
def test_a_time_may_differ_by_the_microsecond_of_its_rounding(field: str, tmp_path: Path) -> None:
    assert RECORDS[at("rec21")][field] == 0.0
    assert replay(tmp_path, edited(at("rec21"), **{field: 1e-6}))[-1].seq == RECORDS[at("uns14")]["seq"]
    with pytest.raises(Diverged):
        replay(tmp_path, edited(at("rec21"), **{field: 2e-6}))


def test_only_a_deadline_that_depends_on_a_rounded_moment_may_differ(tmp_path: Path) -> None:
    """The deadline of the reply depends on a call whose record has no exact moment. Ping, pong and dial depend on steps."""

    def live(bench: Bench) -> None:
        bench.to(State.PING).now += 0.25
        bench.subscribe("s2")
        bench.hear(Pong(bench.generation))
        bench.expire_until("sub61")
        bench.expire_until("rec32")

    records = lived(live)
    excused = {}
    for index, record in enumerate(records):
        if record.get("row") in ("sub64", "pin42", "sub61", "rec32"):
            altered = [*records[:index], {**record, "lag": record["lag"] + 0.5}, *records[index + 1 :]]
            try:
                replay(tmp_path, altered)
            except Diverged as parted:
                excused[record["row"]] = parted.located.record.seq != record["seq"]
            else:
                excused[record["row"]] = True
    assert excused == {"sub64": False, "pin42": False, "sub61": True, "rec32": False}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"cause": None}, ""),
        ({"cause": "stream_ended", "close_code": None}, "stream_ended"),
        ({"cause": "stream_ended", "close_code": 1006}, "stream_ended 1006"),
        ({"cause": "error_frame", "error_code": 0, "close_code": 7, "status": 8}, "error_frame 0"),
        ({"cause": "upgrade_refused", "close_code": None, "status": 503}, "upgrade_refused 503"),
    ],
)
def test_a_cause_is_its_kind_and_its_code(fields: dict[str, Any], told: str) -> None:
    record = msgspec.convert(RECORDS[LOSS] | {"close_code": None} | fields, TransitionRecord)
    assert kind_and_code(record) == told


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (None, ""),
        (ServerError(0, "x"), "error_frame 0"),
        (StreamEnded(1001), "stream_ended 1001"),
        (UpgradeRefused(503), "upgrade_refused 503"),
        (UpgradeRefused(0), "upgrade_refused"),
        (DialFailed("x"), "dial_failed"),
    ],
)
def test_a_failure_is_its_kind_and_its_code(failure: LinkFailure | None, told: str) -> None:
    assert kind_and_code(failure) == told
