"""The facts that only the machine knows: how late it was (`lag`), what a proxy said (`status`), what was withdrawn, and which era
the server is of. Each explains something, and only that."""

from __future__ import annotations

from struct import pack, unpack
from typing import cast

import pytest

from realtime_fsm.errors import UpgradeRefused
from realtime_fsm.fsm.inputs import Authenticate, Connect, DialFailure, Opened, ResumedFromSuspend, Unsubscribe
from realtime_fsm.fsm.policies import PingPolicy, RetryPolicy
from realtime_fsm.fsm.table import State
from realtime_fsm.protocol.eras import Era
from realtime_fsm.protocol.options import Timeouts
from support.bench import Bench
from support.brokenlogs import Record, Scribe, audited, collected, lines_of
from support.verdicts import altered, found
from support.wholelog import BACK, DIAL, FIRST_UP, PONG, RECORDS, edited, kind, moved_on, renumbered

AGES = ("status", "era", "lag", "at")
"""Fields that older logs lack."""


def delayed(index: int, seconds: float, lag: float = 0.0) -> list[Record]:
    """One step comes later, and says why; and so do those after it in the same state."""
    records = [*RECORDS[:index], {**RECORDS[index], "lag": lag}, *RECORDS[index + 1 :]]
    opened, closed = kind("outage"), kind("outage", 1)
    if opened < index < closed:
        records[closed] = {**records[closed], "seconds": records[closed]["seconds"] + seconds}
    after = index + 1
    if records[after].get("event") == "realtime.ping":
        records[after] = {**records[after], "round_trip": records[after]["round_trip"] + seconds}
    records[index:] = moved_on(records[index:], seconds)
    for number, record in enumerate(records[index:], index):
        if "dwell" in record:
            records[number] = {**record, "dwell": record["dwell"] + seconds}
        if record.get("source") != record.get("dest"):
            break
    return records


def later(index: int, seconds: float, lag: float = 0.0) -> list[bytes]:
    return lines_of(delayed(index, seconds, lag))


def of_old(lines: list[Record]) -> list[bytes]:
    return lines_of([{name: value for name, value in record.items() if name not in AGES} for record in lines])


# --- lag --------------------------------------------------------------------------------------------------------------

LATE = {
    # what comes late: its record, the rule, by how much it may come later than it does, and then by its own word only
    "a pong": (PONG, "pong", 9.9),
    "a greeting": (FIRST_UP, "deadline", 10.0),
    "a reply": (BACK, "deadline", 10.0),
    "a dial": (DIAL, "delay", 0.5),
}


@pytest.mark.parametrize("name", LATE)
def test_what_comes_late_is_a_violation_unless_the_machine_says_that_it_was_late_itself(name: str) -> None:
    index, rule, room = LATE[name]
    assert found(audited(later(index, room))) == ("conformant", None)
    assert found(audited(later(index, room + 0.1))) == ("violated", rule), "by however little"
    assert found(audited(later(index, room + 0.1, 0.1))) == ("conformant", None)
    assert found(audited(later(index, room + 100.0, 50.0))) == ("violated", rule), "half of it is not explained"
    report = audited(later(index, room + 100.0, 100.0))
    assert (found(report), report.counts["late"]) == (("conformant", None), 1)
    assert found(audited(later(index, room + 100.0, 100.0), fail_on=["late"])) == ("violated", "late")


@pytest.mark.parametrize("name", LATE)
def test_a_log_that_tells_no_lag_is_not_judged_as_finely(name: str) -> None:
    index, _, room = LATE[name]
    report = audited(of_old(delayed(index, room + 100.0)))
    assert (found(report), report.counts["late"]) == (("conformant", None), 1)
    assert found(audited(of_old(RECORDS))) == ("conformant", None)


def test_a_dial_that_says_it_came_late_was_not_due_too_early() -> None:
    assert found(audited(edited(DIAL, lag=0.4))) == ("conformant", None)
    assert found(audited(edited(DIAL, lag=1.4))) == ("violated", "delay"), "it was due before the least delay was over"


def test_a_lag_is_not_negative() -> None:
    assert found(audited(edited(PONG, lag=-1.0))) == ("violated", "form")


# --- openings -------------------------------------------------------------------------------------------------------------


def test_an_opening_is_in_time_or_late_by_the_first_one() -> None:
    """A second `opened` of one link is odd and allowed, also where the first came in the moment of the dial."""
    with collected() as records:
        bench = Bench(timeouts=Timeouts(dial=5.0))
        Scribe(bench)
        bench.do(Connect())
        bench.open()
        bench.do(Opened(bench.generation), after=7.0)
    first = next(index for index, record in enumerate(records) if record.get("row") == "rec21")
    assert found(audited(lines_of(records))) == ("conformant", None)
    late = moved_on(records[first : first + 1], 6.0)
    late = [*records[:first], {**late[0], "dwell": 6.0}, *records[first + 1 :]]
    assert found(audited(lines_of(late))) == ("violated", "deadline")


# --- repetitions and the budget ---------------------------------------------------------------------------------------


def sent_by(row: str) -> list[Record]:
    """A request leaves by its repetition after a fault (115), or when the budget has room (66)."""
    with collected() as records:
        bench = Bench(ping=PingPolicy(enabled=False))
        Scribe(bench)
        bench.to(State.CONNECTED).subscribe("s0")
        if row == "con115":
            bench.err(0)
        for number in range(1, 40 * (row == "sub66")):
            if bench.context.subscriptions.in_flight is not None:
                bench.acknowledge()
            bench.subscribe(f"s{number}")
        bench.expire_until(row)
    return records


@pytest.mark.parametrize(("row", "other"), [("con115", "con66"), ("sub66", "sub115")])
def test_a_repetition_is_no_wait_for_the_budget(row: str, other: str) -> None:
    records = sent_by(row)
    assert found(audited(lines_of(records))) == ("conformant", None)
    assert found(audited(altered(records, len(records) - 1, row=other))) == ("violated", "row")


# --- status -----------------------------------------------------------------------------------------------------------


def refused(status: int, *, woken: bool = False) -> list[Record]:
    """A dial that is refused, and the next one."""
    with collected() as records:
        bench = Bench(retry=RetryPolicy(attempts=None))
        Scribe(bench)
        bench.do(Connect())
        bench.do(DialFailure(bench.generation, UpgradeRefused(status)))
        if woken:
            bench.do(ResumedFromSuspend(), after=1.0)
        else:
            bench.expire()
    return records


@pytest.mark.parametrize("status", [429, 502])
def test_the_delay_after_a_refused_upgrade_is_that_of_its_status(status: int) -> None:
    records = refused(status)
    assert found(audited(lines_of(records))) == ("conformant", None)
    assert found(audited(altered(records, 2, status=931 - status))) == ("violated", "delay")
    assert found(audited(of_old(records))) == ("conformant", None), "either may have been"


@pytest.mark.parametrize(("status", "row"), [(429, "rec77"), (502, "rec76")])
def test_who_was_throttled_does_not_hurry_after_a_sleep(status: int, row: str) -> None:
    records = refused(status, woken=True)
    assert (records[-1]["row"], found(audited(lines_of(records)))) == (row, ("conformant", None))
    other = {"rec76": "rec77", "rec77": "rec76"}[row]
    assert found(audited(altered(records, len(records) - 1, row=other)))[0] == "violated"
    assert found(audited(altered(records, 2, status=931 - status))) == ("violated", "row")


# --- withdrawals ------------------------------------------------------------------------------------------------------


def withdrawn_in_flight() -> list[Record]:
    """A subscription is withdrawn while it is asked for; another one is acknowledged before it is removed."""
    with collected() as records:
        bench = Bench()
        Scribe(bench)
        bench.to(State.CONNECTED).subscribe("s1")
        bench.do(Unsubscribe("s1"))
        bench.subscribe("s2")
        bench.acknowledge()
        bench.acknowledge()
        bench.acknowledge()
    assert [(r["subscription"], r["change"]) for r in records if "subscription" in r] == [
        ("s1", "desired"), ("s1", "withdrawn"), ("s2", "desired"), ("s2", "acknowledged"), ("s1", "removed"),
    ]  # fmt: skip
    return records


def test_what_is_withdrawn_is_not_waited_for() -> None:
    records = withdrawn_in_flight()
    assert found(audited(lines_of(records))) == ("conformant", None)
    still_wanted = renumbered([record for record in records if record.get("change") != "withdrawn"])
    assert found(audited(still_wanted)) == ("violated", "healed")
    assert found(audited(of_old([r for r in records if r.get("change") != "withdrawn"]))) == ("inconclusive", "seq")


def test_old_logs_tell_no_withdrawals_so_nobody_misses_them() -> None:
    records = [record for record in withdrawn_in_flight() if record.get("change") != "withdrawn"]
    assert found(audited(of_old([{**record, "seq": n} for n, record in enumerate(records, 1)]))) == ("conformant", None)


def test_what_is_desired_and_not_acknowledged_is_missed() -> None:
    records = withdrawn_in_flight()
    unheard = renumbered([record for record in records if record.get("change") != "acknowledged"])
    assert found(audited(unheard)) == ("violated", "healed")
    nothing = renumbered([r for r in records if r.get("subscription") != "s2"])
    assert found(audited(nothing)) == ("violated", "healed")


# --- pauses -----------------------------------------------------------------------------------------------------------


def answered(after: float) -> list[Record]:
    """A request is in flight while nothing is read, and answered so many seconds after."""
    with collected() as records:
        bench = Bench(retry=RetryPolicy(stable_after=1000.0), ping=PingPolicy(enabled=False))
        scribe = Scribe(bench)
        bench.to(State.SUBSCRIBED).subscribe("s2")
        for change, seconds in (("opened", 0.0), ("closed", 50.0)):
            bench.now += seconds
            scribe.audit.pause(change, 1, dwell=scribe.dwell(0.0), seconds=seconds)  # type: ignore[arg-type]
            bench.machine.set_read_paused(1, bench.now, paused=change == "opened")
        bench.now += after
        bench.acknowledge()
    return records


def test_what_is_awaited_waits_while_nothing_is_read_and_no_longer() -> None:
    assert found(audited(lines_of(answered(9.0)))) == ("conformant", None)
    late = answered(11.0)
    (last,) = (n for n, record in enumerate(late) if record.get("lag"))
    assert found(audited(altered(late, last, lag=0.0))) == ("violated", "deadline")
    unpaused = renumbered([record for record in answered(9.0) if record["event"] != "realtime.pause"])
    assert found(audited(unpaused)) == ("violated", "deadline")


# --- eras -------------------------------------------------------------------------------------------------------------


def handed_over() -> list[Record]:
    """A server that reads channels from the URL: another subscription needs another link."""
    with collected() as records:
        bench = Bench(era=Era.E3, max_link_age=50.0)
        Scribe(bench)
        bench.subscribe("s1")
        for _ in range(2):
            bench.open()
            bench.greet()
            if bench.generation == 1:
                bench.subscribe("s2")
                bench.expire()
    return records


def test_a_link_makes_room_for_another_one_only_where_the_address_asks() -> None:
    records = handed_over()
    (index,) = (n for n, record in enumerate(records) if record.get("row") == "sub96")
    assert found(audited(lines_of(records))) == ("conformant", None)
    assert found(audited(altered(records, index, row="sub73"))) == ("violated", "deadline"), "the link is not old"
    idle = renumbered([record for record in records if record.get("subscription") != "s2"])
    assert found(audited(idle)) == ("violated", "row"), "nothing was desired that needs another address"


def test_on_a_server_that_is_asked_by_messages_the_greeting_answers_nothing() -> None:
    records = handed_over()
    modern = [record | {name: "E4" for name in ("era", "protocol") if record.get(name)} for record in records]
    assert found(audited(lines_of(modern))) == ("violated", "request")


def test_a_restored_identity_is_dialed_as_the_failed_one_was() -> None:
    """A server that greets like an E3 is asked without channels once, also for an identity that fails."""
    with collected() as records:
        bench = Bench(retry=RetryPolicy(attempts=1, reconnect_attempts=None))
        Scribe(bench)
        bench.subscribe("s1")
        bench.open()
        bench.err(1008)
        bench.open()
        bench.greet()
        bench.lose()
        bench.do(Authenticate("session"), after=0.1)
        bench.fail_dial()
        bench.open()
        bench.err(1008)
    steps = [record for record in records if "row" in record]
    assert [(step["row"], step["era"]) for step in steps[-3:]] == [("rec156", "E3"), ("rec21", "E3"), ("rec94", "E3")]
    assert found(audited(lines_of(records))) == ("conformant", None)


@pytest.mark.parametrize(
    ("refusal", "waits"),
    [(UpgradeRefused(429), True), (UpgradeRefused(503, retry_after=7.0), True), (UpgradeRefused(502), False)],
)
def test_a_restored_identity_is_dialed_at_once_unless_the_server_asked_to_wait(refusal: UpgradeRefused, waits: bool) -> None:
    """Without a limit of dials, only a request of the server holds back the dial of the identity before."""
    with collected() as records:
        bench = Bench(retry=RetryPolicy(attempts=1, reconnect_attempts=None, dials_per_minute=None))
        Scribe(bench)
        bench.do(Connect())
        bench.open()
        bench.greet()
        bench.lose()
        bench.do(Authenticate("session"), after=0.1)
        bench.do(DialFailure(bench.generation, refusal))
        if waits:
            bench.expire()
    failed = next(i for i, record in enumerate(records) if record.get("row") == "rec156")
    assert (records[failed]["link"] == records[-1]["link"]) is not waits, "the dial waits, or is made in the same step"
    assert found(audited(lines_of(records))) == ("conformant", None)
    if waits:
        assert found(audited(altered(records[: failed + 1], failed, status=502, retry_after=None))) == ("violated", "attempt")
        assert found(audited(altered(records[: failed + 1], failed, status=None, retry_after=None)))[0] != "violated", "unknown"


# --- numbers that a shipper rounded -----------------------------------------------------------------------------------


def in_single_precision(value: float, *, short: bool) -> float:
    rounded = cast("float", unpack("f", pack("f", value))[0])
    return float(f"{rounded:.9g}") if short else rounded


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("uptime", [0.0, 1234567.891, 98765432.1])
def test_the_clock_of_the_machine_may_come_in_single_precision(uptime: float, short: bool) -> None:
    records = [
        {name: in_single_precision(value, short=short) if isinstance(value, float) else value for name, value in record.items()}
        for record in moved_on(RECORDS, uptime)
    ]
    assert found(audited(lines_of(records))) == ("conformant", None)
    wrong = in_single_precision(records[DIAL]["at"] + 60.0, short=short)
    assert found(audited(altered(records, DIAL, at=wrong))) == ("violated", "clock")


def test_the_clock_of_the_machine_is_exact_where_its_numbers_are() -> None:
    records = moved_on(RECORDS, 1234567.8912345)
    assert found(audited(lines_of(records))) == ("conformant", None)
    assert found(audited(altered(records, DIAL, at=records[DIAL]["at"] + 0.05))) == ("violated", "clock")


# --- codes and gaps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [{"error_code": 500}, {"close_code": 1000}, {"status": 503}, {"retry_after": 5.0}])
def test_a_step_without_a_failure_has_no_code_of_one(code: Record) -> None:
    assert found(audited(edited(PONG, **code))) == ("violated", "cause")


@pytest.mark.parametrize(("whose", "verdict"), [("s1", "conformant"), ("unknown", "violated")])
def test_a_gap_is_told_until_a_withdrawn_subscription_is_removed(whose: str, verdict: str) -> None:
    withdrawn = next(index for index, record in enumerate(RECORDS) if record.get("change") == "withdrawn")
    gap = {
        **RECORDS[withdrawn], "event": "realtime.gap", "subscription": whose, "since": None, "until": "2026-11-24T05:00:00Z",
        "seconds": 1.0, "dials": 0,
    }  # fmt: skip
    gap = {name: value for name, value in gap.items() if name not in ("change", "error_code", "dwell", "size")}
    assert audited(renumbered([*RECORDS[: withdrawn + 1], gap, *RECORDS[withdrawn + 1 :]])).verdict == verdict


def test_a_store_with_columns_makes_nulls_of_absent_fields() -> None:
    absent = dict.fromkeys(("at", "draw", "enabled", "heard", "dial_slot", "delay", "sentence"))
    assert found(audited(lines_of([absent | record for record in RECORDS]))) == ("conformant", None)
